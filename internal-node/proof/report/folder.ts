/**
 * A report on disk: its files, `SHA256SUMS` over them, and a signature over that with the tunnel key of the internal node. All can
 * be checked without this program: `sha256sum -c SHA256SUMS`, and
 * `openssl dgst -sha256 -verify signer.pem -signature SHA256SUMS.sig SHA256SUMS`.
 *
 * The lines that begin with `#` are signed, too: they say that this is a report and nothing else that the key may sign.
 */
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeNewFile } from '../../../shared/config/write-file.ts';
import { SallyportError } from '../../../shared/errors.ts';
import { fingerprintOf } from '../../../shared/pki/fingerprint.ts';
import type { NodeKeys } from '../../../shared/pki/node-keys.ts';
import { type Report, reportSchema } from './document.ts';

const sums = 'SHA256SUMS';
const signatureFile = `${sums}.sig`;
const signerFile = 'signer.pem';
const heading = '# Sallyport proof report 1';

export interface ReportFile {
  readonly name: string;
  readonly bytes: Buffer | string;
}

/** @throws SallyportError `already-exists` when the folder holds a report: none is ever written over. */
export async function writeReport(
  folder: string,
  files: readonly ReportFile[],
  keys: Pick<NodeKeys, 'tunnelKeyPem' | 'fingerprint'>,
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if ((await readdir(folder)).includes(sums)) throw new SallyportError('already-exists', `${folder} holds a report already`);
  const key = createPrivateKey(keys.tunnelKeyPem);
  const lines = files.map(({ name, bytes }) => `${hash('sha256', bytes)}  ${name}`);
  const text = `${[heading, `# signed by ${keys.fingerprint}`, ...lines].join('\n')}\n`;
  for (const { name, bytes } of files) await writeNewFile(join(folder, name), bytes);
  await writeNewFile(join(folder, signerFile), createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString());
  await writeNewFile(join(folder, sums), text);
  await writeNewFile(join(folder, signatureFile), sign('sha256', Buffer.from(text), { key, dsaEncoding: 'der' }));
}

export interface OpenedReport {
  readonly report: Report;
  /** `SPI-…` of the key that signed it. */
  readonly signer: string;
  readonly files: readonly string[];
}

/** @throws SallyportError `content-mismatch` naming the file that was changed, added or removed; `no-such-file`. */
export async function openReport(folder: string): Promise<OpenedReport> {
  const [text, signature, pem] = await Promise.all([
    readPart(folder, sums),
    readPart(folder, signatureFile),
    readPart(folder, signerFile),
  ]);
  const { signer, listed } = checkedSums(folder, text, signature, pem);
  for (const [name, digest] of listed) {
    if (hash('sha256', await readPart(folder, name)) !== digest)
      throw changed(`${join(folder, name)}: changed after it was signed`);
  }
  const known = new Set([...listed.keys(), sums, signatureFile, signerFile]);
  const strange = (await readdir(folder)).find((name) => !known.has(name));
  if (strange !== undefined) throw changed(`${join(folder, strange)}: not part of the report that was signed`);
  const parsed = reportSchema.safeParse(JSON.parse((await readPart(folder, 'report.json')).toString('utf8')));
  if (!parsed.success) throw changed(`${join(folder, 'report.json')}: is no report of this version`);
  return { report: parsed.data, signer, files: [...listed.keys()] };
}

const changed = (detail: string): SallyportError => new SallyportError('content-mismatch', detail);

async function readPart(folder: string, name: string): Promise<Buffer> {
  return readFile(join(folder, name)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw cause;
    throw new SallyportError('no-such-file', `${join(folder, name)}: missing`, {}, { cause });
  });
}

function publicKeyOf(pem: Buffer, file: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch {
    throw changed(`${file}: is no public key`);
  }
}

function checkedSums(
  folder: string,
  bytes: Buffer,
  signature: Buffer,
  pem: Buffer,
): { signer: string; listed: Map<string, string> } {
  const at = join(folder, sums);
  const key = publicKeyOf(pem, join(folder, signerFile));
  if (!verify('sha256', bytes, { key, dsaEncoding: 'der' }, signature)) throw changed(`${at}: changed after it was signed`);
  const signer = fingerprintOf('internal', key.export({ type: 'spki', format: 'der' }));
  const [first, second, ...lines] = bytes.toString('utf8').trimEnd().split('\n');
  if (first !== heading || second !== `# signed by ${signer}`) throw changed(`${at}: is not of a report of ${signer}`);
  const listed = new Map<string, string>();
  for (const line of lines) {
    const [, digest, name] = /^([0-9a-f]{64}) {2}([\w.-]+)$/.exec(line) ?? [];
    if (digest === undefined || name === undefined) throw changed(`${at}: has a line that is none`);
    listed.set(name, digest);
  }
  if (!listed.has('report.json')) throw changed(`${at}: names no report.json`);
  return { signer, listed };
}
