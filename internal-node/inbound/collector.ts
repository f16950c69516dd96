/**
 * Takes small items together: those of a partner that are asked for in one turn of the event loop, or while his streams are
 * all under way, are leased and read with one stream. A partner whose bytes drip delays nobody else.
 *
 * It believes nothing: each length is that of the announced item or the item has failed, nothing is read beyond that, and what
 * the bytes are is proven where they are opened. An item that the DMZ does not send this way is taken by itself.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import { Pace, type PaceOptions, paceDefaults } from '../pace.ts';
import { type InboxLink, Lease } from './lease.ts';
import type { LedgerItem } from './ledger-item.ts';

export interface Collected {
  readonly lease: Lease;
  /** The sealed bytes of all segments, one after the other; as many as were announced. */
  readonly sealed: Buffer;
}

type Wanted = Pick<LedgerItem, 'id' | 'partner' | 'segments'>;

export interface CollectorOptions {
  readonly pace: PaceOptions;
  /** Streams at the same time, in all and of one partner. As many items at most are read by themselves. */
  readonly streams: number;
  readonly streamsPerPartner: number;
}

export const collectorDefaults: CollectorOptions = { pace: paceDefaults, streams: 8, streamsPerPartner: 2 };

interface Waiting {
  readonly item: Wanted;
  readonly signal: AbortSignal;
  readonly resolve: (collected: Collected | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** Of one stream, so that what is held in memory stays small. */
const batchBytes = 1024 * 1024;
const shortestLeaseMs = 1000;
const longestLeaseMs = 86_400_000;

export const sealedBytesOf = ({ segments }: Pick<Wanted, 'segments'>): number =>
  segments.reduce((sum, { sealedBytes }) => sum + sealedBytes, 0);

export class Collector {
  readonly #deps: { readonly link: InboxLink; readonly clock: Clock };
  readonly #options: CollectorOptions;
  readonly #collecting: Places;
  readonly #alone: Places;
  #waiting: Waiting[] = [];
  #begins = false;

  constructor(deps: { readonly link: InboxLink; readonly clock: Clock }, options: CollectorOptions = collectorDefaults) {
    this.#deps = deps;
    this.#options = options;
    this.#collecting = new Places(options.streams, options.streamsPerPartner);
    this.#alone = new Places(options.streams, options.streamsPerPartner);
  }

  /**
   * @returns undefined when it is not to be had this way.
   * @throws SallyportError link errors, `request-timeout`, `protocol-violation` for all of a stream that is broken,
   *   `content-mismatch` for an item of which another number of bytes came.
   */
  take(item: Wanted, signal: AbortSignal): Promise<Collected | undefined> {
    if (sealedBytesOf(item) > limits.collectItemBytes) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, signal, resolve, reject });
      this.#beginSoon();
    });
  }

  /**
   * A place for one that is not to be had together, until the result is disposed.
   * @throws SallyportError `waits-for-other` when too many are read by themselves already.
   */
  alone({ id, partner }: Wanted): Disposable {
    if (this.#alone.take(partner)) return { [Symbol.dispose]: () => this.#alone.free(partner) };
    throw new SallyportError('waits-for-other', 'others are read by themselves at the moment', { item: id });
  }

  #beginSoon(): void {
    if (this.#begins) return;
    this.#begins = true;
    setImmediate(() => this.#begin());
  }

  #begin(): void {
    this.#begins = false;
    for (const [partner, waiting] of Map.groupBy(this.#waiting, ({ item }) => item.partner)) {
      for (const batch of batches(waiting)) {
        if (!this.#collecting.take(partner)) break;
        const taken = new Set(batch);
        this.#waiting = this.#waiting.filter((one) => !taken.has(one));
        void this.#collect(batch).finally(() => {
          this.#collecting.free(partner);
          if (this.#waiting.length > 0) this.#beginSoon();
        });
      }
    }
  }

  /** Never rejects: each of the batch hears what became of it. */
  async #collect(batch: readonly Waiting[]): Promise<void> {
    const { link, clock } = this.#deps;
    const bytes = batch.reduce((sum, { item }) => sum + sealedBytesOf(item), 0);
    using pace = new Pace(clock, bytes, this.#options.pace);
    const signal = AbortSignal.any([pace.signal, ...new Set(batch.map((one) => one.signal))]);
    try {
      const epoch = link.epoch();
      if (epoch === undefined) throw new SallyportError('tunnel-down', 'no link to lease from');
      const askedAtMs = clock.monotonicMs();
      const stream = await link.openStream('inbox.collect', { epoch, ids: batch.map(({ item }) => item.id) }, signal);
      await using pieces = new Pieces(stream, () => pace.moved());
      const leaseMs = await pieces.number();
      if (leaseMs < shortestLeaseMs || leaseMs > longestLeaseMs) throw broken('a lease of an impossible length');
      for (const { item, resolve, reject } of batch) {
        const sealed = await pieces.take(await pieces.number());
        if (sealed.length === 0) resolve(undefined);
        else if (sealed.length !== sealedBytesOf(item))
          reject(new SallyportError('content-mismatch', 'not as many bytes came as were announced'));
        else resolve({ sealed, lease: Lease.given(item.id, epoch, leaseMs, askedAtMs, link, clock) });
      }
    } catch (error) {
      const failure = asSallyportError(pace.signal.aborted ? pace.signal.reason : error);
      for (const one of batch) one.reject(one.signal.aborted ? one.signal.reason : failure);
    }
  }
}

/** As many as one stream may name, and as few bytes as are to be held in memory. */
function* batches(waiting: readonly Waiting[]): Generator<readonly Waiting[]> {
  let batch: Waiting[] = [];
  let bytes = 0;
  for (const one of waiting) {
    const more = sealedBytesOf(one.item);
    if (batch.length === limits.collectItems || (batch.length > 0 && bytes + more > batchBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(one);
    bytes += more;
  }
  yield batch;
}

/** Places of all, of which each partner gets some at most. */
class Places {
  readonly #most: number;
  readonly #mostOfPartner: number;
  readonly #taken = new Map<string, number>();
  #all = 0;

  constructor(most: number, mostOfPartner: number) {
    this.#most = most;
    this.#mostOfPartner = mostOfPartner;
  }

  /** @returns whether there was one. */
  take(partner: string): boolean {
    const taken = this.#taken.get(partner) ?? 0;
    if (this.#all >= this.#most || taken >= this.#mostOfPartner) return false;
    this.#all += 1;
    this.#taken.set(partner, taken + 1);
    return true;
  }

  free(partner: string): void {
    const taken = this.#taken.get(partner) ?? 1;
    this.#all -= 1;
    if (taken > 1) this.#taken.set(partner, taken - 1);
    else this.#taken.delete(partner);
  }
}

const broken = (detail: string): SallyportError => new SallyportError('protocol-violation', detail);

/** Cuts a stream of buffers into pieces of the sizes that its own numbers name. */
class Pieces implements AsyncDisposable {
  readonly #source: AsyncIterator<Buffer>;
  readonly #moved: () => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>, moved: () => void) {
    this.#source = source[Symbol.asyncIterator]();
    this.#moved = moved;
  }

  async number(): Promise<number> {
    return (await this.#read(4)).readUInt32BE();
  }

  async take(length: number): Promise<Buffer> {
    if (length > limits.collectItemBytes) throw broken('an item larger than any that is sent this way');
    return await this.#read(length);
  }

  async #read(length: number): Promise<Buffer> {
    while (this.#rest.length < length) {
      const next = await this.#source.next();
      if (next.done) throw broken('the items end too early');
      this.#moved();
      this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    }
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return piece;
  }

  /** Hears the end of the stream, so that its socket can serve the next one; whatever else comes is not read. */
  async [Symbol.asyncDispose](): Promise<void> {
    const end = this.#rest.length > 0 ? undefined : await this.#source.next().catch(() => undefined);
    if (end?.done !== true) await this.#source.return?.();
  }
}
