/** Refuses private keys that were pasted where a public one belongs, before anything else looks at the value. */
import type { z } from 'zod';

const privateKey = /PRIVATE KEY|PuTTY-User-Key-File|b3BlbnNzaC1rZXktdjE|AGE-SECRET-KEY-/;

export const isPrivateKey = (text: string): boolean => privateKey.test(text);

export const privateKeyRefusal =
  'this is a private key; only the public one belongs here. Remove it from this file, and have the partner make a new key pair';

/** A zod check over a whole file. The value itself never gets into the message. */
export function refusePrivateKeys(value: unknown, context: z.core.$RefinementCtx<unknown>): void {
  const visit = (node: unknown, path: PropertyKey[]): void => {
    if (typeof node === 'string') {
      if (isPrivateKey(node)) context.addIssue({ code: 'custom', message: privateKeyRefusal, path, input: undefined });
      return;
    }
    if (typeof node !== 'object' || node === null) return;
    for (const [key, child] of Object.entries(node)) visit(child, [...path, Array.isArray(node) ? Number(key) : key]);
  };
  visit(value, []);
}
