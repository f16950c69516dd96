/**
 * Rules that can never decide anything, because an earlier one takes all that they are for. What is told is certain; what is
 * not told may still be unreachable: expressions are compared as they are written, not by what they mean.
 */
import type { Rule } from '../policy.ts';

export interface Unreachable {
  readonly rule: Rule;
  /** The first earlier rule that takes everything. */
  readonly behind: Rule;
}

export function unreachableRules(rules: readonly Rule[]): readonly Unreachable[] {
  const first = new Map<string, Rule[]>();
  const found: Unreachable[] = [];
  for (const rule of rules) {
    const behind = coveringKeys(rule)
      .flatMap((key) => first.get(key) ?? [])
      .find((earlier) => (earlier.minBytes ?? 0) <= (rule.minBytes ?? 0) && mostBytes(earlier) >= mostBytes(rule));
    if (behind) found.push({ rule, behind });
    const key = keyOf(rule.partner, rule.path);
    first.set(key, [...(first.get(key) ?? []), rule]);
  }
  return found;
}

const mostBytes = ({ maxBytes }: Rule): number => maxBytes ?? Number.MAX_SAFE_INTEGER;
/** Globs that everything matches are no condition. */
const condition = (text: string | undefined): string => (text === undefined || text === '*' || text === 'g/*/' ? '' : text);
const keyOf = (partner: string | undefined, path: string | undefined): string =>
  JSON.stringify([condition(partner), condition(path)]);

/** The conditions of rules that take all that this one takes, sizes aside. */
const coveringKeys = ({ partner, path }: Rule): readonly string[] => [
  ...new Set([keyOf(undefined, undefined), keyOf(partner, undefined), keyOf(undefined, path), keyOf(partner, path)]),
];
