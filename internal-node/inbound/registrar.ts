/**
 * Takes note of items that the DMZ presents, by hint (`item.ready`) or by its list, and decides where each goes. A claim is
 * accepted only with the proof of a session that the inside itself opened for that partner; everything else is set aside
 * with an alarm, and neither delivered nor readable.
 *
 * It fetches nothing. Presenting an item again is harmless; what was decided first for an id and its bytes stands.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { RoutingFacts } from '../../shared/matching/routing.ts';
import { type Decision, decisionForDmz, type InsideDecision } from '../../shared/policy.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';
import { checkPath, checkSizes } from './item-checks.ts';
import { setAsideRule } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';
import type { Sighting } from './ledger-registration.ts';

/** The rules in force. */
export interface Routing {
  readonly router: { decide(facts: RoutingFacts & { readonly item: string }): InsideDecision };
  /** Of the bundle these rules were published in. */
  readonly policyNumber: number;
}

export interface RegistrarDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly partners: {
    has(partner: string): boolean;
    /** Files that may wait in his Inbox. */
    quotaFiles(partner: string): number;
  };
  /** Whoever has an Outbox. */
  readonly addressees: { has(name: string): boolean };
  readonly sessions: { prove(sessionProof: string, partner: string): Promise<'live' | 'grace' | 'unknown'> };
  readonly routing: () => Routing;
  readonly clock: Clock;
  /** There may be something to fetch. */
  readonly onWork: () => void;
}

export interface RegistrarOptions {
  /** Hints that may be worked on at the same time, in all and of one partner. */
  readonly maxPending: number;
  readonly maxPendingPerPartner: number;
  /**
   * Items of one partner that may wait in the ledger, at least. Never fewer than an honest DMZ may hold of him: what is refused
   * today might have no session to answer for it tomorrow.
   */
  readonly maxWaitingPerPartner: number;
  /** Forged items that are kept for looking at, of all names together. */
  readonly maxSetAside: number;
}

export const registrarDefaults: RegistrarOptions = {
  maxPending: 256,
  maxPendingPerPartner: 64,
  maxWaitingPerPartner: 50_000,
  maxSetAside: 10_000,
};

const setAside: Decision = { route: { action: 'hold' }, rule: setAsideRule };

export class Registrar {
  readonly #deps: RegistrarDeps;
  readonly #options: RegistrarOptions;
  readonly #pending = new Map<string, number>();
  #pendingTotal = 0;

  constructor(deps: RegistrarDeps, options: RegistrarOptions = registrarDefaults) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * The handler of `item.ready`. Idempotent.
   * @param signal Fires when the link closes; nothing is recorded of a claim that was not yet decided.
   * @returns The decision that counts.
   * @throws SallyportError `limit-reached` (the DMZ may ask again), `protocol-violation` when the id is known for other bytes.
   */
  async ready(params: ItemDescription, signal: AbortSignal): Promise<{ decision: Decision }> {
    const { partner } = params;
    const ofPartner = this.#pending.get(partner) ?? 0;
    if (this.#pendingTotal >= this.#options.maxPending || ofPartner >= this.#options.maxPendingPerPartner) {
      throw new SallyportError('limit-reached', 'too many items are being registered', { partner });
    }
    this.#pendingTotal += 1;
    this.#pending.set(partner, ofPartner + 1);
    try {
      const [decision] = await this.listed([params], signal);
      if (decision instanceof SallyportError) throw decision;
      if (!decision) throw new SallyportError('internal', 'an item was neither registered nor refused');
      return { decision: decisionForDmz(decision) };
    } finally {
      this.#pendingTotal -= 1;
      const left = (this.#pending.get(partner) ?? 1) - 1;
      if (left > 0) this.#pending.set(partner, left);
      else this.#pending.delete(partner);
    }
  }

  /** The same for items of the DMZ's list: for each the decision, or why it was refused. */
  async listed(items: readonly ItemDescription[], signal: AbortSignal): Promise<(Decision | SallyportError)[]> {
    const { ledger, clock } = this.#deps;
    const sightings = await ledger.call('ledger.sight', { claims: items, nowMs: clock.nowMs() });
    const results: (Decision | SallyportError)[] = [];
    for (const [index, item] of items.entries()) {
      signal.throwIfAborted();
      results.push(await this.#answer(item, sightings[index] ?? { kind: 'unknown' }));
    }
    this.#deps.onWork();
    return results;
  }

  async #answer(item: ItemDescription, sighting: Sighting): Promise<Decision | SallyportError> {
    switch (sighting.kind) {
      case 'known':
        return sighting.decision;
      case 'conflict':
        return new SallyportError('protocol-violation', 'the id is known for other bytes', { item: item.id });
      case 'undecided':
        return await this.#decideAnew(item, sighting.item);
      case 'unknown':
        return await this.#register(item);
    }
  }

  async #register(item: ItemDescription): Promise<Decision | SallyportError> {
    const { ledger, clock, routing } = this.#deps;
    const { router, policyNumber } = routing();
    const path = checkPath(item.path);
    const forged = await this.#whyForged(item, path);
    const below = 'below' in path ? path.below : '';
    const decision: InsideDecision = forged === null ? this.#usable(router.decide(factsOf(item, below))) : setAside;
    const isComparable = forged === null && policyNumber === item.policyNumber && !decision.unplaced;
    const differs = isComparable && routeText(decision) !== routeText(item.decision);
    const mismatch = differs ? { dmz: routeText(item.decision), inside: routeText(decision) } : null;
    const outcome = await this.#takeDown(item, { decision, forged, mismatch });
    if (outcome === 'full') {
      return new SallyportError('limit-reached', 'too many items of this partner wait', { partner: item.partner });
    }
    if (outcome === 'busy') {
      return new SallyportError('limit-reached', 'its former item is being taken', { partner: item.partner });
    }
    if (outcome === 'done') return decision;
    if (outcome === 'copied') return setAside;
    // Presented twice at the same time: the other call was first.
    const [sighting] = await ledger.call('ledger.sight', { claims: [item], nowMs: clock.nowMs() });
    if (sighting?.kind === 'conflict') return await this.#answer(item, sighting);
    return decision;
  }

  async #takeDown(
    item: ItemDescription,
    how: {
      readonly decision: InsideDecision;
      readonly forged: string | null;
      readonly mismatch: { readonly dmz: string; readonly inside: string } | null;
    },
  ): Promise<'done' | 'known' | 'full' | 'copied' | 'busy'> {
    const { ledger, clock, partners } = this.#deps;
    const { maxWaitingPerPartner, maxSetAside } = this.#options;
    const maxWaiting = Math.max(maxWaitingPerPartner, 2 * partners.quotaFiles(item.partner));
    const limits = { nowMs: clock.nowMs(), maxWaiting, maxSetAside };
    const outcome = await ledger.call('ledger.register', { item, ...how, ...limits });
    if (outcome !== 'copied') return outcome;
    const forged = 'its bytes are those of another item';
    const again = await ledger.call('ledger.register', { item, decision: setAside, forged, mismatch: null, ...limits });
    return again === 'done' ? 'copied' : again;
  }

  async #decideAnew(item: ItemDescription, known: { readonly path: string; readonly decision: Decision }): Promise<Decision> {
    const { ledger, clock, routing, sessions } = this.#deps;
    const nowMs = clock.nowMs();
    const path = checkPath(item.path);
    const renamed = item.path !== known.path;
    if (renamed && ('wrong' in path || (await sessions.prove(item.sessionProof, item.partner)) === 'unknown')) {
      await ledger.call('ledger.contest', { id: item.id, nowMs });
      return known.decision;
    }
    const below = 'below' in path ? path.below : '';
    const decision = this.#usable(routing().router.decide(factsOf(item, below)));
    await ledger.call('ledger.redecide', { claim: item, decision, nowMs });
    return decision;
  }

  async #whyForged(item: ItemDescription, path: ReturnType<typeof checkPath>): Promise<string | null> {
    if (!this.#deps.partners.has(item.partner)) return 'there is no such partner';
    if ('wrong' in path) return path.wrong;
    const sizes = checkSizes(item);
    if (sizes !== undefined) return sizes;
    const proof = await this.#deps.sessions.prove(item.sessionProof, item.partner);
    return proof === 'unknown' ? 'no valid session of this partner can have sent it' : null;
  }

  /** A rule that names a partner who does not exist (any more) leads nowhere: the item waits for staff. */
  #usable(decision: InsideDecision): InsideDecision {
    const { route } = decision;
    return route.action !== 'outbox' || this.#deps.addressees.has(route.partner)
      ? decision
      : { ...decision, route: { action: 'hold' } };
  }
}

const factsOf = (
  { id, partner, size, completedAtMs }: ItemDescription,
  path: string,
): RoutingFacts & { readonly item: string } => ({
  item: id,
  partner,
  path,
  size,
  atMs: completedAtMs,
});

function routeText({ route }: Decision): string {
  if (route.action === 'deliver') return `deliver ${route.destination}`;
  return route.action === 'outbox' ? `outbox ${route.partner}` : route.action;
}
