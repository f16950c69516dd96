/**
 * The authorities and revocation lists that the configuration names, read from their files and read again when these change.
 * A file that cannot be read never replaces what was read before; without anything that ever could, nobody is trusted.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Clock } from '../../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import { type CertificateParts, certificateParts } from './certificate-parts.ts';
import type { TrustedIssuers } from './certificate-path.ts';
import { parseRevocationList } from './revocation-list.ts';

export interface IssuerFileNames {
  /** PEM; absent: none are trusted, and only registered certificates count. */
  readonly authorities?: string | undefined;
  /** PEM or DER, each with one list. */
  readonly revocationLists?: readonly string[] | undefined;
}

export interface IssuerFilesDeps {
  /** As the configuration has them now. */
  readonly names: () => IssuerFileNames;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Logger;
}

const lookMs = 500;
const mostBytes = 64 * 1024 * 1024;
const mostAuthorities = 500;
const nobody: TrustedIssuers = { authorities: [], lists: undefined };

export class IssuerFiles {
  readonly #deps: IssuerFilesDeps;
  #loaded: TrustedIssuers = nobody;
  #of = '';
  #stamp = '';
  #lookedMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(deps: IssuerFilesDeps) {
    this.#deps = deps;
  }

  /** What counts now; looks at the files when it did not a moment ago. Never rejects. */
  async current(): Promise<TrustedIssuers> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
    return this.#loaded;
  }

  async #look(): Promise<void> {
    const names = this.#deps.names();
    const of = JSON.stringify(names);
    const nowMs = this.#deps.clock.monotonicMs();
    if (of === this.#of && nowMs - this.#lookedMs < lookMs) return;
    this.#lookedMs = nowMs;
    try {
      const stamp = await stampOf(names);
      if (of === this.#of && stamp === this.#stamp) return;
      this.#loaded = await loadIssuers(names);
      this.#stamp = stamp;
      this.#of = of;
    } catch (error) {
      // What other settings trusted is not what these trust.
      if (of !== this.#of) [this.#loaded, this.#of] = [nobody, ''];
      this.#deps.log.error({ err: asSallyportError(error).message }, 'authorities of client certificates cannot be read');
    }
  }
}

/** @throws SallyportError `key-file` naming the file. */
export async function loadIssuers({ authorities, revocationLists }: IssuerFileNames): Promise<TrustedIssuers> {
  const trusted = authorities === undefined ? [] : parsed(authorities, await contents(authorities), certificatesIn);
  if (revocationLists === undefined) return { authorities: trusted, lists: undefined };
  const lists = await Promise.all(revocationLists.map(async (file) => parsed(file, await contents(file), parseRevocationList)));
  for (const [index, list] of lists.entries()) {
    // One of an authority in between is checked when a client shows that one's certificate.
    const named = trusted.filter(({ subject }) => subject.equals(list.issuer));
    if (named.length > 0 && !named.some((authority) => list.isBy(authority))) {
      const file = revocationLists[index] ?? '';
      throw new SallyportError('key-file', `${file} is not signed by the authority that it names`, { file });
    }
  }
  return { authorities: trusted, lists };
}

function certificatesIn(bytes: Buffer): readonly CertificateParts[] {
  const found = [
    ...bytes.toString('latin1').matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g),
  ];
  if (found.length === 0 || found.length > mostAuthorities)
    throw new SallyportError('usage', 'it holds no certificates, or too many');
  const all = found.map(([, base64 = '']) => certificateParts(Buffer.from(base64, 'base64')));
  const other = all.find(({ certificate }) => !certificate.ca);
  if (other) throw new SallyportError('usage', `${other.certificate.subject} is no authority`);
  return all;
}

async function contents(file: string): Promise<Buffer> {
  try {
    const found = await stat(file);
    if (!found.isFile() || found.size > mostBytes) throw new Error('not a file of this kind');
    return await readFile(file);
  } catch (cause) {
    throw new SallyportError('key-file', `${file} cannot be read`, { file }, { cause });
  }
}

function parsed<T>(file: string, bytes: Buffer, parse: (bytes: Buffer) => T): T {
  try {
    return parse(bytes);
  } catch (cause) {
    throw new SallyportError('key-file', `${file}: ${asSallyportError(cause).message}`, { file }, { cause });
  }
}

async function stampOf({ authorities, revocationLists = [] }: IssuerFileNames): Promise<string> {
  const files = [...(authorities === undefined ? [] : [authorities]), ...revocationLists];
  const found = await Promise.all(files.map((file) => stat(file).catch(() => undefined)));
  return found.map((one) => (one ? `${one.ino}:${one.size}:${one.mtimeMs}` : '-')).join(' ');
}
