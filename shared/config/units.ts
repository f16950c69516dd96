/**
 * Sizes, durations and addresses as people write them in configuration files, and back. In the files `10MiB` and `30s`;
 * in the program bytes and milliseconds. A number without a unit is refused (but 0), because nobody remembers which unit.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
const durationUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const unitBySmallLetters = new Map(Object.entries(sizeUnits).map(([unit, bytes]) => [unit.toLowerCase(), bytes]));

const quantity = /^(\d{1,16}(?:\.\d{1,6})?)\s*([A-Za-z]*)$/;

/** Why a text is no size, duration or address. The caller adds where it stands. */
export class UnitError extends Error {}

function scaled(text: string, factorOf: (unit: string) => number | undefined, example: string): number {
  const match = quantity.exec(text.trim());
  if (!match) throw new UnitError(`expected ${example}`);
  const [, number = '', unit = ''] = match;
  if (unit === '' && Number(number) === 0) return 0;
  if (unit === '') throw new UnitError(`the unit is missing, expected ${example}`);
  const factor = factorOf(unit);
  if (factor === undefined) throw new UnitError(`unknown unit "${unit}", expected ${example}`);
  const value = Number(number) * factor;
  if (!Number.isSafeInteger(Math.round(value))) throw new UnitError('the number is too large');
  if (!Number.isInteger(value)) throw new UnitError('the value is not a whole number of the smallest unit');
  return value;
}

/** @returns bytes. Units B, KB, MB, GB, TB (powers of 1000) and KiB, MiB, GiB, TiB (powers of 1024), in any case. */
export const parseSize = (text: string): number =>
  scaled(text, (unit) => unitBySmallLetters.get(unit.toLowerCase()), 'a size like 10MiB');

/** @returns milliseconds. Units ms, s, m, h, d. */
export const parseDuration = (text: string): number => scaled(text, (unit) => durationUnits[unit], 'a duration like 30s or 15m');

export interface Address {
  /** An IP address without brackets, or a host name. */
  readonly host: string;
  /** 0 to 65535. */
  readonly port: number;
}

const hostName = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/;

/** `host:port` or `[IPv6]:port`. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text.trim());
  if (!match) throw new UnitError('expected host:port, or [IPv6 address]:port');
  const [, bracketed, plain = '', portText = ''] = match;
  const port = Number(portText);
  if (port > 65_535) throw new UnitError(`${port} is no port, the largest is 65535`);
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) throw new UnitError(`${bracketed} is no IPv6 address`);
    return { host: bracketed, port };
  }
  const looksNumeric = /^[\d.]+$/.test(plain);
  if (looksNumeric ? isIP(plain) !== 4 : !hostName.test(plain)) throw new UnitError(`"${plain}" is no host name or address`);
  return { host: plain, port };
}

export const formatAddress = ({ host, port }: Address): string => (isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`);

/** A size for people: `1.2 MiB`. Not exact. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let step = 0;
  while (value >= 1023.95 && step < units.length - 1) {
    value /= 1024;
    step += 1;
  }
  return `${step === 0 || Number.isInteger(value) ? value : value.toFixed(1)} ${units[step]}`;
}

/** A duration for people, in its two largest units: `3 d 4 h`, `15 m`, `250 ms`. Not exact. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const;
  let rest = Math.round(durationMs / 1000);
  const parts: string[] = [];
  for (const [unit, seconds] of units) {
    const count = Math.floor(rest / seconds);
    rest -= count * seconds;
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** The shortest exact form for a configuration file; `parseSize` gives the same number back. */
export const writeSize = (bytes: number): string => written(bytes, ['TiB', 'GiB', 'MiB', 'KiB', 'B'], sizeUnits);

/** The shortest exact form for a configuration file; `parseDuration` gives the same number back. */
export const writeDuration = (durationMs: number): string => written(durationMs, ['d', 'h', 'm', 's', 'ms'], durationUnits);

function written(value: number, units: readonly string[], factors: Readonly<Record<string, number>>): string {
  if (value === 0) return '0';
  const unit = units.find((name) => value % (factors[name] ?? 1) === 0) ?? '';
  return `${value / (factors[unit] ?? 1)}${unit}`;
}

const unitField = <T>(parse: (text: string) => T, allowNumber: boolean) =>
  (allowNumber ? z.union([z.string(), z.number()]) : z.string()).transform((value, context): T => {
    try {
      return parse(String(value));
    } catch (error) {
      if (!(error instanceof UnitError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });

interface Range {
  readonly min?: string;
  readonly max?: string;
}

function ranged(parse: (text: string) => number, { min, max }: Range) {
  const low = min === undefined ? 0 : parse(min);
  const high = max === undefined ? Number.MAX_SAFE_INTEGER : parse(max);
  return unitField((text) => {
    const value = parse(text);
    if (value < low) throw new UnitError(`too small, the least is ${min}`);
    if (value > high) throw new UnitError(`too large, the most is ${max}`);
    return value;
  }, true);
}

/** A size; the parsed value is in bytes. */
export const size = (range: Range = {}) => ranged(parseSize, range);
/** A duration; the parsed value is in milliseconds. */
export const duration = (range: Range = {}) => ranged(parseDuration, range);
/** `host:port`. */
export const address = () => unitField(parseAddress, false);

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** `50000-50999` or one port. */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = match?.[2] === undefined ? first : Number(match[2]);
  if (!match || first < 1024 || last > 65_535) throw new UnitError('expected ports from 1024 on, like 50000-50999');
  if (last < first) throw new UnitError('the last port is below the first');
  return { first, last };
}

export const portRange = () => unitField(parsePortRange, false);
