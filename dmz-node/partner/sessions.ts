/**
 * The register of logged-in partners: limits of the policy, one end for each session, and the ways to cut them. None outlives
 * its token: the inside would not believe what it finished after that.
 *
 * Ending a session gives its token back, so that nothing in this node can use it any longer; that happens exactly once,
 * whoever asks for it first, and the first reason is the one that is recorded.
 */
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { event } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';
import type { Grant, PolicyLimits } from '../../shared/policy.ts';
import { tokenHash } from '../../shared/secret.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import type { PartnerSession, Visitor } from '../partner-view.ts';
import type { EndableView, SessionIdentity } from './session-identity.ts';

export interface SessionsDeps {
  readonly viewFor: (identity: SessionIdentity) => EndableView;
  readonly asking: Pick<Asking<'dmz'>, 'note'>;
  /** Of the policy in force; undefined when there is none, and then nobody comes in. */
  readonly limits: () => Pick<PolicyLimits, 'maxSessions' | 'maxSessionsPerPartner'> | undefined;
  readonly events: EventSink;
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs' | 'after'>;
  readonly log: Logger;
}

/** What the inside had cut is remembered for longer than a login may take, and for so many. */
const cutsRemembered = { forMs: 60_000, most: 10_000 };

/** No timer can wait longer. */
const longestLifeMs = 2 ** 31 - 1;

interface Live {
  readonly session: PartnerSession;
  cut(reason: string): Promise<void>;
}

export class Sessions {
  readonly #deps: SessionsDeps;
  readonly #live = new Map<string, Set<Live>>();
  /** When the inside had sessions cut, by partner or by session, the latest last. */
  readonly #cuts = new Map<string, number>();
  #count = 0;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
  }

  count(): number {
    return this.#count;
  }

  /** Live sessions of one partner. */
  countOf(partner: string): number {
    return this.#live.get(partner)?.size ?? 0;
  }

  /**
   * @param lifeMs How long the token is worth anything; then the session is cut.
   * @param askedAtMs Monotonic time of the question that the token answers: what the inside has cut since is not opened.
   * @throws SallyportError `limit-reached`, `session-unknown`; the token stays with the caller then.
   */
  open(visitor: Visitor, grant: Grant, token: string, lifeMs: number, askedAtMs: number): PartnerSession {
    if (this.#isCutSince(askedAtMs, grant.partner) || this.#isCutSince(askedAtMs, visitor.session)) {
      throw new SallyportError('session-unknown', 'revoked by the inside during the login');
    }
    const limits = this.#deps.limits();
    if (!limits) throw new SallyportError('limit-reached', 'no policy is in force');
    if (this.#count >= limits.maxSessions) {
      throw new SallyportError('limit-reached', 'limits.maxSessions of the policy is reached', { max: limits.maxSessions });
    }
    if (this.countOf(grant.partner) >= limits.maxSessionsPerPartner) {
      throw new SallyportError('limit-reached', 'limits.maxSessionsPerPartner of the policy is reached', {
        partner: grant.partner,
        max: limits.maxSessionsPerPartner,
      });
    }
    if (this.countOf(grant.partner) >= (grant.maxSessions ?? Number.MAX_SAFE_INTEGER)) {
      throw new SallyportError('limit-reached', 'maxSessions of the partner is reached', {
        partner: grant.partner,
        max: grant.maxSessions,
      });
    }
    const { session, trace, protocol, peer } = visitor;
    const partner = grant.partner;
    const identity = { session, trace, protocol, peer, partner, grant, token, sessionProof: tokenHash(token) };
    return this.#register(identity, this.#deps.viewFor(identity), lifeMs);
  }

  /** Ids of live sessions in their order, behind one. */
  page(after: string, most: number): { readonly sessions: string[]; readonly more: boolean } {
    const all = [...this.#live.values()].flatMap((sessions) => [...sessions].map(({ session }) => session.session));
    const behind = all.filter((id) => id > after).sort();
    return { sessions: behind.slice(0, most), more: behind.length > most };
  }

  /** Cuts the live sessions of a partner. @returns how many there were. */
  revoke(partner: string): number {
    this.#rememberCut(partner);
    return this.#cutAll([...(this.#live.get(partner) ?? [])]);
  }

  /** Cuts these sessions. @returns how many of them lived. */
  cut(ids: readonly string[]): number {
    for (const id of ids) this.#rememberCut(id);
    const named = new Set(ids);
    const all = [...this.#live.values()].flatMap((sessions) => [...sessions]);
    return this.#cutAll(all.filter(({ session }) => named.has(session.session)));
  }

  /** Cuts every session; resolves when all have ended. */
  async endAll(reason: string): Promise<void> {
    const all = [...this.#live.values()].flatMap((sessions) => [...sessions]);
    await Promise.all(all.map((live) => live.cut(reason)));
  }

  #cutAll(sessions: readonly Live[]): number {
    for (const live of sessions) void live.cut('revoked by the inside');
    return sessions.length;
  }

  /** The acceptance of a login can come behind the message that ends its session. */
  #rememberCut(what: string): void {
    const nowMs = this.#deps.clock.monotonicMs();
    this.#cuts.delete(what);
    this.#cuts.set(what, nowMs);
    for (const [oldest, atMs] of this.#cuts) {
      if (this.#cuts.size <= cutsRemembered.most && nowMs - atMs < cutsRemembered.forMs) break;
      this.#cuts.delete(oldest);
    }
  }

  #isCutSince(askedAtMs: number, what: string): boolean {
    return (this.#cuts.get(what) ?? Number.NEGATIVE_INFINITY) >= askedAtMs;
  }

  #register(identity: SessionIdentity, view: EndableView, lifeMs: number): PartnerSession {
    const { session, trace, protocol, peer, partner, grant } = identity;
    const stop = new AbortController();
    let ended: Promise<void> | undefined;
    const end = (reason: string): Promise<void> => {
      forgetLife();
      ended ??= this.#end(identity, view, live, reason);
      return ended;
    };
    const live: Live = {
      session: { session, trace, protocol, peer, partner, grant, view, signal: stop.signal, end },
      cut: (reason) => {
        stop.abort(new SallyportError('session-unknown', reason));
        return end(reason);
      },
    };
    const forgetLife = this.#deps.clock.after(Math.min(lifeMs, longestLifeMs), () => void live.cut('its time was over'));
    const sessions = this.#live.get(partner) ?? new Set();
    this.#live.set(partner, sessions.add(live));
    this.#count++;
    return live.session;
  }

  async #end(identity: SessionIdentity, view: EndableView, live: Live, reason: string): Promise<void> {
    const { session, trace, partner, token } = identity;
    try {
      await view.end(reason);
    } catch (error) {
      this.#deps.log.error({ session, err: error }, 'a view could not be ended cleanly');
    }
    const sessions = this.#live.get(partner);
    if (sessions?.delete(live)) this.#count--;
    if (sessions?.size === 0) this.#live.delete(partner);
    this.#deps.asking.note('session.end', { token });
    const { receivedBytes, sentBytes } = view;
    const ended = event(
      'session.ended',
      this.#deps.clock.nowMs(),
      { session, trace, partner },
      { reason, receivedBytes, sentBytes },
    );
    try {
      await this.#deps.events.emit([ended]);
    } catch (error) {
      this.#deps.log.error({ session, err: error }, 'the end of a session could not be recorded');
    }
  }
}
