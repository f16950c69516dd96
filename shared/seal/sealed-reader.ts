/**
 * Random access to the plaintext of one or more sealed segments: the main thread's part. It asks a worker for windows of
 * whole chunks, keeps the newest ones, and reads ahead while the caller reads on in order. A seek drops what was read ahead.
 */
import { SallyportError } from '../errors.ts';
import { chunkBytes } from './payload.ts';
import type { SealedReader } from './seal-workers.ts';
import type { LinkUser, WorkerLink } from './worker-link.ts';

/** Chunks of one window while reading in order. */
export const maxReadChunks = 4;

interface Window {
  readonly start: number;
  readonly end: number;
  readonly bytes: Promise<Buffer>;
}

export interface SealedReaderDeps {
  readonly link: WorkerLink;
  /** Bytes to read ahead now. */
  readonly aheadBytes: () => number;
}

export interface OpenSegments {
  /** Plaintext bytes that count of each segment, in order. */
  readonly plainBytes: readonly number[];
}

export class WorkerReader implements SealedReader, LinkUser {
  readonly size: number;
  readonly #link: WorkerLink;
  readonly #aheadBytes: () => number;
  readonly #id: number;
  readonly #starts: readonly number[];
  readonly #lengths: readonly number[];
  /** In order of offset, without gaps. */
  #windows: Window[] = [];
  #nextOffset = 0;
  #failure: SallyportError | undefined;
  #closed = false;

  constructor(deps: SealedReaderDeps, segments: OpenSegments) {
    this.#link = deps.link;
    this.#aheadBytes = deps.aheadBytes;
    this.#lengths = segments.plainBytes;
    const starts: number[] = [];
    let size = 0;
    for (const length of this.#lengths) {
      starts.push(size);
      size += length;
    }
    this.#starts = starts;
    this.size = size;
    this.#id = deps.link.add(this);
  }

  /** The number that the message which opens it in the worker carries. */
  get id(): number {
    return this.#id;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (this.#failure) throw this.#failure;
    const end = Math.min(offset + length, this.size);
    if (offset < 0 || offset >= end) return Buffer.alloc(0);
    const windows = this.#cover(offset, end);
    this.#nextOffset = end;
    if (windows.length === 1 && windows[0]) return this.#part(windows[0], offset, end);
    return Buffer.concat(await Promise.all(windows.map((window) => this.#part(window, offset, end))));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#windows = [];
    this.#failure ??= new SallyportError('internal', 'the reader is closed');
    await this.#link.call({ op: 'close', id: this.#id, remove: false }).catch(() => {}); // lost: nothing is open any more
    this.#link.remove(this.#id);
  }

  onDone(): void {}

  onFailure(error: SallyportError): void {
    this.#failure ??= error;
    this.#windows = [];
  }

  /** The windows that hold `offset` to `end`, asking for what is missing and for what will be wanted next. */
  #cover(offset: number, end: number): Window[] {
    const first = this.#windows[0];
    const last = this.#windows.at(-1);
    const near = first !== undefined && last !== undefined && offset >= first.start && offset <= last.end;
    if (!near) this.#windows = [];
    const inOrder = offset === this.#nextOffset || near;
    const ahead = inOrder ? this.#aheadBytes() : 0;
    const until = Math.min(end + ahead, this.size);
    let next = near ? last.end : offset;
    while (next < until) {
      const window = this.#ask(next, end, inOrder && ahead > 0);
      this.#windows.push(window);
      next = window.end;
    }
    const covering = this.#windows.filter((window) => window.start < end && window.end > offset);
    // One window behind stays: requests of a client in order may overtake one another.
    const keepFrom = offset - maxReadChunks * chunkBytes;
    this.#windows = this.#windows.filter((window) => window.end > keepFrom);
    return covering;
  }

  #ask(offset: number, end: number, large: boolean): Window {
    const segment = this.#starts.findLastIndex((start, i) => start <= offset && offset < start + (this.#lengths[i] ?? 0));
    const segmentStart = this.#starts[segment] ?? 0;
    const segmentEnd = segmentStart + (this.#lengths[segment] ?? 0);
    const chunk = Math.floor((offset - segmentStart) / chunkBytes);
    const start = segmentStart + chunk * chunkBytes;
    const needed = Math.ceil((Math.min(end, segmentEnd) - start) / chunkBytes);
    const count = large ? maxReadChunks : Math.min(maxReadChunks, Math.max(1, needed));
    const bytes = this.#link.call({ op: 'read', id: this.#id, segment, chunk, count }).then((value) => {
      const plain = value as Uint8Array<ArrayBuffer>;
      return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
    });
    bytes.catch(() => {}); // a window read ahead may never be asked for; who reads it gets the error
    return { start, end: Math.min(start + count * chunkBytes, segmentEnd), bytes };
  }

  async #part(window: Window, offset: number, end: number): Promise<Buffer> {
    const bytes = await window.bytes;
    const from = Math.max(offset, window.start) - window.start;
    const to = Math.min(end, window.end) - window.start;
    if (to > bytes.length) {
      // A chunk in the middle of the window is damaged: asked for by itself it is refused with the reason.
      const missing = window.start + bytes.length;
      await this.#ask(missing, missing + 1, false).bytes;
      throw new SallyportError('sealed-damaged', 'a chunk could not be opened');
    }
    return bytes.subarray(from, to);
  }
}
