/**
 * Random access to the plaintext of one or more sealed segments: the main thread's part. It asks a worker for windows of
 * whole chunks, keeps the newest ones, and reads ahead while the caller reads on in order. A seek drops what was read ahead.
 */
import { SallyportError } from '../errors.ts';
import { freeNow, giveBack, lend } from '../memory.ts';
import { chunkBytes } from './payload.ts';
import type { LinkUser, WorkerLink } from './worker-link.ts';

/** Chunks of one window while reading in order. */
export const maxReadChunks = 3;
/** A read of so many bytes that begins at a multiple of it lies in one window and is handed on as it is. */
export const windowBytes = maxReadChunks * chunkBytes;

/** Plaintext that was asked for. Its memory is freed when it is not read ahead any more and all parts of it were given back. */
class Window {
  readonly start: number;
  readonly end: number;
  readonly #bytes: Promise<Buffer>;
  #holders = 1;

  constructor(start: number, end: number, bytes: Promise<Buffer>) {
    this.start = start;
    this.end = end;
    this.#bytes = bytes;
    bytes.catch(() => {}); // a window read ahead may never be asked for; who reads it gets the error
  }

  hold(): void {
    this.#holders += 1;
  }

  drop(): void {
    this.#holders -= 1;
    if (this.#holders === 0) void this.#bytes.then(freeNow, () => {});
  }

  /** A part that counts as a holder until it is given back; shorter when a chunk is damaged. Call it while you hold the window. */
  async part(from: number, to: number): Promise<Buffer> {
    const part = (await this.#bytes).subarray(from - this.start, to - this.start);
    this.hold();
    return lend(part, () => this.drop());
  }
}

/** Errors of all calls: SallyportError `sealed-damaged`, `store-suspect`, `internal`. */
export interface SealedReader {
  /** Plaintext bytes of all segments. */
  readonly size: number;
  /**
   * Plaintext bytes from `offset`; fewer than `length` only at the end. They are authentic and never written to again; a
   * range that is read twice may be the same memory, so treat it as read-only.
   */
  read(offset: number, length: number): Promise<Buffer>;
  /** Idempotent. */
  close(): Promise<void>;
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
    try {
      const parts = await Promise.all(windows.map((window) => this.#part(window, offset, end)));
      return parts.length === 1 && parts[0] ? parts[0] : joined(parts);
    } finally {
      for (const window of windows) window.drop();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#keepFrom(Number.POSITIVE_INFINITY);
    this.#failure ??= new SallyportError('internal', 'the reader is closed');
    await this.#link.call({ op: 'close', id: this.#id, remove: false }).catch(() => {}); // lost: nothing is open any more
    this.#link.remove(this.#id);
  }

  onDone(): void {}

  onFailure(error: SallyportError): void {
    this.#failure ??= error;
    this.#keepFrom(Number.POSITIVE_INFINITY);
  }

  /** Forgets the windows that end at `offset` or before. */
  #keepFrom(offset: number): void {
    for (const window of this.#windows) if (window.end <= offset) window.drop();
    this.#windows = this.#windows.filter((window) => window.end > offset);
  }

  /** The windows that cover `offset` to `end`, held for the caller, asking for what is missing and for what will be wanted next. */
  #cover(offset: number, end: number): Window[] {
    const first = this.#windows[0];
    const last = this.#windows.at(-1);
    const near = first !== undefined && last !== undefined && offset >= first.start && offset <= last.end;
    if (!near) this.#keepFrom(Number.POSITIVE_INFINITY);
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
    for (const window of covering) window.hold();
    this.#keepFrom(offset - windowBytes);
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
    return new Window(start, Math.min(start + count * chunkBytes, segmentEnd), bytes);
  }

  async #part(window: Window, offset: number, end: number): Promise<Buffer> {
    const [from, to] = [Math.max(offset, window.start), Math.min(end, window.end)];
    const part = await window.part(from, to);
    if (part.length === to - from) return part;
    giveBack(part);
    // A chunk in the middle of the window is damaged: asked for by itself it is refused with the reason.
    const missing = from + part.length;
    const alone = this.#ask(missing, missing + 1, false);
    giveBack(await alone.part(missing, missing + 1));
    alone.drop();
    throw new SallyportError('sealed-damaged', 'a chunk could not be opened');
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  const whole = Buffer.concat(parts);
  for (const part of parts) giveBack(part);
  return whole;
}
