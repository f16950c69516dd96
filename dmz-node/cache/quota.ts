/**
 * What a partner uses right now: what the records say, and the uploads under way, which the records do not count yet.
 * Uploads of all sessions of a partner share one account.
 */
import { SallyportError } from '../../shared/errors.ts';
import type { Grant } from '../../shared/policy.ts';
import type { Usage } from './records/uploads.ts';

export class Account {
  #usage: Usage;
  #liveBytes = 0;
  #live = 0;

  constructor(usage: Usage) {
    this.#usage = usage;
  }

  get uploads(): number {
    return this.#live;
  }

  /** What the records say now. */
  set(usage: Usage): void {
    this.#usage = usage;
  }

  /**
   * May a new upload begin?
   * @param kept The name has a partial already: it is continued or replaced, so it takes no new place.
   * @throws SallyportError `quota-exceeded`
   */
  admit(grant: Grant, kept: boolean): void {
    const { bytes, files, partials } = this.#usage;
    if (bytes + this.#liveBytes >= grant.quotaBytes) throw exceeded('quotaBytes', grant.quotaBytes);
    if (kept) return;
    if (files + this.#live >= grant.quotaFiles) throw exceeded('quotaFiles', grant.quotaFiles);
    if (partials >= grant.maxPartials && partials > 0) throw exceeded('maxPartials', grant.maxPartials);
  }

  /** @param bytes What the client says the whole will be. @throws SallyportError `quota-exceeded` */
  admitAnnounced(grant: Grant, bytes: number): void {
    if (bytes > grant.maxFileBytes) throw exceeded('maxFileBytes', grant.maxFileBytes);
    if (bytes > 0 && !this.fits(grant, bytes)) throw exceeded('quotaBytes', grant.quotaBytes);
  }

  fits(grant: Grant, bytes: number): boolean {
    return this.#usage.bytes + this.#liveBytes + bytes <= grant.quotaBytes;
  }

  /** What a grant leaves. */
  left(grant: Grant): { readonly bytes: number; readonly files: number } {
    const { bytes, files } = this.#usage;
    return {
      bytes: Math.max(0, grant.quotaBytes - bytes - this.#liveBytes),
      files: Math.max(0, grant.quotaFiles - files - this.#live),
    };
  }

  begin(): void {
    this.#live += 1;
  }

  charge(bytes: number): void {
    this.#liveBytes += bytes;
  }

  /** An upload is over; its bytes are in the records now, or gone. */
  end(charged: number, usage: Usage | undefined): void {
    this.#live -= 1;
    this.#liveBytes -= charged;
    if (usage) this.#usage = usage;
  }
}

export const exceeded = (limit: string, value: number): SallyportError =>
  new SallyportError('quota-exceeded', `the partner's ${limit} is used up`, { limit, value });

export class Accounts {
  readonly #accounts = new Map<string, Account>();

  /** The account of a partner, with what the records say now. */
  of(partner: string, usage: Usage): Account {
    const known = this.#accounts.get(partner);
    if (known) {
      known.set(usage);
      return known;
    }
    const account = new Account(usage);
    this.#accounts.set(partner, account);
    return account;
  }

  /** Only to look: nothing has to be tidied. */
  look(partner: string, usage: Usage): Account {
    return this.#accounts.has(partner) ? this.of(partner, usage) : new Account(usage);
  }

  /** Forgets accounts without uploads: what they knew is in the records. */
  tidy(partner: string): void {
    if (this.#accounts.get(partner)?.uploads === 0) this.#accounts.delete(partner);
  }
}
