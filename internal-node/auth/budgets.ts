/**
 * How many login attempts the inside looks at. The limits do not use the address that the DMZ reports: a DMZ host that was
 * taken over could name a new one with each try (reliability.md R22).
 *
 * Passwords: failures per account and checks per link have a budget per minute, repeated failures delay the next check, and
 * few attempts wait at once. Nothing is locked for good: a budget refills. Keys have budgets of their own, so that spraying
 * passwords never keeps a partner with a key out (R30). Names that do not exist are counted exactly like names that do.
 */
import type { Clock } from '../../shared/clock.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';

export interface AuthBudgetOptions {
  /** Password failures of one account: so many at once, so many per minute. A success gives its place back. */
  readonly failuresPerAccount: number;
  /** Password checks of all accounts together per minute; each costs a hash. */
  readonly passwordChecksPerMinute: number;
  /** Failures before a delay begins; from then on it doubles from `firstDelayMs` to `maxDelayMs`. */
  readonly freeFailures: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** Failures older than this no longer count towards the delay. */
  readonly forgetMs: number;
  /** Password attempts under way at once: of all accounts, of one account, and of one account being hashed. */
  readonly waiting: number;
  readonly waitingPerAccount: number;
  readonly hashingPerAccount: number;
  readonly keyChecksPerMinute: number;
  readonly keysWaiting: number;
  /** Accounts with a failure in `forgetMs` above which somebody is probably trying names (R25). */
  readonly distinctFailing: number;
}

export const defaultBudgets: AuthBudgetOptions = {
  failuresPerAccount: 10,
  passwordChecksPerMinute: 600,
  freeFailures: 3,
  firstDelayMs: 250,
  maxDelayMs: 5000,
  forgetMs: 15 * 60_000,
  waiting: 128,
  waitingPerAccount: 32,
  hashingPerAccount: 2,
  keyChecksPerMinute: 6000,
  keysWaiting: 256,
  distinctFailing: 20,
};

export type BudgetName = 'account' | 'link' | 'waiting' | 'keys' | 'distinct-accounts';

/** One attempt under way. Leaving it gives its place to the next. */
export interface Attempt extends Disposable {
  /** Wait so long before the check. */
  readonly delayMs: number;
  /** Waits until few enough attempts on the same account are being hashed. */
  turn(signal: AbortSignal): Promise<void>;
  /** Takes from the budgets, just before the hash. @returns the budget that is used up, if one is. */
  spend(): 'account' | 'link' | undefined;
  /** The password was right: the failures of the account are forgotten. */
  succeeded(): void;
  /** Nobody could say whether it was right: it was no failure of the account. */
  undecided(): void;
}

interface Tally {
  readonly bucket: TokenBucket;
  failures: number;
  lastFailureMs: number;
  /** Attempts under way. */
  inside: number;
  hashing: number;
  readonly queue: (() => void)[];
}

export class AuthBudgets {
  readonly #clock: Clock;
  readonly #options: AuthBudgetOptions;
  readonly #tallies = new Map<string, Tally>();
  readonly #link: TokenBucket;
  readonly #keys: TokenBucket;
  #waiting = 0;
  #keysWaiting = 0;
  #sweptMs: number;

  constructor(deps: { readonly clock: Clock }, options: AuthBudgetOptions = defaultBudgets) {
    this.#clock = deps.clock;
    this.#options = options;
    const { passwordChecksPerMinute, keyChecksPerMinute } = options;
    this.#link = new TokenBucket(deps, { burst: passwordChecksPerMinute, perMinute: passwordChecksPerMinute });
    this.#keys = new TokenBucket(deps, { burst: keyChecksPerMinute, perMinute: keyChecksPerMinute });
    this.#sweptMs = deps.clock.monotonicMs();
  }

  /** @returns undefined when too many password attempts wait already. */
  enterPassword(user: string): Attempt | undefined {
    const { waiting, waitingPerAccount } = this.#options;
    this.#sweep();
    const tally = this.#tallies.get(user) ?? this.#newTally();
    if (this.#waiting >= waiting || tally.inside >= waitingPerAccount) return undefined;
    this.#tallies.set(user, tally);
    this.#waiting += 1;
    tally.inside += 1;
    return this.#attempt(user, tally);
  }

  /** @returns undefined when the budget for keys is used up. */
  enterKey(): Disposable | undefined {
    if (this.#keysWaiting >= this.#options.keysWaiting || !this.#keys.take()) return undefined;
    this.#keysWaiting += 1;
    return {
      [Symbol.dispose]: () => {
        this.#keysWaiting -= 1;
      },
    };
  }

  /** Whether more accounts failed lately than partners mistype. */
  get manyAccountsFail(): boolean {
    let failing = 0;
    for (const tally of this.#tallies.values()) if (this.#recentFailures(tally) > 0) failing += 1;
    return failing > this.#options.distinctFailing;
  }

  /** Names that are remembered; for tests and metrics. */
  get remembered(): number {
    return this.#tallies.size;
  }

  #attempt(user: string, tally: Tally): Attempt {
    let hashing = false;
    const leave = (): void => {
      this.#waiting -= 1;
      tally.inside -= 1;
      if (hashing) {
        tally.hashing -= 1;
        tally.queue.shift()?.();
      }
      if (tally.inside === 0 && this.#recentFailures(tally) === 0) this.#tallies.delete(user);
    };
    return {
      delayMs: this.#delayOf(tally),
      turn: async (signal) => {
        while (tally.hashing >= this.#options.hashingPerAccount) await queued(tally.queue, signal);
        tally.hashing += 1;
        hashing = true;
      },
      spend: () => {
        if (!tally.bucket.take()) return 'account';
        if (!this.#link.take()) {
          tally.bucket.giveBack();
          return 'link';
        }
        tally.failures = this.#recentFailures(tally) + 1;
        tally.lastFailureMs = this.#clock.monotonicMs();
        return undefined;
      },
      succeeded: () => {
        tally.bucket.giveBack();
        tally.failures = 0;
      },
      undecided: () => {
        tally.bucket.giveBack();
        tally.failures = Math.max(0, tally.failures - 1);
      },
      [Symbol.dispose]: leave,
    };
  }

  #newTally(): Tally {
    const perMinute = this.#options.failuresPerAccount;
    const bucket = new TokenBucket({ clock: this.#clock }, { burst: perMinute, perMinute });
    return { bucket, failures: 0, lastFailureMs: 0, inside: 0, hashing: 0, queue: [] };
  }

  #recentFailures(tally: Tally): number {
    return this.#clock.monotonicMs() - tally.lastFailureMs > this.#options.forgetMs ? 0 : tally.failures;
  }

  #delayOf(tally: Tally): number {
    const { freeFailures, firstDelayMs, maxDelayMs } = this.#options;
    const beyond = this.#recentFailures(tally) - freeFailures;
    return beyond < 0 ? 0 : Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(beyond, 20));
  }

  /**
   * Forgets old failures. The map needs no other bound: a name stays in it only after a check that took from the budget of
   * the link, so there are at most so many as that budget gives in `forgetMs`.
   */
  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sweptMs < 60_000) return;
    this.#sweptMs = nowMs;
    for (const [user, tally] of this.#tallies) {
      if (tally.inside === 0 && this.#recentFailures(tally) === 0) this.#tallies.delete(user);
    }
  }
}

/** Resolves when it is shifted from the queue and called; rejects, and leaves the queue, when `signal` fires. */
function queued(queue: (() => void)[], signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const go = (): void => {
      signal.removeEventListener('abort', give);
      resolve();
    };
    const give = (): void => {
      const place = queue.indexOf(go);
      if (place >= 0) queue.splice(place, 1);
      reject(signal.reason);
    };
    signal.throwIfAborted();
    signal.addEventListener('abort', give, { once: true });
    queue.push(go);
  });
}
