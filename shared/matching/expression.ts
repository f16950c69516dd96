/**
 * Matching expressions, the one grammar of rules and permissions (docs/matching.md):
 *
 *     EXPR             glob, as is g/EXPR/
 *     m/EXPR/  …/i     regular expression, found anywhere; i ignores case
 *     e/EXPR/  …/i     true where the regular expression is not found
 *     t/EXPR/  …/-1d   glob with dates of now, or of a moment so far from now
 *     p/EXPR/          glob with the meaning of paths (** and braces)
 *
 * What is wrong with an expression is told when it is compiled, with its column. Testing never throws, and takes less than a
 * millisecond for any expression and any value: the cost is bounded by what is compiled, not by what is tested.
 */
import { checkPlaceholders, hostTimeZone, parseOffset, withDates, ZoneClock } from './dates.ts';
import { expressionFault, shiftedFaults } from './fault.ts';
import { compileGlob, type Glob } from './glob.ts';
import { compilePathGlob } from './path-glob.ts';
import { compileRegex } from './regex.ts';
import { Subject } from './subject.ts';

/** Longest expression with its form, characters. */
export const maxExpressionLength = 520;

export interface Expression {
  /** @param atMs The moment whose dates `t/…/` means. Nothing matches a value of more than 4096 characters. */
  test(subject: Subject, atMs: number): boolean;
  /** Of `m/…/`: how many groups it has, and what they found. */
  readonly groupCount?: number;
  groups?(subject: Subject): readonly string[];
}

export interface ExpressionOptions {
  /** Of the dates in `t/…/`. Default: of this host. */
  readonly timeZone?: string | undefined;
}

/** The kinds of expression, by the letter that announces them. */
const forms = {
  g: 'glob',
  m: 'regular expression',
  e: 'negated regular expression',
  t: 'glob with dates',
  p: 'path glob',
} as const;
type Letter = keyof typeof forms;

/** What an expression is made of; `start` is the index of `body` in the text. */
export interface ExpressionParts {
  readonly letter: Letter | undefined;
  readonly body: string;
  readonly modifiers: string;
  readonly start: number;
}

/**
 * The last slash ends the expression, so slashes in it need no escape. @throws SallyportError `config-invalid` when a letter
 * of a form begins a text that does not end as one.
 */
export function splitExpression(text: string): ExpressionParts {
  const letter = text[0] as Letter;
  if (text[1] !== '/' || !Object.hasOwn(forms, letter)) return { letter: undefined, body: text, modifiers: '', start: 0 };
  const end = text.lastIndexOf('/');
  const modifiers = text.slice(end + 1);
  const fits = { g: /^$/, p: /^$/, m: /^i?$/, e: /^i?$/, t: /^([+-]\d{1,5}[smhdw])?$/ }[letter].test(modifiers);
  if (end < 2 || !fits) {
    const usual =
      letter === 'm' || letter === 'e' ? ', with an i to ignore case' : letter === 't' ? ', with an offset like -1d' : '';
    const hint = `${letter}/ begins a ${forms[letter]}, which ends with /${usual}; for a glob that begins so write g/${text}/`;
    throw expressionFault(end < 2 ? text.length + 1 : end + 2, hint);
  }
  return { letter, body: text.slice(2, end), modifiers, start: 2 };
}

/** @throws SallyportError `config-invalid` with the column (from 1) and a hint. */
export function compileExpression(text: string, options: ExpressionOptions = {}): Expression {
  if (text.length > maxExpressionLength) {
    throw expressionFault(maxExpressionLength + 1, `an expression has at most ${maxExpressionLength} characters`);
  }
  const { letter, body, modifiers, start } = splitExpression(text);
  return shiftedFaults(start, (): Expression => {
    switch (letter) {
      case 'm':
        return compileRegex(body, { ignoreCase: modifiers === 'i' });
      case 'e': {
        const regex = compileRegex(body, { ignoreCase: modifiers === 'i' });
        return { test: (subject) => !subject.tooLong && !regex.test(subject) };
      }
      case 't':
        return compileDated(body, modifiers, options.timeZone ?? hostTimeZone());
      case 'p':
        return compilePathGlob(body);
      case 'g':
      case undefined:
        return compileGlob(body);
    }
  });
}

function compileDated(body: string, modifiers: string, timeZone: string): Expression {
  checkPlaceholders(body);
  const offset = parseOffset(modifiers) ?? { days: 0, seconds: 0 };
  const clock = new ZoneClock(timeZone);
  const textAt = (atMs: number): string => withDates(body, clock.at(atMs, offset));
  // The longest that the dates make of it: what compiles then compiles always.
  compileGlob(withDates(body, longestMoment));
  let secondOf = Number.NaN;
  let text: string | undefined;
  let glob: Glob | undefined;
  return {
    test: (subject, atMs) => {
      const second = Math.floor(atMs / 1000);
      if (second !== secondOf || glob === undefined) {
        const now = textAt(second * 1000);
        if (now !== text || glob === undefined) glob = compileGlob(now);
        text = now;
        secondOf = second;
      }
      return glob.test(subject);
    },
  };
}

/** Wednesday, September 30: the longest names. */
const longestMoment = { year: 2026, month: 9, day: 30, hour: 23, minute: 59, second: 59, weekday: 3, dayOfYear: 273 };

/** For a caller with a single expression and no dates to mind: a test of texts. @throws as `compileExpression`. */
export function matcherOf(text: string, options: ExpressionOptions = {}): (value: string, atMs?: number) => boolean {
  const expression = compileExpression(text, options);
  return (value, atMs = 0) => expression.test(new Subject(value), atMs);
}
