/**
 * Reads what `nft -j list ruleset` prints (libnftables-json(5)). Only chains of type filter decide here; a chain that translates
 * addresses is remarked on, because a rule set is judged by what arrives after the translation.
 */
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { Conditions, InterfaceNames } from './conditions.ts';
import type { Hook } from './host-policy.ts';
import type { Family } from './networks.ts';
import { applyMatch, familiesOf, fieldOf } from './nft-matches.ts';
import { textOf } from './nft-text.ts';
import type { BaseChain, FilterChain, FilterRule, RuleAction, Ruleset } from './ruleset.ts';

const json = z.unknown();
const chainSchema = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  type: z.string().optional(),
  hook: z.string().optional(),
  prio: z.number().optional(),
  policy: z.string().optional(),
});
const ruleSchema = z.object({
  family: z.string(),
  table: z.string(),
  chain: z.string(),
  handle: z.number().optional(),
  comment: z.string().optional(),
  expr: z.array(z.record(z.string(), json)),
});
const setSchema = z.object({ family: z.string(), table: z.string(), name: z.string(), elem: z.array(json).optional() });
const documentSchema = z.object({ nftables: z.array(z.record(z.string(), json)) });

type NftChain = z.infer<typeof chainSchema>;
type NftRule = z.infer<typeof ruleSchema>;

const hooks: readonly string[] = ['input', 'output', 'forward'] satisfies Hook[];

/** @throws SallyportError `usage` for a text that is no such document. */
export function parseNft(text: string): Ruleset {
  return new NftReader(readDocument(text)).read();
}

function readDocument(text: string): z.infer<typeof documentSchema> {
  try {
    return documentSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new SallyportError('usage', 'this is not what `nft -j list ruleset` prints', {}, { cause });
  }
}

class NftReader {
  readonly #chains: readonly NftChain[];
  readonly #rules: readonly NftRule[];
  readonly #sets: ReadonlyMap<string, readonly unknown[]>;
  readonly #interfaces = new InterfaceNames();
  readonly #remarks: string[] = [];

  constructor({ nftables }: z.infer<typeof documentSchema>) {
    const all = <S extends z.ZodType>(key: string, schema: S): z.output<S>[] =>
      nftables.flatMap((entry) => (entry[key] === undefined ? [] : [schema.parse(entry[key])]));
    this.#chains = all('chain', chainSchema);
    this.#rules = all('rule', ruleSchema);
    const sets = [...all('set', setSchema), ...all('map', setSchema)];
    this.#sets = new Map(sets.map((set) => [`${set.family} ${set.table} @${set.name}`, set.elem ?? []]));
  }

  read(): Ruleset {
    for (const name of interfaceNames(this.#rules.map(({ expr }) => expr))) this.#interfaces.note(name);
    const base: BaseChain[] = [];
    const chains = new Map<string, FilterChain>();
    for (const chain of this.#chains) {
      const of = familiesOf[chain.family];
      if (!of) continue; // arp, bridge, netdev: no IP packets of this host pass there
      const name = nameOf(chain);
      const rules = this.#rules
        .filter((rule) => rule.family === chain.family && rule.table === chain.table && rule.chain === chain.name)
        .flatMap((rule) => this.#rulesOf(rule, of));
      chains.set(name, { name, rules });
      const policy = chain.policy === 'drop' ? 'drop' : 'accept';
      if (chain.hook === undefined) continue;
      if (chain.type === 'filter' && hooks.includes(chain.hook)) {
        base.push({ name, rules, hook: chain.hook as Hook, priority: chain.prio ?? 0, policy, families: of });
      } else if (chain.type === 'nat' && rules.length > 0) {
        this.#remarks.push(`chain ${name} translates addresses; what is judged is what arrives behind it`);
      } else if (rules.some(({ action }) => action.kind !== 'none')) {
        this.#remarks.push(`chain ${name} (${chain.type} ${chain.hook}) is not evaluated`);
      }
    }
    return {
      kind: 'nft',
      base,
      chains,
      interfaces: this.#interfaces.names,
      unknownFamilies: [],
      perHost: false,
      remarks: this.#remarks,
    };
  }

  /** One rule, or one for each element of a verdict map. */
  #rulesOf(rule: NftRule, of: readonly Family[]): FilterRule[] {
    const map = rule.expr.findIndex((statement) => statement.vmap !== undefined);
    if (map < 0) return [this.#rule(rule, rule.expr, of)];
    const { key, data } = (rule.expr[map]?.vmap ?? {}) as { key?: unknown; data?: unknown };
    const elements = this.#elements(data, rule);
    const before = rule.expr.slice(0, map);
    return elements.flatMap((element) => {
      if (!Array.isArray(element) || element.length !== 2) return [];
      const [right, verdict] = element as [unknown, Record<string, unknown>];
      return [this.#rule(rule, [...before, { match: { op: '==', left: key, right } }, verdict], of)];
    });
  }

  #rule(rule: NftRule, expr: readonly Record<string, unknown>[], of: readonly Family[]): FilterRule {
    const conditions = new Conditions(this.#interfaces, of);
    let action: RuleAction = { kind: 'none' };
    for (const statement of expr) {
      const [kind = '', value] = Object.entries(statement)[0] ?? [];
      if (kind === 'match') this.#match(value, rule, conditions);
      else action = verdictOf(kind, value, rule) ?? action;
      if (!clear(kind, value)) conditions.unclear(kind);
    }
    const handle = rule.handle === undefined ? '' : ` (handle ${rule.handle})`;
    return conditions.rule(`${textOf(expr)}${handle}`, rule.comment ?? null, action);
  }

  #match(value: unknown, rule: NftRule, conditions: Conditions): void {
    const { op, left, right } = value as { op?: string; left?: unknown; right?: unknown };
    const negated = op === '!=';
    const [kind = '', details] = Object.entries((left ?? {}) as Record<string, unknown>)[0] ?? [];
    const field = fieldOf(kind, details);
    if (field === undefined || !['==', '!=', 'in', '<', '>', '<=', '>='].includes(op ?? '')) {
      conditions.unclear(`${kind} ${JSON.stringify(details)}`.slice(0, 80));
      return;
    }
    const values = this.#elements(right, rule);
    try {
      applyMatch(field, values, { negated, op: op ?? '==' }, conditions, this.#interfaces);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      conditions.unclear(error.message);
    }
  }

  /** A value, a set, or a named set. */
  #elements(right: unknown, rule: NftRule): readonly unknown[] {
    if (typeof right === 'string' && right.startsWith('@')) {
      return this.#sets.get(`${rule.family} ${rule.table} ${right}`) ?? [];
    }
    if (Array.isArray(right)) return right;
    const { set, '|': oneOf } = (right ?? {}) as { set?: unknown; '|'?: unknown };
    if (typeof set === 'string') return this.#elements(set, rule);
    if (Array.isArray(oneOf)) return oneOf;
    return Array.isArray(set) ? set : [right];
  }
}

/** Statements that decide, or change nothing about who gets through. Whatever else stands in a rule makes it uncertain. */
const clearStatements = 'match vmap counter log comment accept drop reject jump goto return continue mangle notrack'.split(' ');
const clear = (kind: string, value: unknown): boolean =>
  clearStatements.includes(kind) || (kind === 'xt' && (value as { name?: string } | null)?.name === 'comment');

function verdictOf(
  kind: string,
  value: unknown,
  rule: { readonly family: string; readonly table: string },
): RuleAction | undefined {
  if (kind === 'accept') return { kind: 'accept' };
  if (kind === 'drop' || kind === 'reject') return { kind: 'drop' };
  if (kind === 'return') return { kind: 'return' };
  if (kind === 'jump' || kind === 'goto') {
    const { target } = value as { target?: string };
    return { kind, chain: nameOf({ family: rule.family, table: rule.table, name: target ?? '' }) };
  }
  // Hands the packet to a program that may let it pass.
  if (kind === 'queue') return { kind: 'accept' };
  return undefined;
}

const nameOf = ({ family, table, name }: { readonly family: string; readonly table: string; readonly name: string }): string =>
  `${family} ${table} ${name}`;

function interfaceNames(expressions: readonly (readonly Record<string, unknown>[])[]): string[] {
  const names: string[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const one of value) visit(one);
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    const { left, right } = value as { left?: { meta?: { key?: string } }; right?: unknown };
    if (/^[io]if(name)?$/.test(left?.meta?.key ?? '')) {
      const set = (right as { set?: unknown } | null)?.set;
      for (const name of Array.isArray(set) ? set : Array.isArray(right) ? right : [right]) names.push(String(name));
    }
    for (const one of Object.values(value)) visit(one);
  };
  visit(expressions);
  return names;
}
