/**
 * Connections that have not yet proved who they are. They get little time and few places; when the places are used up the
 * oldest of the source that holds most of them goes, so that neither somebody who holds them all nor somebody who comes again faster
 * than a handshake takes can keep the internal node out.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { peerAddress, sourceOf } from '../peer-address.ts';

export interface NewcomerOptions {
  readonly max: number;
  readonly graceMs: number;
}

interface Waiting {
  readonly socket: Socket;
  readonly source: string;
  readonly cancel: () => void;
}

export class Newcomers {
  readonly #clock: Clock;
  readonly #options: NewcomerOptions;
  readonly #waiting = new Map<string, Waiting>();

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
    this.#waiting.set(key, { socket, source: sourceOf(peerAddress(socket.remoteAddress)), cancel });
    socket.once('close', () => this.#forget(key));
    if (this.#waiting.size <= this.#options.max) return;
    const givesWay = this.#oldestOfBusiest();
    if (givesWay === undefined) return;
    this.#waiting.get(givesWay)?.socket.destroy();
    this.#forget(givesWay);
  }

  #oldestOfBusiest(): string | undefined {
    const held = new Map<string, number>();
    for (const { source } of this.#waiting.values()) held.set(source, (held.get(source) ?? 0) + 1);
    const most = Math.max(...held.values());
    return this.#waiting.entries().find(([, { source }]) => held.get(source) === most)?.[0];
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
