/**
 * Unix sockets with a path of any length. Linux gives the address of a socket 108 bytes, its closing NUL included (unix(7));
 * a longer path is reached through an open handle of its folder: `/proc/self/fd/N/name` (proc(5)).
 */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

const mostBytes = 107;
/** What a socket's own name may have, so that it always fits behind `/proc/self/fd/N/`. */
export const socketNameBytes = 80;

export class SocketPath implements Disposable {
  /** What `listen` and `connect` take, until this is disposed of. */
  readonly usable: string;
  #folder: number | undefined;

  private constructor(usable: string, folder: number | undefined) {
    this.usable = usable;
    this.#folder = folder;
  }

  /** @throws the error of opening the folder, `ENOENT` when there is none. */
  static open(path: string): SocketPath {
    if (Buffer.byteLength(path) <= mostBytes) return new SocketPath(path, undefined);
    const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
    return new SocketPath(`/proc/self/fd/${folder}/${basename(path)}`, folder);
  }

  [Symbol.dispose](): void {
    if (this.#folder !== undefined) closeSync(this.#folder);
    this.#folder = undefined;
  }
}
