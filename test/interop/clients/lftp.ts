/** lftp: its own SFTP over a connection that OpenSSH's `ssh` makes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client, Door, Outcome, Step } from './client.ts';
import { namesIn, sshOptions } from './openssh-sftp.ts';
import { runProgram } from './program.ts';

export const word = (path: string): string => `"${path.replace(/["\\]/g, '\\$&')}"`;

const command = (step: Step): string => {
  switch (step.do) {
    case 'put':
      return `put ${step.resume ? '-c ' : ''}${word(step.local)} -o ${word(step.remote)}`;
    case 'get':
      return `get ${step.resume ? '-c ' : ''}${word(step.remote)} -o ${word(step.local)}`;
    case 'rename':
      return `mv ${word(step.from)} ${word(step.to)}`;
    case 'remove':
      return `rm ${word(step.path)}`;
    case 'mkdir':
    case 'rmdir':
      return `${step.do} ${word(step.path)}`;
    case 'list':
      return `cls -1a ${word(`${step.path}/`)}`;
    case 'stat':
      return `cls -l --time-style=+%s ${word(step.path)}`;
  }
};

const mark = '@@@@';

/** What holds whatever it connects to. */
export const commonSettings = [
  'set cmd:fail-exit yes',
  // Without end it would try again what was refused.
  'set net:max-retries 2',
  'set net:reconnect-interval-base 1',
  'set net:timeout 60',
  'set xfer:clobber yes',
] as const;

/** @param settings Its lines before the first step. */
export async function runSteps(door: Door, settings: readonly string[], steps: readonly Step[]): Promise<Outcome> {
  const script = [...settings, ...steps.map((step) => `${command(step)}; echo ${mark}`), ''].join('\n');
  const file = join(door.scratch, 'script');
  await writeFile(file, script, { mode: 0o600 });
  const ended = await runProgram('lftp', ['--norc', '-f', file], { env: { HOME: door.scratch } });
  const shown = ended.out.split(`${mark}\n`);
  const of = (kind: Step['do']): string[] => shown.filter((_, i) => steps[i]?.do === kind);
  return {
    ok: ended.ok,
    output: ended.output,
    listings: of('list').map((text) => namesIn(text.split('\n'))),
    stats: of('stat').map((text) => {
      const [, size, seconds] = /(\d+)\s+(\d{9,})\s/.exec(text) ?? [];
      return { size: Number(size ?? Number.NaN), ...(seconds ? { modifiedAtMs: Number(seconds) * 1000 } : {}) };
    }),
  };
}

async function settings(door: Door): Promise<readonly string[]> {
  const { args } = await sshOptions(door);
  return [
    ...commonSettings,
    `set sftp:connect-program "ssh -a -x ${args.join(' ')}"`,
    `open -p ${door.port} -u ${door.user},${door.login === 'password' ? door.password : ''} sftp://${door.host}`,
  ];
}

export const lftp: Client = {
  name: 'lftp',
  id: 'lftp',
  protocol: 'sftp',
  packages: ['lftp'],
  note: 'two attempts; by itself it tries without end',
  lacks: { 'any-name': 'a script has one command a line' },

  run: async (door, steps) => runSteps(door, await settings(door), steps),
};
