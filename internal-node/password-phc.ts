/**
 * The written form of a password hash: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash` (PHC string format, RFC 9106).
 *
 * Only Argon2id version 19 is read, in exactly this order and spelling, and its cost must lie between two bounds: below
 * them a stolen file is guessed too fast, above them one login could take the memory of the node. No hashing happens here.
 */
import { SallyportError } from '../shared/errors.ts';

export interface Argon2Cost {
  /** KiB. */
  readonly memoryKib: number;
  readonly passes: number;
  readonly parallelism: number;
}

export interface PasswordHash extends Argon2Cost {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** OWASP Password Storage Cheat Sheet, Argon2id. About 35 ms of one core and 19 MiB. */
export const standardCost: Argon2Cost = { memoryKib: 19_456, passes: 2, parallelism: 1 };

/** Whether guessing against it costs less than against the other one. */
export const isCheaper = (a: Argon2Cost, b: Argon2Cost): boolean => a.memoryKib * a.passes < b.memoryKib * b.passes;

const form = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;
const bounds = {
  memoryKib: { least: 7168, most: 65_536 },
  passes: { least: 1, most: 10 },
  parallelism: { least: 1, most: 4 },
} as const;

/** @throws SallyportError `config-invalid` saying what is wrong, without quoting the text: it may be a clear password. */
export function parsePasswordHash(text: string): PasswordHash {
  const match = form.exec(text);
  if (!match) throw invalid('it is no Argon2id hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$hash');
  const [, m = '', t = '', p = '', saltText = '', hashText = ''] = match;
  const cost = { memoryKib: Number(m), passes: Number(t), parallelism: Number(p) };
  for (const name of ['memoryKib', 'passes', 'parallelism'] as const) {
    const { least, most } = bounds[name];
    if (cost[name] < least || cost[name] > most)
      throw invalid(`its cost ${name} is ${cost[name]}, allowed is ${least} to ${most}`);
  }
  return { ...cost, salt: unpadded(saltText), hash: unpadded(hashText) };
}

export const formatPasswordHash = ({ memoryKib, passes, parallelism, salt, hash }: PasswordHash): string =>
  `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${withoutPadding(salt)}$${withoutPadding(hash)}`;

const withoutPadding = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

function unpadded(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (withoutPadding(bytes) !== text) throw invalid('its base64 is not canonical');
  return bytes;
}

const invalid = (detail: string): SallyportError => new SallyportError('config-invalid', `not a usable password hash: ${detail}`);
