/** What a certificate says that node:crypto shows only as text that would have to be taken apart again: names, extensions, numbers. */
import { X509Certificate } from 'node:crypto';
import { type DerValue, derList, derNumber, derOid, derTag, derText, eachDer, readDer } from './der.ts';

export interface CertificateParts {
  readonly certificate: X509Certificate;
  /** SHA-256 of all of it, lower-case hex. */
  readonly fingerprint: string;
  /** DER of the names, as they are compared. */
  readonly issuer: Buffer;
  readonly subject: Buffer;
  /** As `derNumber` writes it. */
  readonly serial: string;
  /** `CN=…` of the subject, `dns:…`, `email:…` and `uri:…` of the alternative names, exactly as they are written. */
  readonly names: readonly string[];
  /** OIDs of critical extensions. */
  readonly critical: readonly string[];
  /** How many authorities may stand between this one and a leaf; undefined: any number. */
  readonly pathLength: number | undefined;
  /** May sign revocation lists: it says so, or says nothing about what its key is for. */
  readonly signsLists: boolean;
}

const oids = {
  commonName: '2.5.4.3',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
} as const;
const mostBytes = 16_384;

/** @throws SallyportError `usage`, or an error of node:crypto. */
export function certificateParts(der: Buffer): CertificateParts {
  const certificate = new X509Certificate(der);
  if (der.length > mostBytes) throw new RangeError('a certificate larger than 16 KiB');
  const body = derList(derList(readDer(certificate.raw), derTag.sequence)[0], derTag.sequence);
  // [0] version is left out in version 1.
  const [serial, , issuer, , subject, , ...rest] = body[0]?.tag === 0xa0 ? body.slice(1) : body;
  const list = rest.find(({ tag }) => tag === 0xa3);
  const extensions = list ? extensionsOf(readDer(list.content)) : [];
  const extension = (oid: string): DerValue | undefined => {
    const found = extensions.find((one) => one.oid === oid);
    return found && readDer(found.value);
  };
  return {
    certificate,
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    issuer: issuer?.whole ?? Buffer.alloc(0),
    subject: subject?.whole ?? Buffer.alloc(0),
    serial: derNumber(serial),
    names: [...commonNames(subject), ...alternativeNames(extension(oids.alternativeNames))],
    critical: extensions.filter(({ critical }) => critical).map(({ oid }) => oid),
    pathLength: pathLengthOf(extension(oids.basicConstraints)),
    signsLists: mayUse(extension(oids.keyUsage), 6),
  };
}

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** DER. */
  readonly value: Buffer;
}

/** @param list The SEQUENCE of extensions (RFC 5280 §4.1). */
export function extensionsOf(list: DerValue): readonly Extension[] {
  return derList(list, derTag.sequence).map((entry) => {
    const [oid, ...rest] = derList(entry, derTag.sequence);
    const value = rest.at(-1);
    if (value?.tag !== derTag.octetString) throw new RangeError('an extension without a value');
    const critical = rest.length > 1 && rest[0]?.tag === derTag.boolean && rest[0].content[0] !== 0;
    return { oid: derOid(oid), critical, value: value.content };
  });
}

function commonNames(subject: DerValue | undefined): readonly string[] {
  return derList(subject, derTag.sequence).flatMap((relative) =>
    derList(relative, derTag.set).flatMap((pair) => {
      const [type, value] = derList(pair, derTag.sequence);
      const text = derOid(type) === oids.commonName && value ? derText(value) : undefined;
      return text === undefined || text === '' ? [] : [`CN=${text}`];
    }),
  );
}

/** GeneralName: [1] rfc822Name, [2] dNSName, [6] uniformResourceIdentifier. */
const kinds: Readonly<Record<number, string>> = { 129: 'email:', 130: 'dns:', 134: 'uri:' };

function alternativeNames(list: DerValue | undefined): readonly string[] {
  if (!list) return [];
  return derList(list, derTag.sequence, 256).flatMap(({ tag, content, whole }) => {
    const kind = kinds[tag];
    const text = derText({ tag: 0x16, content, whole });
    return kind === undefined || text === undefined || text === '' ? [] : [`${kind}${text}`];
  });
}

function pathLengthOf(constraints: DerValue | undefined): number | undefined {
  if (!constraints) return undefined;
  const length = [...eachDer(constraints.content)].find(({ tag }) => tag === derTag.integer);
  return length && Number.parseInt(derNumber(length), 16);
}

/** Bit of KeyUsage (RFC 5280 §4.2.1.3). */
function mayUse(usage: DerValue | undefined, bit: number): boolean {
  if (!usage) return true;
  const byte = usage.content[1 + Math.floor(bit / 8)] ?? 0;
  return (byte & (0x80 >> (bit % 8))) !== 0;
}
