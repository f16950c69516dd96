/**
 * Key texts of age v1 X25519: `age1…` names a recipient, `AGE-SECRET-KEY-1…` is the identity that opens what was sealed
 * to it. Texts are accepted in exactly the letter case that age writes.
 */
import type { KeyObject } from 'node:crypto';
import { SallyportError } from '../errors.ts';
import { decodeBech32, encodeBech32 } from './bech32.ts';
import { generatePair, privateKeyFrom, rawPublicKey } from './x25519.ts';

export interface AgeIdentity {
  /** `AGE-SECRET-KEY-1…`; a secret. */
  readonly identity: string;
  /** `age1…`; public. */
  readonly recipient: string;
}

const identityPrefix = 'age-secret-key-';
const recipientPrefix = 'age';
const keyBytes = 32;

export function generateIdentity(): AgeIdentity {
  const { publicKey, privateKey } = generatePair();
  const raw = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const identity = encodeBech32(identityPrefix, raw).toUpperCase();
  raw.fill(0);
  return { identity, recipient: encodeBech32(recipientPrefix, rawPublicKey(publicKey)) };
}

/** @throws SallyportError `key-file` when the text is no X25519 identity of age. */
export function recipientOf(identity: string): string {
  return encodeBech32(recipientPrefix, rawPublicKey(identityKey(identity)));
}

/** The private key of an identity. @throws SallyportError `key-file` */
export function identityKey(identity: string): KeyObject {
  const raw = identity === identity.toUpperCase() ? decodeBech32(identityPrefix, identity) : undefined;
  if (raw?.length !== keyBytes)
    throw new SallyportError('key-file', 'this is no age identity: it must be one AGE-SECRET-KEY-1… line, typed in full');
  try {
    return privateKeyFrom(raw);
  } finally {
    raw.fill(0);
  }
}

/** The 32 bytes of the public key that a recipient names. @throws SallyportError `key-file` */
export function recipientKey(recipient: string): Buffer {
  const raw = recipient === recipient.toLowerCase() ? decodeBech32(recipientPrefix, recipient) : undefined;
  if (raw?.length !== keyBytes)
    throw new SallyportError('key-file', 'this is no age X25519 recipient: it must be one age1… word, typed in full');
  return raw;
}
