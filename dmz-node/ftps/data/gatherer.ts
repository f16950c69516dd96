/**
 * Puts the small pieces in which TLS gives its bytes (at most 16 KiB) together to blocks, so that the work per write is done
 * once per block. A block goes on as soon as it is full, or when nothing more has come in this turn of the event loop: bytes
 * never wait for others. Blocks are used again; a connection on which nothing comes holds none.
 */

const blockBytes = 256 * 1024;

/** Idle blocks of all connections of the door. */
export class BlockStore {
  readonly #idle: Buffer[] = [];
  readonly #maxIdle: number;

  constructor(maxIdleBytes: number) {
    this.#maxIdle = Math.floor(maxIdleBytes / blockBytes);
  }

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(blockBytes);
  }

  give(block: Buffer): void {
    if (this.#idle.length < this.#maxIdle) this.#idle.push(block);
  }
}

export class Gatherer {
  readonly #store: BlockStore;
  readonly #write: (bytes: Buffer) => Promise<void>;
  #block: Buffer | undefined;
  #filled = 0;
  #soon = false;

  /** @param write Takes the bytes; they may be used again when its promise settles. Must not throw. */
  constructor(store: BlockStore, write: (bytes: Buffer) => Promise<void>) {
    this.#store = store;
    this.#write = write;
  }

  add(chunk: Buffer): void {
    for (let from = 0; from < chunk.length; ) {
      this.#block ??= this.#store.take();
      const length = Math.min(chunk.length - from, this.#block.length - this.#filled);
      chunk.copy(this.#block, this.#filled, from, from + length);
      this.#filled += length;
      from += length;
      if (this.#filled === this.#block.length) this.flush();
    }
    if (this.#filled === 0 || this.#soon) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.flush();
    });
  }

  /** Hands on what there is. */
  flush(): void {
    const block = this.#block;
    if (!block || this.#filled === 0) return;
    const bytes = block.subarray(0, this.#filled);
    this.#block = undefined;
    this.#filled = 0;
    const giveBack = (): void => this.#store.give(block);
    this.#write(bytes).then(giveBack, giveBack);
  }
}
