/**
 * Dates in expressions, `t/…/`: `{year.decimal}` and its kind become the digits or the name of a moment, in the time zone of
 * the policy, before the rest is read as a glob. `t/…/-1d` means the day before.
 */
import { didYouMean } from '../config/suggest.ts';
import { expressionFault } from './fault.ts';

/** The parts of a moment as a wall clock shows them. */
interface WallClock {
  readonly year: number;
  /** From 1. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** 0 is Sunday. */
  readonly weekday: number;
  /** From 1. */
  readonly dayOfYear: number;
}

const months = 'January February March April May June July August September October November December'.split(' ');
const days = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');
const two = (number: number): string => String(number).padStart(2, '0');
const twelve = ({ hour }: WallClock): number => hour % 12 || 12;

/** What each placeholder becomes (behaviour of SFTPPlus; names in English whatever the locale of the host). */
export const placeholders: Readonly<Record<string, (clock: WallClock) => string>> = {
  'year.decimal': ({ year }) => String(year),
  'year.no_century': ({ year }) => two(year % 100),
  'month.decimal': ({ month }) => String(month),
  'month.padded': ({ month }) => two(month),
  'month.name': ({ month }) => months[month - 1] ?? '',
  'month.abbreviated': ({ month }) => months[month - 1]?.slice(0, 3) ?? '',
  'day.decimal': ({ day }) => String(day),
  'day.padded': ({ day }) => two(day),
  'day.of_year_padded': ({ dayOfYear }) => String(dayOfYear).padStart(3, '0'),
  'day.name': ({ weekday }) => days[weekday] ?? '',
  'day.abbreviated': ({ weekday }) => days[weekday]?.slice(0, 3) ?? '',
  'hour.padded_24': ({ hour }) => two(hour),
  'hour.decimal_24': ({ hour }) => String(hour),
  'hour.padded_12': (clock) => two(twelve(clock)),
  'hour.decimal_12': (clock) => String(twelve(clock)),
  'hour.am_pm': ({ hour }) => (hour < 12 ? 'AM' : 'PM'),
  'minute.padded': ({ minute }) => two(minute),
  'minute.decimal': ({ minute }) => String(minute),
  'second.padded': ({ second }) => two(second),
  'second.decimal': ({ second }) => String(second),
};

const placeholder = /\{([a-z]+\.[a-z_0-9]+)\}/gi;

/** How far from now a `t/…/` looks. */
export interface DateOffset {
  readonly days: number;
  readonly seconds: number;
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };
const daysOf: Readonly<Record<string, number>> = { d: 1, w: 7 };

/** Reads `-1d`, `+2w`, `-12h`, `-30m`, `-10s`; nothing is no offset. @returns undefined when it is none. */
export function parseOffset(text: string): DateOffset | undefined {
  if (text === '') return { days: 0, seconds: 0 };
  const found = /^([+-])(\d{1,5})([smhdw])$/.exec(text);
  if (!found) return undefined;
  const count = Number(found[2]) * (found[1] === '-' ? -1 : 1);
  const unit = found[3] ?? '';
  return { days: count * (daysOf[unit] ?? 0), seconds: count * (secondsOf[unit] ?? 0) };
}

/** @throws SallyportError `config-invalid` naming the column of a placeholder that is not known. */
export function checkPlaceholders(text: string): void {
  for (const found of text.matchAll(placeholder)) {
    const name = (found[1] ?? '').toLowerCase();
    if (Object.hasOwn(placeholders, name)) continue;
    const hint = didYouMean(name, Object.keys(placeholders)) || '; write [{] for a literal brace';
    throw expressionFault(found.index + 1, `there is no placeholder {${name}}${hint}`);
  }
}

/** `text` with the placeholders of a moment. Nothing that they become is special in a glob. */
export const withDates = (text: string, clock: WallClock): string =>
  text.replace(placeholder, (_all, name: string) => placeholders[name.toLowerCase()]?.(clock) ?? '');

/** Whether a name is a time zone that this host knows. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** The time zone of this host, `Europe/Berlin`. */
export const hostTimeZone = (): string => new Intl.DateTimeFormat('en-US').resolvedOptions().timeZone;

/** Tells what clocks of one time zone show. */
export class ZoneClock {
  readonly #format: Intl.DateTimeFormat;

  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' },
    });
  }

  /** Days are of the calendar: the day before has the same time on the clock, also when the clocks were changed between. */
  at(nowMs: number, offset: DateOffset): WallClock {
    const parts = new Map(
      this.#format.formatToParts(nowMs + offset.seconds * 1000).map(({ type, value }) => [type, Number(value)]),
    );
    const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
    const [hour, minute, second] = [part('hour'), part('minute'), part('second')];
    const date = new Date(Date.UTC(part('year'), part('month') - 1, part('day') + offset.days));
    const year = date.getUTCFullYear();
    return {
      ...{ year, month: date.getUTCMonth() + 1, day: date.getUTCDate(), hour, minute, second, weekday: date.getUTCDay() },
      dayOfYear: Math.round((date.getTime() - Date.UTC(year, 0, 1)) / 86_400_000) + 1,
    };
  }
}
