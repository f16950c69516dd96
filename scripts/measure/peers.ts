/** Other SFTP servers to measure against, each for one user with one key on loopback: ProFTPD's mod_sftp and rclone. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Peer extends AsyncDisposable {
  /** Arguments of `sftp` up to and with the host. */
  arguments(options?: readonly string[]): string[];
  /** What the server calls a file in its folder. */
  remote(name: string): string;
  /** Where that file lies. */
  local(name: string): string;
}

interface Keys {
  readonly host: string;
  readonly client: string;
}

/** RSA: the one type that both servers take everywhere. */
async function makeKeys(folder: string): Promise<Keys> {
  await mkdir(join(folder, 'files'), { recursive: true, mode: 0o700 });
  const keys = { host: join(folder, 'host'), client: join(folder, 'client') };
  for (const file of Object.values(keys))
    await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '3072', '-m', 'PEM', '-N', '', '-f', file]);
  return keys;
}

const sftpArguments = (port: number, keyFile: string, options: readonly string[]): string[] => [
  ...['-q', '-P', String(port), '-i', keyFile],
  ...[
    'UserKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=no',
    'LogLevel=ERROR',
    'IdentitiesOnly=yes',
    'BatchMode=yes',
  ].flatMap((option) => ['-o', option]),
  ...options,
  'bench@127.0.0.1',
];

export async function startDaemon(port: number, program: string, args: readonly string[]): Promise<ChildProcess> {
  const daemon = spawn(program, args, { stdio: 'ignore' });
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await listens(port)) return daemon;
    await sleep(50);
  }
  daemon.kill('SIGKILL');
  throw new Error(`${program} did not start`);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (up: boolean) => () => {
      socket.destroy();
      resolve(up);
    };
    socket.once('connect', answer(true));
    socket.once('error', answer(false));
  });
}

function peer(folder: string, port: number, keys: Keys, daemon: ChildProcess, root: string): Peer {
  return {
    arguments: (options = []) => sftpArguments(port, keys.client, options),
    remote: (name) => join(root, name),
    local: (name) => join(folder, 'files', name),
    [Symbol.asyncDispose]: () => stopDaemon(daemon),
  };
}

export async function stopDaemon(daemon: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGTERM');
  await gone;
}

/** `rclone serve sftp` of a local folder. */
export async function startRclone(folder: string, port: number): Promise<Peer> {
  const keys = await makeKeys(folder);
  const args = [
    '--dir-cache-time',
    '0s',
    '--addr',
    `127.0.0.1:${port}`,
    '--key',
    keys.host,
    '--authorized-keys',
    `${keys.client}.pub`,
  ];
  const daemon = await startDaemon(port, 'rclone', ['serve', 'sftp', join(folder, 'files'), ...args]);
  return peer(folder, port, keys, daemon, '/');
}

/** ProFTPD with mod_sftp (Debian package `proftpd-mod-crypto`). */
export async function startProftpd(folder: string, port: number): Promise<Peer> {
  const keys = await makeKeys(folder);
  const authorized = join(folder, 'authorized');
  await writeFile(authorized, (await run('ssh-keygen', ['-e', '-f', `${keys.client}.pub`])).stdout, { mode: 0o600 });
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  await writeFile(join(folder, 'passwd'), `bench:x:${uid}:${gid}::${folder}:/bin/sh\n`, { mode: 0o600 });
  await writeFile(join(folder, 'group'), await readFile('/etc/group', 'utf8'), { mode: 0o600 });
  await writeFile(
    join(folder, 'config'),
    [
      ...(await proftpdBasics(folder, port)),
      ...['LoadModule mod_sftp.c', 'SFTPEngine on', `SFTPHostKey ${keys.host}`, `SFTPAuthorizedUserKeys file:${authorized}`],
      ...['SFTPAuthMethods publickey', 'SFTPLog none', ''],
    ].join('\n'),
  );
  const daemon = await startDaemon(port, 'proftpd', ['-n', '-c', join(folder, 'config')]);
  return peer(folder, port, keys, daemon, join(folder, 'files'));
}

/** Lines of a configuration: one user of the files `passwd` and `group` in the folder, as whom the server runs too. */
export async function proftpdBasics(folder: string, port: number): Promise<readonly string[]> {
  const nameOf = async (file: string, id = 0): Promise<string> =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .find((line) => line.split(':')[2] === String(id))
      ?.split(':')[0] ?? 'nobody';
  return [
    ...['ServerName bench', 'ServerType standalone', 'DefaultAddress 127.0.0.1', 'SocketBindTight on', `Port ${port}`],
    ...[`User ${await nameOf('/etc/passwd', process.getuid?.())}`, `Group ${await nameOf('/etc/group', process.getgid?.())}`],
    ...['RootLogin on', 'UseReverseDNS off', 'WtmpLog off', 'TransferLog none', 'DelayEngine off'],
    ...[`SystemLog ${join(folder, 'log')}`, `PidFile ${join(folder, 'pid')}`, `ScoreboardFile ${join(folder, 'score')}`],
    ...['RequireValidShell off', 'ModulePath /usr/lib/proftpd', 'AllowOverwrite on', 'MaxInstances 100'],
    ...['AuthOrder mod_auth_file.c', `AuthUserFile ${join(folder, 'passwd')}`, `AuthGroupFile ${join(folder, 'group')}`],
  ];
}
