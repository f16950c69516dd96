/**
 * A TCP connection as a plain stream under TLS, so that one thing can be seen that Node does not tell: whether the TLS layer
 * had been told the end (close_notify) before the connection ended, or was cut off. Node reports both as a normal end.
 *
 * Bytes pass through unchanged, with back-pressure both ways. Costs about as much as TLS itself, so that only what receives has it.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { freeNow } from '../../../shared/memory.ts';

export class RawStream extends Duplex {
  readonly #socket: Socket;
  #finished = false;

  constructor(socket: Socket) {
    super({ allowHalfOpen: true, highWaterMark: 256 * 1024 });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.pause();
    this.once('end', () => {
      this.#finished = true;
    });
  }

  /** Whether the TLS layer has been given the end of the connection. */
  get endGiven(): boolean {
    return this.#finished;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#socket.cork();
    chunks.forEach(({ chunk }, at) => {
      this.#send(chunk, at === chunks.length - 1 ? done : () => undefined);
    });
    this.#socket.uncork();
  }

  /** The TLS layer makes a new buffer for all that it sends, and looks at it no more. */
  #send(chunk: Buffer, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, (error) => {
      if (!error) freeNow(chunk);
      done(error);
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
