/** A budget that refills evenly: so many at once, so many per minute in the long run. Keeps no timer. */
import type { Clock } from './clock.ts';

export interface TokenBucketOptions {
  /** Tokens when full. */
  readonly burst: number;
  readonly perMinute: number;
}

export class TokenBucket {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #options: TokenBucketOptions;
  #tokens: number;
  #countedMs: number;

  /** Begins full. */
  constructor(deps: { readonly clock: Pick<Clock, 'monotonicMs'> }, options: TokenBucketOptions) {
    this.#clock = deps.clock;
    this.#options = options;
    this.#tokens = options.burst;
    this.#countedMs = deps.clock.monotonicMs();
  }

  /** @returns false when none is left; nothing is taken then. */
  take(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Undoes one `take`. */
  giveBack(): void {
    this.#tokens = Math.min(this.#options.burst, this.#tokens + 1);
  }

  get isFull(): boolean {
    this.#refill();
    return this.#tokens >= this.#options.burst;
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs();
    const gained = ((nowMs - this.#countedMs) / 60_000) * this.#options.perMinute;
    this.#tokens = Math.min(this.#options.burst, this.#tokens + Math.max(0, gained));
    this.#countedMs = nowMs;
  }
}
