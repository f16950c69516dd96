/** Ends a transfer that stands still, or that is so slow that it would hold its place for ever. */
import type { Clock } from '../shared/clock.ts';
import { SallyportError } from '../shared/errors.ts';

export interface PaceOptions {
  /** Longest time without a byte. */
  readonly idleMs: number;
  /** The whole transfer gets `graceMs` and the time its bytes take at this rate. */
  readonly minBytesPerSecond: number;
  readonly graceMs: number;
}

export const paceDefaults: PaceOptions = { idleMs: 30_000, minBytesPerSecond: 16 * 1024, graceMs: 60_000 };

export class Pace implements Disposable {
  readonly signal: AbortSignal;
  readonly #ender = new AbortController();
  readonly #clock: Clock;
  readonly #options: PaceOptions;
  readonly #cancelDeadline: () => void;
  #cancelIdle: () => void;
  #lastMs: number;

  constructor(clock: Clock, bytes: number, options: PaceOptions) {
    this.#clock = clock;
    this.#options = options;
    this.signal = this.#ender.signal;
    this.#lastMs = clock.monotonicMs();
    const deadlineMs = Math.min(options.graceMs + (bytes / options.minBytesPerSecond) * 1000, 2 ** 31 - 1);
    this.#cancelDeadline = clock.after(deadlineMs, () => this.#end('the transfer was slower than the minimum rate'));
    this.#cancelIdle = this.#watch(options.idleMs);
  }

  /** Bytes have come. */
  moved(): void {
    this.#lastMs = this.#clock.monotonicMs();
  }

  [Symbol.dispose](): void {
    this.#cancelDeadline();
    this.#cancelIdle();
  }

  // One timer that looks again, not one for each chunk.
  #watch(delayMs: number): () => void {
    return this.#clock.after(delayMs, () => {
      const leftMs = this.#lastMs + this.#options.idleMs - this.#clock.monotonicMs();
      if (leftMs <= 0) this.#end('the transfer stood still');
      else this.#cancelIdle = this.#watch(leftMs);
    });
  }

  #end(detail: string): void {
    this.#ender.abort(new SallyportError('request-timeout', detail));
  }
}
