/**
 * Distinguished names (RFC 4514) and values in filters (RFC 4515): written so that nothing a stranger types can change what
 * they mean, and read so that a typed one can be bounded to a base.
 */
import { SallyportError } from '../../../shared/errors.ts';

export interface Part {
  /** Of `cn=John`: `cn`, in lower case. */
  readonly attribute: string;
  /** Unescaped. */
  readonly value: string;
}

/** The components, each with its parts (several in `cn=a+uid=b`), the most specific first. */
export type DistinguishedName = readonly (readonly Part[])[];

/** A value of a DN: every character that could mean something is written as its hexadecimal bytes. */
export const escapedValue = (value: string): string =>
  [...value].map((character) => (/[\p{L}\p{N}@._-]/u.test(character) ? character : hexBytes(character))).join('');

/** A value of a filter. */
export const escapedFilterValue = (value: string): string =>
  [...value].map((character) => (/[\p{L}\p{N}@._ -]/u.test(character) ? character : hexBytes(character))).join('');

const hexBytes = (character: string): string =>
  [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');

/** @throws SallyportError `usage` when the text is no distinguished name. */
export function parseName(text: string): DistinguishedName {
  const name: Part[][] = [];
  let at = 0;
  const fail = (why: string): never => {
    throw new SallyportError('usage', `no distinguished name: ${why} at character ${at + 1}`);
  };
  for (;;) {
    const parts: Part[] = [];
    for (;;) {
      const attribute = /^\s*([A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)\s*=\s*/.exec(text.slice(at));
      if (!attribute) return fail('an attribute and = are expected');
      at += attribute[0].length;
      const read = readValue(text, at);
      if (!read) return fail('a value is expected');
      parts.push({ attribute: (attribute[1] ?? '').toLowerCase(), value: read.value });
      at = read.end;
      if (text[at] !== '+') break;
      at += 1;
    }
    name.push(parts);
    if (at >= text.length) return name;
    at += 1; // the comma
  }
}

/** Up to the next comma, plus or end that is not escaped. */
function readValue(text: string, from: number): { readonly value: string; readonly end: number } | undefined {
  const bytes: Buffer[] = [];
  let at = from;
  let trailing = 0;
  while (at < text.length && text[at] !== ',' && text[at] !== '+') {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
    if ('";<>#'.includes(character) && !(character === '#' && at > from)) return undefined;
    if (character !== '\\') {
      bytes.push(Buffer.from(character));
      trailing = character === ' ' ? trailing + 1 : 0;
      at += character.length;
      continue;
    }
    trailing = 0;
    const escaped = /^\\(?:([0-9A-Fa-f]{2})|([ "#+,;<=>\\]))/.exec(text.slice(at, at + 3));
    if (!escaped) return undefined;
    bytes.push(escaped[1] === undefined ? Buffer.from(escaped[2] ?? '') : Buffer.from(escaped[1], 'hex'));
    at += escaped[0].length;
  }
  const whole = Buffer.concat(bytes);
  const value = whole.subarray(0, whole.length - trailing).toString('utf8');
  return value === '' || value.includes('\uFFFD') ? undefined : { value, end: at };
}

export const formatName = (name: DistinguishedName): string =>
  name.map((parts) => parts.map(({ attribute, value }) => `${attribute}=${escapedValue(value)}`).join('+')).join(',');

/** One text for all ways to write a name that a directory may take for the same. Never sent anywhere. */
export const comparable = (name: DistinguishedName): string =>
  name.map((parts) => parts.map(({ attribute, value }) => `${attribute}=${folded(value)}`).join('+')).join(',');

/** What directories compare alike: case, accents (Active Directory), width, and how many spaces. */
export const folded = (value: string): string =>
  value
    .normalize('NFKD')
    .replace(/\p{M}|\p{Cc}|\p{Cf}/gu, '')
    .toLowerCase()
    .trim()
    .replace(/\s+/g, ' ');

/** Whether a name lies below a base, and is not the base itself. */
export function isBelow(name: DistinguishedName, base: DistinguishedName): boolean {
  return name.length > base.length && comparable(name.slice(-base.length)) === comparable(base);
}
