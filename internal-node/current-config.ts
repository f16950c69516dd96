/** The configuration in force, with what is made of it once: accounts, router, contents of the policy. */
import { Router } from '../shared/matching/routing.ts';
import { withOwn } from '../shared/uploads.ts';
import type { InternalConfig } from './config.ts';
import { accountsOf, type PartnerAccount } from './policy/accounts.ts';
import { defaultGroup } from './policy/partners.ts';
import type { PolicyContents } from './policy/publish.ts';
import { forDmz, type Uploads } from './policy/uploads.ts';

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
    return Object.keys(before.config.partners).filter((name) => loginOf(before.config, name) !== loginOf(config, name));
  }

  get config(): InternalConfig {
    return this.#now.config;
  }

  get accounts(): ReadonlyMap<string, PartnerAccount> {
    return this.#now.accounts;
  }

  get router(): Router {
    return this.#now.router;
  }

  has(partner: string): boolean {
    return this.#now.accounts.has(partner);
  }

  names(): readonly string[] {
    return [...this.#now.accounts.keys()];
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

/** What decides whether a partner can log in. What he may do is settled at his login: a change of that is for the next one. */
function loginOf({ partners, groups }: InternalConfig, name: string): string {
  const partner = partners[name];
  if (!partner) return '';
  const login: Partial<typeof partner> = { ...partner };
  for (const key of settledAtLogin) delete login[key];
  const named = partner.groups ?? [defaultGroup];
  return JSON.stringify([login, named.map((group) => [groups[group]?.disabled ?? false, groups[group]?.from])]);
}

const settledAtLogin = [
  'permissions',
  'uploads',
  'onExisting',
  'quota',
  'quotaFiles',
  'maxFileSize',
  'maxPartials',
  'ftps',
] as const;
