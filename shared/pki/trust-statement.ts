/**
 * How a node tells the other one under which keys it may appear from now on: its present identity, and beside it the next or the
 * last one while they are exchanged. The statement is signed with an authority key, which never is in use on the tunnel: whoever
 * stole a tunnel key alone cannot put another beside it. Its number rises, so an old statement changes nothing.
 */
import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { canonicalJson } from '../policy-signature.ts';
import { identitiesSchema } from './peer-record.ts';

export const trustStatementSchema = z.strictObject({
  format: z.literal(1),
  role: z.enum(['dmz', 'internal']),
  number: z.int().min(1),
  identities: identitiesSchema,
});
export type TrustStatement = z.infer<typeof trustStatementSchema>;

export interface SignedStatement {
  /** Canonical JSON. */
  readonly statement: string;
  /** ECDSA with SHA-256 over the purpose and the text, DER, base64. */
  readonly signature: string;
}

const signedText = (statement: string): Buffer => Buffer.from(`sallyport trust statement\0${statement}`);

export function signStatement(statement: TrustStatement, authorityKeyPem: string): SignedStatement {
  const text = canonicalJson(trustStatementSchema.parse(statement));
  const signature = sign('sha256', signedText(text), createPrivateKey(authorityKeyPem)).toString('base64');
  return { statement: text, signature };
}

/**
 * Checks the signature first, then the contents. Whether the number is new is the caller's.
 * @param authorities PEM of those that are trusted; one of them must have signed.
 * @throws SallyportError `peer-refused` with the field `check`.
 */
export function verifyStatement({ statement, signature }: SignedStatement, authorities: readonly string[]): TrustStatement {
  const bytes = Buffer.from(signature, 'base64');
  const genuine = authorities.some((pem) => verify('sha256', signedText(statement), new X509Certificate(pem).publicKey, bytes));
  if (!genuine) throw refused('it is not signed by an authority recorded for the other node');
  const parsed = trustStatementSchema.safeParse(jsonOf(statement));
  if (!parsed.success) throw refused(`it is malformed at ${parsed.error.issues[0]?.path.map(String).join('.')}`);
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export const refused = (why: string): SallyportError =>
  new SallyportError('peer-refused', `what the other node says of its keys was refused: ${why}`, { check: 'ca' });
