/**
 * The login desk of the DMZ: it throttles, asks the inside, and opens the session. It decides nothing about secrets.
 *
 * Access fails closed: no answer in time, no tunnel, an answer that does not fit the question, a limit reached, all of these
 * let nobody in. A token that cannot be used any more (the answer came too late, the client has left) is given back at once.
 */
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { asSallyportError } from '../../shared/errors.ts';
import { type EventRecord, event } from '../../shared/events/event.ts';
import { type Logger, printable } from '../../shared/log.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import { type AuthCheck, authCheckSchema, type Verdict } from '../../shared/tunnel/messages.ts';
import type { LoginAttempt, LoginDesk, LoginOutcome, PartnerSession, Visitor } from '../partner-view.ts';
import type { Sessions } from './sessions.ts';
import type { Throttle } from './throttle.ts';

export interface AuthenticatorDeps {
  readonly asking: Asking<'dmz'>;
  readonly sessions: Pick<Sessions, 'open'>;
  readonly throttle: Pick<Throttle, 'admits' | 'book' | 'failed' | 'succeeded' | 'left'>;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AuthenticatorOptions {
  /**
   * How long the inside may take; a partner then hears "temporarily unavailable". When all come back at once after a restart,
   * the hashes of their passwords take seconds.
   */
  readonly answerMs: number;
}
export const authenticatorDefaults: AuthenticatorOptions = { answerMs: 15_000 };

const rejected: LoginOutcome = { outcome: 'rejected' };
const unavailable: LoginOutcome = { outcome: 'unavailable' };

export class Authenticator implements LoginDesk {
  readonly #deps: AuthenticatorDeps;
  readonly #options: AuthenticatorOptions;

  constructor(deps: AuthenticatorDeps, options: AuthenticatorOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  admits(peer: string): boolean {
    return this.#deps.throttle.admits(peer);
  }

  leftWithoutLogin(visitor: Visitor, reason: 'no-attempt' | 'grace-exceeded' | 'broken-protocol'): void {
    this.#deps.throttle.left(visitor, reason);
  }

  async login(visitor: Visitor, attempt: LoginAttempt, signal: AbortSignal): Promise<LoginOutcome> {
    const { throttle, clock } = this.#deps;
    // It may have been banned for what other connections of it did.
    if (!throttle.admits(visitor.peer)) return unavailable;
    const waitMs = throttle.book(visitor, attempt);
    if (waitMs === undefined) return unavailable;
    try {
      if (waitMs > 0) await clock.sleep(waitMs, signal);
    } catch {
      return unavailable;
    }
    const check = checkOf(visitor, attempt);
    const askedAtMs = clock.monotonicMs();
    // What does not fit into the question cannot be right, and is not carried inside.
    const verdict = check ? await this.#ask(check, signal) : ({ verdict: 'rejected' } as const);
    return verdict ? this.#outcome(visitor, attempt, verdict, askedAtMs) : unavailable;
  }

  /** @returns undefined when no answer came in time. */
  async #ask(check: AuthCheck, signal: AbortSignal): Promise<Verdict | undefined> {
    const answer = this.#deps.asking.request('auth.check', check);
    const deadline = new AbortController();
    const stop = AbortSignal.any([signal, deadline.signal]);
    const given: Verdict | undefined | 'late' = await Promise.race([
      answer,
      this.#deps.clock.sleep(this.#options.answerMs, stop).then(
        () => 'late' as const,
        () => 'late' as const,
      ),
    ]).catch((error: unknown) => {
      const { code, message } = asSallyportError(error);
      this.#deps.log.warn({ session: check.session, code, err: message }, 'the inside could not be asked about a login');
      return undefined;
    });
    deadline.abort();
    if (given !== 'late') return given;
    void answer.then((verdict) => this.#giveBack(verdict), ignore);
    this.#deps.log.warn({ session: check.session }, 'the inside did not answer a login in time');
    return undefined;
  }

  #outcome(visitor: Visitor, attempt: LoginAttempt, verdict: Verdict, askedAtMs: number): LoginOutcome {
    const probe = attempt.method === 'key-probe';
    switch (verdict.verdict) {
      case 'accepted':
        return probe ? this.#unfitting(visitor, verdict) : this.#open(visitor, attempt, verdict, askedAtMs);
      case 'key-acceptable':
        return probe ? { outcome: 'key-acceptable' } : this.#unfitting(visitor, verdict);
      case 'continue':
        return probe ? this.#unfitting(visitor, verdict) : { outcome: 'continue', methods: verdict.methods };
      case 'change':
        return probe ? this.#unfitting(visitor, verdict) : { outcome: 'change', about: verdict.about };
      case 'unavailable':
        return unavailable;
      case 'rejected':
        // A probe costs its sender nothing: programs offer every key they have.
        if (!probe) this.#failed(visitor, attempt);
        return rejected;
    }
  }

  #open(
    visitor: Visitor,
    attempt: LoginAttempt,
    verdict: Extract<Verdict, { verdict: 'accepted' }>,
    askedAtMs: number,
  ): LoginOutcome {
    let session: PartnerSession;
    // The inside began to count at some moment after it was asked.
    const leftMs = Math.max(0, verdict.lifeMs - (this.#deps.clock.monotonicMs() - askedAtMs));
    try {
      session = this.#deps.sessions.open(visitor, verdict.grant, verdict.token, leftMs, askedAtMs);
    } catch (error) {
      this.#giveBack(verdict);
      const { code, message } = asSallyportError(error);
      this.#deps.log.warn({ session: visitor.session, code, err: message }, 'a login was accepted but no session opened');
      this.#recordFailure(visitor, attempt, message);
      return unavailable;
    }
    this.#deps.throttle.succeeded(visitor, attempt);
    const { trace, protocol, peer } = visitor;
    const context = { session: visitor.session, trace, partner: session.partner };
    this.#record(event('session.opened', this.#deps.clock.nowMs(), context, { protocol, peer, method: attempt.method }));
    return { outcome: 'accepted', session };
  }

  #failed(visitor: Visitor, attempt: LoginAttempt): void {
    this.#deps.throttle.failed(visitor, attempt);
    this.#recordFailure(visitor, attempt, 'refused');
  }

  #recordFailure(visitor: Visitor, attempt: LoginAttempt, reason: string): void {
    const { session, trace, peer } = visitor;
    const fields = { peer, user: printable(attempt.user, 128), method: attempt.method, reason };
    this.#record(event('login.failed', this.#deps.clock.nowMs(), { session, trace }, fields));
  }

  /** The inside answered something else than it was asked. */
  #unfitting(visitor: Visitor, verdict: Verdict): LoginOutcome {
    this.#giveBack(verdict);
    this.#deps.log.error(
      { session: visitor.session, verdict: verdict.verdict },
      'the inside gave a verdict that fits no such attempt',
    );
    return unavailable;
  }

  #giveBack(verdict: Verdict): void {
    if (verdict.verdict === 'accepted') this.#deps.asking.note('session.end', { token: verdict.token });
  }

  #record(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => {
      this.#deps.log.error({ err: error, event: record.name }, 'an event could not be recorded');
    });
  }
}

const ignore = (): void => undefined;

/** The question to the inside; undefined when the attempt is larger than a question may be. */
function checkOf(visitor: Visitor, attempt: LoginAttempt): AuthCheck | undefined {
  const { session, trace, peer, protocol } = visitor;
  const common = { session, trace, peer, protocol, user: attempt.user };
  const parsed = authCheckSchema.safeParse({ ...common, ...secretOf(attempt) });
  return parsed.success ? parsed.data : undefined;
}

function secretOf(attempt: LoginAttempt): Record<string, string | readonly string[]> {
  if (attempt.method === 'password') {
    const { password, code } = attempt;
    return { method: 'password', password: password.reveal(), ...(code === undefined ? {} : { code: code.reveal() }) };
  }
  if (attempt.method === 'new-password') return { method: 'new-password', password: attempt.password.reveal() };
  if (attempt.method === 'certificate')
    return { method: 'certificate', chain: attempt.chain.map((der) => der.toString('base64')) };
  if (attempt.method === 'code') return { method: 'code', code: attempt.code.reveal() };
  const { method, algorithm } = attempt;
  const key = attempt.key.toString('base64');
  if (attempt.method === 'key-probe') return { method, algorithm, key };
  const { signed, signature, transcript } = attempt;
  return { method, algorithm, key, ...inBase64({ signed, signature, transcript }) };
}

const inBase64 = (all: Readonly<Record<string, Buffer>>): Record<string, string> =>
  Object.fromEntries(Object.entries(all).map(([name, bytes]) => [name, bytes.toString('base64')]));
