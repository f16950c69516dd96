/** OpenSSH's own server as the peer to measure against: internal-sftp, one folder, one key, on loopback. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

export class OpenSshPeer implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly keyFile: string;
  readonly #daemon: ChildProcess;

  private constructor(folder: string, port: number, keyFile: string, daemon: ChildProcess) {
    this.folder = folder;
    this.port = port;
    this.keyFile = keyFile;
    this.#daemon = daemon;
  }

  static async start(folder: string, port: number): Promise<OpenSshPeer> {
    await mkdir(join(folder, 'files'), { recursive: true, mode: 0o700 });
    const keyFile = join(folder, 'client');
    for (const file of ['host', 'client']) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, file)]);
    await writeFile(join(folder, 'authorized'), await readFile(`${keyFile}.pub`));
    await mkdir('/run/sshd', { recursive: true });
    await writeFile(
      join(folder, 'config'),
      [
        `Port ${port}`,
        'ListenAddress 127.0.0.1',
        `HostKey ${join(folder, 'host')}`,
        `AuthorizedKeysFile ${join(folder, 'authorized')}`,
        'Subsystem sftp internal-sftp',
        'UsePAM no',
        'StrictModes no',
        'PermitRootLogin yes',
        'PidFile none',
        'LogLevel ERROR',
        'MaxStartups 200',
        'PerSourceMaxStartups 200',
        '',
      ].join('\n'),
    );
    const daemon = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', join(folder, 'config')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const peer = new OpenSshPeer(folder, port, keyFile, daemon);
    await peer.#listening();
    return peer;
  }

  /** Arguments of `sftp` up to and with the host. */
  arguments(options: readonly string[] = []): string[] {
    return [
      '-q',
      '-P',
      String(this.port),
      '-i',
      this.keyFile,
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'LogLevel=ERROR',
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      'BatchMode=yes',
      ...options,
      `${userInfo().username}@127.0.0.1`,
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((resolve) => this.#daemon.once('exit', resolve));
    this.#daemon.kill('SIGTERM');
    await gone;
  }

  async #listening(): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const up = await new Promise<boolean>((resolve) => {
        const socket = connect(this.port, '127.0.0.1');
        socket.once('connect', () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', () => resolve(false));
      });
      if (up) return;
      await sleep(50);
    }
    throw new Error('sshd did not start');
  }
}
