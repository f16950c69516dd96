/** Random identifiers. 128 bits in lower-case base32 without padding, so that an id is safe as a file name everywhere. */
import { randomBytes } from 'node:crypto';

declare const brand: unique symbol;
type Branded<B extends string> = string & { readonly [brand]: B };

/** One uploaded or offered file. */
export type ItemId = Branded<'ItemId'>;
/** One partner session; a name, not a secret. */
export type SessionId = Branded<'SessionId'>;
/** Runs from TCP accept to the delivered file. */
export type TraceId = Branded<'TraceId'>;
/** One connected tunnel. */
export type LinkId = Branded<'LinkId'>;

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
export const idPattern = /^[a-z2-7]{26}$/;

/** RFC 4648 §6 base32, lower case, no padding. */
export function base32(bytes: Uint8Array): string {
  let bits = 0;
  let value = 0;
  let text = '';
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(value >>> bits) & 31];
    }
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}

const newId = (): string => base32(randomBytes(16));

export const newItemId = (): ItemId => newId() as ItemId;
export const newSessionId = (): SessionId => newId() as SessionId;
export const newTraceId = (): TraceId => newId() as TraceId;
export const newLinkId = (): LinkId => newId() as LinkId;

export const isId = (text: string): boolean => idPattern.test(text);
