/** The configuration in force, with what is made of it once: accounts, router, contents of the policy. */
import { Router, type RoutingFacts } from '../shared/matching/routing.ts';
import { parseVirtualPath, type VirtualPath } from '../shared/paths/virtual-path.ts';
import type { InsideDecision } from '../shared/policy.ts';
import { withOwn } from '../shared/uploads.ts';
import { sessionsEnded } from './changes.ts';
import type { InternalConfig } from './config.ts';
import { accountsOf, type PartnerAccount } from './policy/accounts.ts';
import { placed } from './policy/home.ts';
import type { PolicyContents } from './policy/publish.ts';
import { forDmz, type Uploads } from './policy/uploads.ts';

/** A part of an Outbox that is shared. */
export interface SharedPlace {
  readonly owner: string;
  readonly place: VirtualPath;
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
    return ended;
  }

  get config(): InternalConfig {
    return this.#now.config;
  }

  get accounts(): ReadonlyMap<string, PartnerAccount> {
    return this.#now.accounts;
  }

  /** Where an item of this id goes, and where it lands. */
  decide(facts: RoutingFacts & { readonly item: string }): InsideDecision {
    const { router, accounts } = this.#now;
    const { partner, path, item } = facts;
    const place = accounts.get(partner)?.place;
    const decision = router.decide(facts);
    return place ? placed(decision, place, { partner, below: path, item }) : decision;
  }

  has(partner: string): boolean {
    return this.#now.accounts.has(partner);
  }

  names(): readonly string[] {
    return [...this.#now.accounts.keys()];
  }

  /** Whoever has an Outbox: partners, and what they share. */
  readonly addressees = {
    has: (name: string): boolean => this.has(name) || this.#now.config.sharedOutboxes.includes(name),
    names: (): readonly string[] => [...this.names(), ...this.#now.config.sharedOutboxes],
  };

  /** The Outboxes that are shared with a partner, and the part of each that he sees. */
  sharedWith(partner: string): readonly SharedPlace[] {
    const folders = this.#now.accounts.get(partner)?.grantFor(undefined).folders ?? [];
    const { sharedOutboxes } = this.#now.config;
    return folders.flatMap(({ owner, place }) =>
      owner !== undefined && sharedOutboxes.includes(owner) ? [{ owner, place: parseVirtualPath(place) }] : [],
    );
  }

  /** What holds for the uploads of a partner; for one who is gone, what holds for all. */
  uploadsOf(partner: string): Uploads {
    const { config, accounts } = this.#now;
    return withOwn(config.policy.uploads, accounts.get(partner)?.uploads);
  }

  policyContents(): PolicyContents {
    const { policy, rules } = this.#now.config;
    return {
      // Of these the DMZ host opens those that it is set up for.
      listeners: ['sftp', 'ftps'],
      banner: policy.banner,
      recipients: [this.#recipient],
      // Paths inside and examples are none of the DMZ's business.
      rules: rules.map(({ as: _inside, expect: _examples, ...rule }) => rule),
      timeZone: policy.timeZone,
      limits: policy.limits,
      uploads: forDmz(policy.uploads),
    };
  }
}
