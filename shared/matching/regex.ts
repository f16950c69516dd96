/**
 * Regular expressions of RE2 syntax: linear in the value by construction, without look-around and back-references. Found
 * anywhere in the value; `.` does not match a line feed.
 *
 * "Linear" still has a factor, the size of the compiled program, and the engine keeps what it learns about values that
 * partners choose: both are capped here.
 */
import { RE2JS, RE2JSSyntaxException } from 're2js';
import { SallyportError } from '../errors.ts';
import type { Subject } from './subject.ts';

/** Longest expression, characters. */
export const maxRegexLength = 512;
/** Instructions of a compiled expression: `[0-9]{8}` has eight. Bounds the time per character of a value. */
export const maxProgramSize = 256;
/** The engine's cache of states grows by at most one per character fed; it is dropped after so many characters. */
const cacheCharacters = 128 * 1024;

export interface Regex {
  test(subject: Subject): boolean;
}

/** @throws SallyportError `config-invalid` with the column (from 1) and a hint. */
export function compileRegex(text: string, options: { readonly ignoreCase: boolean }): Regex {
  if (text.length > maxRegexLength) {
    throw invalid(maxRegexLength + 1, `a regular expression has at most ${maxRegexLength} characters`);
  }
  const pattern = text.normalize('NFC');
  const regex = parse(pattern, options.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0);
  const size = regex.programSize();
  if (size > maxProgramSize) {
    throw invalid(1, `the expression is too costly (${size} steps, at most ${maxProgramSize}); use smaller repeat counts`);
  }
  let fed = 0;
  return {
    test: ({ text: value }) => {
      fed += value.length;
      if (fed > cacheCharacters) {
        regex.reset();
        fed = value.length;
      }
      return regex.test(value);
    },
  };
}

function parse(pattern: string, flags: number): RE2JS {
  try {
    return RE2JS.compile(pattern, flags);
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) {
      throw new SallyportError('config-invalid', 'column 1: the expression cannot be compiled', { column: 1 }, { cause: error });
    }
    throw invalid(columnOf(pattern, error), `${error.getDescription()}${hintFor(error)}`);
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
  if (/repeat count/.test(error.getDescription())) return `: ${piece}; at most 1000, also when nested`;
  if (/missing closing \)/.test(error.getDescription())) return '; write `\\(` for a literal parenthesis';
  if (/missing closing \]/.test(error.getDescription())) return '; write `\\[` for a literal bracket';
  return `: ${piece}`;
}

const invalid = (column: number, hint: string): SallyportError =>
  new SallyportError('config-invalid', `column ${column}: ${hint}`, { column });
