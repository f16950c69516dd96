/**
 * Puts the writes of one upload in order: a client may send them out of order within a window. What cannot be passed on
 * yet is kept in memory, within a budget that all uploads of the node share. A byte is accepted once; rewriting is refused.
 */
import { SallyportError } from '../../shared/errors.ts';

/** Memory that may be taken and given back, bytes. */
export interface Memory {
  /** @returns false when there is not enough; nothing is taken then. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** Memory that all uploads share, bytes. */
export class Budget implements Memory {
  readonly #held = new Map<string, number>();
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  get left(): number {
    return this.#left;
  }

  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#left += bytes;
  }

  /**
   * The share of one partner: he never holds more than is left for all the others, so that one alone has half of everything
   * and any number of greedy ones leaves as much for the next.
   */
  of(partner: string): Memory {
    const change = (bytes: number): void => {
      const now = (this.#held.get(partner) ?? 0) + bytes;
      if (now === 0) this.#held.delete(partner);
      else this.#held.set(partner, now);
    };
    return {
      take: (bytes) => {
        const fair = (this.#held.get(partner) ?? 0) + bytes <= this.#left - bytes;
        if (!fair || !this.take(bytes)) return false;
        change(bytes);
        return true;
      },
      give: (bytes) => {
        this.give(bytes);
        change(-bytes);
      },
    };
  }
}

interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** More pieces than any client keeps in flight; bounds the work of one insertion. */
const maxPieces = 1024;

export class Reorder {
  readonly #budget: Memory;
  readonly #windowBytes: number;
  #next: number;
  /** Ahead of `next`, by offset, without overlap. */
  #pieces: Piece[] = [];

  constructor(deps: { readonly budget: Memory }, options: { readonly start: number; readonly windowBytes: number }) {
    this.#budget = deps.budget;
    this.#windowBytes = options.windowBytes;
    this.#next = options.start;
  }

  /** The end of what was passed on without a gap. */
  get next(): number {
    return this.#next;
  }

  get hasHoles(): boolean {
    return this.#pieces.length > 0;
  }

  /**
   * @returns What follows without a gap, in order; `bytes` itself when it fits, copies of what came before its time.
   * @throws SallyportError `write-out-of-window`; nothing is taken then.
   */
  put(offset: number, bytes: Buffer): Buffer[] {
    const end = offset + bytes.length;
    if (offset < this.#next) throw outOfWindow('these bytes were written before', offset, this.#next);
    const index = this.#pieces.findIndex((piece) => piece.offset >= offset);
    const at = index < 0 ? this.#pieces.length : index;
    const before = this.#pieces[at - 1];
    const behind = this.#pieces[at];
    if ((before && before.offset + before.bytes.length > offset) || (behind && behind.offset < end)) {
      throw outOfWindow('these bytes were written before', offset, this.#next);
    }
    if (offset > this.#next) {
      this.#keep(at, offset, bytes);
      return [];
    }
    this.#next = end;
    return [bytes, ...this.#follow()];
  }

  /** Forgets what waits and goes on from `offset`. */
  reset(offset: number): void {
    for (const piece of this.#pieces) this.#budget.give(piece.bytes.length);
    this.#pieces = [];
    this.#next = offset;
  }

  #keep(at: number, offset: number, bytes: Buffer): void {
    if (offset + bytes.length > this.#next + this.#windowBytes) {
      throw outOfWindow('too far ahead of the contiguous end', offset, this.#next);
    }
    if (this.#pieces.length >= maxPieces || !this.#budget.take(bytes.length)) {
      throw outOfWindow('no memory is left for writes out of order', offset, this.#next);
    }
    this.#pieces.splice(at, 0, { offset, bytes: Buffer.from(bytes) });
  }

  #follow(): Buffer[] {
    const ready: Buffer[] = [];
    for (let first = this.#pieces[0]; first?.offset === this.#next; first = this.#pieces[0]) {
      this.#pieces.shift();
      this.#budget.give(first.bytes.length);
      this.#next += first.bytes.length;
      ready.push(first.bytes);
    }
    return ready;
  }
}

const outOfWindow = (detail: string, offset: number, next: number): SallyportError =>
  new SallyportError('write-out-of-window', detail, { offset, next });
