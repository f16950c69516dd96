/**
 * Which rule decides where an item goes: the first that matches. Both nodes and the dry run ask the same rules by this one
 * function; the answer of the inside is the one that counts. It looks at nothing but the rules and the facts.
 */
import { SallyportError } from '../errors.ts';
import type { InsideDecision, Rule } from '../policy.ts';
import { hostTimeZone } from './dates.ts';
import { DestinationPath } from './destination-path.ts';
import { compileExpression, type Expression } from './expression.ts';
import { Subject } from './subject.ts';

export interface RoutingFacts {
  readonly partner: string;
  /** Below the Inbox, without a leading slash: `a/b.csv`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** When the item was complete: the moment whose dates `t/…/` means. */
  readonly atMs: number;
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
  readonly decision: InsideDecision;
  readonly as: DestinationPath | undefined;
}

interface Prepared extends RoutingFacts {
  readonly partnerSubject: Subject;
  readonly pathSubject: Subject;
}

export class Router {
  readonly #rules: readonly CompiledRule[];

  /** @throws SallyportError `config-invalid` naming the rule, its source and the column in its expression. */
  constructor(rules: readonly Rule[], options: { readonly timeZone?: string } = {}) {
    this.#rules = rules.map((rule) => compileRule(rule, options.timeZone));
  }

  /** What is absent in a rule matches everything; bounds of the size are inclusive. Never throws. */
  decide(facts: RoutingFacts): InsideDecision {
    const prepared = prepare(facts);
    const found = this.#rules.find((rule) => misfit(rule, prepared) === undefined);
    return found ? decisionOf(found, prepared) : { route: { action: 'unrouted' }, rule: '' };
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
function decisionOf({ decision, as, path }: CompiledRule, facts: Prepared): InsideDecision {
  if (!as) return decision;
  try {
    return { ...decision, as: as.render(facts, path?.groups?.(facts.pathSubject) ?? []) };
  } catch (error) {
    if (!(error instanceof SallyportError)) throw error;
    return { ...decision, route: { action: 'hold' } };
  }
}

function misfit({ rule, partner, path }: CompiledRule, facts: Prepared): Misfit | undefined {
  if (facts.size < (rule.minBytes ?? 0) || facts.size > (rule.maxBytes ?? Number.MAX_SAFE_INTEGER)) return 'size';
  if (partner?.test(facts.partnerSubject, facts.atMs) === false) return 'partner';
  return path?.test(facts.pathSubject, facts.atMs) === false ? 'path' : undefined;
}

function compileRule(rule: Rule, timeZone: string | undefined): CompiledRule {
  const compile = <T>(part: 'partner' | 'path' | 'as', make: (text: string) => T): T | undefined => {
    const text = rule[part];
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
  const path = compile('path', expression);
  return {
    rule,
    partner: compile('partner', expression),
    path,
    as: compile('as', (text) => new DestinationPath(text, path?.groupCount ?? 0, timeZone ?? hostTimeZone())),
    decision: { route: rule.route, rule: rule.source === '' ? rule.name : `${rule.name} (${rule.source})` },
  };
}
