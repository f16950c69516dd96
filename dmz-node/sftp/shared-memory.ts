/**
 * Memory that the requests and answers of all SFTP sessions share. A session may hold as much as is still free, up to a limit
 * of its own: one alone is not slowed down, and many greedy ones leave a part for whoever comes next. A least amount is
 * always allowed, because a session that holds nothing can never go on.
 */

/** One request of the largest size, or eight of the usual one. */
const leastBytes = 256 * 1024;

export class SharedMemory {
  readonly #totalBytes: number;
  #heldBytes = 0;
  #reservedBytes = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** What one session may hold now, bytes; at most `mostBytes`. */
  allowance(mostBytes: number): number {
    return Math.max(leastBytes, Math.min(mostBytes, this.#totalBytes - this.#heldBytes));
  }

  /** A session holds so many bytes more, or fewer. */
  change(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** Sets memory aside that may be filled at any time; all of it together is at most half. @returns how much, bytes. */
  reserve(bytes: number): number {
    const free = Math.min(this.#totalBytes / 2 - this.#reservedBytes, this.#totalBytes - this.#heldBytes);
    const got = Math.max(0, Math.min(bytes, Math.floor(free)));
    this.#reservedBytes += got;
    this.#heldBytes += got;
    return got;
  }

  giveBack(bytes: number): void {
    this.#reservedBytes -= bytes;
    this.#heldBytes -= bytes;
  }
}
