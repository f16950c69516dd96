/**
 * Where the reasons of refused logins go: into events, never into an answer. Their number is in the hands of strangers, so
 * it has a limit; what is left out shows as one `auth.limited`.
 */
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { event } from '../../shared/events/event.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { AuthCheck } from '../../shared/tunnel/messages.ts';
import type { BudgetName } from './budgets.ts';
import type { Step } from './chain.ts';

export interface RejectionsDeps {
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RejectionsOptions {
  /** `auth.rejected` events. */
  readonly perMinute: number;
  /** At least so long between two `auth.limited` of the same budget. */
  readonly limitedEveryMs: number;
}

export type RejectReason =
  | 'unknown user'
  | 'denied user name'
  | 'service not allowed'
  | 'disabled'
  | 'group disabled'
  | 'expired'
  | 'source address not allowed'
  | 'wrong password'
  | 'no password set'
  | 'empty password'
  | 'password before key'
  | 'certificate needed'
  | 'no change of password was asked for'
  | 'what was shown first does not count any more'
  | 'code before key'
  | 'code without need'
  | 'password is not enough'
  | 'key not registered'
  | 'algorithm does not fit the key'
  | 'bad signature'
  | 'key revoked'
  | 'device was not touched'
  | 'device did not verify its user'
  | 'no certificate'
  | 'authority not trusted'
  | 'certificate not signed by its authority'
  | 'certificate not valid yet'
  | 'certificate expired'
  | 'certificate of somebody else'
  | 'certificate with an unknown condition'
  | 'certificate for another source address'
  | 'handshake does not make the SSH session identifier'
  | 'handshake is not fresh'
  | 'handshake with an unknown host key'
  | 'SSH session identifier used before'
  | 'session id used before'
  | 'too many failures'
  | 'refused by the directory'
  | 'refused by the service'
  | 'password must be changed'
  | 'locked by the directory'
  | 'not in the directory as it must be'
  | 'name belongs to another'
  | 'code missing'
  | 'wrong code'
  | 'code used before'
  | 'no second factor';

export class Rejections {
  readonly #deps: RejectionsDeps;
  readonly #options: RejectionsOptions;
  readonly #bucket: TokenBucket;
  readonly #limitedAtMs = new Map<string, number>();

  constructor(deps: RejectionsDeps, options: RejectionsOptions = { perMinute: 600, limitedEveryMs: 60_000 }) {
    this.#deps = deps;
    this.#options = options;
    this.#bucket = new TokenBucket(deps, { burst: options.perMinute, perMinute: options.perMinute });
  }

  /** What each method of the chain saw, in their order. Counted like a rejection, unless the last one accepted. */
  walked(check: AuthCheck, steps: readonly Step[]): void {
    if (steps.length === 0) return;
    if (steps.at(-1)?.outcome !== 'accept' && !this.#bucket.take()) {
      this.limited(check, 'events');
      return;
    }
    const { trace, session } = check;
    const atMs = this.#deps.clock.nowMs();
    const user = printable(check.user, 128);
    this.#emit(
      ...steps.map(({ method, outcome, detail, ms }) =>
        event('auth.step', atMs, { trace, session }, { user, method, outcome, detail: printable(detail, 1024), ms }),
      ),
    );
  }

  /** @param partner Set when the user name is a partner's. */
  rejected(check: AuthCheck, reason: RejectReason, partner: string | undefined): void {
    if (!this.#bucket.take()) {
      this.limited(check, 'events');
      return;
    }
    const { trace, session, method, peer } = check;
    const fields = { user: printable(check.user, 128), method, reason, peer };
    this.#emit(event('auth.rejected', this.#deps.clock.nowMs(), { trace, session, partner }, fields));
  }

  /** A certificate that let nobody in; the login goes on with a password. */
  certificate(check: AuthCheck, fingerprint: string, detail: string): void {
    if (!this.#bucket.take()) {
      this.limited(check, 'events');
      return;
    }
    const { trace, session } = check;
    const fields = { user: printable(check.user, 128), fingerprint, detail: printable(detail, 1024) };
    this.#emit(event('auth.certificate', this.#deps.clock.nowMs(), { trace, session }, fields));
  }

  limited(check: AuthCheck, budget: BudgetName | 'events'): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const last = this.#limitedAtMs.get(budget);
    if (last !== undefined && nowMs - last < this.#options.limitedEveryMs) return;
    this.#limitedAtMs.set(budget, nowMs);
    const { trace, session } = check;
    this.#emit(event('auth.limited', this.#deps.clock.nowMs(), { trace, session }, { user: printable(check.user, 128), budget }));
  }

  /** Not waited for: a refusal stands whether or not it could be recorded. */
  #emit(...records: Parameters<EventSink['emit']>[0]): void {
    this.#deps.events.emit(records).catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
  }
}
