/**
 * The service that brings items inside. Hints wake it, the DMZ's list is looked through regularly, and the ledger says what
 * is to be done: some items at a time, partners in turns.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';
import { FairQueue } from './fair-queue.ts';
import type { InboxLink } from './lease.ts';
import type { LedgerItem } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';

export interface PullerDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly link: Pick<InboxLink, 'epoch'>;
  readonly scan: { look(signal: AbortSignal): Promise<void>; reset(): void };
  readonly delivery: { attempt(item: LedgerItem, signal: AbortSignal): Promise<void> };
  /** What start-up has to put in order, before anything is fetched. */
  readonly recover: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PullerOptions {
  readonly pollMs: number;
  /** Items under way at the same time, in all and of one partner. */
  readonly concurrency: number;
  readonly concurrencyPerPartner: number;
  /** Confirmed items are forgotten after this; at least as long as the DMZ keeps tombstones. */
  readonly forgetAfterMs: number;
}

export const pullerDefaults: PullerOptions = {
  pollMs: 5000,
  concurrency: 4,
  concurrencyPerPartner: 2,
  forgetAfterMs: 35 * 86_400_000,
};

const lanePieces = 32;
const forgetEveryMs = 3_600_000;

export class Puller implements Service {
  readonly name = 'puller';
  readonly #deps: PullerDeps;
  readonly #options: PullerOptions;
  readonly #queue = new FairQueue<LedgerItem>();
  readonly #running = new Map<string, { readonly partner: string; readonly done: Promise<void> }>();
  readonly #ending = new AbortController();
  readonly #cut = new AbortController();
  #alarm = Promise.withResolvers<void>();
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
    while (((await this.#fill()) > 0 || this.#running.size > 0) && !this.#ending.signal.aborted) {
      if (this.#running.size > 0) await Promise.race([...this.#running.values()].map(({ done }) => done));
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

  /** Starts what is due and has a place. @returns how many items were due, as far as there was a place. */
  async #fill(): Promise<number> {
    const { ledger, link, clock } = this.#deps;
    if (link.epoch() === undefined || this.#running.size >= this.#options.concurrency) return 0;
    const due = await ledger.call('ledger.due', { nowMs: clock.nowMs(), perPartner: lanePieces });
    this.#queue.refill(due.filter(({ id }) => !this.#running.has(id)));
    while (this.#running.size < this.#options.concurrency && !this.#ending.signal.aborted) {
      const item = this.#queue.take((partner) => this.#runningOf(partner) < this.#options.concurrencyPerPartner);
      if (!item) break;
      this.#begin(item);
    }
    return due.length;
  }

  #begin(item: LedgerItem): void {
    const work = this.#guard('an item', () => this.#deps.delivery.attempt(item, this.#cut.signal));
    const done = work.finally(() => {
      this.#running.delete(item.id);
      this.wake();
    });
    this.#running.set(item.id, { partner: item.partner, done });
  }

  #runningOf(partner: string): number {
    return [...this.#running.values()].filter((work) => work.partner === partner).length;
  }

  async #forget(): Promise<void> {
    const { clock, ledger } = this.#deps;
    if (clock.monotonicMs() - this.#forgotAtMs < forgetEveryMs) return;
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
