/**
 * Makes X.509 certificates: a node's own authority, its tunnel leaf and the policy leaf of the internal node.
 *
 * node-forge writes names, extensions and ASN.1; it knows only RSA, so the certificate is begun with a stand-in key and the
 * algorithm and the key of the body are put in afterwards. Keys are made, held and used by node:crypto only. Nothing is
 * verified here: see peer-check.ts.
 */
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';
import type { NodeRole } from './fingerprint.ts';

/** Purpose of the certificate that signs policy bundles: a UUID arc (X.667), so it needs no registry. */
export const policyUsageOid = '2.25.51094365813485320743066524639594202182';
export const serverUsageOid = '1.3.6.1.5.5.7.3.1';
export const clientUsageOid = '1.3.6.1.5.5.7.3.2';

/** Certificates begin a little in the past: the clocks of two hosts are never the same. */
const backdateMs = 3_600_000;
const dayMs = 86_400_000;
export const authorityDays = 3653;
/** Renewed long before by the node itself, see `certificate-life.ts`. */
export const leafDays = 30;

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface Authority {
  readonly certificatePem: string;
  readonly key: KeyObject;
}

export interface AuthorityRequest {
  /** Common name. */
  readonly name: string;
  readonly key: KeyObject;
  readonly validity: Validity;
}

export interface LeafRequest {
  readonly name: string;
  /** Subject alternative name, a URI: `sallyport://<role>/<name>`. */
  readonly uri: string;
  readonly publicKey: KeyObject;
  /** Extended key usages as OIDs; empty for none. */
  readonly usages: readonly string[];
  readonly validity: Validity;
}

export const validFor = (nowMs: number, days: number): Validity => ({
  notBeforeMs: nowMs - backdateMs,
  notAfterMs: nowMs + days * dayMs,
});

export const newTunnelKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
export const newPolicyKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
export const nodeUri = (role: NodeRole, name: string): string => `sallyport://${role}/${name}`;
export const spkiOf = (key: KeyObject): Buffer =>
  (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });

/** A self-signed certificate that may issue leaves and no further authorities. */
export function issueAuthority(request: AuthorityRequest): string {
  const { asn1 } = forge;
  const publicKey = createPublicKey(request.key);
  return issue({
    subject: request.name,
    issuer: request.name,
    publicKey,
    signingKey: request.key,
    validity: request.validity,
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
      { id: '2.5.29.14', value: der(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OCTETSTRING, false, keyIdentifier(publicKey))) },
    ],
  });
}

/** An end certificate, signed by `authority`. */
export function issueLeaf(request: LeafRequest, authority: Authority): string {
  const { asn1 } = forge;
  const { UNIVERSAL, CONTEXT_SPECIFIC } = asn1.Class;
  const issuerName = /^CN=(.*)$/m.exec(new X509Certificate(authority.certificatePem).subject)?.[1] ?? '';
  const issuerKeyId = asn1.create(CONTEXT_SPECIFIC, 0 as forge.asn1.Type, false, keyIdentifier(createPublicKey(authority.key)));
  const usages = request.usages.map((oid) => asn1.create(UNIVERSAL, asn1.Type.OID, false, oidBytes(oid)));
  return issue({
    subject: request.name,
    issuer: issuerName,
    publicKey: request.publicKey,
    signingKey: authority.key,
    validity: request.validity,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 6, value: request.uri }] },
      { id: '2.5.29.35', value: der(asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, [issuerKeyId])) },
      ...(usages.length > 0 ? [{ id: '2.5.29.37', value: der(asn1.create(UNIVERSAL, asn1.Type.SEQUENCE, true, usages)) }] : []),
    ],
  });
}

export interface SelfSignedRequest {
  /** Host names and IP addresses; the first is also the common name. */
  readonly names: readonly string[];
  readonly key: KeyObject;
  readonly validity: Validity;
}

/** A server's certificate that nobody vouches for but itself. */
export function issueSelfSigned({ names, key, validity }: SelfSignedRequest): string {
  const name = names[0] ?? 'localhost';
  const altNames = names.map((value) => (isIP(value) ? { type: 7, ip: value } : { type: 2, value }));
  return issue({
    subject: name,
    issuer: name,
    publicKey: createPublicKey(key),
    signingKey: key,
    validity,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames },
    ],
  });
}

/** In the library, not in its types. */
interface TbsBuilder {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1;
}

interface Draft {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signingKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly object[];
}

function issue(draft: Draft): string {
  const { asn1, pki } = forge;
  const certificate = pki.createCertificate();
  const three = new forge.jsbn.BigInteger('3');
  certificate.publicKey = pki.setRsaPublicKey(three, three);
  certificate.serialNumber = serialNumber();
  certificate.validity.notBefore = new Date(draft.validity.notBeforeMs);
  certificate.validity.notAfter = new Date(draft.validity.notAfterMs);
  // The type says UTF8String: node names may hold characters that PrintableString has not.
  const name = (value: string) => [{ name: 'commonName', value, valueTagClass: asn1.Type.UTF8 as unknown as forge.asn1.Class }];
  certificate.setSubject(name(draft.subject));
  certificate.setIssuer(name(draft.issuer));
  certificate.setExtensions([...draft.extensions]);

  // Stand-ins: the body needs some algorithm to be written at all, the right one is put in below.
  certificate.signatureOid = pki.oids.sha256WithRSAEncryption ?? '';
  certificate.siginfo.algorithmOid = certificate.signatureOid;
  const body = (pki as unknown as TbsBuilder).getTBSCertificate(certificate);
  const ed25519 = draft.signingKey.asymmetricKeyType === 'ed25519';
  const algorithm = asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, [
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OID, false, oidBytes(ed25519 ? '1.3.101.112' : '1.2.840.10045.4.3.2')),
  ]);
  const parts = body.value as forge.asn1.Asn1[];
  parts[2] = algorithm;
  parts[6] = asn1.fromDer(spkiOf(draft.publicKey).toString('binary'));
  const signed = Buffer.from(der(body), 'binary');
  const signature = sign(ed25519 ? null : 'sha256', signed, { key: draft.signingKey, dsaEncoding: 'der' });
  const whole = asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, [
    body,
    algorithm,
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.BITSTRING, false, `\0${signature.toString('binary')}`),
  ]);
  return new X509Certificate(Buffer.from(der(whole), 'binary')).toString();
}

/** 127 random bits: positive in DER without a leading zero byte, which revocation lists get wrong. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

const der = (node: forge.asn1.Asn1): string => forge.asn1.toDer(node).getBytes();

const keyIdentifier = (publicKey: KeyObject): string =>
  createHash('sha256').update(spkiOf(publicKey)).digest().subarray(0, 20).toString('binary');

/** An OID's content bytes. Own code because forge's stops at 32 bits per arc. */
function oidBytes(oid: string): string {
  const arcs = oid.split('.').map(BigInt);
  const [first = 0n, second = 0n, ...rest] = arcs;
  const bytes: number[] = [];
  for (const arc of [first * 40n + second, ...rest]) {
    const septets = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) septets.unshift(Number(left & 0x7fn) | 0x80);
    bytes.push(...septets);
  }
  return Buffer.from(bytes).toString('binary');
}
