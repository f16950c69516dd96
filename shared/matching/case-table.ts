/**
 * The other cases of characters, one to one, made once from what the runtime knows: asking it for each character of a value
 * costs more than matching the value.
 */

/** The other forms of one character; what would become two characters (`ß` in upper case) stays as it is. */
interface Cases {
  /** Stands for the character and its other cases. */
  readonly folded: number;
  /** The upper case of `folded`. */
  readonly upper: number;
}

/** No character above this one has another case. */
const lastCased = 0x1_ffff;
const changes = /^\p{Changes_When_Casemapped}$/u;

const single = (text: string): string | undefined =>
  text.length === ((text.codePointAt(0) ?? 0) > 0xffff ? 2 : 1) ? text : undefined;

function casesOf(character: string): Cases {
  const raised = single(character.toUpperCase()) ?? character;
  const folded = single(raised.toLowerCase()) ?? raised;
  const upper = single(folded.toUpperCase()) ?? folded;
  return { folded: folded.codePointAt(0) ?? 0, upper: upper.codePointAt(0) ?? 0 };
}

interface Tables {
  /** Characters that are not here have no other case. */
  readonly cases: ReadonlyMap<number, Cases>;
  readonly families: ReadonlyMap<number, readonly number[]>;
}

let made: Tables | undefined;

/** Made when the first character beyond ASCII comes: it takes some 50 ms. */
function tables(): Tables {
  if (made) return made;
  const cases = new Map(
    Array.from({ length: lastCased + 1 }, (_, point) => point)
      .filter((point) => changes.test(String.fromCodePoint(point)))
      .map((point) => [point, casesOf(String.fromCodePoint(point))]),
  );
  made = { cases, families: Map.groupBy(cases.keys(), (point) => cases.get(point)?.folded ?? point) };
  return made;
}

/** The code point that stands for a character and its other case, so that `?` stays one character. */
export function foldedPoint(point: number): number {
  if (point < 128) return point >= 65 && point <= 90 ? point + 32 : point;
  return tables().cases.get(point)?.folded ?? point;
}

/** The upper case of a folded code point, where that is one character; else the same. */
export function upperPoint(folded: number): number {
  if (folded < 128) return folded >= 97 && folded <= 122 ? folded - 32 : folded;
  return tables().cases.get(folded)?.upper ?? folded;
}

/** All characters that fold to the same one as this, and this one. */
export const caseFamily = (point: number): readonly number[] => tables().families.get(foldedPoint(point)) ?? [point];
