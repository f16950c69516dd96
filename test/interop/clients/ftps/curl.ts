/** curl over FTPS (OpenSSL): one run for each step, as shell scripts use it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, type Door, nothingShown, oneByOne, type Step } from '../client.ts';
import { namesIn } from '../openssh-sftp.ts';
import { interrupted, runProgram } from '../program.ts';

/** Two slashes in the URL: from the root, wherever a login begins. */
const path = (remote: string): string => remote.split('/').map(encodeURIComponent).join('/');
const command = (...lines: string[]): readonly string[] => [
  '/',
  '--list-only',
  '-o',
  '/dev/null',
  ...lines.flatMap((l) => ['-Q', l]),
];

/** @returns the path of the URL, then options. */
function wordsOf(step: Step): readonly string[] {
  switch (step.do) {
    case 'put':
      return [path(step.remote), '-T', step.local, ...(step.resume ? ['-C', '-'] : [])];
    case 'get':
      return [path(step.remote), '-o', step.local, ...(step.resume ? ['-C', '-'] : [])];
    case 'rename':
      return command(`RNFR ${step.from}`, `RNTO ${step.to}`);
    case 'remove':
      return command(`DELE ${step.path}`);
    case 'mkdir':
      return command(`MKD ${step.path}`);
    case 'rmdir':
      return command(`RMD ${step.path}`);
    case 'list':
      return [`${path(step.path)}/`, '--list-only'];
    case 'stat':
      return [path(step.path), '--head'];
  }
}

async function options({ way, host, port, user, password, caFile, scratch }: Door): Promise<readonly string[]> {
  const login = join(scratch, 'login');
  await writeFile(login, `user = ${JSON.stringify(`${user}:${password}`)}\n`, { mode: 0o600 });
  const tls = way.tls === '1.2' ? ['--tls-max', '1.2'] : ['--tlsv1.3'];
  const passive = way.passive === 'PASV' ? ['--disable-epsv'] : [];
  const resolved = `localhost:${port}:${way.family === 6 ? `[${host}]` : host}`;
  return ['-sS', '--globoff', '--ssl-reqd', '--cacert', caFile, '--resolve', resolved, '-K', login, ...tls, ...passive];
}

async function argumentsOf(door: Door, step: Step): Promise<readonly string[]> {
  const [remote = '', ...words] = wordsOf(step);
  return [...(await options(door)), ...words, `${door.way.implicit ? 'ftps' : 'ftp'}://localhost:${door.port}/${remote}`];
}

export const curlFtps: Client = {
  name: 'curl (OpenSSL)',
  id: 'curl-ftps',
  protocol: 'ftps',
  packages: ['curl', 'libssl3'],
  lacks: { times: 'it sends no times', mirror: 'it knows no folders', 'missing-folder': 'it asks for a folder first' },

  run: (door, steps) =>
    oneByOne(steps, async (step) => {
      const { ok, out, output } = await runProgram('curl', await argumentsOf(door, step));
      const listings = step.do === 'list' ? [namesIn(out.split(/\r?\n/))] : [];
      const stats = step.do === 'stat' ? [{ size: Number(/^Content-Length: (\d+)/im.exec(out)?.[1] ?? Number.NaN) }] : [];
      return { ok, output, listings, stats };
    }),

  async together(door, steps) {
    const each = await Promise.all(steps.map((step) => argumentsOf(door, step)));
    const transfers = each.flatMap((words, n) => (n > 0 ? ['--next', ...words] : words));
    return { ...(await runProgram('curl', ['--parallel', ...transfers])), ...nothingShown };
  },

  giveUp: async (door, { local, remote, bytesPerSecond, begun }) => {
    const words = await argumentsOf(door, { do: 'put', local, remote });
    await interrupted('curl', ['--limit-rate', String(Math.round(bytesPerSecond)), ...words], {}, begun);
  },
};
