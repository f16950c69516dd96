/**
 * Globs, matched in time proportional to pattern × value whatever anybody writes into either: two pointers, no regular
 * expression, no recursion.
 *
 * A glob ignores case and must match the whole value. `*` is anything, also `/`, line breaks and leading dots; `?` one
 * character; `[a-f]`, `[abc]` one of these; `[!seq]` one that is not. `A | B` matches either. `!` as the very first character
 * negates the whole expression: `! A | B` is neither. A special character is made literal by brackets: `[?]`, `[|]`. There
 * are no braces and no escape by backslash.
 */
import { SallyportError } from '../errors.ts';
import { foldCharacter, type Subject } from './subject.ts';

/** Longest glob, characters. */
export const maxGlobLength = 512;

/** A token is a number, because the walk below must be quick: a code point, or one of these, or `firstSet` minus an index. */
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
  /** What `test` costs for this value: comparisons made. For tests. */
  steps(subject: Subject): number;
}

/** @throws SallyportError `config-invalid` with the column (from 1) and what to write instead. */
export function compileGlob(text: string): Glob {
  if (text.length > maxGlobLength) throw invalid(maxGlobLength + 1, `a glob has at most ${maxGlobLength} characters`);
  const negated = text.startsWith('!');
  const alternatives = parse(Array.from(text.normalize('NFC')), negated ? 1 : 0);
  return {
    test: (subject) => alternatives.some((alternative) => walk(alternative, subject) > 0) !== negated,
    steps: (subject) => alternatives.reduce((sum, alternative) => sum + Math.abs(walk(alternative, subject)), 0),
  };
}

/**
 * At a mismatch only the last star can give: an earlier one taking more would leave the rest no better off.
 * @returns The number of comparisons made, at least 1: positive when the whole value matches, else negative.
 */
function walk({ tokens, sets }: Alternative, subject: Subject): number {
  const value = subject.folded;
  let at = 0;
  let token = 0;
  let lastStar = -1;
  let starAt = 0;
  let steps = 1;
  while (at < value.length) {
    steps += 1;
    const wanted = token < tokens.length ? (tokens[token] ?? star) : undefined;
    if (wanted === star) {
      lastStar = token++;
      starAt = at;
      if (token === tokens.length) return steps;
    } else if (wanted !== undefined && (wanted === value[at] || accepts(wanted, sets, subject, at))) {
      token += 1;
      at += 1;
    } else if (lastStar >= 0) {
      token = lastStar + 1;
      at = ++starAt;
    } else {
      return -steps;
    }
  }
  while (tokens[token] === star) token += 1;
  return token === tokens.length ? steps : -steps;
}

function accepts(token: number, sets: readonly CharacterSet[], subject: Subject, at: number): boolean {
  if (token >= 0) return false;
  const set = sets[firstSet - token];
  if (set === undefined) return token === anyOne;
  return (holds(set.ranges, subject.folded[at] ?? 0) || holds(set.ranges, subject.upper[at] ?? 0)) !== set.negated;
}

function holds(ranges: readonly number[], codePoint: number): boolean {
  for (let index = 0; index < ranges.length; index += 2) {
    if (codePoint >= (ranges[index] ?? 0) && codePoint <= (ranges[index + 1] ?? 0)) return true;
  }
  return false;
}

function parse(characters: readonly string[], start: number): Alternative[] {
  const alternatives: Alternative[] = [];
  let begin = start;
  let tokens: number[] = [];
  let sets: CharacterSet[] = [];
  const finish = (end: number): void => {
    trimBlanks(tokens);
    if (tokens.length === 0) throw invalid(begin + 1, 'an alternative is empty; write `*` for anything');
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
      if (character !== '*') tokens.push(character === '?' ? anyOne : foldCharacter(character));
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
  if (close < 0) throw invalid(open + 1, '`[` is never closed; write `[[]` for a literal bracket');
  const ranges: number[] = [];
  for (let at = first; at < close; ) {
    const low = characters[at] ?? '';
    const isRange = characters[at + 1] === '-' && at + 2 < close;
    const high = isRange ? (characters[at + 2] ?? '') : low;
    const [least, most] = [low.codePointAt(0) ?? 0, high.codePointAt(0) ?? 0];
    if (least > most) throw invalid(at + 1, `the range ${low}-${high} is backwards; write ${high}-${low}`);
    ranges.push(least, most);
    if (!isRange) ranges.push(foldCharacter(low), foldCharacter(low));
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

const invalid = (column: number, hint: string): SallyportError =>
  new SallyportError('config-invalid', `column ${column}: ${hint}`, { column });
