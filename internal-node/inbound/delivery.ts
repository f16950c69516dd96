/**
 * One attempt at what an item needs next: fetch and deliver, finish an interrupted delivery, go on to its next destination,
 * or confirm. Delivered exactly once to each destination: the ledger knows the draft and the final name before the one step that publishes, and the place tells afterwards
 * whether that step was done.
 *
 * A failed attempt never throws: the item waits for its next one. Bytes that are not the announced ones get one more try,
 * then the item is set aside for good.
 */
import { Backoff, type BackoffOptions } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { asSallyportError, type ErrorCode, SallyportError } from '../../shared/errors.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { insideAction, type OnExisting } from '../../shared/matching/actions.ts';
import type { DeliveryTarget, Destination, DraftFacts } from '../destination.ts';
import { type PaceOptions, paceDefaults } from '../pace.ts';
import { type Collected, Collector, collectorDefaults } from './collector.ts';
import type { Companions } from './companions.ts';
import { confirmItem } from './confirm.ts';
import { fetchItem, type Opener, type OpenWhole, openCollected } from './fetch.ts';
import { fileSha256 } from './file-digest.ts';
import { type InboxLink, Lease } from './lease.ts';
import type { Blame } from './ledger-destinations.ts';
import { type LedgerItem, targetOf } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';
import { copyLocally } from './local-copy.ts';
import type { StagingArea } from './staging.ts';
import type { Expected } from './trigger-content.ts';

export interface DeliveryDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly link: InboxLink;
  readonly destinations: ReadonlyMap<string, Destination>;
  readonly staging: StagingArea;
  readonly companions: Companions;
  readonly createOpener: (path: string) => Opener;
  readonly openWhole: OpenWhole;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DeliveryOptions {
  readonly pace: PaceOptions;
  readonly retry: BackoffOptions;
  /** Failures of a destination in a row after which nothing more is tried there; 0: never. */
  readonly stopAfter: (destination: string) => number;
  /** Streams of the tunnel that small items may use. */
  readonly smallStreams: number;
}

export const deliveryDefaults: DeliveryOptions = {
  pace: paceDefaults,
  smallStreams: collectorDefaults.streams,
  retry: { firstMs: 2000, maxMs: 300_000 },
  stopAfter: () => 0,
};

/** The tunnel's troubles, not the item's. */
const linkTroubles: readonly ErrorCode[] = ['tunnel-down', 'link-closed', 'stale-epoch', 'lease-lost'];
/** The troubles of a destination. */
const destinationTroubles: readonly ErrorCode[] = ['destination-unavailable', 'no-space', 'program-failed'];
/** Nothing is wrong with the item. */
const patient: readonly ErrorCode[] = [...linkTroubles, 'waits-for-other'];
const wrongBytes: readonly ErrorCode[] = ['content-mismatch', 'sealed-damaged'];
const maxNames = 100;
/** Items up to this size are taken together with others. */
export const smallBytes = 64 * 1024;

export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #options: DeliveryOptions;
  readonly #collector: Collector;

  constructor(deps: DeliveryDeps, options: DeliveryOptions = deliveryDefaults) {
    this.#deps = deps;
    this.#options = options;
    this.#collector = new Collector(deps, { ...collectorDefaults, pace: options.pace, streams: options.smallStreams });
  }

  /** @param signal Ends a transfer. Once the final name is given the attempt goes on to its end. */
  async attempt(id: string, signal: AbortSignal): Promise<void> {
    let item = await this.#next(id);
    for (let before: LedgerItem | undefined; item && isWork(item) && item.step !== before?.step; ) {
      before = item;
      try {
        item = item.todo === 'fetch' ? await this.#fetch(item, signal) : await this.#finish(item, signal);
      } catch (error) {
        await this.#failed(before, error, signal);
        return;
      }
      if (item && isWork(item) && !signal.aborted) item = await this.#next(id);
    }
    try {
      if (item?.todo === 'confirm') await confirmItem(item, this.#deps, signal);
    } catch (error) {
      if (item) await this.#putOff(item, error, { mismatch: false, silent: true });
    }
  }

  /** @returns undefined when nothing is to be done now. */
  async #next(id: string): Promise<LedgerItem | undefined> {
    const { ledger, clock } = this.#deps;
    return await ledger.call('ledger.next', { id, putOffUntilMs: Math.ceil(clock.nowMs() + this.#options.retry.maxMs) });
  }

  /**
   * After a start, without a link: tells of a staged item whether it had been published, and takes that down.
   * @throws SallyportError `destination-unavailable`: not known yet.
   */
  async settle(item: LedgerItem): Promise<'draft' | 'published' | 'missing'> {
    const draft = stagedDraft(item);
    const destination = this.#destinationOf(item);
    const standing = await destination.standing(item.id, draft, draft.file);
    if (standing === 'published') await this.#delivered(item.id, destination, false);
    return standing;
  }

  /** @returns the item as it is then; undefined when it was no longer to be fetched. */
  async #fetch(item: LedgerItem, signal: AbortSignal): Promise<LedgerItem | undefined> {
    const { ledger, link, clock, staging, companions } = this.#deps;
    await companions.mayFetch(item);
    const destination = this.#destinationOf(item);
    using _space = await staging.reserve(destination, item.partner, item.size);
    // What an earlier destination has need not come again.
    const small = item.size <= smallBytes && item.step === 0;
    const collected = small ? await this.#collector.take(item, signal) : undefined;
    using _place = small && !collected ? this.#collector.alone(item) : undefined;
    const lease = collected?.lease ?? (await Lease.take(item.id, link, clock, signal));
    const begun = await ledger.call('ledger.begin', { id: item.id, by: 'puller', nowMs: clock.nowMs() });
    if (!begun) return undefined;
    try {
      const draft = await this.#stage(begun, destination, collected ?? { lease }, signal);
      if (!draft) return await ledger.call('ledger.find', { id: item.id });
      const now = await this.#publish(begun, draft, destination, lease, signal);
      if (now?.todo === '') await lease.release(AbortSignal.timeout(5000));
      return now;
    } catch (error) {
      await lease.release(AbortSignal.timeout(5000));
      throw error;
    }
  }

  /** @returns the draft, with the final name that was decided and recorded; undefined when it is not to be delivered. */
  async #stage(
    item: LedgerItem,
    destination: Destination,
    { lease, sealed }: Pick<Collected, 'lease'> & Partial<Collected>,
    signal: AbortSignal,
  ): Promise<StagedDraft | undefined> {
    const { ledger, clock, companions, openWhole } = this.#deps;
    const { id } = item;
    const path = await destination.stage(id);
    let staged: StagedDraft & { readonly sha256: string; readonly expected: Expected | null };
    try {
      const sha256 = (await copyLocally(item, path, this.#deps, signal))
        ? (item.contentSha256 ?? '')
        : sealed
          ? await openCollected(item, path, sealed, openWhole)
          : await fetchItem(item, path, lease, this.#deps, this.#options.pace, signal);
      await companions.check(item, path, sha256, signal);
      const expected = await companions.read(item, path);
      const facts = await destination.keep(id);
      staged = { ...facts, sha256, expected, file: await destination.plan(place(item), false) };
    } catch (error) {
      await destination
        .discard(id)
        .catch((cause: unknown) => this.#deps.log.warn({ item: id, err: cause }, 'a draft was not removed'));
      throw error;
    }
    // From here on it is the destination that tells what became of the draft: nothing below may remove it.
    const duplicates = companions.duplicates(item);
    const became = await ledger.call('ledger.staged', { id, ...staged, duplicates, nowMs: clock.nowMs() });
    if (!became) throw new SallyportError('internal', 'the item was taken out of our hands', { item: id });
    if (became === 'staged') return staged;
    await destination.discard(id);
    return undefined;
  }

  /** @param lease Undefined: there is nobody to lease from any more. */
  async #publish(
    item: LedgerItem,
    draft: StagedDraft,
    destination: Destination,
    lease: Lease | undefined,
    signal: AbortSignal,
  ): Promise<LedgerItem | undefined> {
    const { ledger, companions, clock } = this.#deps;
    if ((await companions.mayPublish(item)) === 'drop') {
      const dropped = await ledger.call('ledger.dropTrigger', { id: item.id, nowMs: clock.nowMs() });
      await destination.discard(item.id);
      return dropped;
    }
    let { file } = draft;
    for (let names = 0; names < maxNames; names += 1) {
      await lease?.keep(signal);
      const outcome = await destination.publish(item.id, draft, file, () => lease?.check(), onExistingOf(item));
      if (outcome === 'skipped') return await this.#skipped(item.id, destination);
      if (outcome !== 'taken') return await this.#delivered(item.id, destination, outcome === 'replaced');
      file = await destination.plan(place(item), true, onExistingOf(item));
      await ledger.call('ledger.retarget', { id: item.id, file });
    }
    throw new SallyportError('destination-unavailable', 'every name that was free was taken in the same moment', {
      item: item.id,
    });
  }

  /** Goes on where a crash or a failure left a staged item. */
  async #finish(item: LedgerItem, signal: AbortSignal): Promise<LedgerItem | undefined> {
    const { ledger } = this.#deps;
    const standing = await this.settle(item);
    if (standing === 'published') return await ledger.call('ledger.find', { id: item.id });
    const destination = this.#destinationOf(item);
    if (standing === 'missing') {
      await ledger.call('ledger.unstage', { id: item.id });
      throw new SallyportError('destination-unavailable', 'the draft was removed from the staging folder; it is fetched anew');
    }
    if ((await fileSha256(destination.draftPath(item.id), signal)) !== item.contentSha256) {
      await ledger.call('ledger.unstage', { id: item.id });
      await destination.discard(item.id);
      return undefined;
    }
    return await this.#publish(item, stagedDraft(item), destination, await this.#leaseStaged(item.id, signal), signal);
  }

  /** @returns undefined when the DMZ has lost the item: then the draft is the only copy, and nobody else can deliver it. */
  async #leaseStaged(id: string, signal: AbortSignal): Promise<Lease | undefined> {
    const { link, clock, log } = this.#deps;
    try {
      return await Lease.take(id, link, clock, signal);
    } catch (error) {
      if (asSallyportError(error).code !== 'item-unknown') throw error;
      log.warn({ item: id }, 'the DMZ has lost an item that was fetched already; it is delivered');
      return undefined;
    }
  }

  async #delivered(id: string, destination: Destination, replaced: boolean): Promise<LedgerItem | undefined> {
    const { ledger, clock, log } = this.#deps;
    const item = await ledger.call('ledger.delivered', { id, replaced, nowMs: clock.nowMs() });
    // Not waited for: what is left the next start removes.
    void destination.forget(id).catch((cause: unknown) => log.warn({ item: id, err: cause }, 'a proof was not removed'));
    return item;
  }

  async #skipped(id: string, destination: Destination): Promise<LedgerItem | undefined> {
    const { ledger, clock, log } = this.#deps;
    const item = await ledger.call('ledger.skipped', { id, nowMs: clock.nowMs() });
    await destination.discard(id).catch((cause: unknown) => log.warn({ item: id, err: cause }, 'a draft was not removed'));
    return item;
  }

  async #failed(item: LedgerItem, error: unknown, signal: AbortSignal): Promise<void> {
    const { ledger, clock } = this.#deps;
    const { id } = item;
    const { code, message } = asSallyportError(error);
    const mismatch = wrongBytes.includes(code);
    const nowMs = clock.nowMs();
    try {
      if (code === 'trigger-mismatch') {
        await ledger.call('ledger.quarantine', { id, reason: printable(message), nowMs });
        await this.#destinationOf(item).discard(id);
      } else if (mismatch && item.mismatches > 0) {
        await ledger.call('ledger.quarantine', { id, reason: `${code}: ${printable(message)}`, nowMs });
      } else if (code === 'already-collected') {
        await ledger.call('ledger.gone', { id, nowMs, staged: true });
        if (item.todo === 'publish') await this.#destinationOf(item).discard(id);
      } else if (code === 'item-unknown' && item.todo === 'fetch') {
        await ledger.call('ledger.gone', { id, nowMs, staged: false });
      } else {
        await this.#putOff(item, error, { mismatch, silent: signal.aborted || patient.includes(code) });
      }
    } catch (cause) {
      this.#deps.log.error({ item: id, err: cause }, 'the ledger did not take a failure down');
    }
  }

  async #putOff(item: LedgerItem, error: unknown, how: { mismatch: boolean; silent: boolean }): Promise<void> {
    const { ledger, clock, log } = this.#deps;
    const { code, message } = asSallyportError(error);
    const nowMs = clock.nowMs();
    const detail = printable(message);
    log.info({ item: item.id, code, detail }, 'an attempt failed');
    // The tunnel's troubles end for all items at once: that must not cost the long wait of a failing item.
    const attempts = patient.includes(code) ? 0 : item.attempts;
    const nextAttemptMs = nowMs + delayMs(attempts, retryOf(item, this.#options.retry));
    const failure = how.silent ? null : { code, detail };
    const blame = destinationTroubles.includes(code) ? this.#blame(item) : null;
    try {
      const became = await ledger.call('ledger.retry', {
        ...{ id: item.id, nextAttemptMs, nowMs, failure, blame },
        mismatch: how.mismatch,
      });
      if (became === 'given up') await this.#destinationOf(item).discard(item.id);
    } catch (cause) {
      log.error({ item: item.id, err: cause }, 'the ledger did not take a failure down');
    }
  }

  #blame(item: LedgerItem): Blame | null {
    const destination = targetOf(item)?.destination;
    if (destination === undefined) return null;
    const limit = item.decision.plan?.retry?.limit ?? null;
    return { destination, limit, stopAfter: this.#options.stopAfter(destination) };
  }

  #destinationOf(item: LedgerItem): Destination {
    const name = targetOf(item)?.destination ?? '';
    const destination = this.#deps.destinations.get(name);
    if (!destination) throw new SallyportError('destination-unavailable', `there is no destination "${printable(name)}"`);
    return destination;
  }
}

/** A draft whose fate the ledger follows. */
interface StagedDraft extends DraftFacts {
  /** The final file that was decided. */
  readonly file: string;
}

function stagedDraft({ id, place, inode, file }: LedgerItem): StagedDraft {
  if (place === null || inode === null || file === null)
    throw new SallyportError('internal', 'a staged item lacks its draft', { item: id });
  return { place, inode, file };
}

const isWork = ({ todo }: LedgerItem): boolean => todo === 'fetch' || todo === 'publish';

/** The components were made harmless when the item was decided; the destination takes no others. */
const place = (item: LedgerItem): DeliveryTarget => ({ components: targetOf(item)?.file.split('/') ?? [] });

/** What its rule says of names that are taken; undefined: what the destination says. */
function onExistingOf({ decision: { plan } }: LedgerItem): OnExisting | undefined {
  return plan && (insideAction(plan.action).onExisting ?? plan.onExisting);
}

/** The waits of its rule, where it has some of its own. */
function retryOf({ decision: { plan } }: LedgerItem, usual: BackoffOptions): BackoffOptions {
  const firstMs = plan?.retry?.waitMs;
  return firstMs === undefined ? usual : { ...usual, firstMs, maxMs: Math.max(firstMs, usual.maxMs) };
}

/** The wait before the attempt after `attempts` failed ones, milliseconds. */
function delayMs(attempts: number, options: BackoffOptions): number {
  const backoff = new Backoff(options);
  let ms = backoff.nextMs();
  for (let n = 0; n < Math.min(attempts, 30); n += 1) ms = backoff.nextMs();
  return Math.ceil(ms);
}
