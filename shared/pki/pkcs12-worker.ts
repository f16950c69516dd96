/** The thread of `pkcs12.ts`: the only place where node-forge sees a file that a stranger made. */
import { parentPort, workerData } from 'node:worker_threads';
import forge from 'node-forge';
import type { Pkcs12Answer } from './pkcs12.ts';

const { asn1, pkcs12, pki } = forge;

/** The package would make objects of its own of RSA keys and certificates, and their bytes would not be those of the file any more. */
const leaveAlone = (): never => {
  throw new Error('left as it is');
};
Object.assign(pki, { privateKeyFromAsn1: leaveAlone, certificateFromAsn1: leaveAlone });

/** It hashes the code units of a password as if they were bytes; PBES2 wants UTF-8 (RFC 8018 §2, RFC 7292 App. B.1 only for the rest). */
const { pbkdf2 } = forge.pkcs5;
Object.assign(forge.pkcs5, {
  pbkdf2: (password: string, ...rest: unknown[]) =>
    (pbkdf2 as (...args: unknown[]) => unknown)(Buffer.from(password, 'utf8').toString('binary'), ...rest),
});

function contents({ file, password }: { readonly file: Uint8Array; readonly password: string }): Pkcs12Answer {
  let whole: forge.asn1.Asn1;
  try {
    whole = asn1.fromDer(Buffer.from(file).toString('binary'));
  } catch {
    return { fault: 'format' };
  }
  // The third value is the MAC; without it anybody could have put anything into the file.
  if (!Array.isArray(whole.value) || whole.value.length < 3) return { fault: 'format' };
  try {
    const bags = pkcs12.pkcs12FromAsn1(whole, password).safeContents.flatMap(({ safeBags }) => safeBags);
    const found = bags.filter(({ type }) => type === pki.oids.certBag);
    const certificates = found.map(({ asn1: node }) => Buffer.from(asn1.toDer(node).getBytes(), 'binary'));
    return { certificates, keys: bags.length - certificates.length };
  } catch (error) {
    return { fault: error instanceof Error && /password/i.test(error.message) ? 'password' : 'format' };
  }
}

parentPort?.postMessage(contents(workerData as { file: Uint8Array; password: string }));
