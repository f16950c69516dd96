/** Sets of numbers as sorted ranges that do not touch. */

/** Both ends belong to it. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

export type NumberSet = readonly Interval[];

export const nothing: NumberSet = [];
export const span = (first: bigint | number, last: bigint | number): NumberSet => [{ first: BigInt(first), last: BigInt(last) }];
export const single = (value: bigint | number): NumberSet => span(value, value);

export function union(...sets: readonly NumberSet[]): NumberSet {
  const sorted = sets.flat().sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: Interval[] = [];
  for (const { first, last } of sorted) {
    const before = merged.at(-1);
    if (before && first <= before.last + 1n) {
      if (last > before.last) merged[merged.length - 1] = { first: before.first, last };
    } else merged.push({ first, last });
  }
  return merged;
}

export function intersect(a: NumberSet, b: NumberSet): NumberSet {
  const found: Interval[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [left, right] = [a[i], b[j]];
    if (!left || !right) return found;
    const first = left.first > right.first ? left.first : right.first;
    const last = left.last < right.last ? left.last : right.last;
    if (first <= last) found.push({ first, last });
    if (left.last < right.last) i += 1;
    else j += 1;
  }
}

/** What is in `a` and not in `b`. */
export function without(a: NumberSet, b: NumberSet): NumberSet {
  let rest = a;
  for (const hole of b) {
    rest = rest.flatMap(({ first, last }) => {
      if (hole.last < first || hole.first > last) return [{ first, last }];
      return [
        ...(first < hole.first ? [{ first, last: hole.first - 1n }] : []),
        ...(last > hole.last ? [{ first: hole.last + 1n, last }] : []),
      ];
    });
  }
  return rest;
}
