/**
 * Globs, matched in time proportional to the value whatever anybody writes into either: all places of the glob that the value
 * may have reached are the bits of a few words, moved on together with each character. No regular expression, no recursion,
 * no going back.
 *
 * A glob ignores case and must match the whole value. `*` is anything, also `/`, line breaks and leading dots; `?` one
 * character; `[a-f]`, `[abc]` one of these; `[!seq]` one that is not. `A | B` matches either. `!` as the very first character
 * negates the whole expression: `! A | B` is neither. A special character is made literal by brackets: `[?]`, `[|]`. There
 * are no braces and no escape by backslash.
 */
import { foldedPoint } from './case-table.ts';
import { CharacterClasses } from './character-classes.ts';
import { expressionFault } from './fault.ts';
import type { Subject } from './subject.ts';

/** Longest glob, characters. */
export const maxGlobLength = 512;

/** A token is a number: a folded code point, or one of these, or `firstSet` minus an index. */
const star = -1;
const anyOne = -2;
const firstSet = -3;

interface CharacterSet {
  readonly negated: boolean;
  /** Pairs of lowest and highest code point. */
  readonly ranges: readonly number[];
}

interface Alternative {
  readonly tokens: readonly number[];
  readonly sets: readonly CharacterSet[];
}

export interface Glob {
  test(subject: Subject): boolean;
  /** Words that each character of a value costs. For tests. */
  readonly wordsPerCharacter: number;
}

/** @throws SallyportError `config-invalid` with the column (from 1) and what to write instead. */
export function compileGlob(text: string): Glob {
  if (text.length > maxGlobLength) throw expressionFault(maxGlobLength + 1, `a glob has at most ${maxGlobLength} characters`);
  const negated = text.startsWith('!');
  const places = new Places(parse(Array.from(text.normalize('NFC')), negated ? 1 : 0));
  return {
    test: (subject) => !subject.tooLong && places.reachEnd(subject) !== negated,
    wordsPerCharacter: places.words,
  };
}

/** What each place of the glob, one bit each, does with a character. Each alternative has a last place that takes none. */
class Places {
  readonly words: number;
  readonly #classes: CharacterClasses;
  /** Where alternatives begin and end, where a star stands, and which places are sets, also negated ones. */
  readonly #begin: Uint32Array;
  readonly #end: Uint32Array;
  readonly #stars: Uint32Array;
  readonly #sets: Uint32Array;
  readonly #negated: Uint32Array;

  constructor(alternatives: readonly Alternative[]) {
    const taken: number[][] = [];
    const marks = {
      begin: [] as number[],
      end: [] as number[],
      stars: [] as number[],
      sets: [] as number[],
      negated: [] as number[],
    };
    for (const { tokens, sets } of alternatives) {
      marks.begin.push(taken.length);
      for (const token of tokens) {
        const set = sets[firstSet - token];
        if (token === star) {
          marks.stars.push(taken.length);
          continue;
        }
        if (set) (set.negated ? marks.negated : marks.sets).push(taken.length);
        taken.push(set ? [...set.ranges] : token === anyOne ? [0, 0x10_ffff] : [token, token]);
      }
      marks.end.push(taken.length);
      taken.push([]);
    }
    this.#classes = new CharacterClasses(taken);
    this.words = this.#classes.words;
    this.#begin = bits(marks.begin, this.words);
    this.#end = bits(marks.end, this.words);
    this.#stars = bits(marks.stars, this.words);
    this.#sets = bits(marks.sets, this.words);
    this.#negated = bits(marks.negated, this.words);
  }

  /** Whether the whole value takes an alternative from its begin to its end. */
  reachEnd({ folded, upper }: Subject): boolean {
    const classes = this.#classes;
    const [masks, sets, negated, stars, words] = [classes.masks, this.#sets, this.#negated, this.#stars, this.words];
    const now = this.#begin.slice();
    for (let at = 0; at < folded.length; at += 1) {
      const point = folded[at] as number;
      const raised = upper[at] as number;
      const low = classes.offsetOf(point);
      const high = raised === point ? low : classes.offsetOf(raised);
      let carry = 0;
      let any = 0;
      for (let word = 0; word < words; word += 1) {
        const here = now[word] as number;
        const byLow = masks[low + word] as number;
        const byHigh = masks[high + word] as number;
        const not = negated[word] as number;
        const taking = here & ((byLow & ~not) | (byHigh & (sets[word] as number)) | (~(byLow | byHigh) & not));
        const next = (taking << 1) | carry | (here & (stars[word] as number));
        carry = taking >>> 31;
        now[word] = next;
        any |= next;
      }
      if (any === 0) return false;
    }
    return now.some((word, index) => (word & (this.#end[index] ?? 0)) !== 0);
  }
}

function bits(places: readonly number[], words: number): Uint32Array {
  const set = new Uint32Array(words);
  for (const place of places) set[place >> 5] = (set[place >> 5] ?? 0) | (1 << (place & 31));
  return set;
}

function parse(characters: readonly string[], start: number): Alternative[] {
  const alternatives: Alternative[] = [];
  let begin = start;
  let tokens: number[] = [];
  let sets: CharacterSet[] = [];
  const finish = (end: number): void => {
    trimBlanks(tokens);
    if (tokens.length === 0) throw expressionFault(begin + 1, 'an alternative is empty; write `*` for anything');
    alternatives.push({ tokens, sets });
    tokens = [];
    sets = [];
    begin = end + 1;
  };
  for (let at = start; at < characters.length; ) {
    const character = characters[at] ?? '';
    if (character === '|') finish(at++);
    else if (character === '[') {
      tokens.push(firstSet - sets.length);
      at = parseSet(characters, at, sets);
    } else {
      if (character !== '*') tokens.push(character === '?' ? anyOne : foldedPoint(character.codePointAt(0) ?? 0));
      else if (tokens.at(-1) !== star) tokens.push(star);
      at += 1;
    }
  }
  finish(characters.length);
  return alternatives;
}

/** @returns The index behind the closing bracket. `]` as the first of the set is a member, as is `-` first or last. */
function parseSet(characters: readonly string[], open: number, sets: CharacterSet[]): number {
  const negated = characters[open + 1] === '!';
  const first = open + (negated ? 2 : 1);
  const close = characters.indexOf(']', first + 1);
  if (close < 0) throw expressionFault(open + 1, '`[` is never closed; write `[[]` for a literal bracket');
  const ranges: number[] = [];
  for (let at = first; at < close; ) {
    const low = characters[at] ?? '';
    const isRange = characters[at + 1] === '-' && at + 2 < close;
    const high = isRange ? (characters[at + 2] ?? '') : low;
    const [least, most] = [low.codePointAt(0) ?? 0, high.codePointAt(0) ?? 0];
    if (least > most) throw expressionFault(at + 1, `the range ${low}-${high} is backwards; write ${high}-${low}`);
    ranges.push(least, most);
    if (!isRange) ranges.push(foldedPoint(least), foldedPoint(least));
    at += isRange ? 3 : 1;
  }
  sets.push({ negated, ranges });
  return close + 1;
}

const isBlank = (token: number | undefined): boolean =>
  token !== undefined && token >= 0 && /\s/.test(String.fromCodePoint(token));

/** Blanks around `|` and at both ends do not count; one in brackets does. */
function trimBlanks(tokens: number[]): void {
  while (isBlank(tokens.at(-1))) tokens.pop();
  while (isBlank(tokens[0])) tokens.shift();
}
