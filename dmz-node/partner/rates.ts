/**
 * How fast the bytes of a partner may move, all his sessions together. What came too fast waits here, so that its client is
 * read no further; nothing is refused or lost for it. The first second is free: a short file is never slowed down.
 */
import type { Clock } from '../../shared/clock.ts';

export type Way = 'upload' | 'download';

const burstMs = 1000;

export class Rates {
  readonly #clock: Clock;
  /** By partner and way: when everything that was moved so far is paid for, monotonic milliseconds. */
  readonly #paidAtMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when so many bytes more may have moved; at once where there is no rate.
   * @param signal Ends the wait early, without an error: its session is over anyhow.
   */
  async pay(partner: string, way: Way, bytes: number, bytesPerS: number | undefined, signal: AbortSignal): Promise<void> {
    if (bytesPerS === undefined || bytes === 0) return;
    const key = `${way} ${partner}`;
    const nowMs = this.#clock.monotonicMs();
    const paidAtMs = Math.max(this.#paidAtMs.get(key) ?? 0, nowMs) + (bytes * 1000) / bytesPerS;
    this.#paidAtMs.set(key, paidAtMs);
    const waitMs = paidAtMs - nowMs - burstMs;
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal).catch(() => {});
  }

  /** A session is over: what is paid for need not be known any more. */
  tidy(partner: string): void {
    for (const way of ['upload', 'download'] as const) {
      const key = `${way} ${partner}`;
      if ((this.#paidAtMs.get(key) ?? 0) <= this.#clock.monotonicMs()) this.#paidAtMs.delete(key);
    }
  }

  /** Partners and ways that are remembered; for tests. */
  get size(): number {
    return this.#paidAtMs.size;
  }
}
