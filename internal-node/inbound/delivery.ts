/**
 * One attempt at what an item needs next: fetch and deliver, finish an interrupted delivery, or confirm. Delivered exactly
 * once: the ledger knows the draft and the final name before the one step that publishes, and the place tells afterwards
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
import { deliveryComponents } from '../../shared/paths/delivery-name.ts';
import { belowInbox, parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import type { DeliveryTarget, Destination } from '../destination.ts';
import { type PaceOptions, paceDefaults } from '../pace.ts';
import { confirmItem } from './confirm.ts';
import { fetchItem, type Opener } from './fetch.ts';
import { fileSha256 } from './file-digest.ts';
import { type InboxLink, Lease } from './lease.ts';
import type { LedgerItem } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';
import type { StagingArea } from './staging.ts';

export interface DeliveryDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly link: InboxLink;
  readonly destinations: ReadonlyMap<string, Destination>;
  readonly staging: StagingArea;
  readonly createOpener: (path: string) => Opener;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DeliveryOptions {
  readonly pace: PaceOptions;
  readonly retry: BackoffOptions;
}

export const deliveryDefaults: DeliveryOptions = { pace: paceDefaults, retry: { firstMs: 2000, maxMs: 300_000 } };

/** The tunnel's troubles, not the item's. */
const linkTroubles: readonly ErrorCode[] = ['tunnel-down', 'link-closed', 'stale-epoch', 'lease-lost'];
const wrongBytes: readonly ErrorCode[] = ['content-mismatch', 'sealed-damaged'];
const maxNames = 100;

export class Delivery {
  readonly #deps: DeliveryDeps;
  readonly #options: DeliveryOptions;

  constructor(deps: DeliveryDeps, options: DeliveryOptions = deliveryDefaults) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @param signal Ends a transfer. Once the final name is given the attempt goes on to its end. */
  async attempt(due: LedgerItem, signal: AbortSignal): Promise<void> {
    let item = due;
    try {
      // What was read as due may have been done meanwhile.
      const current = await this.#deps.ledger.call('ledger.find', { id: due.id });
      if (current?.todo !== due.todo) return;
      item = current;
      if (item.todo === 'fetch') await this.#fetch(item, signal);
      else if (item.todo === 'publish') await this.#finish(item, signal);
    } catch (error) {
      await this.#failed(item, error, signal);
      return;
    }
    try {
      await this.#confirm(item.id, signal);
    } catch (error) {
      await this.#putOff(item, error, { mismatch: false, silent: true });
    }
  }

  /**
   * After a start, without a link: tells of a staged item whether it had been published, and takes that down.
   * @throws SallyportError `destination-unavailable`: not known yet.
   */
  async settle(item: LedgerItem): Promise<'draft' | 'published'> {
    const { place, inode } = item;
    if (place === null || inode === null)
      throw new SallyportError('internal', 'a staged item lacks its draft', { item: item.id });
    const standing = await this.#destinationOf(item).standing(item.id, { place, inode });
    if (standing === 'published') await this.#delivered(item.id);
    return standing;
  }

  async #fetch(item: LedgerItem, signal: AbortSignal): Promise<void> {
    const { ledger, link, clock, staging } = this.#deps;
    const destination = this.#destinationOf(item);
    using _space = await staging.reserve(destination, item.partner, item.size);
    const lease = await Lease.take(item.id, link, clock, signal);
    const begun = await ledger.call('ledger.begin', { id: item.id, by: 'puller', nowMs: clock.nowMs() });
    if (!begun) return;
    try {
      const file = await this.#stage(begun, destination, lease, signal);
      await this.#publish(begun, file, destination, lease, signal);
    } catch (error) {
      await lease.release(AbortSignal.timeout(5000));
      throw error;
    }
  }

  /** @returns the final name that was decided and recorded. */
  async #stage(item: LedgerItem, destination: Destination, lease: Lease, signal: AbortSignal): Promise<string> {
    const { ledger, clock } = this.#deps;
    const { id } = item;
    const path = await destination.stage(id);
    let staged: { place: string; inode: string; sha256: string; file: string };
    try {
      const sha256 = await fetchItem(item, path, lease, this.#deps, this.#options.pace, signal);
      const facts = await destination.keep(id);
      staged = { ...facts, sha256, file: await destination.plan(targetOf(item)) };
    } catch (error) {
      await destination
        .discard(id)
        .catch((cause: unknown) => this.#deps.log.warn({ item: id, err: cause }, 'a draft was not removed'));
      throw error;
    }
    // From here on a missing draft means "published": nothing below may remove it.
    const current = await ledger.call('ledger.staged', { id, ...staged, nowMs: clock.nowMs() });
    if (!current) throw new SallyportError('internal', 'the item was taken out of our hands', { item: id });
    return staged.file;
  }

  async #publish(item: LedgerItem, first: string, destination: Destination, lease: Lease, signal: AbortSignal): Promise<void> {
    const { ledger } = this.#deps;
    let file = first;
    for (let names = 0; names < maxNames; names += 1) {
      await lease.keep(signal);
      if ((await destination.publish(item.id, file, () => lease.check())) === 'published') {
        await this.#delivered(item.id);
        return;
      }
      file = await destination.plan(targetOf(item));
      await ledger.call('ledger.retarget', { id: item.id, file });
    }
    throw new SallyportError('destination-unavailable', 'every name that was free was taken in the same moment', {
      item: item.id,
    });
  }

  /** Goes on where a crash or a failure left a staged item. */
  async #finish(item: LedgerItem, signal: AbortSignal): Promise<void> {
    if ((await this.settle(item)) === 'published') return;
    const { ledger, link, clock } = this.#deps;
    const destination = this.#destinationOf(item);
    if ((await fileSha256(destination.draftPath(item.id), signal)) !== item.contentSha256) {
      await ledger.call('ledger.unstage', { id: item.id });
      await destination.discard(item.id);
      return;
    }
    const lease = await Lease.take(item.id, link, clock, signal);
    const file = item.file ?? (await destination.plan(targetOf(item)));
    await this.#publish(item, file, destination, lease, signal);
  }

  async #delivered(id: string): Promise<void> {
    await this.#deps.ledger.call('ledger.delivered', { id, nowMs: this.#deps.clock.nowMs() });
  }

  async #confirm(id: string, signal: AbortSignal): Promise<void> {
    const { ledger, link, clock } = this.#deps;
    const item = await ledger.call('ledger.find', { id });
    if (item?.todo === 'confirm') await confirmItem(item, { ledger, link, clock }, signal);
  }

  async #failed(item: LedgerItem, error: unknown, signal: AbortSignal): Promise<void> {
    const { ledger, clock } = this.#deps;
    const { id } = item;
    const { code, message } = asSallyportError(error);
    const mismatch = wrongBytes.includes(code);
    const nowMs = clock.nowMs();
    try {
      if (mismatch && item.mismatches > 0) {
        await ledger.call('ledger.quarantine', { id, reason: `${code}: ${printable(message)}`, nowMs });
      } else if (code === 'item-unknown' && item.todo === 'fetch') {
        await ledger.call('ledger.gone', { id, nowMs });
      } else {
        await this.#putOff(item, error, { mismatch, silent: signal.aborted || linkTroubles.includes(code) });
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
    const attempts = linkTroubles.includes(code) ? 0 : item.attempts;
    const nextAttemptMs = nowMs + delayMs(attempts, this.#options.retry);
    const failure = how.silent ? null : { code, detail };
    await ledger
      .call('ledger.retry', { id: item.id, nextAttemptMs, nowMs, failure, mismatch: how.mismatch })
      .catch((cause: unknown) => log.error({ item: item.id, err: cause }, 'the ledger did not take a failure down'));
  }

  #destinationOf(item: LedgerItem): Destination {
    const { route } = item.decision;
    const name = route.action === 'deliver' ? route.destination : '';
    const destination = this.#deps.destinations.get(name);
    if (!destination) throw new SallyportError('destination-unavailable', `there is no destination "${printable(name)}"`);
    return destination;
  }
}

function targetOf(item: LedgerItem): DeliveryTarget {
  return { partner: item.partner, components: deliveryComponents(belowInbox(parseVirtualPath(item.path))) };
}

/** The wait before the attempt after `attempts` failed ones, milliseconds. */
function delayMs(attempts: number, options: BackoffOptions): number {
  const backoff = new Backoff(options);
  let ms = backoff.nextMs();
  for (let n = 0; n < Math.min(attempts, 30); n += 1) ms = backoff.nextMs();
  return Math.ceil(ms);
}
