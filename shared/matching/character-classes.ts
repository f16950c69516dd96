/**
 * Which of many sets of characters hold a character: one look-up for all of them, as a mask with a bit for each set. The
 * cost of a look-up depends on the number of sets, not on what is in them.
 */

/** Pairs of lowest and highest code point, in any order. */
export type Ranges = readonly number[];

const lastPoint = 0x10_ffff;
const direct = 128;

export class CharacterClasses {
  /** Of a mask, 32 bits each. */
  readonly words: number;
  /** Where masks begin to hold, rising; the first is 0. */
  readonly #starts: Uint32Array;
  /** One mask for each of `#starts`. */
  readonly #masks: Uint32Array;
  /** Offset of the mask of each ASCII character. */
  readonly #ascii: Uint32Array;

  /** @param sets The ranges of set n belong to bit n; undefined: bit n is in no mask. */
  constructor(sets: readonly (Ranges | undefined)[]) {
    this.words = Math.max(1, Math.ceil(sets.length / 32));
    const starts = new Set([0]);
    for (const ranges of sets) {
      for (let at = 0; ranges && at < ranges.length; at += 2) {
        starts.add(ranges[at] ?? 0);
        starts.add(Math.min(lastPoint, (ranges[at + 1] ?? 0) + 1));
      }
    }
    this.#starts = Uint32Array.from(starts).sort();
    this.#masks = new Uint32Array(this.#starts.length * this.words);
    for (const [bit, ranges] of sets.entries()) if (ranges) this.#fill(bit, ranges);
    this.#ascii = Uint32Array.from({ length: direct }, (_, point) => this.#search(point));
  }

  /** All masks, one behind the other; `offsetOf` tells where one begins. */
  get masks(): Uint32Array {
    return this.#masks;
  }

  offsetOf(point: number): number {
    return point < direct ? (this.#ascii[point] as number) : this.#search(point);
  }

  #fill(bit: number, ranges: Ranges): void {
    const word = bit >> 5;
    for (let at = 0; at < ranges.length; at += 2) {
      const last = this.#search(ranges[at + 1] ?? 0);
      for (let offset = this.#search(ranges[at] ?? 0); offset <= last; offset += this.words) {
        this.#masks[offset + word] = (this.#masks[offset + word] ?? 0) | (1 << (bit & 31));
      }
    }
  }

  #search(point: number): number {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] as number) <= point) low = middle;
      else high = middle - 1;
    }
    return low * this.words;
  }
}
