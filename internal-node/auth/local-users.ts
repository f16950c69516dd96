/**
 * The partners of the configuration as accounts that can log in. Checking a password costs exactly one hash, whether or not
 * the name exists or has a password: how long the answer takes says nothing about who is known.
 */
import { randomBytes } from 'node:crypto';
import type { Grant } from '../../shared/policy.ts';
import type { Secret } from '../../shared/secret.ts';
import { type Argon2Cost, isCheaper, type PasswordHash, standardCost } from '../password-phc.ts';
import type { RegisteredKey, SshPublicKey } from '../ssh-public-key.ts';

/** `any`: a key or the password. `key+password`: first a key, then the password. `key+code`: first a key, then a one-time code. */
export type Requirement = 'any' | 'key+password' | 'key+code';

export interface Account {
  readonly password: PasswordHash | undefined;
  /** When staff set it, milliseconds since 1970. */
  readonly passwordSince?: number | undefined;
  /** Staff wants another one at the next login. */
  readonly passwordMustChange?: boolean;
  /** Those before it. */
  readonly formerPasswords?: readonly PasswordHash[];
  /** The directory that knows the password instead. */
  readonly directory?: string | undefined;
  readonly keys: readonly RegisteredKey[];
  /** Whose certificates are good for him, when they name one of `principals`. */
  readonly authorities: readonly SshPublicKey[];
  readonly principals: readonly string[];
  /** SHA-256 of TLS client certificates that stand for the password, lower-case hex. */
  readonly certificates: readonly string[];
  /** Names in certificates of trusted authorities that do so, too. */
  readonly certificateNames?: readonly string[];
  /** Over FTPS: `any` is what `require` says, or a certificate. */
  readonly requireOverFtps?: 'any' | 'certificate' | 'certificate+password';
  /** Passwords count only with a one-time code. */
  readonly requireTotp?: boolean | undefined;
  readonly require: Requirement;
  readonly disabled: boolean;
  /** When the account ends, milliseconds since 1970. */
  readonly expires: number | undefined;
  /** Why nobody can log in as this one now; the address is what the DMZ says, and so advisory. */
  refusal(
    peer: string,
    nowMs: number,
  ): { readonly reason: 'disabled' | 'group disabled' | 'expired' | 'source address not allowed' } | undefined;
  grantFor(peer: string): Grant;
}

export interface LocalUsersDeps {
  /** The accounts by name, as the configuration has them now. The same map object as long as nothing changed. */
  readonly accounts: () => ReadonlyMap<string, Account>;
  readonly hasher: { verify(password: Secret, expected: PasswordHash): Promise<boolean> };
  /** Passwords that partners set themselves. */
  readonly passwords: { of(partner: string, account: Account): PasswordHash | undefined; hashes(): Iterable<PasswordHash> };
}

export class LocalUsers {
  readonly #deps: LocalUsersDeps;
  #decoy: { readonly of: ReadonlyMap<string, Account>; readonly hash: PasswordHash } | undefined;

  constructor(deps: LocalUsersDeps) {
    this.#deps = deps;
  }

  find(user: string): Account | undefined {
    return this.#deps.accounts().get(user);
  }

  /** The hash that counts for a partner. */
  hashOf(user: string, account: Account): PasswordHash | undefined {
    return this.#deps.passwords.of(user, account);
  }

  /**
   * One hash, always.
   * @throws SallyportError `limit-reached` when too many checks wait.
   */
  async passwordFits(expected: PasswordHash | undefined, password: Secret): Promise<boolean> {
    const fits = await this.#deps.hasher.verify(password, expected ?? this.#decoyHash());
    return expected !== undefined && fits;
  }

  /** A hash that nothing fits, at the cost of the costliest real one: where all are equal, unknown names are equal too. */
  #decoyHash(): PasswordHash {
    const accounts = this.#deps.accounts();
    if (this.#decoy?.of !== accounts) {
      const written = accounts.values().flatMap(({ password }) => (password ? [password] : []));
      this.#decoy = {
        of: accounts,
        hash: { ...costliest([...written, ...this.#deps.passwords.hashes()]), salt: randomBytes(16), hash: randomBytes(32) },
      };
    }
    return this.#decoy.hash;
  }
}

function costliest(hashes: readonly Argon2Cost[]): Argon2Cost {
  const [first, ...others] = hashes;
  const found = first ? others.reduce((most, cost) => (isCheaper(most, cost) ? cost : most), first) : standardCost;
  const { memoryKib, passes, parallelism } = found;
  return { memoryKib, passes, parallelism };
}
