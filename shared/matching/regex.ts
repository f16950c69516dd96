/**
 * Regular expressions of RE2 syntax: linear in the value by construction, without look-around and back-references. Found
 * anywhere in the value; `.` does not match a line feed.
 *
 * `re2js` reads and compiles them; `Automaton` runs what it compiled. "Linear" still has a factor, the number of places in
 * the compiled expression: it is capped here.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js';
import { Automaton, maxPlaces, type Program } from './automaton.ts';
import { expressionFault } from './fault.ts';
import type { Subject } from './subject.ts';

/** Longest expression, characters. */
export const maxRegexLength = 512;
/** Instructions of a compiled expression, with those that take no character. */
export const maxProgramSize = 512;

export interface Regex {
  test(subject: Subject): boolean;
  /** Groups of the expression. */
  readonly groupCount: number;
  /** What the groups found, the whole first; what took no part is empty. For a value that `test` is true for. */
  groups(subject: Subject): readonly string[];
}

/** @throws SallyportError `config-invalid` with the column (from 1) and a hint. */
export function compileRegex(text: string, options: { readonly ignoreCase: boolean }): Regex {
  if (text.length > maxRegexLength) {
    throw expressionFault(maxRegexLength + 1, `a regular expression has at most ${maxRegexLength} characters`);
  }
  if (text === '') throw expressionFault(1, 'the expression is empty; write `*` for anything');
  const regex = parse(text.normalize('NFC'), options.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
  if (regex.programSize() > maxProgramSize) throw tooCostly();
  try {
    const automaton = new Automaton(regex.re2().prog as Program);
    return {
      test: (subject) => !subject.tooLong && automaton.test(subject),
      groupCount: regex.groupCount(),
      groups: (subject) => groupsOf(regex, subject),
    };
  } catch (error) {
    throw error instanceof RangeError ? tooCostly() : error;
  }
}

function groupsOf(regex: RE2JS, { text }: Subject): readonly string[] {
  const matcher = regex.matcher(text);
  if (!matcher.find()) return [];
  return Array.from({ length: regex.groupCount() + 1 }, (_, index) => matcher.group(index) ?? '');
}

const tooCostly = () =>
  expressionFault(
    1,
    `the expression is too costly: with repetitions written out it has more than ${maxPlaces} places; use smaller repeat counts`,
  );

function parse(pattern: string, flags: number): RE2JS {
  try {
    return RE2JS.compile(pattern, flags);
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) {
      throw expressionFault(1, 'the expression cannot be compiled');
    }
    throw expressionFault(columnOf(pattern, error), `${error.getDescription()}${hintFor(error)}`);
  }
}

/** The engine names the piece that it stumbled over, not where it is: the first place where the same piece fails the same way. */
function columnOf(pattern: string, error: RE2JSSyntaxException): number {
  const piece = error.getPattern() ?? '';
  if (piece === pattern) return unclosedAt(pattern) + 1;
  let at = pattern.indexOf(piece);
  for (let tries = 0; at >= 0 && tries < 16; tries += 1) {
    const failure = failureOf(pattern.slice(0, at + piece.length));
    if (failure?.getDescription() === error.getDescription() && failure.getPattern() === piece) return at + 1;
    at = pattern.indexOf(piece, at + 1);
  }
  return Math.max(0, pattern.indexOf(piece)) + 1;
}

function failureOf(pattern: string): RE2JSSyntaxException | undefined {
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return error instanceof RE2JSSyntaxException ? error : undefined;
  }
}

/** The index of the innermost `(` that is not closed, or of the `)` that was never opened; 0 when all are paired. */
function unclosedAt(pattern: string): number {
  const open: number[] = [];
  let inSet = false;
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at];
    if (character === '\\') at += 1;
    else if (inSet) inSet = character !== ']';
    else if (character === '[') inSet = true;
    else if (character === '(') open.push(at);
    else if (character === ')' && open.pop() === undefined) return at;
  }
  return open.at(-1) ?? 0;
}

function hintFor(error: RE2JSSyntaxException): string {
  const piece = error.getPattern() ?? '';
  if (/^\(\?<?[=!]/.test(piece)) return `: look-ahead and look-behind are not offered (${piece}); use two rules`;
  if (/^\\[1-9]/.test(piece)) return `: back-references are not offered (${piece})`;
  if (piece === '\\Z') return `: ${piece}; write \\z for the end of the text`;
  if (/repeat count/.test(error.getDescription())) return `: ${piece}; at most 1000, also when nested`;
  if (/missing closing \)/.test(error.getDescription())) return '; write `\\(` for a literal parenthesis';
  if (/missing closing \]/.test(error.getDescription())) return '; write `\\[` for a literal bracket';
  return `: ${piece}`;
}
