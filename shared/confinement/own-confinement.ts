/**
 * What the kernel denies the process that asks, found by looking and by trying. What is tried cannot succeed where it is not denied
 * either: a Unix socket in a folder that is not there is neither connected to nor bound.
 */
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';

export interface OwnConfinement {
  /** A system call filter is in force (proc(5), `Seccomp: 2`). It may be another than ours, as in a container. */
  readonly filtered: boolean;
  readonly noNewPrivileges: boolean;
  /** Tried just now: to connect, and to bind a socket, without which nothing listens. */
  readonly connect: 'denied' | 'admitted';
  readonly listen: 'denied' | 'admitted';
}

/** Short, since an address of a Unix socket has 108 bytes; nobody can make a folder there. */
const nowhere = '/proc/self/nobody-is-here/socket';

export async function ownConfinement(): Promise<OwnConfinement> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const filtered = /^Seccomp:\s*2$/m.test(status);
  const noNewPrivileges = /^NoNewPrivs:\s*1$/m.test(status);
  if (!filtered) return { filtered, noNewPrivileges, connect: 'admitted', listen: 'admitted' };
  return {
    filtered,
    noNewPrivileges,
    connect: (await failureOfConnect(nowhere)) === 'EPERM' ? 'denied' : 'admitted',
    listen: (await failureOfListen(nowhere)) === 'EPERM' ? 'denied' : 'admitted',
  };
}

function failureOfConnect(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
  });
}

function failureOfListen(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    server.listen(path, () => server.close(() => resolve(undefined)));
  });
}
