/**
 * A policy bundle as it is signed, sent and kept: its canonical JSON text and an Ed25519 signature over exactly these bytes.
 *
 * There is one text per bundle: keys sorted, no white space, nothing that the schema does not name. So a text that verifies
 * cannot say one thing to one reader and another to the next (duplicate keys, odd numbers), and equal bundles are equal bytes.
 */
import { createPrivateKey, type KeyObject, sign, verify } from 'node:crypto';
import { SallyportError } from './errors.ts';
import { type PolicyBundle, policyBundleSchema } from './policy.ts';

export interface SignedBundle {
  /** Canonical JSON. */
  readonly bundle: string;
  /** Base64 of 64 bytes. */
  readonly signature: string;
}

/** JSON with sorted keys and without white space; members that are undefined are left out (RFC 8785 for plain data). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

/**
 * @param keyPem Ed25519 private key.
 * @throws SallyportError `config-invalid` when the bundle breaks its own schema.
 */
export function signBundle(bundle: PolicyBundle, keyPem: string): SignedBundle {
  const checked = policyBundleSchema.safeParse(bundle);
  if (!checked.success)
    throw new SallyportError('config-invalid', `the policy bundle is wrong: ${firstProblem(checked.error.issues)}`);
  const text = canonicalJson(checked.data);
  return { bundle: text, signature: sign(null, Buffer.from(text), createPrivateKey(keyPem)).toString('base64') };
}

/**
 * Checks the signature first, then the schema, then that the text is the canonical one. Number and expiry are the caller's.
 * @throws SallyportError `policy-refused`
 */
export function verifyBundle(text: string, signature: string, key: KeyObject): PolicyBundle {
  const bytes = Buffer.from(signature, 'base64');
  const genuine =
    key.asymmetricKeyType === 'ed25519' && bytes.toString('base64') === signature && verify(null, Buffer.from(text), key, bytes);
  if (!genuine) throw refused('its signature is wrong');
  const parsed = policyBundleSchema.safeParse(parseJson(text));
  if (!parsed.success) throw refused(`it breaks the schema: ${firstProblem(parsed.error.issues)}`);
  if (canonicalJson(parsed.data) !== text) throw refused('its text is not canonical');
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refused('it is not JSON', cause);
  }
}

const firstProblem = (issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string =>
  issues.length > 0 ? `${issues[0]?.path.join('.')}: ${issues[0]?.message}` : 'no detail';

const refused = (why: string, cause?: unknown): SallyportError =>
  new SallyportError('policy-refused', `the policy bundle was refused: ${why}`, {}, cause === undefined ? undefined : { cause });
