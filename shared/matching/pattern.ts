/** A pattern of a rule as a test: one shape for globs and regular expressions. Any pattern against any value is quick. */
import type { Pattern } from '../policy.ts';
import { compileGlob } from './glob.ts';
import { compileRegex } from './regex.ts';
import { Subject } from './subject.ts';

export interface Matcher {
  test(subject: Subject): boolean;
}

/** @throws SallyportError `config-invalid` with the column (from 1) and a hint. */
export function compileMatcher(pattern: Pattern): Matcher {
  return pattern.kind === 'glob' ? compileGlob(pattern.text) : compileRegex(pattern.text, { ignoreCase: pattern.ignoreCase });
}

/**
 * The same for a caller with a single pattern. The function throws `limit-reached` for a value above 4096 characters.
 * @throws SallyportError `config-invalid` with the column (from 1) and a hint.
 */
export function compilePattern(pattern: Pattern): (value: string) => boolean {
  const matcher = compileMatcher(pattern);
  return (value) => matcher.test(new Subject(value));
}
