/**
 * Proof that the holder of a private key takes part in one SSH connection: the signature of RFC 4252 §7, checked inside.
 *
 * Because the session identifier of that connection is part of what is signed, a DMZ host that was taken over cannot log in
 * as a partner who is not connected; that the identifier is a new one is what `handshake-proof.ts` finds out. SHA-1 (`ssh-rsa`)
 * is not an accepted algorithm. Signatures are taken as they go over the wire, and every byte of them is of a stranger.
 */
import { createHash, verify } from 'node:crypto';
import type { SshKeyType, SshPublicKey } from '../ssh-public-key.ts';
import { WireReader } from '../ssh-wire.ts';

interface Algorithm {
  readonly keyType: SshKeyType;
  readonly digest: string | null;
  /** The signature is two numbers. */
  readonly numbers?: true;
}

const algorithms = {
  'ssh-ed25519': { keyType: 'ssh-ed25519', digest: null },
  'ecdsa-sha2-nistp256': { keyType: 'ecdsa-sha2-nistp256', digest: 'sha256', numbers: true },
  'ecdsa-sha2-nistp384': { keyType: 'ecdsa-sha2-nistp384', digest: 'sha384', numbers: true },
  'ecdsa-sha2-nistp521': { keyType: 'ecdsa-sha2-nistp521', digest: 'sha512', numbers: true },
  'rsa-sha2-256': { keyType: 'ssh-rsa', digest: 'sha256' },
  'rsa-sha2-512': { keyType: 'ssh-rsa', digest: 'sha512' },
  'sk-ssh-ed25519@openssh.com': { keyType: 'sk-ssh-ed25519@openssh.com', digest: null },
  'sk-ecdsa-sha2-nistp256@openssh.com': { keyType: 'sk-ecdsa-sha2-nistp256@openssh.com', digest: 'sha256', numbers: true },
} as const satisfies Record<string, Algorithm>;

const userAuthRequest = 50;

/** What a FIDO device says of its user; it is part of what it signs. */
export interface DeviceSigned {
  /** The user touched the device. */
  readonly present: boolean;
  /** The device knew him, by PIN or finger. */
  readonly verified: boolean;
}

export interface SignedLogin {
  readonly user: string;
  /** Of the request: `rsa-sha2-512`, not `ssh-rsa`; that of a certificate where one was shown. */
  readonly algorithm: string;
  /** Key or certificate, as it was shown. */
  readonly blob: Buffer;
  /** Session identifier and request, RFC 4252 §7. */
  readonly signed: Buffer;
  /** Name of the algorithm and signature, RFC 4253 §6.6; of devices with flags and counter behind them. */
  readonly signature: Buffer;
}

export interface ProvenLogin {
  /** The SSH session identifier that was signed. */
  readonly identifier: Buffer;
  readonly device: DeviceSigned | undefined;
}

const certificateName = /^(.+)-cert-v01@openssh\.com$/;

/** Whether a login names the algorithm of a certificate. */
export const isCertificateAlgorithm = (algorithm: string): boolean => certificateName.test(algorithm);

/** `rsa-sha2-512-cert-v01@openssh.com` signs with `rsa-sha2-512`; a key algorithm with itself. */
export function signatureAlgorithmOf(algorithm: string): string {
  const [, plain] = certificateName.exec(algorithm) ?? [];
  if (plain === undefined) return algorithm;
  return plain.startsWith('sk-') ? `${plain}@openssh.com` : plain;
}

/** Whether this key may be used with this algorithm of a request. */
export const fitsAlgorithm = (key: SshPublicKey, algorithm: string): boolean =>
  algorithmOf(signatureAlgorithmOf(algorithm))?.keyType === key.type;

/**
 * @returns undefined when anything at all does not fit: a field of the signed data that differs from the request, bytes too
 * many, a wrong signature. Never throws for what a stranger sent.
 */
export function verifySignedLogin(login: SignedLogin, key: SshPublicKey): ProvenLogin | undefined {
  try {
    const identifier = readSigned(login);
    const device = identifier && checkSignature(key, signatureAlgorithmOf(login.algorithm), login.signed, login.signature);
    return identifier && device ? { identifier, device: device === 'no device' ? undefined : device } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether an authority signed these bytes, with whatever algorithm its key has; touching a device is not asked of it.
 * @throws what reading and `node:crypto` throw for what is no signature.
 */
export const isSignedBy = (key: SshPublicKey, data: Buffer, signature: Buffer): boolean =>
  checkSignature(key, new WireReader(signature).text(), data, signature) !== undefined;

function checkSignature(
  key: SshPublicKey,
  name: string,
  data: Buffer,
  signature: Buffer,
): DeviceSigned | 'no device' | undefined {
  const algorithm = algorithmOf(name);
  if (algorithm?.keyType !== key.type) return undefined;
  const reader = new WireReader(signature);
  if (reader.text() !== name) return undefined;
  const bytes = algorithm.numbers ? readNumbers(reader.string(), key) : reader.string();
  const valid = (message: Buffer): boolean =>
    verify(algorithm.digest, message, { key: key.key, dsaEncoding: 'ieee-p1363' }, bytes);
  if (key.application === undefined) {
    reader.end();
    return valid(data) ? 'no device' : undefined;
  }
  const flags = reader.take(5);
  reader.end();
  // PROTOCOL.u2f of OpenSSH: digest of the application, flags and counter, digest of the message.
  if (!valid(Buffer.concat([sha256(key.application), flags, sha256(data)]))) return undefined;
  const [bits = 0] = flags;
  return { present: (bits & 1) !== 0, verified: (bits & 4) !== 0 };
}

const sha256 = (data: Buffer | string): Buffer => createHash('sha256').update(data).digest();

/** Two numbers of RFC 5656 §3.1.2 in the fixed length that their curve has. */
function readNumbers(packed: Buffer, { type }: SshPublicKey): Buffer {
  const bytes = type.includes('nistp521') ? 66 : type.includes('nistp384') ? 48 : 32;
  const reader = new WireReader(packed);
  const fixed = Buffer.alloc(2 * bytes);
  for (const end of [bytes, 2 * bytes]) {
    const number = reader.positiveInteger();
    if (number.length > bytes) throw new RangeError('a number beyond the curve');
    number.copy(fixed, end - number.length);
  }
  reader.end();
  return fixed;
}

function readSigned(login: SignedLogin): Buffer | undefined {
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
    reader.string().equals(login.blob);
  reader.end();
  return fits ? Buffer.from(identifier) : undefined;
}

const algorithmOf = (name: string): Algorithm | undefined =>
  Object.hasOwn(algorithms, name) ? algorithms[name as keyof typeof algorithms] : undefined;
