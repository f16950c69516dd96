/**
 * Memory for packets that did not arrive in one piece, used again and again: fresh blocks of this size would come from the
 * operating system page by page, which costs more than the copy into them.
 *
 * The pool keeps at most `maxIdleBytes`; what is given back beyond that is freed.
 */
import { freeNow } from '../../../shared/memory.ts';

export interface Block {
  /** At least as long as was asked for. */
  readonly bytes: Buffer;
  /** Idempotent. */
  release(): void;
}

/** One request of 32 KiB of data (what clients send by default), and one of the largest size. */
const classes = [40 * 1024, 256 * 1024] as const;

export class BlockPool {
  readonly #idle = new Map<number, Buffer[]>(classes.map((size) => [size, []]));
  readonly #maxIdleBytes: number;
  #idleBytes = 0;

  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  take(length: number): Block {
    const size = length < 8192 ? undefined : classes.find((candidate) => candidate >= length);
    if (size === undefined) return { bytes: Buffer.allocUnsafe(length), release: () => undefined };
    const kept = this.#idle.get(size)?.pop();
    if (kept) this.#idleBytes -= size;
    let bytes: Buffer | undefined = kept ?? Buffer.allocUnsafeSlow(size);
    const release = (): void => {
      if (bytes && this.#idleBytes + size <= this.#maxIdleBytes) {
        this.#idle.get(size)?.push(bytes);
        this.#idleBytes += size;
      } else if (bytes) freeNow(bytes);
      bytes = undefined;
    };
    return { bytes, release };
  }
}
