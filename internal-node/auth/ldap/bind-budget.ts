/**
 * How many passwords a directory is asked about: so many of one user within a while, fewer than the directory itself would
 * lock the account after, and so many of all users per minute (reliability.md R22, R24). Nothing is locked: both refill.
 */
import type { Clock } from '../../../shared/clock.ts';
import { TokenBucket } from '../../../shared/token-bucket.ts';

export interface BindBudgetOptions {
  readonly failuresPerUser: number;
  readonly failureWindow: number;
  readonly bindsPerMinute: number;
}

export class BindBudget {
  readonly #deps: { readonly clock: Pick<Clock, 'monotonicMs'> };
  readonly #options: BindBudgetOptions;
  readonly #all: TokenBucket;
  readonly #users = new Map<string, TokenBucket>();
  #sweptMs: number;

  constructor(deps: { readonly clock: Pick<Clock, 'monotonicMs'> }, options: BindBudgetOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#all = new TokenBucket(deps, { burst: options.bindsPerMinute, perMinute: options.bindsPerMinute });
    this.#sweptMs = deps.clock.monotonicMs();
  }

  /** Takes one just before a password goes to the directory. @returns the budget that is used up, if one is. */
  take(user: string): 'user' | 'directory' | undefined {
    this.#sweep();
    const { failuresPerUser: burst, failureWindow } = this.#options;
    const bucket = this.#users.get(user) ?? new TokenBucket(this.#deps, { burst, perMinute: (burst * 60_000) / failureWindow });
    if (!bucket.take()) return 'user';
    if (!this.#all.take()) {
      bucket.giveBack();
      return 'directory';
    }
    this.#users.set(user, bucket);
    return undefined;
  }

  /** It was right: directories forget the failures before it too. */
  succeeded(user: string): void {
    this.#users.delete(user);
  }

  /** It never got there: it does not count against the user. */
  giveBack(user: string): void {
    this.#users.get(user)?.giveBack();
  }

  /** Users that are remembered. At most as many as passwords went out until they are forgotten. */
  get remembered(): number {
    return this.#users.size;
  }

  #sweep(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs - this.#sweptMs < 60_000) return;
    this.#sweptMs = nowMs;
    for (const [user, bucket] of this.#users) if (bucket.isFull) this.#users.delete(user);
  }
}
