/**
 * A JSON document signed with the tunnel key of a node: what one host tells, so that another can see who told it, when, and
 * that nobody changed it. The other node knows that key by its fingerprint, which people compared when the two were introduced.
 *
 * The signature proves that the document was made where the key of that node is, and is unchanged. It does not prove that it is
 * true: who has taken the host has the key, too. Nothing may rest on the word of the DMZ node alone.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { fingerprintOf, type NodeRole } from '../pki/fingerprint.ts';
import type { NodeKeys } from '../pki/node-keys.ts';
import { canonicalJson } from '../policy-signature.ts';

/** What is signed never looks like a policy or like a message of TLS. */
const context = 'Sallyport proof 1\n';

export const signatureSchema = z.strictObject({
  /** `SPD-…` or `SPI-…` of the key. */
  fingerprint: z.string().max(64),
  /** SubjectPublicKeyInfo, DER, base64. */
  publicKey: z.string().max(512),
  /** ECDSA over P-256 with SHA-256, DER, base64. */
  value: z.string().max(256),
});
export type Signature = z.infer<typeof signatureSchema>;

/** The text of a document, ready to be written. Members keep their order; the signature comes last. */
export function signedText(document: object, keys: Pick<NodeKeys, 'role' | 'tunnelKeyPem'>): string {
  const key = createPrivateKey(keys.tunnelKeyPem);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const signature: Signature = {
    fingerprint: fingerprintOf(keys.role, publicKey),
    publicKey: publicKey.toString('base64'),
    value: signBytes(Buffer.from(canonicalJson(document)), key).toString('base64'),
  };
  return written({ ...document, signature });
}

const written = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export const signBytes = (bytes: Buffer, key: KeyObject): Buffer =>
  sign('sha256', Buffer.concat([Buffer.from(context), bytes]), { key, dsaEncoding: 'der' });

export interface OpenedDocument {
  /** Without its signature. Its form is still to be checked. */
  readonly document: unknown;
  readonly signer: string;
}

/**
 * @param role Of the node that must have signed.
 * @throws SallyportError `content-mismatch` when it was changed after signing.
 */
export function openSigned(text: string, role: NodeRole): OpenedDocument {
  const { document, signature } = parts(text);
  const publicKey = Buffer.from(signature.publicKey, 'base64');
  const signer = fingerprintOf(role, publicKey);
  const refused = (why: string) => new SallyportError('content-mismatch', why);
  if (signer !== signature.fingerprint) throw refused('the fingerprint in the signature is not that of its key');
  const bytes = Buffer.concat([Buffer.from(context), Buffer.from(canonicalJson(document))]);
  const good = verify(
    'sha256',
    bytes,
    { key: createPublicKey({ key: publicKey, format: 'der', type: 'spki' }), dsaEncoding: 'der' },
    Buffer.from(signature.value, 'base64'),
  );
  if (!good) throw refused('it was changed after it was signed: the signature does not fit');
  return { document, signer };
}

function parts(text: string): { document: object; signature: Signature } {
  try {
    const { signature, ...document } = JSON.parse(text) as { signature?: unknown };
    const checked = signatureSchema.parse(signature);
    // Exactly what was written: nothing that one reader sees and another does not, such as a key that stands there twice.
    if (written({ ...document, signature: checked }) !== text) throw new Error('it is not as this program writes it');
    createPublicKey({ key: Buffer.from(checked.publicKey, 'base64'), format: 'der', type: 'spki' });
    return { document, signature: checked };
  } catch (cause) {
    const why = cause instanceof z.ZodError ? 'it has no signature' : (cause as Error).message;
    throw new SallyportError('content-mismatch', `this is no document that a node signed: ${why}`, {}, { cause });
  }
}
