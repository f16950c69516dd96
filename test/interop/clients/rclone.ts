/** rclone, as its manual configures an SFTP remote: by options, nothing switched off. */
import { type Client, type Door, nothingShown, type Outcome, oneByOne, type Step } from './client.ts';
import { namesIn } from './openssh-sftp.ts';
import { runProgram } from './program.ts';

const remote = (path: string): string => `:sftp:${path}`;

function argumentsOf(step: Step): string[] {
  switch (step.do) {
    case 'put':
      return ['copyto', step.local, remote(step.remote)];
    case 'get':
      return ['copyto', remote(step.remote), step.local];
    case 'rename':
      return ['moveto', remote(step.from), remote(step.to)];
    case 'remove':
      return ['deletefile', remote(step.path)];
    case 'mkdir':
    case 'rmdir':
      return [step.do, remote(step.path)];
    case 'list':
      return ['lsf', remote(step.path)];
    case 'stat':
      return ['lsjson', '--stat', remote(step.path)];
  }
}

async function options(door: Door): Promise<readonly string[]> {
  const password = async (): Promise<string> =>
    (await runProgram('rclone', ['obscure', '-'], { input: door.password })).out.trim();
  return [
    '--config=',
    '--low-level-retries=1',
    '--retries=1',
    `--sftp-host=${door.host}`,
    `--sftp-port=${door.port}`,
    `--sftp-user=${door.user}`,
    `--sftp-known-hosts-file=${door.knownHosts}`,
    ...(door.login === 'key' ? [`--sftp-key-file=${door.keyFile}`] : [`--sftp-pass=${await password()}`]),
  ];
}

async function one(door: Door, step: Step): Promise<Outcome> {
  const ended = await runProgram('rclone', [...argumentsOf(step), ...(await options(door))], { env: { HOME: door.scratch } });
  if (!ended.ok) return { ...ended, ...nothingShown };
  if (step.do === 'list') return { ...ended, listings: [namesIn(ended.out.split('\n'))], stats: [] };
  if (step.do !== 'stat') return { ...ended, ...nothingShown };
  const { Size, ModTime } = JSON.parse(ended.out) as { Size: number; ModTime: string };
  return { ...ended, listings: [], stats: [{ size: Size, modifiedAtMs: Date.parse(ModTime) }] };
}

export const rclone: Client = {
  name: 'rclone',
  id: 'rclone',
  protocol: 'sftp',
  packages: ['rclone'],
  note: 'one attempt; by itself it makes several',
  lacks: {
    'resume-put': 'it sends a file anew',
    'resume-get': 'it fetches a file anew',
    rekey: 'no option asks for new keys',
    'missing-folder': 'it makes the folder',
  },

  run: (door, steps) => oneByOne(steps, (step) => one(door, step)),
};
