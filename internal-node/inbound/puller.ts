/**
 * The service that brings items inside. Hints wake it, the DMZ's list is looked through regularly, and the ledger says what
 * is to be done: some items at a time, partners in turns.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';
import { smallBytes } from './delivery.ts';
import { FairQueue } from './fair-queue.ts';
import type { InboxLink } from './lease.ts';
import type { LedgerOperations } from './ledger-operations.ts';
import type { DueItem } from './ledger-queries.ts';

export interface PullerDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly link: Pick<InboxLink, 'epoch'>;
  readonly scan: { look(signal: AbortSignal): Promise<void>; reset(): void };
  readonly delivery: { attempt(id: string, signal: AbortSignal): Promise<void> };
  /** What start-up has to put in order, before anything is fetched. */
  readonly recover: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PullerOptions {
  readonly pollMs: number;
  /**
   * Large items under way at the same time. Those up to 1 MiB mostly wait for disks and messages: of them it is four times as
   * many. Small ones share streams, messages and commits, the more of them the better.
   */
  readonly concurrency: number;
  /** Streams that the tunnel carries at the same time. A quarter stays free for others: who waits for one has a place already. */
  readonly streams: number;
  /** Confirmed items are forgotten after this; at least as long as the DMZ keeps tombstones. */
  readonly forgetAfterMs: number;
}

export const pullerDefaults: PullerOptions = {
  pollMs: 5000,
  concurrency: 4,
  streams: 32,
  forgetAfterMs: 35 * 86_400_000,
};

const forgetEveryMs = 3_600_000;
const mediumBytes = 1024 * 1024;
const mediumForEachLarge = 4;
const smallPlaces = 64;
type Kind = 'small' | 'medium' | 'large';
const kindOf = ({ size }: { readonly size: number }): Kind => {
  if (size <= smallBytes) return 'small';
  return size <= mediumBytes ? 'medium' : 'large';
};

export class Puller implements Service {
  readonly name = 'puller';
  readonly #deps: PullerDeps;
  readonly #options: PullerOptions;
  readonly #queue = new FairQueue<DueItem>();
  readonly #running = new Map<string, { readonly item: DueItem; readonly done: Promise<void> }>();
  readonly #ending = new AbortController();
  readonly #cut = new AbortController();
  #alarm = Promise.withResolvers<void>();
  /** The ledger may know of work that the queue does not hold. */
  #stale = true;
  #look = Promise.withResolvers<void>();
  #loops: readonly Promise<void>[] = [];
  #forgotAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: PullerDeps, options: PullerOptions = pullerDefaults) {
    this.#deps = deps;
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#deps.recover();
    this.#loops = [this.#work(), this.#watch()];
  }

  /** Begins nothing new and lets transfers end; cuts them when `signal` fires. They begin anew after the next start. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#ending.abort();
    this.wake();
    const cut = () => this.#cut.abort();
    if (signal.aborted) cut();
    else signal.addEventListener('abort', cut, { once: true });
    await Promise.all([...this.#loops, ...[...this.#running.values()].map(({ done }) => done)]);
    signal.removeEventListener('abort', cut);
  }

  /** There may be something to do. */
  wake(): void {
    this.#stale = true;
    this.#alarm.resolve();
  }

  /** A link is there: its whole list is looked through at once. */
  linkUp(): void {
    this.#deps.scan.reset();
    this.#look.resolve();
    this.wake();
  }

  /** One look at the list, then all work that is due now. The service does the same without end. */
  async pass(): Promise<void> {
    await this.#deps.scan.look(this.#ending.signal);
    this.#stale = true;
    while ((await this.#fill()) > 0 && !this.#ending.signal.aborted) {
      await Promise.race([...this.#running.values()].map(({ done }) => done));
    }
  }

  async #work(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      this.#alarm = Promise.withResolvers();
      await this.#guard('looking for work', () => this.#fill());
      await this.#wait(this.#alarm.promise);
    }
  }

  async #watch(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      this.#look = Promise.withResolvers();
      if (this.#deps.link.epoch() !== undefined) {
        await this.#guard('looking at the inbox', () => this.#deps.scan.look(this.#ending.signal));
      }
      await this.#guard('forgetting', () => this.#forget());
      this.wake();
      await this.#wait(this.#look.promise);
    }
  }

  /** Starts what is due and has a place. @returns how many items are under way then. */
  async #fill(): Promise<number> {
    const { ledger, link, clock } = this.#deps;
    if (link.epoch() === undefined) return this.#running.size;
    if (!this.#stale) this.#startQueued();
    if (this.#stale || this.#queue.empty) {
      this.#stale = false;
      const due = await ledger.call('ledger.due', { nowMs: clock.nowMs() });
      this.#queue.refill(due.filter(({ id }) => !this.#running.has(id)));
      this.#startQueued();
    }
    return this.#running.size;
  }

  #startQueued(): void {
    while (!this.#ending.signal.aborted) {
      const item = this.#queue.take((next) => this.#mayBegin(next));
      if (!item) return;
      this.#begin(item);
    }
  }

  /** Each kind of items has places of its own; no partner has more than half of them. */
  #mayBegin(next: DueItem): boolean {
    const kind = kindOf(next);
    const places = { small: smallPlaces, medium: mediumForEachLarge * this.#concurrency, large: this.#concurrency }[kind];
    const alike = [...this.#running.values()].filter(({ item }) => kindOf(item) === kind);
    const ofPartner = alike.filter(({ item }) => item.partner === next.partner);
    return alike.length < places && ofPartner.length < Math.max(1, places / 2);
  }

  get #concurrency(): number {
    const { concurrency, streams } = this.#options;
    return Math.max(1, Math.min(concurrency, Math.floor((streams * 0.75) / (1 + mediumForEachLarge))));
  }

  #begin(item: DueItem): void {
    const work = this.#guard('an item', () => this.#deps.delivery.attempt(item.id, this.#cut.signal));
    const done = work.finally(() => {
      this.#running.delete(item.id);
      this.#alarm.resolve();
    });
    this.#running.set(item.id, { item, done });
  }

  async #forget(): Promise<void> {
    const { clock, ledger } = this.#deps;
    if (clock.monotonicMs() - this.#forgotAtMs < forgetEveryMs) return;
    await ledger.call('ledger.unpark', { nowMs: clock.nowMs() });
    const forgotten = await ledger.call('ledger.forget', { beforeMs: clock.nowMs() - this.#options.forgetAfterMs });
    // A full batch: there may be more.
    if (forgotten < 1000) this.#forgotAtMs = clock.monotonicMs();
  }

  async #wait(alarm: Promise<void>): Promise<void> {
    const timer = Promise.withResolvers<void>();
    const ended = () => timer.resolve();
    const cancel = this.#deps.clock.after(this.#options.pollMs, ended);
    this.#ending.signal.addEventListener('abort', ended, { once: true });
    if (this.#ending.signal.aborted) ended();
    await Promise.race([alarm, timer.promise]);
    this.#ending.signal.removeEventListener('abort', ended);
    cancel();
  }

  async #guard(what: string, action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (cause) {
      if (!this.#ending.signal.aborted) this.#deps.log.warn({ err: cause }, `the puller failed at ${what}`);
    }
  }
}
