/** curl, which speaks SFTP by libssh2: the client of many a shell script. */
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Door, nothingShown, type Outcome, oneByOne, type Step } from './client.ts';
import { namesIn } from './openssh-sftp.ts';
import { runProgram } from './program.ts';

const url = (door: Door, path: string): string =>
  `sftp://${door.host}:${door.port}${path.split('/').map(encodeURIComponent).join('/')}`;

const login = ({ login, user, keyFile, password }: Door): string[] => [
  '--silent',
  '--show-error',
  '--fail',
  ...(login === 'key'
    ? ['--user', `${user}:`, '--key', keyFile, '--pubkey', `${keyFile}.pub`]
    : ['--user', `${user}:${password}`]),
];

/** Of a command that curl sends before or after a transfer; its quotes know `\"` and `\\`. */
const word = (path: string): string => `"${path.replace(/["\\]/g, '\\$&')}"`;
const quoted = (door: Door, command: string): string[] => [
  '--output',
  '/dev/null',
  '--list-only',
  '--quote',
  command,
  url(door, '/'),
];

function argumentsOf(door: Door, step: Step): string[] {
  switch (step.do) {
    case 'put':
      return ['--upload-file', step.local, ...(step.resume ? ['--continue-at', '-'] : []), url(door, step.remote)];
    case 'get':
      return ['--output', step.local, ...(step.resume ? ['--continue-at', '-'] : []), url(door, step.remote)];
    case 'rename':
      return quoted(door, `rename ${word(step.from)} ${word(step.to)}`);
    case 'remove':
      return quoted(door, `rm ${word(step.path)}`);
    case 'mkdir':
    case 'rmdir':
      return quoted(door, `${step.do} ${word(step.path)}`);
    case 'list':
      return ['--list-only', url(door, `${step.path}/`)];
    case 'stat':
      return [url(door, `${step.path.slice(0, step.path.lastIndexOf('/'))}/`)];
  }
}

/** curl reads the user's `known_hosts`. */
async function homeOf(door: Door): Promise<Record<string, string>> {
  await mkdir(join(door.scratch, '.ssh'), { recursive: true });
  await copyFile(door.knownHosts, join(door.scratch, '.ssh/known_hosts'));
  return { HOME: door.scratch };
}

async function one(door: Door, step: Step): Promise<Outcome> {
  const ended = await runProgram('curl', [...login(door), ...argumentsOf(door, step)], { env: await homeOf(door) });
  const shown = step.do === 'list' ? { listings: [namesIn(ended.out.split('\n'))], stats: [] } : nothingShown;
  return { ...ended, ...shown };
}

export const curl: Client = {
  name: 'curl (libssh2)',
  id: 'curl',
  protocol: 'sftp',
  packages: ['curl', 'libssh2-1'],
  note: 'needs `sftp.algorithms: compatible`; libssh2 from 1.11 does not',
  algorithms: 'compatible',
  lacks: {
    times: 'it sends no times',
    stat: 'it looks at nothing but listings',
    rekey: 'libssh2 1.10 asks for no new keys',
  },

  run: (door, steps) => oneByOne(steps, (step) => one(door, step)),

  async together(door, steps): Promise<Outcome> {
    const transfers = steps.flatMap((step, n) => [...(n > 0 ? ['--next'] : []), ...login(door), ...argumentsOf(door, step)]);
    return { ...(await runProgram('curl', ['--parallel', ...transfers], { env: await homeOf(door) })), ...nothingShown };
  },
};
