/**
 * SSH public keys as partners hand them in (`ssh-ed25519 AAAA… comment`, one OpenSSH line) and as they come over the wire
 * (RFC 4253 §6.6 blobs), turned into keys that `node:crypto` can verify with.
 *
 * Ed25519, ECDSA on the three NIST curves, RSA from 2048 bits and keys of FIDO devices (OpenSSH's PROTOCOL.u2f) are read;
 * everything else, and every blob with a byte too many or a number not in its one form, is refused. A private key that somebody
 * pasted is recognised, refused and not quoted.
 */
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { SallyportError } from '../shared/errors.ts';
import { WireReader } from './ssh-wire.ts';

export type SshKeyType =
  | 'ssh-ed25519'
  | 'ecdsa-sha2-nistp256'
  | 'ecdsa-sha2-nistp384'
  | 'ecdsa-sha2-nistp521'
  | 'ssh-rsa'
  | 'sk-ssh-ed25519@openssh.com'
  | 'sk-ecdsa-sha2-nistp256@openssh.com';

export interface SshPublicKey {
  readonly type: SshKeyType;
  /** RFC 4253 §6.6, as it is sent in a login. */
  readonly blob: Buffer;
  /** `SHA256:…`, as OpenSSH prints it. */
  readonly fingerprint: string;
  readonly comment: string;
  readonly key: KeyObject;
  /** Of a key in a FIDO device: what it is for, which the device signs too. */
  readonly application?: string;
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

/** A key that is registered for a partner. */
export interface RegisteredKey extends SshPublicKey {
  /** The day it was added, as it was written: 2026-11-22. */
  readonly added?: string | undefined;
  /** Of a FIDO device: it must have verified its user, by PIN or finger. */
  readonly verify: boolean;
}

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
    const parts = readKey(type, reader);
    reader.end();
    return { ...parts, blob, fingerprint: sshFingerprint(blob), comment };
  } catch (cause) {
    if (cause instanceof SallyportError && cause.code === 'config-invalid') throw cause;
    throw refused('the key is damaged', cause);
  }
}

/**
 * What follows the type of a key: in a blob by itself, and in a certificate.
 * @throws SallyportError `config-invalid`, `protocol-violation`; TypeError for numbers that are no key.
 */
export function readKey(type: string, reader: WireReader): Pick<SshPublicKey, 'type' | 'key' | 'application'> {
  const known = type as SshKeyType;
  const [, plain] = /^sk-(.+)@openssh\.com$/.exec(type) ?? [];
  if (plain !== 'ssh-ed25519' && plain !== 'ecdsa-sha2-nistp256') return { type: known, key: readPlainKey(type, reader) };
  const key = readPlainKey(plain, reader);
  const application = reader.string().toString('latin1');
  // A device makes keys for websites too, whose signatures a site could ask for.
  if (!/^ssh:[\x21-\x7e]{0,200}$/.test(application)) throw refused('the key of this device was not made for SSH');
  return { type: known, key, application };
}

function readPlainKey(type: string, reader: WireReader): KeyObject {
  const jwk = readNumbers(type, reader);
  return createPublicKey({ key: jwk, format: 'jwk' });
}

function readNumbers(type: string, reader: WireReader): JsonWebKey {
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
  throw refused(
    'keys of this type are not accepted; use ssh-ed25519, ecdsa-sha2-nistp256/384/521, one of the two in FIDO devices (sk-), or ssh-rsa from 2048 bits',
  );
}

const refused = (detail: string, cause?: unknown): SallyportError =>
  new SallyportError('config-invalid', detail, {}, cause === undefined ? undefined : { cause });
