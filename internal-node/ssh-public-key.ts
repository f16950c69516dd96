/**
 * SSH public keys as partners hand them in (`ssh-ed25519 AAAA… comment`, one OpenSSH line) and as they come over the wire
 * (RFC 4253 §6.6 blobs), turned into keys that `node:crypto` can verify with.
 *
 * Ed25519, ECDSA on the three NIST curves and RSA from 2048 bits are read; everything else, and every blob with a byte too
 * many or a number not in its one form, is refused. A private key that somebody pasted is recognised, refused and not quoted.
 */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { SallyportError } from '../shared/errors.ts';
import { WireReader } from './ssh-wire.ts';

export type SshKeyType = 'ssh-ed25519' | 'ecdsa-sha2-nistp256' | 'ecdsa-sha2-nistp384' | 'ecdsa-sha2-nistp521' | 'ssh-rsa';

export interface SshPublicKey {
  readonly type: SshKeyType;
  /** RFC 4253 §6.6, as it is sent in a login. */
  readonly blob: Buffer;
  /** `SHA256:…`, as OpenSSH prints it. */
  readonly fingerprint: string;
  readonly comment: string;
  readonly key: KeyObject;
}

const curves = {
  'ecdsa-sha2-nistp256': { name: 'nistp256', crv: 'P-256', bytes: 32 },
  'ecdsa-sha2-nistp384': { name: 'nistp384', crv: 'P-384', bytes: 48 },
  'ecdsa-sha2-nistp521': { name: 'nistp521', crv: 'P-521', bytes: 66 },
} as const;
const isCurve = (type: string): type is keyof typeof curves => Object.hasOwn(curves, type);

const maxBlobBytes = 4096;
const rsaBits = { least: 2048, most: 8192 } as const;
const privateKey = /PRIVATE KEY|PuTTY-User-Key-File|b3BlbnNzaC1rZXktdjE/;

/** `SHA256:` and the unpadded base64 of the digest of the blob. */
export const sshFingerprint = (blob: Buffer): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;

/**
 * One line of an `authorized_keys` or `.pub` file, without options.
 * @throws SallyportError `config-invalid`; the detail says what to do and never quotes the text.
 */
export function parseSshPublicKeyLine(line: string): SshPublicKey {
  if (privateKey.test(line)) throw refused('this is a private key; it was not stored; make a new one');
  const text = line.trim();
  if (text.includes('\n')) throw refused('one key is one line; this text has several');
  const match = /^((?:ssh|ecdsa|sk)-\S+)[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t]+(.*))?$/.exec(text);
  if (!match) throw refused('expected an OpenSSH public key line such as "ssh-ed25519 AAAA… name"');
  const [, type = '', encoded = '', comment = ''] = match;
  const blob = Buffer.from(encoded, 'base64');
  if (blob.toString('base64').replace(/=+$/, '') !== encoded.replace(/=+$/, '')) throw refused('its base64 is damaged');
  const key = parseSshPublicKeyBlob(blob, comment);
  if (key.type !== type) throw refused(`the line says "${type.slice(0, 64)}", the key in it is ${key.type}`);
  return key;
}

/** @throws SallyportError `config-invalid` when it is no key of a type and strength that is accepted. */
export function parseSshPublicKeyBlob(blob: Buffer, comment = ''): SshPublicKey {
  if (blob.length > maxBlobBytes) throw refused(`the key is longer than ${maxBlobBytes} bytes`);
  const reader = new WireReader(blob);
  try {
    const type = reader.text();
    const jwk = readKey(type, reader);
    reader.end();
    const key = createPublicKey({ key: jwk, format: 'jwk' });
    return { type: type as SshKeyType, blob, fingerprint: sshFingerprint(blob), comment, key };
  } catch (cause) {
    if (cause instanceof SallyportError && cause.code === 'config-invalid') throw cause;
    throw refused('the key is damaged', cause);
  }
}

function readKey(type: string, reader: WireReader): JsonWebKey {
  if (type === 'ssh-ed25519') {
    const point = reader.string();
    if (point.length !== 32) throw refused('an Ed25519 key has 32 bytes');
    return { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') };
  }
  if (isCurve(type)) {
    const { name, crv, bytes } = curves[type];
    if (reader.text() !== name) throw refused('the curve does not fit the key type');
    const point = reader.string();
    if (point.length !== 1 + 2 * bytes || point[0] !== 4) throw refused('an uncompressed curve point is needed');
    const x = point.subarray(1, 1 + bytes).toString('base64url');
    return { kty: 'EC', crv, x, y: point.subarray(1 + bytes).toString('base64url') };
  }
  if (type === 'ssh-rsa') {
    const exponent = reader.positiveInteger();
    const modulus = reader.positiveInteger();
    const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
    if (bits < rsaBits.least || bits > rsaBits.most) {
      throw refused(`an RSA key of ${bits} bits; allowed is ${rsaBits.least} to ${rsaBits.most}. Better: Ed25519`);
    }
    if (exponent.length > 8) throw refused('the RSA exponent is too large');
    return { kty: 'RSA', n: modulus.toString('base64url'), e: exponent.toString('base64url') };
  }
  throw refused('keys of this type are not accepted; use ssh-ed25519, ecdsa-sha2-nistp256/384/521 or ssh-rsa from 2048 bits');
}

const refused = (detail: string, cause?: unknown): SallyportError =>
  new SallyportError('config-invalid', detail, {}, cause === undefined ? undefined : { cause });
