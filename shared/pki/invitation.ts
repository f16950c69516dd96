/**
 * An invitation lets one internal node introduce itself to a DMZ node without a person reading fingerprints. Its token holds the
 * fingerprint of the DMZ node and a secret, and never leaves the internal host: the secret makes a signing key, the DMZ node keeps
 * only the public half, and what crosses is a signature over this one TLS session (RFC 9266) and both ends' keys. So neither
 * whoever sits between the nodes nor whoever reads the DMZ host's disk can use it.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
  sign,
  verify,
  type X509Certificate,
} from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { newToken } from '../secret.ts';
import { spkiOf } from './certificates.ts';
import { parseFingerprint } from './fingerprint.ts';

/** What the internal node sends; the largest such request is `enrolmentBytes`. */
export const enrolmentSchema = z.strictObject({
  /** SHA-256 of the public half, hex. */
  invitation: z.string().regex(/^[0-9a-f]{64}$/),
  signature: z.string().regex(/^[A-Za-z0-9+/]{86}==$/),
});
export type Enrolment = z.infer<typeof enrolmentSchema>;
export const enrolmentBytes = 1024;

/** What the DMZ node answers. */
export const enrolledSchema = z.strictObject({ node: z.string().max(63) });

export interface Invitation {
  /** `SPD-…` of the DMZ node that made it. */
  readonly dmz: string;
  readonly key: KeyObject;
}

/** RFC 8410 §7: an Ed25519 private key in PKCS#8 is this and the 32 bytes of its seed. */
const ed25519Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
const tokenPattern = /^SPT\.(SPD[A-Z2-7]{36})\.([A-Za-z0-9_-]{43})$/;
const exporterLabel = 'EXPORTER-Channel-Binding';

/** @param dmz Fingerprint of the DMZ node. @returns the token, 256 random bits in it, and what the DMZ node keeps. */
export function newInvitation(dmz: string): { readonly token: string; readonly publicKey: Buffer } {
  const token = `SPT.${dmz.replaceAll('-', '')}.${newToken()}`;
  return { token, publicKey: spkiOf(readInvitation(token).key) };
}

/** @throws SallyportError `usage`; the message holds nothing of the token. */
export function readInvitation(token: string): Invitation {
  const [, dmz = '', secret = ''] = tokenPattern.exec(token.trim()) ?? [];
  if (secret === '') {
    throw new SallyportError('usage', 'this is no token of an invitation: one begins with SPT.SPD and has 86 characters', {
      next: 'run `sallyport-dmz invite` on the DMZ host and copy all of the token',
    });
  }
  const seed = Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'base64url'), '', 'sallyport invitation', 32));
  const key = createPrivateKey({ key: Buffer.concat([ed25519Prefix, seed]), format: 'der', type: 'pkcs8' });
  return { dmz: parseFingerprint(dmz).canonical, key };
}

export const invitationId = (publicKey: Buffer): string => createHash('sha256').update(publicKey).digest('hex');

/** What is signed: this TLS session, and the keys of both ends (the exporter of TLS 1.3 does not cover the client's certificate). */
function boundTo(socket: TLSSocket, dmz: X509Certificate, inside: X509Certificate): Buffer {
  const digest = (certificate: X509Certificate): Buffer => createHash('sha256').update(spkiOf(certificate.publicKey)).digest();
  const session = socket.exportKeyingMaterial(32, exporterLabel, Buffer.alloc(0));
  return Buffer.concat([Buffer.from('sallyport enrolment\0'), session, digest(dmz), digest(inside)]);
}

export interface Ends {
  readonly dmz: X509Certificate;
  readonly inside: X509Certificate;
}

export function proveInvitation({ key }: Invitation, socket: TLSSocket, { dmz, inside }: Ends): Enrolment {
  const invitation = invitationId(spkiOf(key));
  return { invitation, signature: sign(null, boundTo(socket, dmz, inside), key).toString('base64') };
}

/** @param publicKey As `newInvitation` gave it. */
export function isProof(signature: string, publicKey: Buffer, socket: TLSSocket, { dmz, inside }: Ends): boolean {
  const key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
  return verify(null, boundTo(socket, dmz, inside), key, Buffer.from(signature, 'base64'));
}
