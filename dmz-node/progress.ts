/** Tells a transfer that stands still, and one that moves so slowly that it would hold its place for ever. */
import type { Clock } from '../shared/clock.ts';

export interface StallRule {
  /** Fewer than `leastBytes` within so long are no progress. */
  readonly stallMs: number;
  /** 1: any byte is progress. */
  readonly leastBytes: number;
}

/** @param minimumRate Bytes a second; 0: any byte will do. */
export const stallRule = (stallMs: number, minimumRate: number): StallRule => ({
  stallMs,
  leastBytes: Math.max(1, Math.floor((minimumRate * stallMs) / 1000)),
});

export class Progress {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #rule: StallRule;
  #bytes = 0;
  #sinceMs: number;

  constructor(clock: Pick<Clock, 'monotonicMs'>, rule: StallRule) {
    this.#clock = clock;
    this.#rule = rule;
    this.#sinceMs = clock.monotonicMs();
  }

  moved(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes >= this.#rule.leastBytes) this.restart();
  }

  /** Nothing was expected until now. */
  restart(): void {
    this.#bytes = 0;
    this.#sinceMs = this.#clock.monotonicMs();
  }

  get isStalled(): boolean {
    return this.#clock.monotonicMs() - this.#sinceMs > this.#rule.stallMs;
  }
}
