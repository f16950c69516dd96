/**
 * Bytes of a channel that cannot be read yet, in their order. It holds no more memory than bytes, however small the pieces in
 * which they come; how many may come is the caller's business.
 */
const blockBytes = 32 * 1024;

export class Backlog {
  readonly #blocks: Buffer[] = [];
  /** Of the last block. */
  #filled = 0;

  get empty(): boolean {
    return this.#blocks.length === 0;
  }

  /** Copies. */
  add(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      let last = this.#blocks.at(-1);
      if (!last || this.#filled === last.length) {
        last = Buffer.allocUnsafe(blockBytes);
        this.#blocks.push(last);
        this.#filled = 0;
      }
      const copied = bytes.copy(last, this.#filled, at);
      this.#filled += copied;
      at += copied;
    }
  }

  /** The next bytes, or undefined when there are none. */
  take(): Buffer | undefined {
    const first = this.#blocks.shift();
    return first && this.#blocks.length === 0 ? first.subarray(0, this.#filled) : first;
  }
}
