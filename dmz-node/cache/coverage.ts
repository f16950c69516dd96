/** Which bytes of a file were served: a download is complete when every one was, in whatever order a client asked. */

/** A client that reads in more scattered pieces than this is not downloading. */
const maxRanges = 1024;

export class Coverage {
  readonly #size: number;
  /** Sorted, neither overlapping nor touching. */
  #ranges: { start: number; end: number }[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    let from = this.#ranges.findIndex((range) => range.end >= start);
    if (from < 0) from = this.#ranges.length;
    let to = from;
    const merged = { start, end };
    for (let range = this.#ranges[to]; range && range.start <= end; range = this.#ranges[to]) {
      merged.start = Math.min(merged.start, range.start);
      merged.end = Math.max(merged.end, range.end);
      to += 1;
    }
    this.#ranges.splice(from, to - from, merged);
    if (this.#ranges.length > maxRanges) this.#ranges.pop();
  }

  /** Bytes served at least once. */
  get bytes(): number {
    return this.#ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  get complete(): boolean {
    return this.bytes === this.#size;
  }
}
