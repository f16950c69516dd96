/** The configuration in force, with what is made of it once: accounts, router, contents of the policy. */
import { Router, type RoutingFacts } from '../shared/matching/routing.ts';
import { parseVirtualPath, type VirtualPath } from '../shared/paths/virtual-path.ts';
import { type InsideDecision, ruleForDmz } from '../shared/policy.ts';
import { withOwn } from '../shared/uploads.ts';
import { sessionsEnded } from './changes.ts';
import type { InternalConfig } from './config.ts';
import { sourcesOf } from './config-authentication.ts';
import { accountsOf, memberAccount, type PartnerAccount } from './policy/accounts.ts';
import type { PolicyContents } from './policy/publish.ts';
import { forDmz, type Uploads } from './policy/uploads.ts';

/** A part of an Outbox that is shared. */
export interface SharedPlace {
  readonly owner: string;
  readonly place: VirtualPath;
}

/** A user of a directory who is a partner without being in the configuration. */
export interface AdoptedUser {
  readonly partner: string;
  readonly directory: string;
  readonly groups: readonly string[];
  /** Where his deliveries go, below a destination; absent: as his groups say. */
  readonly home?: string;
  readonly email?: string;
}

interface Derived {
  readonly config: InternalConfig;
  readonly accounts: ReadonlyMap<string, PartnerAccount>;
  readonly router: Router;
}

const derive = (config: InternalConfig): Derived => ({
  config,
  accounts: accountsOf({ ...config, timeZone: config.policy.timeZone }),
  router: new Router(config.rules, { timeZone: config.policy.timeZone }),
});

export class CurrentConfig {
  readonly #recipient: string;
  #now: Derived;
  #adopted: ReadonlyMap<string, AdoptedUser> = new Map();

  /** @param recipient Everything is sealed to it. */
  constructor(config: InternalConfig, recipient: string) {
    this.#recipient = recipient;
    this.#now = derive(config);
  }

  /**
   * Partners and rules take effect at once; addresses, folders and keys at the next start.
   * @returns the partners who may no longer be logged in: gone, disabled, or with other means to log in.
   */
  replace(config: InternalConfig): readonly string[] {
    const before = this.#now;
    this.#now = derive(config);
    const ended = sessionsEnded(before.config, config);
    for (const partner of ended) before.accounts.get(partner)?.retire();
    const adopted = [...this.#adopted.values()].filter(
      (user) => adoptedLogin(before.config, user) !== adoptedLogin(config, user),
    );
    return [...new Set([...ended, ...adopted.map(({ partner }) => partner)])];
  }

  /** Users of directories who are partners, all of them. */
  adopt(users: readonly AdoptedUser[]): void {
    this.#adopted = new Map(users.map((user) => [user.partner, user]));
  }

  /** Users of directories who are partners now. */
  adopted(): readonly AdoptedUser[] {
    return [...this.#adopted.values()].filter(({ partner }) => this.#adoptedUser(partner));
  }

  /** What the configuration gives to a user of a directory. */
  adoptedAccount({ partner, groups, home }: AdoptedUser): PartnerAccount {
    const { config } = this.#now;
    const known = groups.filter((group) => Object.hasOwn(config.groups, group));
    return memberAccount({ name: partner, groups: known, home }, { ...config, timeZone: config.policy.timeZone });
  }

  get config(): InternalConfig {
    return this.#now.config;
  }

  get accounts(): ReadonlyMap<string, PartnerAccount> {
    return this.#now.accounts;
  }

  /** Where an item of this id goes, and where it lands. */
  decide(facts: RoutingFacts & { readonly item: string }): InsideDecision {
    return this.#now.router.decide({ ...facts, place: this.#accountOf(facts.partner)?.place });
  }

  has(partner: string): boolean {
    return this.#now.accounts.has(partner) || this.#adoptedUser(partner) !== undefined;
  }

  quotaFiles(partner: string): number {
    return this.#accountOf(partner)?.quotaFiles ?? 0;
  }

  /** Whether a session of a partner may go on: he could still log in from somewhere. */
  mayStay(partner: string, nowMs: number): boolean {
    const account = this.#accountOf(partner);
    return account !== undefined && account.refusal(undefined, nowMs) === undefined;
  }

  names(): readonly string[] {
    return [...this.#now.accounts.keys(), ...this.adopted().map(({ partner }) => partner)];
  }

  #accountOf(partner: string): PartnerAccount | undefined {
    const adopted = this.#adoptedUser(partner);
    return adopted ? this.adoptedAccount(adopted) : this.#now.accounts.get(partner);
  }

  /** Not one whose directory is gone, or whose name the configuration has given to somebody. */
  #adoptedUser(partner: string): AdoptedUser | undefined {
    const user = this.#adopted.get(partner);
    const sources = sourcesOf(this.#now.config.authentication);
    return user && !this.#now.accounts.has(partner) && Object.hasOwn(sources, user.directory) ? user : undefined;
  }

  /** Whoever has an Outbox: partners, and what they share. */
  readonly addressees = {
    has: (name: string): boolean => this.has(name) || this.#now.config.sharedOutboxes.includes(name),
    names: (): readonly string[] => [...this.names(), ...this.#now.config.sharedOutboxes],
  };

  /** The Outboxes that are shared with a partner, and the part of each that he sees. */
  sharedWith(partner: string): readonly SharedPlace[] {
    const folders = this.#accountOf(partner)?.grantFor(undefined).folders ?? [];
    const { sharedOutboxes } = this.#now.config;
    return folders.flatMap(({ owner, place }) =>
      owner !== undefined && sharedOutboxes.includes(owner) ? [{ owner, place: parseVirtualPath(place) }] : [],
    );
  }

  /** What holds for the uploads of a partner; for one who is gone, what holds for all. */
  uploadsOf(partner: string): Uploads {
    return withOwn(this.#now.config.policy.uploads, this.#accountOf(partner)?.uploads);
  }

  policyContents(): PolicyContents {
    const { policy, rules } = this.#now.config;
    return {
      // Of these the DMZ host opens those that it is set up for.
      listeners: ['sftp', 'ftps'],
      banner: policy.banner,
      askForCode: this.#now.config.authentication.askForCode,
      recipients: [this.#recipient],
      rules: rules.map(ruleForDmz),
      timeZone: policy.timeZone,
      limits: policy.limits,
      uploads: forDmz(policy.uploads),
    };
  }
}

/** What decides whether a user of a directory can log in. */
function adoptedLogin({ authentication, groups, partners }: InternalConfig, { partner, directory, groups: named }: AdoptedUser) {
  const settings = sourcesOf(authentication)[directory];
  const members = named.map((group) => [groups[group]?.disabled ?? false, groups[group]?.from]);
  return JSON.stringify([settings === undefined || settings.stopped, Object.hasOwn(partners, partner), members]);
}
