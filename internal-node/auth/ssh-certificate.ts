/**
 * OpenSSH user certificates (PROTOCOL.certkeys): an authority says by its signature that a key belongs to somebody, from when to
 * when, and under which conditions. Reading one believes nothing: `certificateObjection` says whether it counts.
 *
 * Conditions (critical options) that are not known here refuse. Extensions grant nothing that SFTP could use, and are passed over,
 * `no-touch-required` among them: a FIDO device has to be touched, whatever a certificate says.
 */
import { BlockList, isIP } from 'node:net';
import { SallyportError } from '../../shared/errors.ts';
import { parseSshPublicKeyBlob, readKey, type SshPublicKey, sshFingerprint } from '../ssh-public-key.ts';
import { sshBytes, WireReader } from '../ssh-wire.ts';
import type { RejectReason } from './rejections.ts';
import { isSignedBy } from './ssh-signature.ts';

export interface SshCertificate {
  /** What it certifies; the comment is empty. */
  readonly key: SshPublicKey;
  readonly serial: bigint;
  /** A name that the authority gave it. */
  readonly keyId: string;
  /** For whom it is; with none it is for nobody. */
  readonly principals: readonly string[];
  /** Seconds since 1970. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: ReadonlyMap<string, Buffer>;
  readonly authority: SshPublicKey;
  /** What the authority signed, and its signature. */
  readonly signed: Buffer;
  readonly signature: Buffer;
}

/** A certificate with a name for each partner of a large site would need more than a message may hold. */
const maxCertificateBytes = 6144;
const maxNames = 256;
const maxOptions = 16;
const userCertificate = 1;

/**
 * @returns undefined for what is no user certificate of a key that is accepted: a byte too many, a name twice, another kind.
 * Never throws for what a stranger sent.
 */
export function readCertificate(blob: Buffer): SshCertificate | undefined {
  try {
    return blob.length > maxCertificateBytes ? undefined : readWhole(blob);
  } catch {
    return undefined;
  }
}

function readWhole(blob: Buffer): SshCertificate | undefined {
  const reader = new WireReader(blob);
  const [, plain = ''] = /^(.+)-cert-v01@openssh\.com$/.exec(reader.text()) ?? [];
  const type = plain.startsWith('sk-') ? `${plain}@openssh.com` : plain;
  reader.string(); // a random number of the authority
  const before = reader.left;
  const parts = readKey(type, reader);
  const keyBlob = Buffer.concat([sshBytes(type), blob.subarray(blob.length - before, blob.length - reader.left)]);
  const serial = reader.uint64();
  if (reader.uint32() !== userCertificate) return undefined;
  const keyId = reader.string().toString('utf8');
  const principals = reader.strings(maxNames).map((name) => name.toString('utf8'));
  const [validAfter, validBefore] = [reader.uint64(), reader.uint64()];
  const criticalOptions = readOptions(reader.strings(2 * maxOptions));
  readOptions(reader.strings(2 * maxOptions));
  reader.string(); // reserved
  const authority = parseSshPublicKeyBlob(reader.string());
  const signed = blob.subarray(0, blob.length - reader.left);
  const signature = reader.string();
  reader.end();
  const key = { ...parts, blob: keyBlob, fingerprint: sshFingerprint(keyBlob), comment: '' };
  return { key, serial, keyId, principals, validAfter, validBefore, criticalOptions, authority, signed, signature };
}

function readOptions(strings: readonly Buffer[]): ReadonlyMap<string, Buffer> {
  const options = new Map<string, Buffer>();
  for (let i = 0; i < strings.length; i += 2) {
    const [name, value] = [strings[i]?.toString('latin1') ?? '', strings[i + 1]];
    if (!value || options.has(name)) throw new SallyportError('protocol-violation', 'the options of a certificate are damaged');
    options.set(name, value);
  }
  return options;
}

export interface CertificateUse {
  /** Names of which the certificate must bear one. */
  readonly principals: readonly string[];
  /** Where the partner comes from, as the DMZ node claims: worth as much as its word. */
  readonly peer: string;
  /** Undefined: its dates are not asked. */
  readonly nowMs: number | undefined;
}

/** Why a certificate of an authority that is trusted does not count here and now. Revocation is not looked at. */
export function certificateObjection(certificate: SshCertificate, use: CertificateUse): RejectReason | undefined {
  if (!isAuthentic(certificate)) return 'certificate not signed by its authority';
  const date = use.nowMs === undefined ? undefined : dateObjection(certificate, use.nowMs);
  if (date) return date;
  if (!certificate.principals.some((name) => use.principals.includes(name))) return 'certificate of somebody else';
  for (const [name, value] of certificate.criticalOptions) {
    const objection = optionObjection(name, value, use.peer);
    if (objection) return objection;
  }
  return undefined;
}

function dateObjection({ validAfter, validBefore }: SshCertificate, nowMs: number): RejectReason | undefined {
  const now = BigInt(Math.floor(nowMs / 1000));
  if (now < validAfter) return 'certificate not valid yet';
  return now >= validBefore ? 'certificate expired' : undefined;
}

/** Whether the holder must have been verified by his FIDO device. */
export const wantsVerification = ({ criticalOptions }: SshCertificate): boolean => criticalOptions.has('verify-required');

function isAuthentic({ authority, signed, signature }: SshCertificate): boolean {
  try {
    return isSignedBy(authority, signed, signature);
  } catch {
    return false;
  }
}

function optionObjection(name: string, value: Buffer, peer: string): RejectReason | undefined {
  if (name === 'verify-required') return value.length === 0 ? undefined : 'certificate with an unknown condition';
  const text = soleText(value);
  // The one command that is ever run here.
  if (name === 'force-command' && text === 'internal-sftp') return undefined;
  if (name !== 'source-address' || text === undefined) return 'certificate with an unknown condition';
  return holds(text, peer) ? undefined : 'certificate for another source address';
}

function soleText(value: Buffer): string | undefined {
  try {
    const reader = new WireReader(value);
    const text = reader.string().toString('latin1');
    reader.end();
    return text;
  } catch {
    return undefined;
  }
}

/** `198.51.100.0/24,2001:db8::/32`. Anything else in the list refuses everybody. */
function holds(list: string, peer: string): boolean {
  const ranges = new BlockList();
  for (const range of list.split(',')) {
    const [address = '', prefix, ...rest] = range.split('/');
    const version = isIP(address);
    const most = version === 4 ? 32 : 128;
    const bits = prefix === undefined ? most : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    if (version === 0 || rest.length > 0 || bits < 0 || bits > most) return false;
    ranges.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
  }
  const version = isIP(peer);
  return version !== 0 && ranges.check(peer, version === 4 ? 'ipv4' : 'ipv6');
}
