/**
 * A value that expressions are tested against, prepared once however many rules look at it: in NFC, and as folded code
 * points for matching that ignores case.
 */
import { SallyportError } from '../errors.ts';

/** Longest value an expression is tested against, UTF-16 units. Paths of partners are far below it. */
export const maxSubjectLength = 4096;

export class Subject {
  /** The value in NFC. */
  readonly text: string;
  #folded: readonly number[] | undefined;
  #upper: readonly number[] | undefined;

  /** @throws SallyportError `limit-reached` when the value is longer than 4096 characters. */
  constructor(value: string) {
    if (value.length > maxSubjectLength) {
      throw new SallyportError('limit-reached', 'the value is too long to be matched', { length: value.length });
    }
    this.text = value.normalize('NFC');
  }

  /** One folded code point per character. */
  get folded(): readonly number[] {
    this.#folded ??= Array.from(this.text, foldCharacter);
    return this.#folded;
  }

  /** The upper case of each of `folded`, where that is one character; else the same code point. */
  get upper(): readonly number[] {
    this.#upper ??= this.folded.map(upperOf);
    return this.#upper;
  }
}

/**
 * The code point that stands for a character and its other case. One to one: what would become two characters (`ß` in upper
 * case) keeps its lower case, so that `?` stays one character.
 */
export function foldCharacter(character: string): number {
  const upper = single(character.toUpperCase()) ?? character;
  return (single(upper.toLowerCase()) ?? upper).codePointAt(0) ?? 0;
}

function upperOf(codePoint: number): number {
  return single(String.fromCodePoint(codePoint).toUpperCase())?.codePointAt(0) ?? codePoint;
}

function single(text: string): string | undefined {
  const point = text.codePointAt(0) ?? 0;
  return text.length === (point > 0xffff ? 2 : 1) ? text : undefined;
}
