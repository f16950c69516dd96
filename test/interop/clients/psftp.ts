/** PuTTY's `psftp` with a batch file: a third SSH implementation, under the hood of several programs for Windows. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client, Door, Outcome, Step } from './client.ts';
import { namesIn } from './openssh-sftp.ts';
import { runProgram } from './program.ts';

/** Quotes are doubled inside of quotes. */
const word = (path: string): string => `"${path.replaceAll('"', '""')}"`;
/** Without a meaning where psftp would expand patterns. */
const escaped = (path: string): string => path.replace(/[*?[\]\\]/g, '\\$&');
const exact = (path: string): string => word(escaped(path));

/** Of what `ls` prints: above some number of names it says in front of them that it does not sort so many. */
const entries = (listing: string): string[] => listing.split('\n').filter((line) => /^[-d]/.test(line));

const command = (step: Step): string => {
  switch (step.do) {
    case 'put':
      return `${step.resume ? 'reput' : 'put'} ${word(step.local)} ${word(step.remote)}`;
    case 'get':
      return `${step.resume ? 'reget' : 'get'} ${word(step.remote)} ${word(step.local)}`;
    case 'rename':
      return `mv ${exact(step.from)} ${word(step.to)}`;
    case 'remove':
      return `rm ${exact(step.path)}`;
    case 'mkdir':
      return `mkdir ${word(step.path)}`;
    case 'rmdir':
      return `rmdir ${exact(step.path)}`;
    case 'list':
      return `ls ${word(step.path)}`;
    case 'stat':
      // Of a file it lists nothing unless it is a pattern.
      return `ls ${word(`${escaped(step.path)}*`)}`;
  }
};

/** What a user is told of a host key, and gives on the command line; PuTTY takes several. */
const trust = (hostKey: string): string[] => {
  const digest = createHash('sha256').update(Buffer.from(hostKey.split(' ')[1] ?? '', 'base64'));
  return ['-hostkey', `SHA256:${digest.digest('base64').replace(/=+$/, '')}`];
};

/** PuTTY's own form of the key. */
async function keyOf(door: Door): Promise<string> {
  const ppk = join(door.scratch, 'id.ppk');
  const made = await runProgram('puttygen', [door.keyFile, '-O', 'private', '-o', ppk]);
  if (!made.ok) throw new Error(made.output);
  return ppk;
}

export const psftp: Client = {
  name: 'PuTTY psftp',
  id: 'psftp',
  protocol: 'sftp',
  packages: ['putty-tools'],
  lacks: {
    times: 'it sends no times',
    rekey: 'only a saved session of PuTTY asks for new keys',
    'any-name': 'a batch file has one command a line',
  },

  async run(door, steps): Promise<Outcome> {
    const batch = join(door.scratch, 'batch');
    await writeFile(batch, steps.map((step) => `${command(step)}\n`).join(''));
    const secret = door.login === 'key' ? ['-i', await keyOf(door)] : ['-pw', door.password];
    const target = [...secret, ...door.hostKeys.flatMap(trust), '-P', String(door.port), `${door.user}@${door.host}`];
    const ended = await runProgram('psftp', ['-batch', '-b', batch, ...target], { env: { HOME: door.scratch } });
    const shown = ended.out.split(/^Listing directory .*\n/m).slice(1);
    const looks = steps.filter((step) => step.do === 'list' || step.do === 'stat');
    const of = (kind: Step['do']): string[] => shown.filter((_, i) => looks[i]?.do === kind);
    return {
      ok: ended.ok,
      output: ended.output,
      listings: of('list').map((text) => namesIn(entries(text).map((line) => line.replace(/^(\S+\s+){8}/, '')))),
      stats: of('stat').map((text) => ({ size: Number(/^(?:\S+\s+){4}(\d+)\s/.exec(text)?.[1] ?? Number.NaN) })),
    };
  },
};
