/**
 * Sends the answers of one SFTP channel: as few and as full packets as the client's window allows, one copy per byte.
 *
 * It writes past the channel's own stream, which would copy twice and make a packet of every small answer. Nothing is sent
 * while keys are exchanged (the package would queue it without limit), while the client's window is shut, or while the socket
 * holds enough already. What waits is counted in `queuedBytes`; keeping that small is the caller's duty.
 */

import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { giveBack } from '../../shared/memory.ts';
import { Progress, type StallRule } from '../progress.ts';
import { isRekeying, type SshChannel, type SshClient, sendChannelData } from './ssh2-seam.ts';

export interface ChannelWriterDeps {
  readonly client: SshClient;
  readonly channel: SshChannel;
  readonly socket: Pick<Socket, 'writableLength' | 'cork' | 'uncork'>;
  /** Nothing is given to a socket that holds more than this. */
  readonly maxSocketBytes: () => number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly stall: StallRule;
  /** Bytes have left the queue. */
  readonly onProgress: () => void;
}

/** Every client takes packets of this size, and larger ones are not faster here. */
const maxPacketData = 32 * 1024;

export class ChannelWriter {
  readonly #deps: ChannelWriterDeps;
  #queue: Buffer[] = [];
  /** Index of the first buffer that is not sent whole, and how much of it is. */
  #head = 0;
  #headSent = 0;
  #queued = 0;
  #scheduled = false;
  #closed = false;
  readonly #progress: Progress;

  constructor(deps: ChannelWriterDeps) {
    this.#deps = deps;
    this.#progress = new Progress(deps.clock, deps.stall);
    // Called by the package when the client opens its window after `_waitWindow` was set.
    deps.channel._chunkcb = () => this.pump();
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  /** The client takes too little of what waits for it. */
  get isStalled(): boolean {
    return this.#queued > 0 && this.#progress.isStalled;
  }

  send(buffers: readonly Buffer[]): void {
    if (this.#closed) return;
    if (this.#queued === 0) this.#progress.restart();
    for (const buffer of buffers) {
      this.#queue.push(buffer);
      this.#queued += buffer.length;
    }
    this.#schedule();
  }

  /** Sends what can be sent now. Called again when keys were exchanged, the window opened, or the socket drained. */
  pump(): void {
    const { client, channel, socket } = this.#deps;
    if (this.#closed || this.#queued === 0 || isRekeying(client) || channel.outgoing.state !== 'open') return;
    const before = this.#queued;
    const maxSocketBytes = this.#deps.maxSocketBytes();
    socket.cork();
    while (this.#queued > 0 && socket.writableLength < maxSocketBytes) {
      const length = Math.min(this.#queued, channel.outgoing.window, channel.outgoing.packetSize, maxPacketData);
      if (length === 0) {
        channel._waitWindow = true;
        break;
      }
      channel.outgoing.window -= length;
      sendChannelData(client._protocol, channel.outgoing.id, length, (packet, at) => this.#take(packet, at, length));
    }
    socket.uncork();
    if (this.#queued === before) return;
    this.#progress.moved(before - this.#queued);
    this.#deps.onProgress();
  }

  close(): void {
    this.#closed = true;
    this.#deps.channel._chunkcb = undefined;
    this.#queue = [];
    this.#head = 0;
    this.#queued = 0;
  }

  /** Answers that are ready in the same turn share packets. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      this.pump();
    });
  }

  #take(packet: Buffer, from: number, length: number): void {
    let at = from;
    const end = from + length;
    while (at < end) {
      const buffer = this.#queue[this.#head];
      if (!buffer) break;
      const copied = buffer.copy(packet, at, this.#headSent, Math.min(buffer.length, this.#headSent + end - at));
      at += copied;
      this.#headSent += copied;
      if (this.#headSent === buffer.length) {
        giveBack(buffer);
        this.#head++;
        this.#headSent = 0;
      }
    }
    this.#queued -= length;
    if (this.#queued === 0 || this.#head >= 256) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}
