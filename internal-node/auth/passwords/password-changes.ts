/**
 * Partners who have proved who they are and must set another password before they are let in: after an invitation, when staff wants
 * it, when the password is too old. In memory, few, and for a short time; nothing but the new password is taken from them.
 */

import type { Clock } from '../../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../../shared/errors.ts';
import type { Secret } from '../../../shared/secret.ts';
import type { Account } from '../local-users.ts';
import type { OwnPasswords } from './own-passwords.ts';

/** What is wrong with a new password. */
export type PasswordFault = 'weak' | 'used-before';

export interface PasswordChangesDeps {
  readonly passwords: Pick<OwnPasswords, 'wasUsed' | 'set' | 'standing'>;
  /** @throws SallyportError `usage` when it does not do. */
  readonly refuseUnfit: (password: Secret, names: readonly string[]) => Promise<void>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

export interface PasswordChangesOptions {
  readonly lifeMs: number;
  readonly most: number;
  readonly tries: number;
}

interface Owed {
  readonly partner: string;
  readonly endsMs: number;
  /** The code or the password that let him begin: neither may be the new one. */
  readonly shown: Secret;
  readonly invited: boolean;
  /** The password that counted when he began: once staff has set another one, what he showed is worth nothing. */
  readonly standing: string;
  tries: number;
}

/** Codes are typed in many ways; a password that is the old one but for its case is no new one either. */
const comparable = (secret: Secret): string => secret.reveal().toLowerCase().replace(/[\s-]/g, '');

export class PasswordChanges {
  readonly #deps: PasswordChangesDeps;
  readonly #options: PasswordChangesOptions;
  /** By session, in the order they end. */
  readonly #owed = new Map<string, Owed>();

  constructor(deps: PasswordChangesDeps, options: PasswordChangesOptions = { lifeMs: 300_000, most: 256, tries: 5 }) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @returns false when too many are under way. */
  begin(session: string, account: Account, { partner, shown, invited }: Pick<Owed, 'partner' | 'shown' | 'invited'>): boolean {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [id, { endsMs }] of this.#owed) {
      if (endsMs > nowMs) break;
      this.#owed.delete(id);
    }
    this.#owed.delete(session);
    if (this.#owed.size >= this.#options.most) return false;
    const standing = this.#deps.passwords.standing(partner, account);
    this.#owed.set(session, { partner, shown, invited, standing, endsMs: nowMs + this.#options.lifeMs, tries: 0 });
    return true;
  }

  /**
   * @returns `changed`; what is wrong, when he may try another; undefined when nothing was asked of this session any more.
   */
  async change(
    session: string,
    partner: string,
    account: Account,
    password: Secret,
  ): Promise<'changed' | PasswordFault | undefined> {
    const owed = this.#owed.get(session);
    if (owed?.partner !== partner || owed.endsMs <= this.#deps.clock.monotonicMs()) return undefined;
    owed.tries += 1;
    if (owed.tries > this.#options.tries || owed.standing !== this.#deps.passwords.standing(partner, account)) {
      this.#owed.delete(session);
      return undefined;
    }
    if (await this.#isWeak(password, partner)) return 'weak';
    if (comparable(password) === comparable(owed.shown) || (await this.#deps.passwords.wasUsed(partner, account, password)))
      return 'used-before';
    this.#owed.delete(session);
    const set = await this.#deps.passwords.set(partner, account, password, owed.invited ? owed.shown : undefined);
    return set ? 'changed' : undefined;
  }

  async #isWeak(password: Secret, partner: string): Promise<boolean> {
    try {
      await this.#deps.refuseUnfit(password, [partner]);
      return false;
    } catch (error) {
      if (error instanceof SallyportError && error.code === 'usage') return true;
      throw asSallyportError(error);
    }
  }
}
