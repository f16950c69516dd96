/** The shape of a row of the catalogue of events. */

/** `alarm`: somebody should look at it; `warning`: unusual; `info`: the normal course. */
export type EventLevel = 'info' | 'warning' | 'alarm';

export interface EventKind<F extends string = string> {
  readonly id: `SP-${number}`;
  readonly level: EventLevel;
  /** Names of the fields, each with what it holds. A name that ends in `?` may be missing. */
  readonly fields: Readonly<Record<F, string>>;
  readonly meaning: string;
  /** What an operator does about it. Empty for the normal course. */
  readonly next: string;
}

/** A row of the catalogue. */
export const kind = <F extends string>(
  id: `SP-${number}`,
  level: EventLevel,
  meaning: string,
  fields: Record<F, string>,
  next = '',
): EventKind<F> => ({ id, level, fields, meaning, next });
