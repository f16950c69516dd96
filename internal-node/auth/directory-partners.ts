/**
 * Makes partners of users of directories. A user is a partner from his first login on, under a name that stays his: whoever
 * comes later with an entry that would make the same name is refused. A partner of the configuration is a directory's user only
 * if the configuration says so.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import type { Service } from '../../shared/service.ts';
import type { DirectoryOperations, DirectoryUser } from './directory-operations.ts';
import type { DirectoryPartners } from './ldap/directory-logins.ts';
import type { Account } from './local-users.ts';

export interface DirectoryPartnersDeps {
  readonly records: Records<DirectoryOperations>;
  readonly accounts: {
    /** A partner of the configuration. */
    configured(partner: string): Account | undefined;
    /** What the configuration gives to a user with his groups. */
    adoptedAccount(user: DirectoryUser): Account;
    /** These are partners too. */
    adopt(users: readonly DirectoryUser[]): void;
  };
  readonly clock: Pick<Clock, 'nowMs'>;
}

export class AdoptedPartners implements DirectoryPartners, Service {
  readonly name = 'partners of directories';
  readonly #deps: DirectoryPartnersDeps;
  readonly #users = new Map<string, DirectoryUser>();

  constructor(deps: DirectoryPartnersDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    for (const user of await this.#deps.records.call('directory.all', undefined)) this.#users.set(user.partner, user);
    this.#tell();
  }

  async stop(): Promise<void> {}

  async accountFor(user: DirectoryUser, keep: boolean): Promise<Account | undefined> {
    const { records, accounts, clock } = this.#deps;
    const configured = accounts.configured(user.partner);
    if (configured) return configured.directory === user.directory ? configured : undefined;
    if (!keep) {
      const { partner, directory, entry } = user;
      return (await records.call('directory.owns', { partner, directory, entry })) ? accounts.adoptedAccount(user) : undefined;
    }
    const account = accounts.adoptedAccount(user); // before the claim: what cannot be an account is not kept
    if (!(await records.call('directory.claim', { ...user, nowMs: Math.floor(clock.nowMs()) }))) return undefined;
    if (JSON.stringify(this.#users.get(user.partner)) !== JSON.stringify(user)) {
      for (const [name, { directory, entry }] of this.#users) {
        if (directory === user.directory && entry === user.entry) this.#users.delete(name);
      }
      this.#users.set(user.partner, user);
      this.#tell();
    }
    return account;
  }

  /** The name is free again. @returns whether it was somebody's. */
  async forget(partner: string): Promise<boolean> {
    const forgotten = await this.#deps.records.call('directory.forget', { partner, nowMs: Math.floor(this.#deps.clock.nowMs()) });
    if (this.#users.delete(partner)) this.#tell();
    return forgotten;
  }

  #tell(): void {
    this.#deps.accounts.adopt([...this.#users.values()]);
  }
}
