/**
 * Takes certificates out of PKCS#12 files (RFC 7292), as Windows and Java give them out.
 *
 * node-forge decrypts and parses them, in a thread of its own that may take only so much memory and time: the number of hashing
 * rounds stands in the file, and its parsers have had their faults. It makes no key and no certificate of what it finds: their bytes
 * come back as they are, for node:crypto. A file that is not protected by its password (no MAC) is refused.
 */
import { X509Certificate } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { SallyportError } from '../errors.ts';
import type { Secret } from '../secret.ts';

export interface Pkcs12Contents {
  /** In the order of the file. */
  readonly certificates: readonly X509Certificate[];
  /** How many private keys are in it; they do not leave the thread. */
  readonly keys: number;
}

/** What the thread answers. */
export type Pkcs12Answer =
  | { readonly certificates: readonly Uint8Array[]; readonly keys: number }
  | { readonly fault: 'password' | 'format' };

export interface Pkcs12Limits {
  readonly ms: number;
  readonly megabytes: number;
}
const defaults: Pkcs12Limits = { ms: 20_000, megabytes: 256 };

/** Longest file that is read. */
export const pkcs12Bytes = 512 * 1024;

/** @throws SallyportError `usage` saying why it was refused; nothing of the password is in it. */
export async function readPkcs12(file: Buffer, password: Secret, limits: Pkcs12Limits = defaults): Promise<Pkcs12Contents> {
  if (file.length > pkcs12Bytes) throw refused('it is larger than 512 KiB');
  const answer = await inThread({ file, password: password.reveal() }, limits);
  if ('fault' in answer) {
    throw refused(
      answer.fault === 'password' ? 'the password is wrong, or it has none' : 'it is not in a form that is understood',
    );
  }
  try {
    return { certificates: answer.certificates.map((der) => new X509Certificate(der)), keys: answer.keys };
  } catch {
    throw refused('a certificate in it cannot be read');
  }
}

const refused = (why: string): SallyportError =>
  new SallyportError('usage', `the PKCS#12 file was refused: ${why}`, {
    next: 'openssl pkcs12 -in FILE -nokeys -clcerts shows the certificate; a PEM file is taken, too',
  });

async function inThread(
  given: { readonly file: Uint8Array; readonly password: string },
  limits: Pkcs12Limits,
): Promise<Pkcs12Answer> {
  const worker = new Worker(new URL('./pkcs12-worker.ts', import.meta.url), {
    workerData: given,
    resourceLimits: { maxOldGenerationSizeMb: limits.megabytes, stackSizeMb: 2 },
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Pkcs12Answer>((resolve, reject) => {
      timer = setTimeout(() => reject(refused('reading it takes too long')), limits.ms);
      worker.once('message', resolve);
      worker.once('error', () => reject(refused('reading it takes too much memory, or fails')));
      worker.once('exit', () => reject(refused('reading it was ended')));
    });
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
