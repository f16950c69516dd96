/** The only way to ask for the time or to wait, so that tests can own it. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  /** Wall clock, milliseconds since 1970. For records and expiry. */
  nowMs(): number;
  /** Monotonic milliseconds from an arbitrary start. For leases, deadlines and durations. */
  monotonicMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Runs `action` once after `delayMs`. The returned function cancels it. Never keeps the process alive. */
  after(delayMs: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (delayMs, signal) => sleep(delayMs, undefined, signal ? { signal } : {}),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
