/**
 * Which rule decides where an item goes: the first that matches. Both nodes ask the same rules the same way; the answer of
 * the inside is the one that counts.
 */
import { SallyportError } from '../errors.ts';
import type { Decision, Rule } from '../policy.ts';
import { compileMatcher, type Matcher } from './pattern.ts';
import { Subject } from './subject.ts';

export interface RoutingFacts {
  readonly partner: string;
  /** Below the Inbox, without a leading slash: `a/b.csv`. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

interface CompiledRule {
  readonly partner: Matcher | undefined;
  readonly path: Matcher | undefined;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly decision: Decision;
}

export class Router {
  readonly #rules: readonly CompiledRule[];

  /** @throws SallyportError `config-invalid` naming the rule, its source and the column in its pattern. */
  constructor(rules: readonly Rule[]) {
    this.#rules = rules.map(compileRule);
  }

  /** What is absent in a rule matches everything; bounds of the size are inclusive. */
  decide(facts: RoutingFacts): Decision {
    const partner = new Subject(facts.partner);
    const path = new Subject(facts.path);
    for (const rule of this.#rules) {
      if (facts.size < rule.minBytes || facts.size > rule.maxBytes) continue;
      if (rule.partner?.test(partner) === false || rule.path?.test(path) === false) continue;
      return rule.decision;
    }
    return { route: { action: 'unrouted' }, rule: '' };
  }
}

function compileRule(rule: Rule): CompiledRule {
  const compile = (part: 'partner' | 'path'): Matcher | undefined => {
    const pattern = rule[part];
    if (!pattern) return undefined;
    try {
      return compileMatcher(pattern);
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
  return {
    partner: compile('partner'),
    path: compile('path'),
    minBytes: rule.minBytes ?? 0,
    maxBytes: rule.maxBytes ?? Number.MAX_SAFE_INTEGER,
    decision: { route: rule.route, rule: rule.source === '' ? rule.name : `${rule.name} (${rule.source})` },
  };
}
