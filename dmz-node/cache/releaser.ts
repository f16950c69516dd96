/**
 * Completes what was held back once nothing speaks against it any more: its quiet time is over, or its session is. A stop
 * in between changes nothing: what is due stays due, and the next start goes on.
 */
import { belowInbox, parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import type { CacheCore } from './core.ts';
import type { AnsweringFor, DueItem } from './records/holds.ts';

/** Asked of the records at once; each is a commit of its own that shares its flush with the others. */
const batch = 64;
/** A name that is being written anew is looked at again after this. */
const busyMs = 1000;
const longestTimerMs = 86_400_000;

type ReleaserCore = Pick<CacheCore, 'records' | 'dispatcher' | 'live' | 'sessions' | 'clock' | 'announce' | 'log'>;

export class Releaser {
  readonly #core: ReleaserCore;
  #wakeMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(core: ReleaserCore) {
    this.#core = core;
  }

  /** Sessions of before the start are over. */
  async start(): Promise<void> {
    await this.run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#round;
  }

  /** Something is due then. */
  expect(dueMs: number): void {
    if (this.#stopped || dueMs >= this.#wakeMs) return;
    this.#cancelTimer?.();
    this.#wakeMs = dueMs;
    const waitMs = Math.max(0, Math.min(dueMs - this.#core.clock.nowMs(), longestTimerMs));
    this.#cancelTimer = this.#core.clock.after(waitMs, () => void this.run());
  }

  /** Completes everything that is due now. Never throws: what failed is due again soon. */
  run(): Promise<void> {
    this.#round = this.#round.then(() => this.#releaseAll()).catch((error: unknown) => this.#failed(error));
    return this.#round;
  }

  async #releaseAll(): Promise<void> {
    const { records, clock, sessions, live } = this.#core;
    this.#cancelTimer?.();
    this.#wakeMs = Number.POSITIVE_INFINITY;
    const busy: string[] = [];
    for (let more = true; more && !this.#stopped; ) {
      const args = { nowMs: clock.nowMs(), liveSessions: [...sessions], except: busy, limit: batch };
      const { items, nextMs } = await records.call('holds.due', args);
      const answering: AnsweringFor[] = [];
      const quiet: DueItem[] = [];
      for (const item of items) {
        const writing = live.find(item.partner, item.pathKey);
        if (writing) answering.push({ id: item.id, session: writing.session, sessionProof: writing.sessionProof });
        else quiet.push(item);
      }
      busy.push(...answering.map(({ id }) => id));
      if (answering.length > 0) await records.call('holds.answer', answering);
      await Promise.all(quiet.map((item) => this.#release(item)));
      more = items.length === batch;
      if (nextMs !== null) this.expect(nextMs);
    }
    if (busy.length > 0) this.expect(clock.nowMs() + busyMs);
  }

  async #release({ id, partner, path, size }: DueItem): Promise<void> {
    const { records, dispatcher, clock, announce } = this.#core;
    const facts = { partner, path: belowInbox(parseVirtualPath(path)), size, atMs: clock.nowMs() };
    const told = await records.call('holds.release', { id, ruling: dispatcher.decide(facts) });
    if (told) announce(told.id, told);
  }

  #failed(error: unknown): void {
    this.#core.log.warn({ err: error }, 'what was held back could not be completed yet');
    this.expect(this.#core.clock.nowMs() + busyMs);
  }
}
