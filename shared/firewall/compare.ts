/**
 * Holds a live rule set against the rules that a host should have: what is missing, and what lets through more. By meaning: both
 * are asked what becomes of every packet, so that order, grouping, sets and names of chains do not matter. Doubt counts against
 * the live rule set. Pure.
 *
 * Judged are new connections in every hook of the host but on the loopback, and the packets of each wanted connection in both
 * directions once it is established.
 */
import { Conditions, InterfaceNames } from './conditions.ts';
import type { Flow } from './flows.ts';
import { type Hook, type HostPolicy, type HostRule, neighbourTypes } from './host-policy.ts';
import { single, span, union } from './intervals.ts';
import { type Family, families, intervalOf, rangeText } from './networks.ts';
import { anyInterface, type Box, everything, minusAll, protocolNumbers, type Region } from './region.ts';
import { type Accepted, accepted, type FilterRule, type Question, type Ruleset } from './ruleset.ts';

export interface Difference {
  /** `missing`: wanted and not let through. `too-wide`: let through and wanted by nobody. `unknown`: nobody can tell. */
  readonly kind: 'missing' | 'too-wide' | 'unknown';
  readonly hook: Hook;
  readonly families: readonly Family[];
  /** The live rule that lets through too much, or the rule of ours that is missing. */
  readonly rule: string;
  /** Which packets, in words; at most `shown` of them. */
  readonly packets: readonly string[];
  /** Id of our flow that is missing; null: of what is too wide. */
  readonly flow: string | null;
}

const shown = 3;

/** Our own rules in the form in which a live rule set is read. @param perHost As a rule set that is attached to one host takes them. */
export function policyRuleset(policy: HostPolicy, perHost = false): Ruleset {
  const interfaces = new InterfaceNames();
  const hooks = perHost ? policy.hooks.filter((hook) => hook !== 'forward') : policy.hooks;
  const base = hooks.map((hook) => ({
    name: `ours ${hook}`,
    rules: policy.rules.filter((rule) => rule.hook === hook).map((rule) => filterRule(perHost ? ofHost(rule) : rule, interfaces)),
    ...{ hook, priority: 0, policy: 'drop' as const, families },
  }));
  return { kind: 'ours', base, chains: new Map(), interfaces: interfaces.names, unknownFamilies: [], perHost, remarks: [] };
}

const ofHost = (rule: HostRule): HostRule =>
  rule.kind === 'traffic' ? { ...rule, ...(rule.hook === 'input' ? { to: [] } : { from: [] }), sourcePort: null } : rule;

function filterRule(rule: HostRule, interfaces: InterfaceNames): FilterRule {
  if (rule.kind !== 'traffic') {
    const conditions = new Conditions(interfaces, families);
    if (rule.kind === 'loopback') conditions.interface(rule.hook === 'output' ? 'outside' : 'inside', single(0), false);
    else if (rule.kind === 'replies') conditions.states(['established', 'related']);
    else
      conditions.icmpType(
        'icmpv6',
        union(...neighbourTypes[rule.hook === 'output' ? 'output' : 'input'].map((type) => single(type))),
      );
    return conditions.rule(rule.kind, null, { kind: 'accept' });
  }
  const { family, from, to, protocol, ports, sourcePort, action } = rule;
  const conditions = new Conditions(interfaces, [family]);
  if (action === 'accept') conditions.states(['new']);
  if (from.length > 0) conditions.address('from', family, union(...from.map((one) => [intervalOf(one)])), false);
  if (to.length > 0) conditions.address('to', family, union(...to.map((one) => [intervalOf(one)])), false);
  if (protocol !== 'any') conditions.protocol(single(protocolNumbers[protocol]));
  if (ports) conditions.port('port', span(ports.first, ports.last));
  if (sourcePort !== null) conditions.port('sourcePort', single(sourcePort));
  return conditions.rule(rule.id, null, { kind: action });
}

/** @returns nothing when the live rules do what they should. @throws SallyportError `limit-reached` for a rule set beyond all bounds. */
export function compare(policy: HostPolicy, live: Ruleset): readonly Difference[] {
  const comparison = new Comparison(policy, live);
  return merged(families.flatMap((family) => comparison.hooks.flatMap((hook) => comparison.of(hook, family))));
}

class Comparison {
  readonly #policy: HostPolicy;
  readonly #live: Ruleset;
  readonly #ours: Ruleset;
  readonly #interfaces: number;

  constructor(policy: HostPolicy, live: Ruleset) {
    this.#policy = policy;
    this.#live = live;
    this.#ours = policyRuleset(policy, live.perHost);
    this.#interfaces = live.interfaces.length + 1;
  }

  get hooks(): readonly Hook[] {
    return this.#ours.base.map(({ hook }) => hook);
  }

  of(hook: Hook, family: Family): Difference[] {
    if (this.#live.unknownFamilies.includes(family)) {
      const name = family === 'ipv4' ? 'IPv4' : 'IPv6';
      return [
        {
          kind: 'unknown',
          hook,
          families: [family],
          rule: `no rules for ${name} were given: they may be open`,
          packets: [],
          flow: null,
        },
      ];
    }
    const packets = [this.#notLoopback(hook, family)];
    const question = { hook, family, state: 'new', packets } as const;
    const wanted = accepted(this.#ours, { ...question, doubt: 'open' });
    const open = accepted(this.#live, { ...question, doubt: 'open' });
    const shut = accepted(this.#live, { ...question, doubt: 'shut' });
    return [...this.#tooWide(open, wanted, hook, family), ...this.#missing(shut, wanted, hook, family)];
  }

  #tooWide(open: readonly Accepted[], wanted: readonly Accepted[], hook: Hook, family: Family): Difference[] {
    const mine = wanted.map(({ box }) => this.#anywhere(box, family));
    return open.flatMap(({ box, by }) => {
      const rest = minusAll([box], mine);
      return rest.length === 0
        ? []
        : [{ kind: 'too-wide' as const, hook, families: [family], rule: by, packets: inWords(rest, family), flow: null }];
    });
  }

  #missing(shut: readonly Accepted[], wanted: readonly Accepted[], hook: Hook, family: Family): Difference[] {
    const theirs = shut.map(({ box }) => this.#anywhere(this.#ofHost(box, hook, family), family));
    return wanted.flatMap(({ box, by }) => {
      const id = by.slice(by.indexOf(': ') + 2);
      const rule = this.#policy.rules.find((one) => one.hook === hook && (one.kind === 'traffic' ? one.id : one.kind) === id);
      const missing = (rest: Region, what: string, at: Hook = hook): Difference[] =>
        rest.length === 0
          ? []
          : [{ kind: 'missing', hook: at, families: [family], rule: what, packets: inWords(rest, family), flow: id }];
      const found = missing(minusAll([box], theirs), rule?.comment ?? id);
      if (found.length > 0 || rule?.kind !== 'traffic') return found;
      return [
        ...missing(this.#refusedLater(box, hook, family), `packets of an established connection: ${rule.comment}`),
        ...missing(this.#refusedLater(reversed(box), opposite(hook), family), `replies: ${rule.comment}`, opposite(hook)),
      ];
    });
  }

  /** Packets of an established connection that do not come through for certain. */
  #refusedLater(box: Box, hook: Hook, family: Family): Region {
    const packets = [this.#anywhere(box, family, hook)];
    const through = accepted(this.#live, { hook, family, state: 'established', packets, doubt: 'shut' } satisfies Question);
    return minusAll(
      [this.#anywhere(box, family)],
      through.map((one) => this.#anywhere(one.box, family)),
    );
  }

  /** Which of a host's own addresses a rule names does not count where it is attached to the host. */
  #ofHost(box: Box, hook: Hook, family: Family): Box {
    if (!this.#live.perHost) return box;
    const { from, to } = everything(family, this.#interfaces);
    return hook === 'input' ? { ...box, to } : { ...box, from };
  }

  #notLoopback(hook: Hook, family: Family): Box {
    const all = everything(family, this.#interfaces);
    const others = span(1, this.#interfaces - 1);
    return { ...all, inside: hook === 'output' ? all.inside : others, outside: hook === 'input' ? all.outside : others };
  }

  #anywhere(box: Box, family: Family, hook?: Hook): Box {
    return anyInterface(box, hook ? this.#notLoopback(hook, family) : everything(family, this.#interfaces));
  }
}

const reversed = (box: Box): Box => ({ ...box, from: box.to, to: box.from, port: box.sourcePort, sourcePort: box.port });
const opposite = (hook: Hook): Hook => (hook === 'input' ? 'output' : hook === 'output' ? 'input' : 'forward');

/** The same rule in both families is one finding. */
function merged(differences: readonly Difference[]): Difference[] {
  const byRule = new Map<string, Difference>();
  for (const one of differences) {
    const key = `${one.kind} ${one.hook} ${one.rule} ${one.flow}`;
    const before = byRule.get(key);
    const both = [...new Set([...(before?.families ?? []), ...one.families])];
    const packets = [...new Set([...(before?.packets ?? []), ...one.packets])].slice(0, shown);
    byRule.set(key, { ...one, families: both, packets });
  }
  return [...byRule.values()];
}

function inWords(region: Region, family: Family): string[] {
  return region.slice(0, shown).map((box) => packetText(box, family));
}

/** `tcp 445 from 192.0.2.0/24 to 10.0.0.0/8`. */
export function packetText(box: Box, family: Family): string {
  const addresses = (set: Box['from']): string => {
    const texts = set.slice(0, 3).map((range) => rangeText(range, family));
    const text = `${texts.join(', ')}${set.length > 3 ? ', …' : ''}`;
    return /^(0\.0\.0\.0|::)\/0$/.test(text) ? 'anywhere' : text;
  };
  const numbers = (set: Box['port']): string =>
    set
      .slice(0, 3)
      .map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`))
      .join(', ');
  const names = new Map(Object.entries(protocolNumbers).map(([name, number]) => [String(number), name]));
  const protocol =
    numbers(box.protocol) === '0-255'
      ? 'everything'
      : numbers(box.protocol)
          .split(', ')
          .map((one) => names.get(one) ?? `protocol ${one}`)
          .join(', ');
  const port = numbers(box.port) === '0-65535' ? '' : ` ${numbers(box.port)}`;
  const source = numbers(box.sourcePort) === '0-65535' ? '' : ` from port ${numbers(box.sourcePort)}`;
  return `${protocol}${port}${source} from ${addresses(box.from)} to ${addresses(box.to)}`;
}

/** What a difference says in one line. */
export function differenceText({ kind, hook, rule, families: of }: Difference): string {
  const which = of.length === families.length ? '' : ` (${of.map((family) => (family === 'ipv4' ? 'IPv4' : 'IPv6')).join(', ')})`;
  const says = { missing: 'is missing', 'too-wide': 'lets through too much', unknown: 'is not known' }[kind];
  return `${hook}${which}: ${says}: ${rule}`;
}

/** The flow of a difference, when it is one of ours. */
export const flowOf = ({ flow }: Difference, flows: readonly Flow[]): Flow | undefined => flows.find(({ id }) => id === flow);
