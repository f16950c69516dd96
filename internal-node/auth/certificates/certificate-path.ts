/**
 * Whether a certificate leads to an authority that staff trusts, and is not void (RFC 5280 §6, the part of it that is used).
 *
 * Every step is a signature checked by node:crypto, a date, the right to issue and its path length. What a certificate calls
 * critical and is not known here refuses it, name constraints among them: nothing is passed by not looking. Where revocation
 * lists are given, the authority of the leaf must have one that is not out of date.
 */
import type { CertificateParts } from './certificate-parts.ts';
import type { RevocationList } from './revocation-list.ts';

export interface TrustedIssuers {
  /** Each of them is where a path may end. */
  readonly authorities: readonly CertificateParts[];
  /** Undefined: nobody is asked what is void. */
  readonly lists: readonly RevocationList[] | undefined;
}

export interface CertificateFault {
  readonly about: 'the certificate' | 'its issuers' | 'revocation';
  readonly text: string;
}

const longestPath = 6;
/** What is looked at: key usage, alternative names, basic constraints, extended key usage; and policies, which only narrow. */
const understood = new Set(['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.37', '2.5.29.32']);
const clientUsages = ['1.3.6.1.5.5.7.3.2', '2.5.29.37.0'];

/**
 * What is wrong with the leaf itself, whoever issued it; undefined when nothing is.
 * @param nowMs Undefined, here and below: dates are not asked, neither those of certificates nor those of lists.
 */
export function leafFault(leaf: CertificateParts, nowMs: number | undefined): CertificateFault | undefined {
  const { keyUsage } = leaf.certificate;
  const forClients = !keyUsage || keyUsage.some((usage) => clientUsages.includes(usage));
  const text = forClients ? (dateFault(leaf, nowMs) ?? criticalFault(leaf)) : 'it is not for TLS clients';
  return text === undefined ? undefined : { about: 'the certificate', text };
}

/**
 * @param chain As the client showed it, the leaf first.
 * @returns what is wrong; undefined when a path leads to an authority and nothing on it is void.
 */
export function pathFault(
  [leaf, ...between]: readonly CertificateParts[],
  trusted: TrustedIssuers,
  nowMs: number | undefined,
): CertificateFault | undefined {
  if (!leaf) return { about: 'the certificate', text: 'there is none' };
  if (leaf.certificate.ca) return { about: 'the certificate', text: 'it is that of an authority, not of a client' };
  return leafFault(leaf, nowMs) ?? climb([leaf], between, trusted, nowMs);
}

/** Tries every issuer of the last one of the path. @returns the fault of the path that came furthest. */
function climb(
  path: readonly CertificateParts[],
  between: readonly CertificateParts[],
  trusted: TrustedIssuers,
  nowMs: number | undefined,
): CertificateFault | undefined {
  const top = path.at(-1);
  if (!top || path.length > longestPath) return ofIssuers('its path is too long');
  let fault: CertificateFault | undefined;
  for (const anchor of trusted.authorities.filter((issuer) => hasIssued(issuer, top))) {
    fault = issuerFault(anchor, path, nowMs) ?? revocationFault([...path, anchor], trusted.lists, nowMs);
    if (fault === undefined) return undefined;
  }
  for (const issuer of between.filter((candidate) => !path.includes(candidate) && hasIssued(candidate, top))) {
    fault = issuerFault(issuer, path, nowMs) ?? climb([...path, issuer], between, trusted, nowMs);
    if (fault === undefined) return undefined;
  }
  return fault ?? ofIssuers('none of the authorities has issued it');
}

const ofIssuers = (text: string): CertificateFault => ({ about: 'its issuers', text });
const ofLists = (text: string): CertificateFault => ({ about: 'revocation', text });

const hasIssued = (issuer: CertificateParts, { certificate, issuer: name }: CertificateParts): boolean =>
  issuer.subject.equals(name) && certificate.checkIssued(issuer.certificate) && certificate.verify(issuer.certificate.publicKey);

/** @param path Below the issuer; all but the leaf are authorities. */
function issuerFault(
  issuer: CertificateParts,
  path: readonly CertificateParts[],
  nowMs: number | undefined,
): CertificateFault | undefined {
  if (!issuer.certificate.ca) return ofIssuers('it was issued by one that is no authority');
  const { pathLength } = issuer;
  if (pathLength !== undefined && path.length - 1 > pathLength) return ofIssuers('its path is longer than an authority allows');
  const text = dateFault(issuer, nowMs) ?? criticalFault(issuer);
  return text === undefined ? undefined : ofIssuers(`an authority of its path: ${text}`);
}

/** From the leaf up: the leaf's authority must have a list, those above are asked when they have one. */
function revocationFault(
  path: readonly CertificateParts[],
  lists: readonly RevocationList[] | undefined,
  nowMs: number | undefined,
): CertificateFault | undefined {
  if (!lists) return undefined;
  for (const [index, one] of path.slice(0, -1).entries()) {
    const issuer = path[index + 1];
    const own = issuer ? lists.filter((list) => list.isBy(issuer)) : [];
    // Any list of the authority that names it makes it void, also an old one.
    if (own.some((list) => list.revoked.has(one.serial))) return ofLists('it was revoked');
    if (nowMs === undefined) continue;
    const current = own.some((list) => list.thisUpdateMs <= nowMs && nowMs <= list.nextUpdateMs);
    if (current || (own.length === 0 && index > 0)) continue;
    const outOfDate = 'the revocation list of its authority is out of date';
    return ofLists(own.length === 0 ? 'its authority has no revocation list here' : outOfDate);
  }
  return undefined;
}

function dateFault({ certificate }: CertificateParts, nowMs: number | undefined): string | undefined {
  if (nowMs === undefined) return undefined;
  if (nowMs > certificate.validToDate.getTime()) return `it ended on ${certificate.validToDate.toISOString()}`;
  if (nowMs < certificate.validFromDate.getTime()) return `it begins on ${certificate.validFromDate.toISOString()}`;
  return undefined;
}

function criticalFault({ critical }: CertificateParts): string | undefined {
  const unknown = critical.find((oid) => !understood.has(oid));
  return unknown === undefined ? undefined : `its critical extension ${unknown} is not understood`;
}
