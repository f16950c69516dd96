/**
 * Looks through files for what must not lie there: private keys, age identities, hashes of passwords. Whole files are read, in
 * pieces that overlap, so that nothing hides at a border; a record store is a file like another.
 */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { recipientOf } from '../seal/age-key.ts';

export interface FoundSecret {
  readonly file: string;
  readonly kind: 'age identity' | 'private key' | 'password hash';
  /** Of an age identity, its recipient; of a private key that could be read, its public key as SPKI in base64. */
  readonly publicKey?: string;
}

/** The longest thing that is looked for is a PEM key. */
const overlapBytes = 16 * 1024;

const ageIdentity = /AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}/g;
const pemKey = /-----BEGIN ((?:[A-Z]+ )*)PRIVATE KEY-----[\s\S]{16,12000}?-----END \1PRIVATE KEY-----/g;
/** Argon2, bcrypt, SHA-crypt, yescrypt, scrypt and PBKDF2 in their modular formats, and those of LDAP. */
const passwordHash =
  /\$argon2(?:id|i|d)\$v=\d+\$|\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$[56]\$[^$\s]{1,40}\$[./A-Za-z0-9]{43,86}|\$(?:y|gy|7)\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}|\$(?:scrypt|pbkdf2(?:-sha\d+)?)\$[^$\s]{1,60}\$|\{S?SHA(?:256|512)?\}[A-Za-z0-9+/]{27,}/g;

/** @throws when a file cannot be read. One that is gone meanwhile holds nothing. */
export async function findSecrets(files: readonly string[]): Promise<FoundSecret[]> {
  const found = new Map<string, FoundSecret>();
  for (const file of files) {
    for (const secret of await secretsIn(file)) found.set(`${file}\n${secret.kind}\n${secret.publicKey ?? ''}`, secret);
  }
  return [...found.values()];
}

async function secretsIn(file: string): Promise<FoundSecret[]> {
  const found: FoundSecret[] = [];
  let tail = '';
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
      const text = tail + chunk.toString('latin1');
      found.push(...secretsInText(text, file));
      tail = text.slice(-overlapBytes);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return found;
}

function secretsInText(text: string, file: string): FoundSecret[] {
  const found: FoundSecret[] = [];
  for (const [identity] of text.matchAll(ageIdentity)) {
    found.push({ file, kind: 'age identity', ...withKey(() => recipientOf(identity)) });
  }
  for (const [pem] of text.matchAll(pemKey)) {
    // As it may lie in JSON.
    const plain = pem.replaceAll('\\n', '\n');
    found.push({ file, kind: 'private key', ...withKey(() => spkiText(createPublicKey(createPrivateKey(plain)))) });
  }
  if (text.search(passwordHash) >= 0) found.push({ file, kind: 'password hash' });
  return found;
}

function withKey(read: () => string): { publicKey?: string } {
  try {
    return { publicKey: read() };
  } catch {
    return {}; // not a format that can be read here, such as OpenSSH's own
  }
}

const spkiText = (key: ReturnType<typeof createPublicKey>): string =>
  key.export({ type: 'spki', format: 'der' }).toString('base64');

/** The public key of a certificate, to be compared with that of a private key that was found. @throws when it is none. */
export const certificateKey = (pem: string): string => spkiText(new X509Certificate(pem).publicKey);
