/**
 * A packet filter's rules as data, whatever tool they come from, and what becomes of packets under them.
 *
 * Evaluated by meaning: chains in the order of their priority, jumps followed, each rule taking from what earlier rules left.
 * A condition that this program does not understand makes a rule *uncertain*: the caller says whether such a rule is to count as
 * matching, and asks both ways, so that doubt is never in favour of a rule set.
 */
import { SallyportError } from '../errors.ts';
import type { Hook } from './host-policy.ts';
import type { Family } from './networks.ts';
import { type Box, common, minus, type Region } from './region.ts';

export type ConnectionState = 'new' | 'established' | 'related' | 'invalid' | 'untracked';

export type RuleAction =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'none' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

export interface FilterRule {
  /** As its tool prints it, for people. */
  readonly text: string;
  readonly comment: string | null;
  readonly family: Family | 'both';
  /** Null: in every state. */
  readonly states: readonly ConnectionState[] | null;
  /** The packets that the conditions name, in one family each; the keys are set for the rule's families. */
  readonly boxes: Readonly<Partial<Record<Family, Region>>>;
  /** What could not be understood; such a rule matches at most what `boxes` says. */
  readonly uncertain: string | null;
  readonly action: RuleAction;
}

export interface FilterChain {
  readonly name: string;
  readonly rules: readonly FilterRule[];
}

export interface BaseChain extends FilterChain {
  readonly hook: Hook;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
  readonly families: readonly Family[];
}

export interface Ruleset {
  /** `nft`, `iptables-save`: where it comes from. */
  readonly kind: string;
  readonly base: readonly BaseChain[];
  /** Chains that are jumped to, by name. */
  readonly chains: ReadonlyMap<string, FilterChain>;
  /** Interfaces that rules name; number 0 is the loopback, the last number all others. */
  readonly interfaces: readonly string[];
  /** Families that nothing was said of: they may be open. */
  readonly unknownFamilies: readonly Family[];
  /** It is attached to one host, whose addresses it does not tell apart, and knows neither source ports nor forwarding. */
  readonly perHost: boolean;
  /** What could not be read and may matter. */
  readonly remarks: readonly string[];
}

/** What let packets through. */
export interface Accepted {
  readonly box: Box;
  readonly by: string;
}

export interface Question {
  readonly hook: Hook;
  readonly family: Family;
  readonly state: ConnectionState;
  readonly packets: Region;
  /**
   * What uncertain rules do. `open`: those that accept do match, the others do not (what could come through?). `shut`: those that
   * accept do not match, the others do (what comes through for certain?).
   */
  readonly doubt: 'open' | 'shut';
}

const deepest = 32;

/** @returns the packets that come through, each with what let it through. @throws SallyportError `limit-reached`. */
export function accepted(ruleset: Ruleset, question: Question): readonly Accepted[] {
  const { hook, family } = question;
  const chains = ruleset.base
    .filter((chain) => chain.hook === hook && chain.families.includes(family))
    .sort((a, b) => a.priority - b.priority);
  let through: readonly Accepted[] = question.packets.map((box) => ({ box, by: `no chain filters ${hook} of ${family}` }));
  for (const [index, chain] of chains.entries()) {
    through = through.flatMap(({ box, by }) => {
      const run = new ChainRun(ruleset, question);
      const rest = run.walk(chain, [box], 0);
      if (chain.policy === 'drop') return run.through;
      const label = index === 0 ? `${chain.name}: policy accept` : by;
      return [...run.through, ...rest.map((left) => ({ box: left, by: label }))];
    });
  }
  return through;
}

class ChainRun {
  readonly through: Accepted[] = [];
  readonly #ruleset: Ruleset;
  readonly #question: Question;

  constructor(ruleset: Ruleset, question: Question) {
    this.#ruleset = ruleset;
    this.#question = question;
  }

  /** @returns what leaves the chain without a verdict. */
  walk(chain: FilterChain, packets: Region, depth: number): Region {
    if (depth > deepest) throw new SallyportError('limit-reached', `chains jump to each other more than ${deepest} deep`);
    const returned: Box[] = [];
    let rest = packets;
    for (const rule of chain.rules) {
      if (rest.length === 0) break;
      const hit = rule.action.kind === 'none' ? [] : this.#hit(rule, rest);
      if (hit.length === 0) continue;
      const left = this.#act(rule, hit, chain, depth);
      if (this.#always(rule)) rest = hit.reduce(minus, rest);
      rest = [...rest, ...left.back];
      returned.push(...left.out);
    }
    return [...rest, ...returned];
  }

  /** @returns what comes back to this chain, and what leaves it. */
  #act(rule: FilterRule, hit: Region, chain: FilterChain, depth: number): { readonly back: Region; readonly out: Region } {
    const { action } = rule;
    if (action.kind === 'accept') this.through.push(...hit.map((box) => ({ box, by: labelOf(chain, rule) })));
    if (action.kind === 'return') return { back: [], out: hit };
    if (action.kind === 'jump' || action.kind === 'goto') {
      // Not sure whether it is jumped at all: nothing of it comes through for certain.
      if (rule.uncertain !== null && this.#question.doubt === 'shut') return { back: [], out: [] };
      const next = this.#ruleset.chains.get(action.chain) ?? { name: action.chain, rules: [] };
      const left = this.walk(next, hit, depth + 1);
      return action.kind === 'jump' && rule.uncertain === null ? { back: left, out: [] } : { back: [], out: left };
    }
    return { back: [], out: [] };
  }

  /** The packets of these that the rule takes. */
  #hit(rule: FilterRule, packets: Region): Region {
    const { family, state, doubt } = this.#question;
    if (rule.states && !rule.states.includes(state)) return [];
    const opens = rule.action.kind === 'accept' || rule.action.kind === 'return';
    if (rule.uncertain !== null && doubt === 'shut' && opens) return [];
    if (rule.uncertain !== null && doubt === 'open' && rule.action.kind === 'drop') return [];
    return (rule.boxes[family] ?? []).flatMap((box) => packets.flatMap((packet) => common(packet, box) ?? []));
  }

  /** Whether what the rule takes is gone for later rules. */
  #always(rule: FilterRule): boolean {
    return rule.uncertain === null || this.#question.doubt === 'shut';
  }
}

const labelOf = (chain: FilterChain, rule: FilterRule): string =>
  `${chain.name}: ${rule.text}${rule.comment === null ? '' : `   # ${rule.comment}`}`;
