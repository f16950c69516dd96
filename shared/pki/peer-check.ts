/**
 * Whether the other end of a tunnel is the node that a person named. TLS proves that the peer holds the key of its
 * certificate; everything else is decided here, in a fixed order, so that a refusal always names the one check that failed:
 * pin (the key), ca (the recorded authority), usage (purpose and role), then the dates. Refused keys are looked up by peer-trust.ts.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { SallyportError } from '../errors.ts';
import { policyUsageOid, spkiOf } from './certificates.ts';
import { fingerprintOf, type NodeRole } from './fingerprint.ts';
import { tunnelUsage } from './node-keys.ts';

export const peerChecks = ['no-certificate', 'pin', 'revoked', 'ca', 'usage', 'expired', 'not-yet-valid'] as const;
export type PeerCheck = (typeof peerChecks)[number];

export interface PresentedPeer {
  readonly leaf: X509Certificate | undefined;
  /** The authority that came with the leaf in the handshake. */
  readonly authority: X509Certificate | undefined;
}

export interface ExpectedPeer {
  readonly role: NodeRole;
  /** As a person typed it, in canonical form. */
  readonly fingerprint: string;
  /** PEM of the authority seen at first contact; undefined before it. */
  readonly recordedCa: string | undefined;
}

export type PeerVerdict =
  | { readonly ok: true; readonly name: string; readonly fingerprint: string; readonly caPem: string }
  | { readonly ok: false; readonly check: PeerCheck; readonly detail: string };

export const refused = (check: PeerCheck, detail: string): PeerVerdict => ({ ok: false, check, detail });

/** Judges a peer. Never throws. */
export function checkPeer(presented: PresentedPeer, expected: ExpectedPeer, nowMs: number): PeerVerdict {
  const { leaf } = presented;
  if (!leaf) return refused('no-certificate', 'no certificate was presented');
  const fingerprint = fingerprintOf(expected.role, spkiOf(leaf.publicKey));
  if (fingerprint !== expected.fingerprint) {
    return refused('pin', `its key has the fingerprint ${fingerprint}, expected is ${expected.fingerprint}`);
  }
  const authority = expected.recordedCa === undefined ? presented.authority : new X509Certificate(expected.recordedCa);
  const issuer = issuerProblem(leaf, authority);
  if (issuer !== undefined || !authority) return refused('ca', issuer ?? 'no authority');
  const usage = usageProblem(leaf, expected.role);
  if (usage !== undefined) return refused('usage', usage);
  const dates = dateProblem(leaf, nowMs, 'certificate') ?? dateProblem(authority, nowMs, 'authority');
  if (dates) return dates;
  const name = /^URI:sallyport:\/\/[a-z]+\/(\S+)$/.exec(leaf.subjectAltName ?? '')?.[1] ?? '';
  return { ok: true, name, fingerprint, caPem: authority.toString() };
}

function issuerProblem(leaf: X509Certificate, authority: X509Certificate | undefined): string | undefined {
  if (!authority) return 'no authority came with the certificate and none is recorded';
  if (!authority.ca) return 'the presented authority is not a certificate authority';
  if (!authority.verify(authority.publicKey)) return 'the authority is not self-signed';
  if (!leaf.checkIssued(authority) || !leaf.verify(authority.publicKey)) {
    return 'the certificate was not issued by the authority recorded for this node';
  }
  return undefined;
}

function usageProblem(leaf: X509Certificate, role: NodeRole): string | undefined {
  if (leaf.ca) return 'the certificate is an authority, not a node';
  // Node and OpenSSL accept a certificate without any purpose for every purpose; we do not.
  const usages = leaf.keyUsage ?? [];
  if (usages.length !== 1 || usages[0] !== tunnelUsage(role)) {
    return `the certificate is for ${usages.length > 0 ? usages.join(' and ') : 'no purpose'}, needed is exactly ${tunnelUsage(role)}`;
  }
  if (!/^URI:sallyport:\/\/(dmz|internal)\/[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(leaf.subjectAltName ?? '')) {
    return 'the certificate names no node';
  }
  if (!leaf.subjectAltName?.startsWith(`URI:sallyport://${role}/`)) return `the certificate is not one of a ${role} node`;
  return undefined;
}

function dateProblem(certificate: X509Certificate, nowMs: number, what: string): PeerVerdict | undefined {
  if (nowMs > certificate.validToDate.getTime()) return refused('expired', `its ${what} ended on ${certificate.validTo}`);
  if (nowMs < certificate.validFromDate.getTime())
    return refused('not-yet-valid', `its ${what} begins on ${certificate.validFrom}`);
  return undefined;
}

/**
 * The key that signs policy bundles, once its certificate is seen to come from an authority of the internal node.
 * @param authorities PEM; two while they are exchanged.
 * @throws SallyportError `peer-refused` with the field `check`.
 */
export function verifyPolicyCertificate(certificatePem: string, authorities: readonly string[], nowMs: number): KeyObject {
  const fail = (check: PeerCheck, detail: string): never => {
    throw new SallyportError('peer-refused', `the policy certificate was refused (${check}): ${detail}`, { check });
  };
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificatePem);
  } catch {
    return fail('no-certificate', 'it cannot be read');
  }
  const known = authorities.map((pem) => new X509Certificate(pem));
  const authority = known.find((candidate) => issuerProblem(leaf, candidate) === undefined);
  if (!authority) return fail('ca', issuerProblem(leaf, known[0]) ?? 'no authority');
  const usages = leaf.keyUsage ?? [];
  if (leaf.ca || usages.length !== 1 || usages[0] !== policyUsageOid) fail('usage', 'it is not for signing policy');
  if (leaf.publicKey.asymmetricKeyType !== 'ed25519') fail('usage', 'its key is not Ed25519');
  const dates = dateProblem(leaf, nowMs, 'certificate') ?? dateProblem(authority, nowMs, 'authority');
  if (dates && !dates.ok) fail(dates.check, dates.detail);
  return leaf.publicKey;
}
