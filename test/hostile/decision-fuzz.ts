/**
 * Random configurations and requests: what the DMZ node decides by the bundle that it was sent, what the inside decides, and
 * what `sallyport rules test` and `can-i` say must be the same. The suite plays a sample, `scripts/fuzz decisions` a million.
 */
import fc from 'fast-check';
import { Dispatcher } from '../../dmz-node/dispatch/dispatcher.ts';
import { SessionRights } from '../../dmz-node/partner/permissions.ts';
import { Explainer } from '../../internal-node/explain.ts';
import { accountsOf } from '../../internal-node/policy/accounts.ts';
import { groupsSchema, partnersSchema } from '../../internal-node/policy/partners.ts';
import { withSources } from '../../internal-node/policy/permission-settings.ts';
import { silentLogger } from '../../shared/log.ts';
import { Router } from '../../shared/matching/routing.ts';
import { parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import { permissionNames, permissionWords } from '../../shared/permissions/words.ts';
import { decisionForDmz, grantSchema, type PlanOfRule, policyBundleSchema, type Rule, ruleForDmz } from '../../shared/policy.ts';
import { makePolicy } from '../fixtures/policy.ts';
import { makeKey } from '../fixtures/ssh-login.ts';

const partners = ['acme', 'globex', 'a.b'] as const;
const zone = 'Europe/Berlin';
const keys = [makeKey('ed25519').publicLine];

const expression = fc.constantFrom(
  ...[
    '*',
    '*.csv',
    '! *.tmp | *.part',
    'in/*',
    '*/x*',
    '[a-m]*',
    'm/^in/',
    'm/\\.csv$/i',
    'e/\\.pdf$/',
    'm/(a|b)+c?/',
    'acme',
    '?.b',
  ],
  ...['t/*{day.padded}*/', 't/*{hour.padded_24}*/-1h', 'p/in/**/*.csv/', 'p/{in,out}/*/'],
);
const on = fc.constantFrom(
  ...[
    '*',
    '/Inbox/*',
    '/Outbox/*',
    '/Inbox/${'.concat('USER}/*'),
    '*.csv',
    '! *.pdf',
    'm/^\\/Inbox\\/in\\//',
    'e/csv$/',
    '/Inbox',
    '/',
  ],
  ...['m/${'.concat('USER}/'), 't/*{day.padded}*/'],
);
const size = fc.option(fc.integer({ min: 0, max: 3000 }), { nil: undefined });
const route: fc.Arbitrary<Rule['route']> = fc.constantFrom(
  { action: 'deliver', destination: 'inside' },
  { action: 'outbox', partner: 'globex' },
  { action: 'hold' },
  { action: 'delete' },
  { action: 'ignore' },
);
/** What the inside does beside: the DMZ is not told, and must say the same all the same. */
const plan = fc.record({
  action: fc.constantFrom('deliver', 'move', 'move-with-timestamp'),
  targets: fc.array(
    fc.constantFrom(
      ...[{ destination: 'inside' }, { destination: 'inside', as: '{data.path}/{account.name}/' }],
      ...[
        { destination: 'archive', as: `${'{data.directory_name}/'.repeat(12)}x` },
        { destination: 'archive', as: '{day.padded}/' },
      ],
    ),
    { minLength: 1, maxLength: 3 },
  ),
});
const rules = fc
  .array(
    fc.record({
      partner: fc.option(expression, { nil: undefined }),
      path: fc.option(expression, { nil: undefined }),
      minBytes: size,
      maxBytes: size,
      route,
      plan: fc.option(plan, { nil: undefined }),
    }),
    { maxLength: 12 },
  )
  .map((all) =>
    all.map((given, n): Rule => {
      const { plan: written, route: led, ...conditions } = given;
      const known = Object.entries(conditions).filter(([, value]) => value !== undefined);
      const rule: Rule = { name: `rule ${n}`, source: `rules.yaml:${n}`, ...Object.fromEntries(known), route: led };
      if (written === undefined || led.action === 'outbox') return rule;
      return led.action === 'hold' ? { ...rule, plan: { ...written, action: 'copy' } } : { ...rule, ...delivering(written) };
    }),
  );
const delivering = (written: PlanOfRule): Pick<Rule, 'route' | 'plan'> => ({
  route: { action: 'deliver', destination: written.targets[0]?.destination ?? '' },
  plan: written,
});
const set = fc.uniqueArray(fc.constantFrom(...permissionWords), { maxLength: 4 });
const permissions = fc.record({ global: set, paths: fc.array(fc.record({ on, set }), { maxLength: 4 }) });
const groupNames = ['default', 'one', 'two'] as const;
const configuration = fc.record({
  rules,
  groups: fc.array(fc.option(permissions, { nil: undefined }), { minLength: 3, maxLength: 3 }),
  own: fc.array(fc.option(permissions, { nil: undefined }), { minLength: 3, maxLength: 3 }),
  of: fc.array(fc.option(fc.subarray([...groupNames]), { nil: undefined }), { minLength: 3, maxLength: 3 }),
});

const component = fc.constantFrom(
  'in',
  'out',
  'x',
  'a.csv',
  'B.CSV',
  'y.pdf',
  'z.tmp',
  '22',
  '01-08',
  'acme',
  'caf\u00e9',
  'a.b',
);
const request = fc.record({
  partner: fc.constantFrom(...partners),
  area: fc.constantFrom('/Inbox', '/Inbox', '/Outbox', ''),
  components: fc.array(component, { maxLength: 4 }),
  size: fc.integer({ min: 0, max: 3500 }),
  atMs: fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) }),
  permission: fc.constantFrom(...permissionNames),
});

/** What one configuration makes of both nodes and of the commands. */
class Both {
  readonly #explainer: Explainer;
  readonly #inside: Router;
  readonly #dmz: Dispatcher;
  readonly #rights: ReadonlyMap<string, SessionRights>;
  #nowMs = 0;

  constructor({ rules: given, groups, own, of }: ReturnType<typeof sampleConfigurations>[number]) {
    const named = groupsSchema.parse(
      Object.fromEntries(groupNames.map((name, n) => [name, groups[n] ? { permissions: groups[n] } : {}])),
    );
    const accounts = partnersSchema.parse(
      Object.fromEntries(
        partners.map((name, n) => [
          name,
          { keys, ...(own[n] ? { permissions: own[n] } : {}), ...(of[n] ? { groups: of[n] } : {}) },
        ]),
      ),
    );
    const sourced = (all: typeof named | typeof accounts) =>
      new Map(
        Object.entries(all).flatMap(([name, { permissions: written }]) =>
          written ? [[name, withSources(written, (path) => `${name}.${path.join('.')}`)] as const] : [],
        ),
      );
    const settings = {
      partners: accounts,
      groups: named,
      permissions: { partners: sourced(accounts), groups: sourced(named) },
      place: (kind: string, name: string) => `${kind}.${name}`,
    };
    const policy = { timeZone: zone };
    this.#explainer = new Explainer({
      ...settings,
      policy,
      rules: given,
      destinations: [{ name: 'inside', folder: '/srv', onExisting: 'number', makeFolders: 'all', fileMode: 0o640, stopAfter: 0 }],
    });
    this.#inside = new Router(given, policy);
    const bundle = policyBundleSchema.parse(
      JSON.parse(JSON.stringify(makePolicy({ rules: given.map(ruleForDmz), timeZone: zone }))),
    );
    this.#dmz = new Dispatcher({ policy: { current: () => bundle }, log: silentLogger });
    this.#rights = new Map(
      [...accountsOf({ ...settings, timeZone: zone })].map(([name, account]) => {
        const grant = grantSchema.parse(JSON.parse(JSON.stringify(account.grantFor('192.0.2.1'))));
        return [name, new SessionRights(grant, { nowMs: () => this.#nowMs })];
      }),
    );
  }

  /** @returns what disagrees, if anything. */
  differs({
    partner,
    area,
    components,
    size: bytes,
    atMs,
    permission,
  }: ReturnType<typeof sampleRequests>[number]): string | undefined {
    this.#nowMs = atMs;
    const path = parseVirtualPath([area, ...components].join('/') || '/');
    const live = this.#rights.get(partner)?.may(permission, path);
    const told = this.#explainer.may({ partner, from: '192.0.2.1', atMs }, permission, path);
    if (live !== told.allowed) return `${permission} ${path} as ${partner}: live ${live}, told ${told.allowed}`;
    if (area !== '/Inbox' || components.length === 0) return undefined;
    const facts = { partner, path: components.join('/'), size: bytes, atMs };
    const dmz = this.#dmz.decide(facts).decision;
    const inside = this.#inside.decide(facts);
    const dry = this.#explainer.route(partner, path, bytes, atMs).decision;
    const isAlike = inside.unplaced || same(dmz, decisionForDmz(inside));
    return isAlike && same(inside, dry) ? undefined : JSON.stringify([facts, dmz, inside, dry]);
  }
}

const same = (one: unknown, two: unknown): boolean => JSON.stringify(one) === JSON.stringify(two);

const sampleConfigurations = (seed: number, count: number) => fc.sample(configuration, { seed, numRuns: count });
const sampleRequests = (seed: number, count: number) => fc.sample(request, { seed, numRuns: count });

/** @param count Requests; a thousand of them for each configuration. */
export function compareDecisions(seed: number, count: number): { readonly compared: number; readonly faults: readonly string[] } {
  const perConfiguration = Math.min(1000, count);
  const faults: string[] = [];
  const requests = sampleRequests(seed, perConfiguration);
  let compared = 0;
  for (const given of sampleConfigurations(seed, Math.ceil(count / perConfiguration))) {
    const both = new Both(given);
    for (const asked of requests) {
      const fault = both.differs(asked);
      if (fault !== undefined) faults.push(fault);
      compared += 1;
    }
  }
  return { compared, faults };
}
