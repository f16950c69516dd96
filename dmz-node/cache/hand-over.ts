/**
 * The hand-over to the inside: answers its requests about items (reliability.md §2.4, S11 to S24) and serves their sealed
 * bytes, the events, and counters. Nothing here opens a content; the DMZ node could not.
 */
import { open } from 'node:fs/promises';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { NumberedEvent } from '../../shared/events/event.ts';
import { lend } from '../../shared/memory.ts';
import type { Answering, StreamServing } from '../../shared/tunnel/handlers.ts';
import type { DmzStatus, WireEvent } from '../../shared/tunnel/messages.ts';
import { collectItems } from './collecting.ts';
import type { CacheCore } from './core.ts';
import { Offers } from './offers.ts';
import type { LeasedItem } from './records/hand-over.ts';

export interface HandOverDeps {
  readonly core: CacheCore;
  /** What the node knows besides the cache. */
  readonly status: () => Pick<DmzStatus, 'version' | 'startedAtMs' | 'policyNumber' | 'sessions'>;
}

type Handled = 'inbox.list' | 'inbox.lease' | 'inbox.confirm' | 'inbox.release' | 'outbox.withdraw' | 'status.get';

/** An answer must fit into a control message with its frame. */
const listBytes = 60_000;
const readBytes = 128 * 1024;
const eventBatch = 200;

export class HandOver {
  readonly requests: Pick<Answering<'inside'>['requests'], Handled>;
  readonly streams: StreamServing;
  readonly #core: CacheCore;
  readonly #status: HandOverDeps['status'];
  readonly #offers: Offers;
  /** What a lease opens, so that reading needs no record. */
  readonly #leased = new Map<string, LeasedItem>();
  readonly #eventWaiters = new Set<() => void>();

  constructor(deps: HandOverDeps) {
    this.#core = deps.core;
    this.#status = deps.status;
    this.#offers = new Offers(deps.core);
    const { records, leases, clock } = this.#core;
    this.requests = {
      'inbox.list': ({ after, limit }) => records.call('inbox.list', { after, limit, maxBytes: listBytes }),
      'inbox.lease': (params) => this.#lease(params.id, params.epoch),
      'inbox.confirm': (params) => this.#confirm(params),
      'inbox.release': async ({ id, epoch }) => {
        leases.checkEpoch(epoch);
        this.#forget(id);
        return {};
      },
      'outbox.withdraw': async ({ id }) => {
        const { removed, unlink } = await records.call('outbox.withdraw', { id, nowMs: clock.nowMs() });
        this.#core.files.discard(unlink);
        return { removed };
      },
      'status.get': () => this.#counters(),
    };
    this.streams = {
      'inbox.read': ({ id, epoch, segment, offset }, signal) => this.#read({ id, epoch, segment, offset }, signal),
      'inbox.collect': (params, signal) =>
        collectItems(params, { ...this.#core, lease: (...of) => this.#leasedItem(...of) }, signal),
      'events.read': ({ after }, signal) => this.#events(after, signal),
      'outbox.offer': (params, source, signal) => this.#offers.receive(params, source, signal),
    };
  }

  /** Wakes the streams that follow the events. Called after each commit with events. */
  eventsRecorded(): void {
    for (const wake of this.#eventWaiters) wake();
  }

  async #lease(id: string, epoch: number): Promise<{ leaseMs: number }> {
    const { leases, records } = this.#core;
    const renewed = leases.holds(id);
    // Before the records are asked: whoever changes the item from now on sees that it is leased.
    leases.take(id, epoch);
    if (!renewed || !this.#leased.has(id)) {
      try {
        const item = await records.call('inbox.lease', { id });
        leases.checkEpoch(epoch);
        this.#tidy();
        this.#leased.set(id, item);
      } catch (error) {
        if (!renewed) leases.release(id);
        throw error;
      }
    }
    return { leaseMs: leases.leaseMs };
  }

  async #leasedItem(id: string, epoch: number): Promise<LeasedItem | undefined> {
    await this.#lease(id, epoch);
    return this.#leased.get(id);
  }

  async #confirm(params: {
    readonly id: string;
    readonly epoch: number;
    readonly sha256: string;
    readonly outcome: string;
  }): Promise<{ removed: boolean }> {
    const { leases, records, clock, files } = this.#core;
    const { id, epoch, sha256, outcome } = params;
    leases.checkEpoch(epoch);
    const { removed, unlink } = await records.call('inbox.confirm', { id, sha256, outcome, nowMs: clock.nowMs() });
    if (removed) this.#forget(id);
    files.discard(unlink);
    return { removed };
  }

  #forget(id: string): void {
    this.#core.leases.release(id);
    this.#leased.delete(id);
  }

  #tidy(): void {
    for (const id of this.#leased.keys()) if (!this.#core.leases.holds(id)) this.#leased.delete(id);
  }

  async *#read(
    params: { readonly id: string; readonly epoch: number; readonly segment: number; readonly offset: number },
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const { leases, files } = this.#core;
    const { id, epoch } = params;
    leases.check(id, epoch);
    const item = this.#leased.get(id);
    const segment = item?.segments[params.segment];
    if (!item || !segment) throw new SallyportError('item-unknown', 'no such segment', { item: id, segment: params.segment });
    await using file = await open(files.path(`${item.object}.${segment.file}`), 'r').catch((error: unknown) => {
      throw asSallyportError(error);
    });
    let offset = params.offset;
    const readNext = (at: number): Promise<Buffer> => readAt(file, at, Math.min(readBytes, segment.sealedBytes - at));
    let next = offset < segment.sealedBytes ? readNext(offset) : undefined;
    while (next) {
      signal.throwIfAborted();
      const bytes = await next;
      if (bytes.length === 0) throw new SallyportError('sealed-damaged', 'the file is shorter than its record', { item: id });
      offset += bytes.length;
      // Reads on while the socket takes what is here.
      next = offset < segment.sealedBytes ? readNext(offset) : undefined;
      next?.catch(() => {});
      leases.check(id, epoch);
      leases.renew(id);
      yield bytes;
    }
  }

  async *#events(after: number, signal: AbortSignal): AsyncGenerator<Buffer> {
    const { records } = this.#core;
    let last = after;
    while (!signal.aborted) {
      const news = this.#nextEvents(signal);
      const events = await records.call('events.after', { after: last, limit: eventBatch });
      if (events.length === 0) {
        await news.promise;
        continue;
      }
      news.cancel();
      last = events.at(-1)?.seq ?? last;
      yield Buffer.from(events.map((event) => `${JSON.stringify(toWire(event))}\n`).join(''));
    }
  }

  /** Resolves with the next commit of events, or when the stream is over. Registered before looking, so none is missed. */
  #nextEvents(signal: AbortSignal): { readonly promise: Promise<void>; readonly cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => {
      this.#eventWaiters.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    this.#eventWaiters.add(done);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
    return { promise, cancel: done };
  }

  async #counters(): Promise<DmzStatus> {
    const { records, leases, space, clock } = this.#core;
    const [{ states, ...counts }, freeBytes] = await Promise.all([
      records.call('status.counts', { nowMs: Math.floor(clock.nowMs()) }),
      space.freeBytes(),
    ]);
    const of = (state: string): number => states[state] ?? 0;
    return {
      ...this.#status(),
      ...counts,
      items: {
        ready: of('ready'),
        held: of('held') + of('temporary'),
        unrouted: of('unrouted'),
        leased: leases.count(),
        offered: of('offered'),
        partial: of('partial') + of('receiving'),
      },
      freeBytes,
      rssBytes: process.memoryUsage.rss(),
    };
  }
}

async function readAt(file: Awaited<ReturnType<typeof open>>, offset: number, length: number): Promise<Buffer> {
  try {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, offset);
    return lend(buffer.subarray(0, bytesRead));
  } catch (error) {
    throw asSallyportError(error);
  }
}

const toWire = ({ seq, name, atMs, trace, session, item, partner, fields }: NumberedEvent): WireEvent => ({
  seq,
  name,
  atMs,
  ...(trace === undefined ? {} : { trace }),
  ...(session === undefined ? {} : { session }),
  ...(item === undefined ? {} : { item }),
  ...(partner === undefined ? {} : { partner }),
  fields,
});
