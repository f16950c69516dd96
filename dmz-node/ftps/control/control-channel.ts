/**
 * One control connection: lines in, one at a time; the text of replies out; and the switch to TLS.
 *
 * It is always read, also while a transfer runs, but no further than a few lines ahead of what was answered. What was read
 * before the switch to TLS is never taken for something that came after it.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { LineReader, LineTooLong } from './line-reader.ts';

export interface ControlChannelOptions {
  readonly maxLineBytes: number;
  /** Lines read but not answered, from which on nothing more is read. */
  readonly maxWaitingLines: number;
}

export type ControlEnd = 'closed by the client' | 'the connection failed' | 'a line that is too long';

export class ControlChannel {
  readonly #options: ControlChannelOptions;
  readonly #onFirstByte: () => void;
  readonly #ended = Promise.withResolvers<ControlEnd>();
  #socket: Socket | TLSSocket;
  #reader: LineReader;
  readonly #lines: Buffer[] = [];
  #waiting: (() => void) | undefined;
  #end: ControlEnd | undefined;
  #spoken = false;

  /** @param onFirstByte Called once, when the peer has said anything at all. */
  constructor(socket: Socket | TLSSocket, options: ControlChannelOptions, onFirstByte: () => void) {
    this.#options = options;
    this.#onFirstByte = onFirstByte;
    this.#reader = new LineReader(options.maxLineBytes);
    this.#socket = socket;
    this.#listen(socket);
  }

  /** Resolves when nothing more will come, and says why. */
  get ended(): Promise<ControlEnd> {
    return this.#ended.promise;
  }

  get over(): boolean {
    return this.#end !== undefined;
  }

  /** Whether something was sent behind the line that is being answered. */
  get hasMore(): boolean {
    return this.#lines.length > 0 || this.#reader.within || this.#socket.readableLength > 0;
  }

  /** The next line; undefined when there is none and none will come. */
  async nextLine(): Promise<Buffer | undefined> {
    while (this.#lines.length === 0 && this.#end === undefined) {
      await new Promise<void>((go) => {
        this.#waiting = go;
      });
    }
    const line = this.#lines.shift();
    if (this.#lines.length * 2 < this.#options.maxWaitingLines && this.#end === undefined) this.#socket.resume();
    return line;
  }

  get writable(): boolean {
    return this.#socket.writable;
  }

  /** @param done Called when the system has taken it, or when it can no longer be sent. */
  write(text: string, done: () => void): void {
    if (this.#socket.writable) this.#socket.write(text, () => done());
    else done();
  }

  /**
   * Reads nothing more and gives the socket away; `attach` takes what became of it. Call before the reply that invites the
   * client to begin TLS, so that its first bytes are never read as a line.
   */
  detach(): Socket | TLSSocket {
    const socket = this.#socket;
    socket.removeAllListeners('data');
    socket.removeAllListeners('end');
    socket.pause();
    return socket;
  }

  attach(socket: TLSSocket): void {
    this.#socket = socket;
    this.#reader = new LineReader(this.#options.maxLineBytes);
    this.#listen(socket);
  }

  /** Sends what is left and closes; nothing more is read. */
  close(): void {
    this.#socket.end();
    this.#finish('closed by the client');
  }

  destroy(): void {
    this.#socket.destroy();
    this.#finish('the connection failed');
  }

  #listen(socket: Socket | TLSSocket): void {
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => this.#finish('closed by the client'));
    socket.on('error', () => this.#finish('the connection failed'));
    socket.on('close', () => {
      if (this.#socket === socket) this.#finish('the connection failed');
    });
    socket.resume();
  }

  #onData(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    if (!this.#spoken) {
      this.#spoken = true;
      this.#onFirstByte();
    }
    try {
      this.#lines.push(...this.#reader.feed(chunk));
    } catch (error) {
      if (!(error instanceof LineTooLong)) throw error;
      this.#finish('a line that is too long');
    }
    if (this.#lines.length >= this.#options.maxWaitingLines) this.#socket.pause();
    this.#wake();
  }

  #finish(end: ControlEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#ended.resolve(end);
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
