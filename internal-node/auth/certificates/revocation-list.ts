/**
 * Certificate revocation lists (RFC 5280 §5): which serial numbers of one authority are void. A list counts only with the
 * authority's own signature; one that says it is only about some certificates (a critical extension) is refused, because what it
 * leaves out would pass.
 */
import { type KeyObject, verify } from 'node:crypto';
import { SallyportError } from '../../../shared/errors.ts';
import { type CertificateParts, extensionsOf } from './certificate-parts.ts';
import { type DerValue, derList, derNumber, derOid, derTag, derTime, eachDer, readDer } from './der.ts';

export interface RevocationList {
  /** DER of the authority's name. */
  readonly issuer: Buffer;
  /** After it the list is out of date. */
  readonly nextUpdateMs: number;
  readonly thisUpdateMs: number;
  /** Serial numbers as `derNumber` writes them. */
  readonly revoked: ReadonlySet<string>;
  /** Whether this authority has signed it. */
  isBy(authority: CertificateParts): boolean;
}

const hashes: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null,
};

/**
 * @param bytes PEM or DER.
 * @throws SallyportError `usage` saying what is wrong with it.
 */
export function parseRevocationList(bytes: Buffer): RevocationList {
  const der = fromPem(bytes);
  const [body, algorithm, signature] = derList(readDer(der), derTag.sequence);
  const parts = derList(body, derTag.sequence);
  const [, issuer, thisUpdate, ...rest] = parts[0]?.tag === derTag.integer ? parts.slice(1) : parts;
  const nextUpdate = rest.find(({ tag }) => tag === derTag.utcTime || tag === derTag.generalizedTime);
  if (!issuer || !nextUpdate || !body) throw new SallyportError('usage', 'a revocation list needs an issuer and a next update');
  refuseCritical(rest.find(({ tag }) => tag === 0xa0));
  const hash = hashes[derOid(derList(algorithm, derTag.sequence)[0])];
  if (hash === undefined)
    throw new SallyportError('usage', 'the list is signed in a way that is not taken (RSA, ECDSA, Ed25519)');
  const signed = signature?.tag === derTag.bitString ? signature.content.subarray(1) : Buffer.alloc(0);
  return {
    issuer: issuer.whole,
    thisUpdateMs: derTime(thisUpdate),
    nextUpdateMs: derTime(nextUpdate),
    revoked: serials(rest.find(({ tag }) => tag === derTag.sequence)),
    isBy: (authority) =>
      authority.subject.equals(issuer.whole) &&
      authority.certificate.ca &&
      authority.signsLists &&
      verified(hash, body.whole, authority.certificate.publicKey, signed),
  };
}

function fromPem(bytes: Buffer): Buffer {
  if (bytes[0] === derTag.sequence) return bytes;
  const [, base64] = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/.exec(bytes.toString('latin1')) ?? [];
  if (base64 === undefined) throw new SallyportError('usage', 'this is no revocation list, neither PEM nor DER');
  return Buffer.from(base64, 'base64');
}

function serials(list: DerValue | undefined): ReadonlySet<string> {
  const found = new Set<string>();
  for (const entry of list ? eachDer(list.content) : []) {
    const [serial, , extensions] = derList(entry, derTag.sequence);
    if (extensions) refuseCriticalOf(extensions);
    found.add(derNumber(serial));
  }
  return found;
}

const refuseCritical = (wrapped: DerValue | undefined): void => {
  if (wrapped) refuseCriticalOf(readDer(wrapped.content));
};

function refuseCriticalOf(list: DerValue): void {
  const critical = extensionsOf(list).find((extension) => extension.critical);
  if (critical) {
    throw new SallyportError(
      'usage',
      `the list has the critical extension ${critical.oid}: partial and indirect lists are not taken`,
    );
  }
}

function verified(hash: string | null, signed: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify(hash, signed, { key, dsaEncoding: 'der' }, signature);
  } catch {
    return false;
  }
}
