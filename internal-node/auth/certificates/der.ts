/**
 * Reads DER (X.690) without building a tree: what certificates and revocation lists hold that node:crypto does not tell. It copies
 * nothing, never recurses by itself, and refuses lengths that do not fit into what holds them. Nothing is verified here.
 */
import { SallyportError } from '../../../shared/errors.ts';

/** One value: its tag, its content, and the bytes of all of it. */
export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const broken = (): SallyportError => new SallyportError('usage', 'this is no valid DER');

/** The value at the beginning. @throws SallyportError `usage` */
export function readDer(bytes: Buffer): DerValue {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw broken();
  let [length, at] = [first, 2];
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || bytes.length < 2 + count) throw broken();
    length = bytes.readUIntBE(2, count);
    at = 2 + count;
  }
  if (bytes.length < at + length) throw broken();
  return { tag, content: bytes.subarray(at, at + length), whole: bytes.subarray(0, at + length) };
}

/** The values of a SEQUENCE or SET, one after the other. */
export function* eachDer(content: Buffer): Generator<DerValue, void> {
  for (let rest = content; rest.length > 0; ) {
    const value = readDer(rest);
    yield value;
    rest = rest.subarray(value.whole.length);
  }
}

/** Its values, of which there must be at most `most`. @throws SallyportError `usage` also when the tag is another. */
export function derList(value: DerValue | undefined, tag: number, most = 64): readonly DerValue[] {
  if (value?.tag !== tag) throw broken();
  const found: DerValue[] = [];
  for (const one of eachDer(value.content)) {
    if (found.push(one) > most) throw broken();
  }
  return found;
}

/** `1.2.840.…` */
export function derOid(value: DerValue | undefined): string {
  if (value?.tag !== derTag.oid || value.content.length === 0 || value.content.length > 64) throw broken();
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of value.content) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte & 0x80) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const [both = 0n, ...rest] = arcs;
  const first = both < 80n ? both / 40n : 2n;
  return [first, both - first * 40n, ...rest].join('.');
}

/** Milliseconds since 1970 (RFC 5280 §4.1.2.5). */
export function derTime(value: DerValue | undefined): number {
  const text = value?.content.toString('latin1') ?? '';
  const short = value?.tag === derTag.utcTime;
  const form = short ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
  if (!short && value?.tag !== derTag.generalizedTime) throw broken();
  const [, year, month, day, hour, minute, second] = (form.exec(text) ?? []).map(Number);
  if (year === undefined || month === undefined) throw broken();
  return Date.UTC(short ? year + (year < 50 ? 2000 : 1900) : year, month - 1, day, hour, minute, second);
}

/** The text of a string type that names are written in; undefined for others, and with control characters in it. */
export function derText({ tag, content }: DerValue): string | undefined {
  const text = decoded(tag, content);
  return text !== undefined && !/\p{Cc}|\uFFFD/u.test(text) ? text : undefined;
}

function decoded(tag: number, content: Buffer): string | undefined {
  // UTF8String; PrintableString, IA5String, VisibleString; TeletexString; BMPString
  if (tag === 0x0c) return content.toString('utf8');
  if ([0x13, 0x16, 0x1a].includes(tag)) return content.every((byte) => byte < 0x80) ? content.toString('latin1') : undefined;
  if (tag === 0x14) return content.toString('latin1');
  if (tag === 0x1e && content.length % 2 === 0) return Buffer.from(content).swap16().toString('utf16le');
  return undefined;
}

/** Of an INTEGER: lower-case hex without leading zeros, as two of them are compared. */
export function derNumber(value: DerValue | undefined): string {
  if (value?.tag !== derTag.integer || value.content.length === 0) throw broken();
  return value.content.toString('hex').replace(/^0+(?=.)/, '');
}
