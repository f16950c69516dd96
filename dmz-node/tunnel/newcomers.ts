/**
 * Connections that have not yet proved who they are. They get little time and few places; when the places are used up the
 * oldest goes, so that somebody who holds them all cannot keep the internal node out.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';

export interface NewcomerOptions {
  readonly max: number;
  readonly graceMs: number;
}

export class Newcomers {
  readonly #clock: Clock;
  readonly #options: NewcomerOptions;
  readonly #waiting = new Map<string, { readonly socket: Socket; readonly cancel: () => void }>();

  constructor(clock: Clock, options: NewcomerOptions) {
    this.#clock = clock;
    this.#options = Object.freeze({ ...options });
  }

  get count(): number {
    return this.#waiting.size;
  }

  add(socket: Socket): void {
    const key = keyOf(socket);
    const cancel = this.#clock.after(this.#options.graceMs, () => socket.destroy());
    this.#waiting.set(key, { socket, cancel });
    socket.once('close', () => this.#forget(key));
    if (this.#waiting.size <= this.#options.max) return;
    const [oldest] = this.#waiting;
    if (oldest) {
      oldest[1].socket.destroy();
      this.#forget(oldest[0]);
    }
  }

  /** The connection behind this socket (the TCP one or the TLS one on top) has proved who it is. */
  admit(socket: Socket): void {
    this.#forget(keyOf(socket));
  }

  destroyAll(): void {
    for (const { socket } of this.#waiting.values()) socket.destroy();
  }

  #forget(key: string): void {
    this.#waiting.get(key)?.cancel();
    this.#waiting.delete(key);
  }
}

const keyOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
