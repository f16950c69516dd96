/**
 * Which of many rules can be for a file at all, found by how its path begins and ends and by who sent it, so that thousands
 * of rules cost little more than a few. Only leaves out rules that cannot match; in which order the others are asked does
 * not change.
 */
import type { Rule } from '../policy.ts';
import { type Anchors, anchorsOf, foldedText } from './anchors.ts';

type Kind = 'begin' | 'end' | 'partner';

/** A rule can be for a file only when this is so. */
interface Key {
  readonly kind: Kind;
  readonly text: string;
}

export class RuleIndex {
  /** Rules that are asked about every file, in their order. */
  readonly #always: readonly number[];
  readonly #byKey: Readonly<Record<Kind, ReadonlyMap<string, readonly number[]>>>;
  readonly #lengths: Readonly<Record<'begin' | 'end', readonly number[]>>;

  /** @param rules Their expressions compile. */
  constructor(rules: readonly Pick<Rule, 'partner' | 'path'>[]) {
    const choices = rules.map((rule) => [partnerKeys(rule.partner), pathKeys(rule.path)].filter((keys) => keys.length > 0));
    const uses = new Map<string, number>();
    for (const key of choices.flat(2).flat()) uses.set(nameOf(key), (uses.get(nameOf(key)) ?? 0) + 1);
    const cost = (key: Key): number => uses.get(nameOf(key)) ?? 0;
    const byKey: Record<Kind, Map<string, number[]>> = { begin: new Map(), end: new Map(), partner: new Map() };
    const always: number[] = [];
    for (const [index, options] of choices.entries()) {
      // Of each alternative the key that fewest share, and of the two conditions the one that leaves fewest.
      const plans = options.map((alternatives) => alternatives.map((keys) => keys.toSorted((a, b) => cost(a) - cost(b))[0]));
      const usable = plans.filter((keys): keys is Key[] => keys.every((key) => key !== undefined));
      const [best] = usable.toSorted((a, b) => total(a, cost) - total(b, cost));
      if (!best) always.push(index);
      for (const { kind, text } of best ?? []) {
        const found = byKey[kind].get(text);
        if (found) found.push(index);
        else byKey[kind].set(text, [index]);
      }
    }
    this.#always = always;
    this.#byKey = byKey;
    const lengths = (kind: 'begin' | 'end') => [...new Set([...byKey[kind].keys()].map((text) => text.length))];
    this.#lengths = { begin: lengths('begin'), end: lengths('end') };
  }

  /**
   * The first rule that `fits`. @param partner @param path As they are tested, in NFC.
   * @returns its place, or -1. A rule may be asked more than once.
   */
  first(partner: string, path: string, fits: (index: number) => boolean): number {
    const hits = this.#hits(foldedText(partner), foldedText(path));
    const always = this.#always;
    for (let a = 0, h = 0; a < always.length || h < hits.length; ) {
      const [one, other] = [always[a] ?? Number.POSITIVE_INFINITY, hits[h] ?? Number.POSITIVE_INFINITY];
      if (one <= other) a += 1;
      else h += 1;
      if (fits(Math.min(one, other))) return Math.min(one, other);
    }
    return -1;
  }

  #hits(partner: string, path: string): readonly number[] {
    const { begin, end, partner: partners } = this.#byKey;
    const found = [partners.get(partner)];
    for (const length of this.#lengths.begin) if (length <= path.length) found.push(begin.get(path.slice(0, length)));
    for (const length of this.#lengths.end) if (length <= path.length) found.push(end.get(path.slice(path.length - length)));
    const lists = found.filter((list) => list !== undefined);
    return lists.length < 2 ? (lists[0] ?? []) : lists.flat().sort((a, b) => a - b);
  }
}

const nameOf = ({ kind, text }: Key): string => `${kind} ${text}`;
const total = (keys: readonly Key[], cost: (key: Key) => number): number => keys.reduce((sum, key) => sum + cost(key), 0);

/** For each alternative what must be so, any of which will do; none: nothing is known of one of them. */
function pathKeys(text: string | undefined): readonly (readonly Key[])[] {
  const alternatives = text === undefined ? [] : anchorsOf(text);
  const keys = alternatives.map(({ begin, end }: Anchors): Key[] => [
    ...(begin === '' ? [] : [{ kind: 'begin' as const, text: begin }]),
    ...(end === '' ? [] : [{ kind: 'end' as const, text: end }]),
  ]);
  return keys.every((some) => some.length > 0) ? keys : [];
}

function partnerKeys(text: string | undefined): readonly (readonly Key[])[] {
  const alternatives = text === undefined ? [] : anchorsOf(text);
  if (!alternatives.every(({ isWhole }) => isWhole)) return [];
  return alternatives.map(({ begin }) => [{ kind: 'partner', text: begin }]);
}
