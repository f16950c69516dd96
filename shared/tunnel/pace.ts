/** How many messages the other side may send per second before its socket is left unread for a while. */
import type { Clock } from '../clock.ts';

export interface PaceOptions {
  readonly perSecond: number;
  readonly burst: number;
}

export class Pace {
  readonly #clock: Clock;
  readonly #flow: { pause(): void; resume(): void };
  readonly #options: PaceOptions;
  #left: number;
  #atMs: number;
  #paused = false;

  constructor(clock: Clock, flow: { pause(): void; resume(): void }, options: PaceOptions) {
    this.#clock = clock;
    this.#flow = flow;
    this.#options = options;
    this.#left = options.burst;
    this.#atMs = clock.monotonicMs();
  }

  /** Counts one message; some that are already here may still come after the pause was made, and prolong it. */
  take(): void {
    this.#refill();
    this.#left -= 1;
    if (this.#left >= 0 || this.#paused) return;
    this.#paused = true;
    this.#flow.pause();
    this.#resumeLater();
  }

  #refill(): void {
    const { perSecond, burst } = this.#options;
    const nowMs = this.#clock.monotonicMs();
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#atMs) * perSecond) / 1000);
    this.#atMs = nowMs;
  }

  #resumeLater(): void {
    const debtMs = Math.max(10, Math.ceil((-this.#left * 1000) / this.#options.perSecond));
    this.#clock.after(debtMs, () => {
      this.#refill();
      if (this.#left < 0) {
        this.#resumeLater();
        return;
      }
      this.#paused = false;
      this.#flow.resume();
    });
  }
}
