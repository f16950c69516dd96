/**
 * Runs what `re2js` compiled, for yes or no only, in a time per character that depends on the expression alone: all places
 * that the value may have reached are the bits of a few words. The engine of `re2js` is linear too, but the first values
 * that an expression meets cost it a hundred times as much as later ones, and partners choose the values.
 *
 * Tables over groups of places say where a set of places leads to without a character: at most 16 look-ups for each character.
 */
import { caseFamily } from './case-table.ts';
import { CharacterClasses, type Ranges } from './character-classes.ts';
import type { Subject } from './subject.ts';

/** Most places (characters and classes, repetitions written out) of an expression. */
export const maxPlaces = 64;

/** An instruction of `re2js` 2.x, as far as it is used here. */
interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  /** Pairs of lowest and highest code point; a single one is a character, in both cases with bit 1 of `arg`. */
  readonly runes: ArrayLike<number>;
}

export interface Program {
  readonly inst: readonly Instruction[];
  readonly start: number;
}

const ops = { alternative: [1, 2], capture: 3, assertion: 4, match: 6, nothing: 7, firstRune: 8, lastRune: 11 } as const;
const foldCase = 1;
/** Bits of an assertion (`^`, `$`, `\b`, …): what is true between two characters. */
const between = { beginLine: 1, endLine: 2, beginText: 4, endText: 8, wordBoundary: 16, noWordBoundary: 32 } as const;
const lineFeed = 10;

/** Where a set of places leads to while the same assertions hold. */
interface Steps {
  /** Reached from the very beginning of the expression; a match may begin anywhere. */
  readonly begin: Uint32Array;
  /** Whether the expression matches without a character. */
  readonly matchesNothing: boolean;
  /** Places behind which the expression is complete. */
  readonly complete: Uint32Array;
  /** For each group of places, and each set of places of the group, the places that come next. */
  readonly next: Uint32Array;
}

export class Automaton {
  readonly #program: Program;
  /** The instruction of each place, and the place of each instruction. */
  readonly #places: readonly number[];
  readonly #placeOf: ReadonlyMap<number, number>;
  readonly #classes: CharacterClasses;
  /** The assertions that the expression uses. */
  readonly #asked: number;
  readonly #steps = new Map<number, Steps>();
  /** Places of a group, as a power of two that divides 32: larger tables for large expressions. */
  readonly #groupBits: 4 | 8;

  /** @throws RangeError when there are more than `maxPlaces` places. */
  constructor(program: Program) {
    this.#program = program;
    const { inst } = program;
    this.#places = inst.flatMap(({ op }, index) => (op >= ops.firstRune && op <= ops.lastRune ? [index] : []));
    if (this.#places.length > maxPlaces) throw new RangeError(`${this.#places.length} places`);
    this.#placeOf = new Map(this.#places.map((index, place) => [index, place]));
    this.#groupBits = this.#places.length > 32 ? 8 : 4;
    this.#classes = new CharacterClasses(this.#places.map((index) => rangesOf(inst[index])));
    this.#asked = inst.reduce((asked, { op, arg }) => (op === ops.assertion ? asked | arg : asked), 0);
  }

  /** Whether the expression is found anywhere in the value. */
  test({ points }: Subject): boolean {
    const classes = this.#classes;
    const asked = this.#asked;
    const { masks, words } = classes;
    const now = new Uint32Array(words);
    const next = new Uint32Array(words);
    let holding = -1;
    let steps: Steps | undefined;
    for (let at = 0; ; at += 1) {
      const holds = asked === 0 ? 0 : asked & heldBetween(points[at - 1], points[at]);
      if (holds !== holding || !steps) steps = this.#stepsWhere(holds);
      holding = holds;
      if (steps.matchesNothing || share(now, steps.complete)) return true;
      if (at >= points.length) return false;
      next.set(steps.begin);
      follow(now, steps.next, this.#groupBits, next);
      const offset = classes.offsetOf(points[at] as number);
      for (let word = 0; word < words; word += 1) now[word] = (next[word] as number) & (masks[offset + word] as number);
    }
  }

  #stepsWhere(holds: number): Steps {
    let steps = this.#steps.get(holds);
    if (!steps) {
      steps = this.#makeSteps(holds);
      this.#steps.set(holds, steps);
    }
    return steps;
  }

  #makeSteps(holds: number): Steps {
    const { words } = this.#classes;
    const start = this.#reach(this.#program.start, holds);
    const complete = new Uint32Array(words);
    const bits = this.#groupBits;
    const sets = 1 << bits;
    const next = new Uint32Array(words * (32 / bits) * sets * words);
    for (const [place, index] of this.#places.entries()) {
      const reached = this.#reach(this.#program.inst[index]?.out ?? 0, holds);
      if (reached.match) setBit(complete, place);
      const group = Math.floor(place / bits) * sets;
      for (let set = 0; set < sets; set += 1) {
        if ((set & (1 << (place % bits))) === 0) continue;
        const offset = (group + set) * words;
        for (let word = 0; word < words; word += 1) {
          next[offset + word] = (next[offset + word] ?? 0) | (reached.places[word] ?? 0);
        }
      }
    }
    return { begin: start.places, matchesNothing: start.match, complete, next };
  }

  /** The places that an instruction leads to without a character. */
  #reach(from: number, holds: number): { readonly places: Uint32Array; readonly match: boolean } {
    const places = new Uint32Array(this.#classes.words);
    const seen = new Set<number>();
    const open = [from];
    let match = false;
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      const instruction = this.#program.inst[index];
      if (!instruction || seen.has(index)) continue;
      seen.add(index);
      const { op, out, arg } = instruction;
      const place = this.#placeOf.get(index);
      if (place !== undefined) setBit(places, place);
      else if (op === ops.match) match = true;
      else if (op === ops.alternative[0] || op === ops.alternative[1]) open.push(out, arg);
      else if (op === ops.capture || op === ops.nothing) open.push(out);
      else if (op === ops.assertion && (arg & ~holds) === 0) open.push(out);
    }
    return { places, match };
  }
}

function share(one: Uint32Array, other: Uint32Array): boolean {
  for (let word = 0; word < one.length; word += 1) {
    if (((one[word] as number) & (other[word] as number)) !== 0) return true;
  }
  return false;
}

/** Adds to `into` all that comes next after the places of `from`. */
function follow(from: Uint32Array, table: Uint32Array, bits: number, into: Uint32Array): void {
  const words = from.length;
  const all = (1 << bits) - 1;
  for (let word = 0; word < words; word += 1) {
    let left = from[word] as number;
    for (let group = (word * 32) / bits; left !== 0; group += 1) {
      const set = left & all;
      left >>>= bits;
      if (set === 0) continue;
      const offset = ((group << bits) + set) * words;
      for (let to = 0; to < words; to += 1) into[to] = (into[to] as number) | (table[offset + to] as number);
    }
  }
}

function setBit(mask: Uint32Array, bit: number): void {
  mask[bit >> 5] = (mask[bit >> 5] ?? 0) | (1 << (bit & 31));
}

function rangesOf(instruction: Instruction | undefined): Ranges {
  if (!instruction) return [];
  const { runes, arg } = instruction;
  const [only = 0] = Array.from(runes);
  if (runes.length !== 1) return Array.from(runes);
  return (arg & foldCase) === 0 ? [only, only] : caseFamily(only).flatMap((point) => [point, point]);
}

function heldBetween(before: number | undefined, after: number | undefined): number {
  let held = isWord(before) === isWord(after) ? between.noWordBoundary : between.wordBoundary;
  if (before === undefined) held |= between.beginText | between.beginLine;
  else if (before === lineFeed) held |= between.beginLine;
  if (after === undefined) held |= between.endText | between.endLine;
  else if (after === lineFeed) held |= between.endLine;
  return held;
}

/** Of ASCII only, as `\w` of RE2. */
const isWord = (point: number | undefined): boolean =>
  point !== undefined &&
  ((point >= 48 && point <= 57) || (point >= 65 && point <= 90) || point === 95 || (point >= 97 && point <= 122));
