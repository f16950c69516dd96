/**
 * Events about connections that were refused at the door: one at once, then at most one per reason and interval with the
 * number of the others, so that a flood of strangers does not become a flood of records.
 */
import type { Clock } from '../shared/clock.ts';

const intervalMs = 10_000;

export class RefusalReport {
  readonly #clock: Clock;
  readonly #report: (peer: string, reason: string) => void;
  readonly #open = new Map<string, { count: number; peer: string }>();

  /** @param report Records one event. */
  constructor(clock: Clock, report: (peer: string, reason: string) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  /** @param reason One of a fixed few, never made from a stranger's text. */
  add(peer: string, reason: string): void {
    const running = this.#open.get(reason);
    if (running) {
      running.count++;
      running.peer = peer;
      return;
    }
    this.#open.set(reason, { count: 0, peer });
    this.#report(peer, reason);
    this.#wait(reason);
  }

  #wait(reason: string): void {
    this.#clock.after(intervalMs, () => {
      const running = this.#open.get(reason);
      if (!running || running.count === 0) return void this.#open.delete(reason);
      this.#report(running.peer, `${reason} (${running.count} in ${intervalMs / 1000} s, the last from this address)`);
      running.count = 0;
      this.#wait(reason);
    });
  }
}
