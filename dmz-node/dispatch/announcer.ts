/**
 * Tells the inside of each completed item while its session can still answer for it, and adopts the decision that comes
 * back. An item counts as announced when that decision is recorded; until then it is told again: after each new link, and
 * with growing waits.
 */
import { Backoff } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';
import type { DmzOperations } from '../records.ts';

export interface AnnouncerDeps {
  readonly records: Records<DmzOperations>;
  readonly inside: Pick<Asking<'dmz'>, 'request'>;
  /** Unlinks files whose removal is recorded. */
  readonly discard: (files: readonly string[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AnnouncerOptions {
  /** Announcements on their way at the same time. */
  readonly concurrency: number;
  /**
   * The first item after a quiet time is told at once; those that follow sooner than `firstMs` are told together, so that
   * messages, and commits on both sides, are shared when there are many. As long as there are, each wait is twice as long as the
   * one before it, up to `mostMs`, but ends when nothing came for `firstMs`.
   */
  readonly gather: { readonly firstMs: number; readonly mostMs: number };
  /** Items told right after their completion; more are found by looking into the records. */
  readonly maxQueued: number;
  readonly retry: { readonly firstMs: number; readonly maxMs: number };
}

export const announcerDefaults: AnnouncerOptions = {
  concurrency: 64,
  gather: { firstMs: 40, mostMs: 320 },
  maxQueued: 256,
  retry: { firstMs: 1000, maxMs: 5 * 60_000 },
};

const pageSize = 64;
/** The link is gone: nothing more can be told before the next one. */
const linkLost = new Set(['tunnel-down', 'link-closed']);

export class Announcer implements Service {
  readonly name = 'announcer';
  readonly #deps: AnnouncerDeps;
  readonly #options: AnnouncerOptions;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  readonly #queue: string[] = [];
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #completedAtMs = Number.NEGATIVE_INFINITY;
  #gatherMs: number;
  #cancelGather: (() => void) | undefined;
  readonly #underWay = new Set<Promise<void>>();
  #up = false;
  #round: Promise<void> | undefined;
  #again = false;
  #cancelRetry: (() => void) | undefined;

  constructor(deps: AnnouncerDeps, options: AnnouncerOptions = announcerDefaults) {
    this.#deps = deps;
    this.#options = options;
    this.#gatherMs = options.gather.firstMs;
    this.#backoff = new Backoff(options.retry);
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    this.#stop.abort();
    this.linkDown();
    await Promise.all([this.#round, ...this.#underWay]);
  }

  /** Looks for everything that was not told yet. */
  linkUp(): void {
    this.#up = true;
    this.#backoff.reset();
    this.#look();
  }

  linkDown(): void {
    this.#up = false;
    this.#queue.length = 0;
    this.#cancelGather?.();
    this.#cancelGather = undefined;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }

  /**
   * An item is complete. Costs nothing while no link is there: the next one looks.
   * @param description What to tell, when it is of this very moment; it is read from the records otherwise.
   */
  completed(id: string, description?: ItemDescription): void {
    if (!this.#up || this.#stop.signal.aborted) return;
    const nowMs = this.#deps.clock.monotonicMs();
    this.#completedAtMs = nowMs;
    if (description && nowMs >= this.#toldAtMs + this.#gatherMs && this.#queue.length === 0) {
      this.#toldAtMs = nowMs;
      this.#gatherMs = this.#options.gather.firstMs;
      this.#begin(this.#tell(description));
      return;
    }
    if (this.#queue.length >= this.#options.maxQueued) {
      this.#look();
      return;
    }
    this.#queue.push(id);
    if (this.#queue.length === this.#options.concurrency) this.#tellQueued();
    else if (!this.#cancelGather) this.#gather();
  }

  /** New rules: items that no rule matched are presented again. */
  async policyChanged(): Promise<void> {
    const changed = await this.#deps.records.call('dispatch.askAgain', null);
    if (changed > 0) this.#look();
  }

  /** Tells what is queued. Resolves when nothing is on its way and no look is due at once. */
  async idle(): Promise<void> {
    this.#tellQueued();
    while (this.#round || this.#underWay.size > 0) await Promise.all([this.#round, ...this.#underWay]);
  }

  #gather(): void {
    const { clock } = this.#deps;
    const endsAtMs = Math.min(this.#toldAtMs + this.#gatherMs, this.#completedAtMs + this.#options.gather.firstMs);
    const waitMs = endsAtMs - clock.monotonicMs();
    if (waitMs > 0) this.#cancelGather = clock.after(waitMs, () => this.#gather());
    else this.#tellQueued();
  }

  #tellQueued(): void {
    this.#cancelGather?.();
    this.#cancelGather = undefined;
    const places = this.#options.concurrency - this.#underWay.size;
    const ids = this.#queue.splice(0, Math.max(0, places));
    if (ids.length === 0) return; // whoever ends next looks again
    this.#toldAtMs = this.#deps.clock.monotonicMs();
    const { firstMs, mostMs } = this.#options.gather;
    this.#gatherMs = ids.length > 1 ? Math.min(2 * this.#gatherMs, mostMs) : firstMs;
    this.#begin(this.#tellByIds(ids));
  }

  async #tellByIds(ids: readonly string[]): Promise<void> {
    for (const item of await this.#deps.records.call('dispatch.describe', { ids })) this.#begin(this.#tell(item));
  }

  #begin(telling: Promise<void>): void {
    const work: Promise<void> = telling
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#underWay.delete(work);
        if (this.#queue.length > 0 && !this.#cancelGather) this.#tellQueued();
      });
    this.#underWay.add(work);
  }

  /** Goes through the records once; what fails on the way is told again after a wait. */
  #look(): void {
    if (!this.#up || this.#stop.signal.aborted) return;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    if (this.#round) {
      this.#again = true;
      return;
    }
    this.#round = this.#goThrough()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#round = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.#look();
      });
  }

  async #goThrough(): Promise<void> {
    let failure: unknown;
    for (let after: number | null = 0; after !== null && this.#up; ) {
      const page: { items: ItemDescription[]; last: number | null } = await this.#deps.records.call('dispatch.unregistered', {
        after,
        limit: pageSize,
      });
      failure = (await this.#tellAll(page.items)) ?? failure;
      after = page.last;
    }
    if (failure === undefined) this.#backoff.reset();
    else this.#failed(failure);
  }

  /** @returns the last failure. */
  async #tellAll(items: readonly ItemDescription[]): Promise<unknown> {
    let failure: unknown;
    const rest = items.values();
    const worker = async (): Promise<void> => {
      for (const item of rest) {
        if (!this.#up) return;
        await this.#tell(item).catch((error: unknown) => {
          failure = error;
        });
      }
    };
    await Promise.all(Array.from({ length: this.#options.concurrency }, worker));
    return failure;
  }

  async #tell(item: ItemDescription): Promise<void> {
    const { inside, records, clock, discard } = this.#deps;
    const { decision } = await inside.request('item.ready', item, this.#stop.signal);
    const nowMs = clock.nowMs();
    discard(await records.call('dispatch.adopt', { id: item.id, seq: item.seq, decision, nowMs }));
  }

  #failed(error: unknown): void {
    const { code, message } = asSallyportError(error);
    if (this.#stop.signal.aborted || !this.#up) return;
    this.#deps.log.warn({ code, detail: message }, 'an item was not registered inside yet');
    // A lost link brings its own look when it is back.
    if (linkLost.has(code) || this.#cancelRetry) return;
    this.#cancelRetry = this.#deps.clock.after(this.#backoff.nextMs(), () => {
      this.#cancelRetry = undefined;
      this.#look();
    });
  }
}
