/** Keys and certificates of a node, for the inventory of a report and for noticing what expires. Private parts are not read out. */
import { createPrivateKey, createPublicKey, hash, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { FileEntry } from './files.ts';

export interface InventoryEntry {
  readonly node: string;
  /** Absolute. */
  readonly file: string;
  readonly kind: 'certificate' | 'private key' | 'age identity' | 'other';
  /** `Ed25519`, `EC P-256`, `RSA 3072`; empty when it cannot be told. */
  readonly algorithm: string;
  /** What it is for, in words. */
  readonly use: string;
  /** SHA-256 over the certificate, or over the public key. */
  readonly fingerprint: string;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly mode: number;
}

const uses: readonly (readonly [RegExp, string])[] = [
  [/^ca\./, 'authority of this node: signs its tunnel certificate'],
  [/^tunnel\./, 'tunnel: proves this node to the other one'],
  [/^policy\./, 'signs the policy that the DMZ node obeys'],
  [/^sealing\./, 'opens stored files; exists inside only'],
  [/^ssh_host/, 'SSH host key towards partners'],
  [/^ftps\./, 'TLS of the FTPS door'],
  [/^totp\./, 'opens the second factors of partners'],
];

/** @param files Of the folder of keys, and files that the configuration names. */
export async function readInventory(node: string, files: readonly FileEntry[]): Promise<InventoryEntry[]> {
  const entries: InventoryEntry[] = [];
  for (const { path, kind, mode } of files) {
    if (kind !== 'file' || path.endsWith('.pub')) continue;
    const name = basename(path);
    const use = uses.find(([pattern]) => pattern.test(name))?.[1] ?? '';
    const text = await readFile(path, 'latin1');
    entries.push({ node, file: path, use, mode, ...described(text) });
  }
  return entries.sort((a, b) => (a.file < b.file ? -1 : 1));
}

function described(text: string): Omit<InventoryEntry, 'node' | 'file' | 'use' | 'mode'> {
  if (text.includes('AGE-SECRET-KEY-1')) {
    const recipient = /^# public key: (age1\S+)/m.exec(text)?.[1] ?? '';
    return { kind: 'age identity', algorithm: 'X25519', fingerprint: recipient };
  }
  try {
    if (text.includes('BEGIN CERTIFICATE')) return describedCertificate(new X509Certificate(text));
    if (text.includes('PRIVATE KEY')) {
      const key = createPublicKey(createPrivateKey(text));
      return { kind: 'private key', algorithm: algorithmOf(key), fingerprint: spkiDigest(key) };
    }
  } catch {
    // Said as what it is: a file that cannot be told apart.
  }
  const openSsh = text.includes('BEGIN OPENSSH PRIVATE KEY');
  return { kind: openSsh ? 'private key' : 'other', algorithm: '', fingerprint: '' };
}

function describedCertificate(certificate: X509Certificate): Omit<InventoryEntry, 'node' | 'file' | 'use' | 'mode'> {
  return {
    kind: 'certificate',
    algorithm: algorithmOf(certificate.publicKey),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

type PublicKey = ReturnType<typeof createPublicKey>;

const spkiDigest = (key: PublicKey): string => hash('sha256', key.export({ type: 'spki', format: 'der' }));

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: PublicKey): string {
  const { namedCurve, modulusLength } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === 'ec') return `EC ${namedCurve === 'prime256v1' ? 'P-256' : (namedCurve ?? '')}`;
  if (asymmetricKeyType === 'rsa') return `RSA ${modulusLength}`;
  return asymmetricKeyType === 'ed25519' ? 'Ed25519' : (asymmetricKeyType ?? '');
}
