/** Delays and bans, as the login desk uses them. What each of them does is in `penalties.ts` and `attempt-delays.ts`. */
import type { Clock } from '../../shared/clock.ts';
import type { LoginAttempt, Visitor } from '../partner-view.ts';
import { type AttemptDelayOptions, AttemptDelays, attemptDelayDefaults } from './attempt-delays.ts';
import { type Ban, type Offence, Penalties, type PenaltyOptions, penaltyDefaults } from './penalties.ts';

export interface ThrottleOptions {
  readonly penalties: PenaltyOptions;
  readonly delays: AttemptDelayOptions;
}
export const throttleDefaults: ThrottleOptions = { penalties: penaltyDefaults, delays: attemptDelayDefaults };

export interface ThrottleDeps {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** A source is refused from now on: the event `source.banned`. */
  readonly onBanned: (peer: string, seconds: number, offence: Offence) => void;
}

export class Throttle {
  readonly #penalties: Penalties;
  readonly #delays: AttemptDelays;
  /** Visitors who were charged for a failed login: once for each connection, as OpenSSH does. */
  readonly #charged = new WeakSet<Visitor>();

  constructor(deps: ThrottleDeps, options: ThrottleOptions) {
    this.#penalties = new Penalties(deps, options.penalties);
    this.#delays = new AttemptDelays(deps.clock, options.delays);
  }

  /** Sources that are refused now. */
  get banned(): number {
    return this.#penalties.banned;
  }

  bans(): readonly Ban[] {
    return this.#penalties.bans();
  }

  /** @returns whether it was refused. */
  lift(peer: string): boolean {
    return this.#penalties.lift(peer);
  }

  admits(peer: string): boolean {
    return !this.#penalties.refuses(peer);
  }

  /** @returns milliseconds to wait before this attempt may be checked; undefined: not at all now. */
  book(visitor: Visitor, attempt: LoginAttempt): number | undefined {
    return this.#delays.book(visitor.peer, attempt.user, methodOf(attempt));
  }

  failed(visitor: Visitor, attempt: LoginAttempt): void {
    this.#delays.failed(visitor.peer, attempt.user, methodOf(attempt));
    this.#penalties.failedLogin(visitor.peer);
    if (this.#charged.has(visitor)) return;
    this.#charged.add(visitor);
    this.#penalties.add(visitor.peer, 'login-failed');
  }

  succeeded(visitor: Visitor, attempt: LoginAttempt): void {
    this.#delays.succeeded(visitor.peer, attempt.user, methodOf(attempt));
    if (this.#charged.delete(visitor)) this.#penalties.forgive(visitor.peer, 'login-failed');
    this.#penalties.trust(visitor.peer);
  }

  left(visitor: Visitor, offence: Offence): void {
    this.#penalties.add(visitor.peer, offence);
  }
}

const methodOf = ({ method }: LoginAttempt): 'password' | 'key' =>
  method === 'key' || method === 'key-probe' || method === 'certificate' ? 'key' : 'password';
