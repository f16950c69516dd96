/**
 * Slows down guessing: every failure of one source for one account and method makes its next attempts wait longer. Attempts
 * that come at the same time queue up, so parallel connections gain nothing; passwords never slow a key down.
 *
 * Failures are forgotten after a while, and the oldest are when there are too many: the ban of the source (`penalties.ts`)
 * does not depend on them.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { sourceOf } from '../peer-address.ts';

export interface AttemptDelayOptions {
  readonly enabled: boolean;
  /** Wait after the first failure; doubled with each further one. */
  readonly firstMs: number;
  readonly maximumMs: number;
  /** A longer queue is refused instead of kept waiting. */
  readonly maximumWaitMs: number;
  readonly forgetAfterMs: number;
  readonly maxEntries: number;
}

export const attemptDelayDefaults: AttemptDelayOptions = {
  enabled: true,
  firstMs: 250,
  maximumMs: 8000,
  maximumWaitMs: 16_000,
  forgetAfterMs: 600_000,
  maxEntries: 65_536,
};

interface Failures {
  count: number;
  lastMs: number;
  /** When the next attempt may be checked. */
  nextMs: number;
}

export class AttemptDelays {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #options: AttemptDelayOptions;
  /** In the order of their last failure. */
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Pick<Clock, 'monotonicMs'>, options: AttemptDelayOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  get entries(): number {
    return this.#failures.size;
  }

  /** Books the next attempt. @returns milliseconds to wait before it, or undefined when the queue is too long. */
  book(peer: string, user: string, method: 'password' | 'key'): number | undefined {
    const now = this.#clock.monotonicMs();
    const failures = this.#find(keyOf(peer, user, method), now);
    if (!failures) return 0;
    const wait = Math.max(0, failures.nextMs - now);
    if (wait > this.#options.maximumWaitMs) return undefined;
    failures.nextMs = now + wait + this.#delay(failures.count);
    return wait;
  }

  failed(peer: string, user: string, method: 'password' | 'key'): void {
    if (!this.#options.enabled) return;
    const now = this.#clock.monotonicMs();
    const key = keyOf(peer, user, method);
    const failures = this.#find(key, now) ?? { count: 0, lastMs: now, nextMs: now };
    failures.count++;
    failures.lastMs = now;
    failures.nextMs = Math.max(failures.nextMs, now + this.#delay(failures.count));
    this.#failures.delete(key);
    this.#failures.set(key, failures);
    const oldest = this.#failures.keys().next();
    if (this.#failures.size > this.#options.maxEntries && !oldest.done) this.#failures.delete(oldest.value);
  }

  succeeded(peer: string, user: string, method: 'password' | 'key'): void {
    this.#failures.delete(keyOf(peer, user, method));
  }

  #find(key: string, now: number): Failures | undefined {
    const found = this.#failures.get(key);
    if (!found || now - found.lastMs <= this.#options.forgetAfterMs) return found;
    this.#failures.delete(key);
    return undefined;
  }

  #delay(count: number): number {
    return Math.min(this.#options.maximumMs, this.#options.firstMs * 2 ** Math.min(count - 1, 20));
  }
}

/** Of a fixed length, whatever name a stranger types. */
const keyOf = (peer: string, user: string, method: string): string =>
  createHash('sha256')
    .update(`${sourceOf(peer)}\n${method}\n${user}`)
    .digest('base64');
