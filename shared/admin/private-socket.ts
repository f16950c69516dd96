/**
 * A Unix socket that only its own user can reach: mode 0600, in a folder of mode 0700. What a killed process left behind is
 * replaced; a socket on which somebody answers is not.
 */
import { once } from 'node:events';
import { chmod, lstat, mkdir, rm, stat } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { SallyportError } from '../errors.ts';
import { SocketPath } from './socket-path.ts';

/**
 * Lets a server listen there. Its folder is made when it is missing.
 * @returns to be disposed of after the server was closed: closing removes the socket by this path.
 * @throws SallyportError `key-file` when others can enter the folder, `already-running` when somebody answers there,
 *   `already-exists` when a file is in the way.
 */
export async function listenPrivately(server: Server, socket: string): Promise<Disposable> {
  await preparePlace(socket);
  const path = SocketPath.open(socket);
  server.listen(path.usable);
  await once(server, 'listening');
  // Until here only the folder's mode keeps others out, and that is enough.
  await chmod(socket, 0o600);
  return path;
}

async function preparePlace(socket: string): Promise<void> {
  const folder = dirname(socket);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode } = await stat(folder);
  if ((mode & 0o077) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, '0');
    throw new SallyportError(
      'key-file',
      `${folder} has mode ${shown}; others could reach the admin socket. Run: chmod 700 ${folder}`,
    );
  }
  const existing = await lstat(socket).catch(() => undefined);
  if (!existing) return;
  if (!existing.isSocket()) throw new SallyportError('already-exists', `${socket} is no socket; remove it or set admin.socket`);
  if (await answers(socket)) throw new SallyportError('already-running', `another process answers on ${socket}`);
  await rm(socket);
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const path = SocketPath.open(socket);
    const probe = connect(path.usable);
    const done = (answer: boolean): void => {
      probe.destroy();
      path[Symbol.dispose]();
      resolve(answer);
    };
    probe.once('connect', () => done(true));
    probe.once('error', () => done(false));
  });
}
