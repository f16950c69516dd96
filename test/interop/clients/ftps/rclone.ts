/** rclone (Go): its `ftp` backend, one run for each step. */
import { type Client, type Door, nothingShown, oneByOne, type Step } from '../client.ts';
import { namesIn } from '../openssh-sftp.ts';
import { interrupted, runProgram } from '../program.ts';

const remoteOf = (path: string): string => `door:${path}`;

function words(step: Step): readonly string[] {
  switch (step.do) {
    case 'put':
      return ['copyto', '--ignore-times', step.local, remoteOf(step.remote)];
    case 'get':
      return ['copyto', remoteOf(step.remote), step.local];
    case 'rename':
      return ['moveto', remoteOf(step.from), remoteOf(step.to)];
    case 'remove':
      return ['deletefile', remoteOf(step.path)];
    case 'mkdir':
    case 'rmdir':
      return [step.do, remoteOf(step.path)];
    case 'list':
      return ['lsf', remoteOf(step.path)];
    case 'stat':
      return ['lsjson', '--stat', remoteOf(step.path)];
  }
}

async function settings({ way, host, port, user, password, scratch }: Door): Promise<Record<string, string>> {
  const obscured = await runProgram('rclone', ['obscure', password]);
  const wanted = {
    type: 'ftp',
    host: way.family === 6 ? `[${host}]` : host,
    port: String(port),
    user,
    pass: obscured.out.trim(),
    [way.implicit ? 'tls' : 'explicit_tls']: 'true',
    no_check_certificate: 'true',
    disable_tls13: String(way.tls === '1.2'),
    disable_epsv: String(way.passive === 'PASV'),
  };
  const named = Object.entries(wanted).map(([key, value]) => [`RCLONE_CONFIG_DOOR_${key.toUpperCase()}`, value]);
  const once = { RCLONE_CONFIG: '/dev/null', RCLONE_RETRIES: '1', RCLONE_LOW_LEVEL_RETRIES: '1' };
  // 1.60 leaves each part of a large file early and takes the 426 for it as a failure, ProFTPD's too.
  const inOnePiece = { RCLONE_MULTI_THREAD_STREAMS: '0' };
  return { ...Object.fromEntries(named), ...once, ...inOnePiece, HOME: scratch };
}

export const rcloneFtps: Client = {
  name: 'rclone (Go)',
  id: 'rclone-ftps',
  protocol: 'ftps',
  packages: ['rclone'],
  note: 'one attempt; by itself it makes several; large files in one piece (`--multi-thread-streams 0`), which 1.60 needs with any server',
  lacks: {
    'resume-put': 'it sends a file anew',
    'resume-get': 'it fetches a file anew',
    'host-key': 'it knows no authority but the system’s; here it checks nothing',
    'missing-folder': 'it makes the folder',
  },

  run: async (door, steps) => {
    const env = await settings(door);
    return oneByOne(steps, async (step) => {
      const ended = await runProgram('rclone', words(step), { env });
      if (ended.ok && step.do === 'list') return { ...ended, listings: [namesIn(ended.out.split('\n'))], stats: [] };
      if (!ended.ok || step.do !== 'stat') return { ...ended, ...nothingShown };
      const { Size, ModTime } = JSON.parse(ended.out) as { Size: number; ModTime: string };
      return { ...ended, listings: [], stats: [{ size: Size, modifiedAtMs: Date.parse(ModTime) }] };
    });
  },

  async mirror(door, local, remote) {
    return { ...(await runProgram('rclone', ['copy', local, remoteOf(remote)], { env: await settings(door) })), ...nothingShown };
  },

  giveUp: async (door, { local, remote, bytesPerSecond, begun }) => {
    const limit = `--bwlimit=${Math.round(bytesPerSecond)}B`;
    await interrupted('rclone', [limit, ...words({ do: 'put', local, remote })], await settings(door), begun);
  },
};
