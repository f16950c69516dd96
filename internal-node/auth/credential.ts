/** With what a session was opened, kept as long as it lives: when that does not count any more, the session ends (`withdrawals.ts`). */
import { z } from 'zod';

const credentialSchema = z.strictObject({
  /** The SSH key or certificate, as the partner showed it, and from where. */
  key: z.strictObject({ algorithm: z.string(), key: z.string(), peer: z.string() }).optional(),
  /** The TLS certificate with those that lead to its authority. */
  chain: z.array(z.string()).readonly().optional(),
  /** Names the password of an own account without holding anything of it. */
  password: z.string().optional(),
});
export type Credential = z.infer<typeof credentialSchema>;

/** Equal credentials give equal texts. Empty: with nothing that this node could judge later, as a password of a directory. */
export function credentialText({ key, chain, password }: Credential): string {
  if (key === undefined && chain === undefined && password === undefined) return '';
  return JSON.stringify({ key, chain, password });
}

export const readCredential = (text: string): Credential => credentialSchema.parse(JSON.parse(text));
