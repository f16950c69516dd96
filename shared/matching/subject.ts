/**
 * A value that expressions are tested against, prepared once however many expressions look at it: in NFC, as code points,
 * and as folded code points for matching that ignores case.
 */
import { foldedPoint, upperPoint } from './case-table.ts';

/** Longest value that anything matches, UTF-16 units. Paths of partners are far below it. */
export const maxSubjectLength = 4096;

export class Subject {
  /** The value in NFC. */
  readonly text: string;
  /** Nothing matches it, not even an expression that is negated: what is this long is no path and no name. */
  readonly tooLong: boolean;
  #points: Uint32Array | undefined;
  #folded: Uint32Array | undefined;
  #upper: Uint32Array | undefined;

  constructor(value: string) {
    this.tooLong = value.length > maxSubjectLength;
    this.text = this.tooLong ? '' : value.normalize('NFC');
  }

  get points(): Uint32Array {
    this.#points ??= codePoints(this.text);
    return this.#points;
  }

  get folded(): Uint32Array {
    this.#folded ??= this.points.map(foldedPoint);
    return this.#folded;
  }

  /** The upper case of each of `folded`. */
  get upper(): Uint32Array {
    this.#upper ??= this.folded.map(upperPoint);
    return this.#upper;
  }
}

function codePoints(text: string): Uint32Array {
  const points = new Uint32Array(text.length);
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const point = text.codePointAt(at) ?? 0;
    if (point > 0xffff) at += 1;
    points[count++] = point;
  }
  return points.subarray(0, count);
}
