/** X25519 on raw 32-byte keys (RFC 7748) over node:crypto, which only takes keys in envelopes. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';

/** RFC 8410 §7: PKCS#8 of an X25519 private key up to its 32 bytes. */
const pkcs8Start = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** RFC 8410 §4: SPKI of an X25519 public key up to its 32 bytes. */
const spkiStart = Buffer.from('302a300506032b656e032100', 'hex');

export function privateKeyFrom(raw: Buffer): KeyObject {
  const der = Buffer.concat([pkcs8Start, raw]);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

export const publicKeyFrom = (raw: Buffer): KeyObject =>
  createPublicKey({ key: Buffer.concat([spkiStart, raw]), format: 'der', type: 'spki' });

/** The 32 bytes of the public half of a key. */
export function rawPublicKey(key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
}

export const generatePair = (): { publicKey: KeyObject; privateKey: KeyObject } => generateKeyPairSync('x25519');

/** @returns The shared secret, or undefined when `theirs` is a point of low order (RFC 7748 §6.1: the result is zero). */
export function sharedSecret(ours: KeyObject, theirs: KeyObject): Buffer | undefined {
  let secret: Buffer;
  try {
    secret = diffieHellman({ privateKey: ours, publicKey: theirs });
  } catch {
    return undefined; // OpenSSL refuses the zero result itself; the check below holds for libraries that do not
  }
  return secret.some((byte) => byte !== 0) ? secret : undefined;
}
