/** lftp over FTPS (GnuTLS, which is strict about the end of a connection). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Client, Door } from '../client.ts';
import { commonSettings, runSteps, word } from '../lftp.ts';

function settings({ host, way, port, user, password, caFile }: Door): readonly string[] {
  const address = way.family === 6 ? `[${host}]` : host;
  return [
    ...commonSettings,
    'set ftp:ssl-force yes',
    'set ftp:ssl-protect-data yes',
    `set ssl:ca-file ${word(caFile)}`,
    // It is told an address; the certificate is for a name.
    'set ssl:check-hostname no',
    `set ssl:priority ${word(`NORMAL:-VERS-ALL:+VERS-TLS${way.tls}`)}`,
    `set ftp:prefer-epsv ${way.passive === 'EPSV' ? 'yes' : 'no'}`,
    `open -p ${port} -u ${user},${password} ${way.implicit ? 'ftps' : 'ftp'}://${address}`,
  ];
}

export const lftpFtps: Client = {
  name: 'lftp (GnuTLS)',
  id: 'lftp-ftps',
  protocol: 'ftps',
  packages: ['lftp', 'libgnutls30'],
  note: 'two attempts; by itself it tries without end',
  lacks: { 'any-name': 'a script has one command a line' },

  run: (door, steps) => runSteps(door, settings(door), steps),

  async mirror(door, local, remote) {
    const line = `mirror -R --no-perms --parallel=4 ${word(local)} ${word(remote)}`;
    return runSteps(door, [...settings(door), line], []);
  },

  /** Kills the job and leaves, as one does at its prompt; it says ABOR. */
  async giveUp(door, { local, remote, bytesPerSecond, begun }) {
    const child = spawn('lftp', ['--norc'], { env: { ...process.env, HOME: door.scratch }, stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = once(child, 'close');
    const say = (line: string): void => void child.stdin.write(`${line}\n`);
    for (const line of [...settings(door), `set net:limit-rate 0:${Math.round(bytesPerSecond)}`]) say(line);
    say(`put ${word(local)} -o ${word(remote)} &`);
    await begun();
    say('kill all');
    child.stdin.end('exit\n');
    await ended;
  },
};
