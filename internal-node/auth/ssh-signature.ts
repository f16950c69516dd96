/**
 * Proof that the holder of a private key takes part in one SSH connection: the signature of RFC 4252 §7, checked inside.
 *
 * Because the session identifier of that connection is part of what is signed, a DMZ host that was taken over cannot log in
 * as a partner who is not connected; together with the memory of used identifiers (session-operations.ts) it cannot use an
 * old proof again either. SHA-1 (`ssh-rsa`) is not an accepted algorithm.
 */
import { verify } from 'node:crypto';
import type { SshKeyType, SshPublicKey } from '../ssh-public-key.ts';
import { WireReader } from '../ssh-wire.ts';

interface Algorithm {
  readonly keyType: SshKeyType;
  readonly digest: string | null;
}

const algorithms = {
  'ssh-ed25519': { keyType: 'ssh-ed25519', digest: null },
  'ecdsa-sha2-nistp256': { keyType: 'ecdsa-sha2-nistp256', digest: 'sha256' },
  'ecdsa-sha2-nistp384': { keyType: 'ecdsa-sha2-nistp384', digest: 'sha384' },
  'ecdsa-sha2-nistp521': { keyType: 'ecdsa-sha2-nistp521', digest: 'sha512' },
  'rsa-sha2-256': { keyType: 'ssh-rsa', digest: 'sha256' },
  'rsa-sha2-512': { keyType: 'ssh-rsa', digest: 'sha512' },
} as const satisfies Record<string, Algorithm>;

const userAuthRequest = 50;

export interface SignedLogin {
  readonly user: string;
  /** Of the signature: `rsa-sha2-512`, not `ssh-rsa`. */
  readonly algorithm: string;
  /** Session identifier and request, RFC 4252 §7. */
  readonly signed: Buffer;
  /** As ssh2 hands it over: raw for Ed25519 and RSA, DER for ECDSA, without the algorithm name before it. */
  readonly signature: Buffer;
}

/** Whether this key may be used with this signature algorithm. */
export const fitsAlgorithm = (key: SshPublicKey, algorithm: string): boolean => algorithmOf(algorithm)?.keyType === key.type;

/**
 * @returns the SSH session identifier that was signed, or undefined when anything at all does not fit: a field of the
 * signed data that differs from the request, bytes too many, a wrong signature. Never throws for what a stranger sent.
 */
export function verifySignedLogin(login: SignedLogin, key: SshPublicKey): Buffer | undefined {
  const algorithm = algorithmOf(login.algorithm);
  if (algorithm?.keyType !== key.type) return undefined;
  try {
    const identifier = readSigned(login, key);
    if (!identifier) return undefined;
    const valid = verify(algorithm.digest, login.signed, { key: key.key, dsaEncoding: 'der' }, login.signature);
    return valid ? identifier : undefined;
  } catch {
    return undefined;
  }
}

function readSigned(login: SignedLogin, key: SshPublicKey): Buffer | undefined {
  const reader = new WireReader(login.signed);
  const identifier = reader.string();
  const fits =
    identifier.length >= 16 &&
    identifier.length <= 64 &&
    reader.byte() === userAuthRequest &&
    reader.string().equals(Buffer.from(login.user)) &&
    reader.text() === 'ssh-connection' &&
    reader.text() === 'publickey' &&
    reader.byte() === 1 &&
    reader.text() === login.algorithm &&
    reader.string().equals(key.blob);
  reader.end();
  return fits ? Buffer.from(identifier) : undefined;
}

const algorithmOf = (name: string): Algorithm | undefined =>
  Object.hasOwn(algorithms, name) ? algorithms[name as keyof typeof algorithms] : undefined;
