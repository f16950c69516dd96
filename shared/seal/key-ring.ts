/**
 * The keys that one thread seals to and opens with, parsed once: making a key object from its text costs more than sealing
 * a small file with it. It keeps the few keys of a configuration; when there are more, it begins anew.
 */
import type { KeyObject } from 'node:crypto';
import { identityKey, recipientKey } from './age-key.ts';
import { publicKeyFrom, rawPublicKey } from './x25519.ts';

export interface PublicKey {
  readonly key: KeyObject;
  /** Its 32 bytes. */
  readonly raw: Buffer;
}

export interface PrivateKey {
  readonly key: KeyObject;
  /** The 32 bytes of its public half. */
  readonly publicRaw: Buffer;
}

const maxKept = 64;

export class KeyRing {
  readonly #recipients = new Map<string, PublicKey>();
  readonly #identities = new Map<string, PrivateKey>();

  /** @throws SallyportError `key-file` when the text is no recipient. */
  recipient(text: string): PublicKey {
    return kept(this.#recipients, text, () => {
      const raw = recipientKey(text);
      return { key: publicKeyFrom(raw), raw };
    });
  }

  /** @throws SallyportError `key-file` when the text is no identity. */
  identity(text: string): PrivateKey {
    return kept(this.#identities, text, () => {
      const key = identityKey(text);
      return { key, publicRaw: rawPublicKey(key) };
    });
  }
}

function kept<T>(keys: Map<string, T>, text: string, make: () => T): T {
  const known = keys.get(text);
  if (known) return known;
  if (keys.size >= maxKept) keys.clear();
  const made = make();
  keys.set(text, made);
  return made;
}
