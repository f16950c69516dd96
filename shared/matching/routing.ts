/**
 * Which rule decides where an item goes: the first that matches. Both nodes and the dry run ask the same rules by this one
 * function; the answer of the inside is the one that counts. It looks at nothing but the rules and the facts.
 */
import { SallyportError } from '../errors.ts';
import { deliveryComponents, withPrefix } from '../paths/delivery-name.ts';
import type { Decision, InsideDecision, Plan, PlanOfRule, Rule } from '../policy.ts';
import { insideAction } from './actions.ts';
import { hostTimeZone, ZoneClock } from './dates.ts';
import { DestinationPath } from './destination-path.ts';
import { compileExpression, type Expression } from './expression.ts';
import { RuleIndex } from './rule-index.ts';
import { Subject } from './subject.ts';
import { TimedName } from './timed-name.ts';

export interface RoutingFacts {
  readonly partner: string;
  /** Below the Inbox, without a leading slash: `a/b.csv`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** When the item was complete: the moment whose dates `t/…/` means. */
  readonly atMs: number;
  /** Id of the item, once there is one: what makes names unique that must be. */
  readonly item?: string;
  /** Where the files of the partner lie inside; undefined: below a folder of his name. */
  readonly place?: PlaceInside | undefined;
}

/** Where what a partner sends lands below a destination, when the rule names no path of its own, and how it is named there. */
export interface PlaceInside {
  /** Folders, made of harmless components. */
  readonly home: readonly string[];
  readonly amendName: 'no' | 'id-prefix';
}

/** The condition of a rule that does not hold. */
export type Misfit = 'size' | 'partner' | 'path';

/** What one rule says of an item; rules behind the first that matches are not asked. */
export interface RuleAnswer {
  readonly rule: Rule;
  readonly answer: 'matches' | 'not reached' | Misfit;
}

interface CompiledRule {
  readonly rule: Rule;
  readonly partner: Expression | undefined;
  readonly path: Expression | undefined;
  readonly decision: Decision;
  readonly plan: CompiledPlan | undefined;
}

interface CompiledPlan {
  readonly plan: PlanOfRule;
  /** Of each target, what it says about its path. */
  readonly paths: readonly (DestinationPath | undefined)[];
  readonly names: TimedName;
}

interface Prepared extends RoutingFacts {
  readonly partnerSubject: Subject;
  readonly pathSubject: Subject;
}

export class Router {
  readonly #rules: readonly CompiledRule[];
  readonly #index: RuleIndex;

  /** @throws SallyportError `config-invalid` naming the rule, its source and the column in its expression. */
  constructor(rules: readonly Rule[], options: { readonly timeZone?: string } = {}) {
    const clock = new ZoneClock(options.timeZone ?? hostTimeZone());
    this.#rules = rules.map((rule) => compileRule(rule, options.timeZone, clock));
    this.#index = new RuleIndex(rules);
  }

  /** What is absent in a rule matches everything; bounds of the size are inclusive. Never throws. */
  decide(facts: RoutingFacts): InsideDecision {
    return this.match(facts).decision;
  }

  /** The same, with the rule that decided. */
  match(facts: RoutingFacts): { readonly decision: InsideDecision; readonly rule: Rule | undefined } {
    const prepared = prepare(facts);
    const { partnerSubject, pathSubject } = prepared;
    const fits = (index: number): boolean => {
      const rule = this.#rules[index];
      return rule !== undefined && misfit(rule, prepared) === undefined;
    };
    const found = this.#rules[this.#index.first(partnerSubject.text, pathSubject.text, fits)];
    const decision: InsideDecision = found ? decisionOf(found, prepared) : { route: { action: 'unrouted' }, rule: '' };
    return { decision, rule: found?.rule };
  }

  /** The same decision, with what every rule has to say. */
  explain(facts: RoutingFacts): { readonly decision: InsideDecision; readonly rules: readonly RuleAnswer[] } {
    const prepared = prepare(facts);
    const decision = this.decide(facts);
    let reached = false;
    const rules = this.#rules.map((compiled): RuleAnswer => {
      const { rule } = compiled;
      if (reached) return { rule, answer: 'not reached' };
      const fault = misfit(compiled, prepared);
      reached = fault === undefined;
      return { rule, answer: fault ?? 'matches' };
    });
    return { decision, rules };
  }
}

const prepare = (facts: RoutingFacts): Prepared => ({
  ...facts,
  partnerSubject: new Subject(facts.partner),
  pathSubject: new Subject(facts.path),
});

/** A file whose path cannot be made, because it would be too long or too deep, waits for staff. */
function decisionOf({ decision, plan, path }: CompiledRule, facts: Prepared): InsideDecision {
  if (!plan) return decision;
  try {
    return { ...decision, plan: planned(plan, facts, path?.groups?.(facts.pathSubject) ?? []) };
  } catch (error) {
    if (!(error instanceof SallyportError)) throw error;
    return { ...decision, route: { action: 'hold' }, unplaced: true };
  }
}

/** @throws SallyportError `bad-name` */
function planned({ plan, paths, names }: CompiledPlan, facts: Prepared, groups: readonly string[]): Plan {
  const { place } = insideAction(plan.action);
  const usual = (): string => {
    const components = deliveryComponents(facts.path);
    if (place === 'name') return components.at(-1) ?? '';
    return [...(facts.place?.home ?? deliveryComponents(facts.partner)), ...components].join('/');
  };
  const targets = plan.targets.map(({ destination }, index) => {
    const file = paths[index]?.render(facts, groups) ?? usual();
    return { destination, file: amended(names.apply(file, facts), facts) };
  });
  return { ...plan, targets };
}

function misfit({ rule, partner, path }: CompiledRule, facts: Prepared): Misfit | undefined {
  if (facts.size < (rule.minBytes ?? 0) || facts.size > (rule.maxBytes ?? Number.MAX_SAFE_INTEGER)) return 'size';
  if (partner?.test(facts.partnerSubject, facts.atMs) === false) return 'partner';
  return path?.test(facts.pathSubject, facts.atMs) === false ? 'path' : undefined;
}

function compileRule(rule: Rule, timeZone: string | undefined, clock: ZoneClock): CompiledRule {
  const compile = <T>(part: 'partner' | 'path' | 'as', text: string | undefined, make: (text: string) => T): T | undefined => {
    if (text === undefined) return undefined;
    try {
      return make(text);
    } catch (cause) {
      if (!(cause instanceof SallyportError)) throw cause;
      const where = `${rule.source === '' ? '' : `${rule.source}: `}rule "${rule.name}", ${part}`;
      throw new SallyportError(
        'config-invalid',
        `${where}: ${cause.message}`,
        { ...cause.fields, rule: rule.name, part },
        { cause },
      );
    }
  };
  const expression = (text: string): Expression => compileExpression(text, { timeZone });
  const path = compile('path', rule.path, expression);
  const plan = planOf(rule);
  const pathOf = (as: string | undefined) => compile('as', as, (text) => new DestinationPath(text, path?.groupCount ?? 0, clock));
  return {
    rule,
    partner: compile('partner', rule.partner, expression),
    path,
    plan: plan && {
      plan,
      paths: plan.targets.map(({ as }) => pathOf(as)),
      names: new TimedName(insideAction(plan.action).naming, clock),
    },
    decision: { route: rule.route, rule: rule.source === '' ? rule.name : `${rule.name} (${rule.source})` },
  };
}

/** With the item before its name, for those who want no two deliveries to meet. */
function amended(file: string, { place, item = 'ITEM' }: RoutingFacts): string {
  if (place?.amendName !== 'id-prefix') return file;
  const slash = file.lastIndexOf('/') + 1;
  return file.slice(0, slash) + withPrefix(file.slice(slash), `${item}-`);
}

/** A rule that says no more than where to deliver is a plan with one destination. */
function planOf({ plan, route }: Rule): PlanOfRule | undefined {
  if (plan || route.action !== 'deliver') return plan;
  return { action: 'deliver', targets: [{ destination: route.destination }] };
}
