/**
 * Decides where a completed item goes, by the rules of the policy in force. The decision holds on the DMZ until the inside
 * answers with its own, which counts.
 */
import type { Logger } from '../../shared/log.ts';
import { Router, type RoutingFacts } from '../../shared/matching/routing.ts';
import { type Decision, decisionForDmz, type PolicyBundle } from '../../shared/policy.ts';
import type { Deciding, PolicyInForce, Ruling } from '../cache-view.ts';

export interface DispatcherDeps {
  readonly policy: PolicyInForce;
  readonly log: Logger;
}

const undecided = (rule: string): Decision => ({ route: { action: 'unrouted' }, rule });

export class Dispatcher implements Deciding {
  readonly #deps: DispatcherDeps;
  #compiled: { readonly bundle: PolicyBundle; readonly router: Router | undefined } | undefined;

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
  }

  /** Never throws: what cannot be decided is unrouted, and waits for the inside. */
  decide(facts: RoutingFacts): Ruling {
    const { atMs } = facts;
    // A policy that ran out after the upload began still says best where it goes.
    const bundle = this.#deps.policy.current() ?? this.#compiled?.bundle;
    if (!bundle) return { decision: undecided('no policy'), policyNumber: 0, atMs, completion: {} };
    if (this.#compiled?.bundle !== bundle) this.#compiled = { bundle, router: this.#compile(bundle) };
    const match = this.#compiled.router?.match(facts);
    const decision = match ? decisionForDmz(match.decision) : undecided('rules that cannot be read');
    return { decision, policyNumber: bundle.number, atMs, completion: match?.rule?.completion ?? {} };
  }

  #compile(bundle: PolicyBundle): Router | undefined {
    try {
      return new Router(bundle.rules, { timeZone: bundle.timeZone });
    } catch (error) {
      this.#deps.log.error({ err: error, number: bundle.number }, 'a rule of the policy cannot be read');
      return undefined;
    }
  }
}
