/**
 * The certificates that the FTPS door shows to partners: read from files, checked, and read again when the files change.
 *
 * A file that cannot be used never replaces one that can: renewal may be half done. Private keys must be readable by their
 * owner only. Nothing here is for the tunnel, whose keys are made by ourselves (`shared/pki`).
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile, realpath, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, dirname } from 'node:path';
import type { Clock } from '../../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import { issueSelfSigned, validFor } from '../../../shared/pki/certificates.ts';
import { readKeyFile, writeNewKeyFile } from '../../../shared/pki/key-files.ts';

export interface CertificateFiles {
  /** PEM, the leaf first, then what leads to its authority. */
  readonly certificate: string;
  /** PEM, not encrypted. */
  readonly key: string;
}

export interface Certificate {
  readonly chainPem: string;
  readonly keyPem: string;
  /** `SHA-256` of the leaf, as browsers and `openssl x509 -fingerprint` print it. */
  readonly fingerprint: string;
  readonly expiresAtMs: number;
  /** Whether it is for this host name. */
  serves(name: string): boolean;
}

const maxFileBytes = 256 * 1024;
const selfSignedDays = 825;

/** @throws SallyportError `key-file` that names the file and what is wrong. */
export async function loadCertificate(files: CertificateFiles): Promise<Certificate> {
  const chainPem = await readPublic(files.certificate);
  const keyPem = await readPrivate(files.key);
  const leaf = parse(files.certificate, () => new X509Certificate(chainPem));
  const key: KeyObject = parse(files.key, () => createPrivateKey(keyPem));
  if (!leaf.checkPrivateKey(key)) {
    throw new SallyportError('key-file', `${files.key} is not the key of ${files.certificate}`, { file: files.key });
  }
  return {
    chainPem,
    keyPem,
    fingerprint: leaf.fingerprint256,
    expiresAtMs: Date.parse(leaf.validTo),
    serves: (name) => (isIP(name) ? leaf.checkIP(name) : leaf.checkHost(name)) !== undefined,
  };
}

/** Authorities of client certificates. @throws SallyportError `key-file` */
export async function loadAuthorities(file: string): Promise<string> {
  const pem = await readPublic(file);
  parse(file, () => new X509Certificate(pem));
  return pem;
}

/**
 * Makes a key and a certificate signed by itself, for partners who can be given it by hand.
 * @param names Host names and IP addresses under which partners reach the door.
 * @throws SallyportError `key-file` when one of the files is there already.
 */
export async function makeSelfSigned(files: CertificateFiles, names: readonly string[], nowMs: number): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = issueSelfSigned({ names, key: privateKey, validity: validFor(nowMs, selfSignedDays) });
  await writeNewKeyFile(files.key, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  await writeNewKeyFile(files.certificate, pem);
}

export interface CertificateStoreDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

const lookMs = 10_000;

/** The certificates in use; follows their files. */
export class CertificateStore {
  readonly #deps: CertificateStoreDeps;
  readonly #files: readonly CertificateFiles[];
  #loaded: readonly Certificate[] = [];
  #stamp = '';
  #cancel: () => void = () => undefined;
  #stopped = false;

  constructor(deps: CertificateStoreDeps, files: readonly CertificateFiles[]) {
    this.#deps = deps;
    this.#files = files;
  }

  current(): readonly Certificate[] {
    return this.#loaded;
  }

  /** @throws SallyportError `key-file` */
  async start(): Promise<void> {
    this.#stamp = await this.#lookAtFiles();
    this.#loaded = await Promise.all(this.#files.map(loadCertificate));
    this.#follow();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Reads the files again when they have changed. Never throws: the last good certificates stay in use. */
  async refresh(): Promise<void> {
    try {
      const stamp = await this.#lookAtFiles();
      if (stamp === this.#stamp) return;
      this.#loaded = await Promise.all(this.#files.map(loadCertificate));
      this.#stamp = stamp;
      const fingerprints = this.#loaded.map(({ fingerprint }) => fingerprint);
      this.#deps.log.info({ fingerprints }, 'the certificate of the FTPS door was replaced');
    } catch (error) {
      const { message } = asSallyportError(error);
      this.#deps.log.error({ err: message }, 'the new certificate of the FTPS door cannot be used; the last good one stays');
    }
  }

  #follow(): void {
    if (this.#stopped) return;
    this.#cancel = this.#deps.clock.after(lookMs, () => void this.refresh().then(() => this.#follow()));
  }

  async #lookAtFiles(): Promise<string> {
    const paths = this.#files.flatMap(({ certificate, key }) => [certificate, key]);
    const stats = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)));
    return stats.map((found) => (found ? `${found.ino}:${found.size}:${found.mtimeMs}` : '-')).join(' ');
  }
}

async function readPublic(path: string): Promise<string> {
  try {
    const found = await stat(path);
    if (!found.isFile() || found.size > maxFileBytes) throw new Error('not a certificate file');
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new SallyportError('key-file', `the certificate ${path} cannot be read`, { file: path }, { cause });
  }
}

/** Follows links, as renewal programs lay them; the file itself must be private. */
async function readPrivate(path: string): Promise<string> {
  const real = await realpath(path).catch((cause: unknown) => {
    throw new SallyportError('key-file', `the key ${path} cannot be read`, { file: path }, { cause });
  });
  const { uid } = await stat(real);
  return readKeyFile(dirname(real), basename(real), uid, true);
}

function parse<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new SallyportError('key-file', `${path} is not a PEM file of the right kind`, { file: path }, { cause });
  }
}
