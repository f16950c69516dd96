/**
 * Names that carry the moment at which a file was complete, so that files of one name lie side by side. What makes two of the
 * same moment differ comes from the id of the item: the same item gets the same name, however often it is asked for.
 */
import { createHash } from 'node:crypto';
import { withInfix, withPrefix } from '../paths/delivery-name.ts';
import type { ZoneClock } from './dates.ts';

export interface TimedFacts {
  readonly atMs: number;
  /** Absent in a dry run, whose digits are zeros. */
  readonly item?: string;
}

export type Naming = 'plain' | 'timestamp' | 'unixtime';

export class TimedName {
  readonly #naming: Naming;
  readonly #clock: ZoneClock;

  constructor(naming: Naming, clock: ZoneClock) {
    this.#naming = naming;
    this.#clock = clock;
  }

  /** @param file Harmless components with `/` between them. @returns the same, with the last one changed. */
  apply(file: string, facts: TimedFacts): string {
    if (this.#naming === 'plain') return file;
    const slash = file.lastIndexOf('/') + 1;
    const name = file.slice(slash);
    const timed =
      this.#naming === 'timestamp'
        ? withInfix(name, `.${this.#timestamp(facts)}`)
        : withPrefix(name, `${Math.floor(facts.atMs / 1000)}.${microseconds(facts)}-`);
    return file.slice(0, slash) + timed;
  }

  /** `2026-11-01-09-05-07-123456-042` */
  #timestamp(facts: TimedFacts): string {
    const { year, month, day, hour, minute, second } = this.#clock.at(facts.atMs, { days: 0, seconds: 0 });
    const parts = [month, day, hour, minute, second].map((part) => String(part).padStart(2, '0'));
    return [year, ...parts, microseconds(facts), digits(facts, 1)].join('-');
  }
}

/** The clock tells milliseconds; the rest is the item's own. */
const microseconds = (facts: TimedFacts): string =>
  `${String(Math.floor(facts.atMs) % 1000).padStart(3, '0')}${digits(facts, 0)}`;

function digits({ item }: TimedFacts, which: 0 | 1): string {
  if (item === undefined) return '000';
  const hash = createHash('sha256').update(item).digest();
  return String(hash.readUInt32BE(which * 4) % 1000).padStart(3, '0');
}
