/**
 * Argon2id on the thread pool, with a limit on how many run and wait: each takes its memory and a core while it runs, and
 * the number of attempts is in the hands of strangers.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { SallyportError } from '../../shared/errors.ts';
import type { Secret } from '../../shared/secret.ts';
import { type Argon2Cost, formatPasswordHash, type PasswordHash, standardCost } from '../password-phc.ts';

/** Computes an Argon2id tag. Tests pass their own to count and to save time. */
export type Derive = (password: Buffer, salt: Buffer, tagBytes: number, cost: Argon2Cost) => Promise<Buffer>;

export const deriveArgon2id: Derive = (password, salt, tagBytes, cost) =>
  new Promise((resolve, reject) => {
    const { memoryKib: memory, passes, parallelism } = cost;
    argon2('argon2id', { message: password, nonce: salt, tagLength: tagBytes, memory, passes, parallelism }, (error, tag) =>
      error ? reject(error) : resolve(tag),
    );
  });

export interface PasswordHasherOptions {
  /** Hashes that run at the same time. The thread pool also serves files and other crypto. */
  readonly concurrent: number;
  /** Hashes that may wait for their turn. */
  readonly queued: number;
}
export const defaultHasherOptions: PasswordHasherOptions = { concurrent: 2, queued: 128 };

export class PasswordHasher {
  readonly #derive: Derive;
  readonly #options: PasswordHasherOptions;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(deps: { readonly derive: Derive }, options: PasswordHasherOptions = defaultHasherOptions) {
    this.#derive = deps.derive;
    this.#options = options;
  }

  /**
   * Whether the password is the one behind the hash. The comparison takes the same time wherever they differ.
   * @throws SallyportError `limit-reached` when too many wait already.
   */
  async verify(password: Secret, expected: PasswordHash): Promise<boolean> {
    const tag = await this.#inTurn(() => this.#derive(bytesOf(password), expected.salt, expected.hash.length, expected));
    return tag.length === expected.hash.length && timingSafeEqual(tag, expected.hash);
  }

  /**
   * A new hash with a random salt, in PHC form.
   * @throws SallyportError `usage` for an empty password, `limit-reached`.
   */
  async hash(password: Secret, cost: Argon2Cost = standardCost): Promise<string> {
    if (password.reveal() === '') throw new SallyportError('usage', 'an empty password is not accepted');
    const salt = randomBytes(16);
    const hash = await this.#inTurn(() => this.#derive(bytesOf(password), salt, 32, cost));
    return formatPasswordHash({ ...cost, salt, hash });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.concurrent) this.#running += 1;
    else if (this.#waiting.length >= this.#options.queued) {
      throw new SallyportError('limit-reached', 'too many password checks wait already');
    } else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next)
        next(); // the place is handed on, so #running stays as it is
      else this.#running -= 1;
    }
  }
}

/** Byte-exact: no trimming, no Unicode normalisation; what was typed is what counts. */
const bytesOf = (password: Secret): Buffer => Buffer.from(password.reveal(), 'utf8');
