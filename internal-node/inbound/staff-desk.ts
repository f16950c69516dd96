/**
 * What staff does with items by hand: look at them, and take one out. An item that waits in the DMZ is fetched and checked
 * like any other, but handed over instead of delivered; the DMZ drops its copy only after `commit()`.
 */

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { isId } from '../../shared/ids.ts';
import { nameOf } from '../../shared/paths/virtual-path.ts';
import type { Destination } from '../destination.ts';
import { type PaceOptions, paceDefaults } from '../pace.ts';
import { confirmItem } from './confirm.ts';
import { fetchItem, type Opener } from './fetch.ts';
import { handleSha256 } from './file-digest.ts';
import { type InboxLink, Lease } from './lease.ts';
import type { LedgerItem, LedgerState } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';

export interface StaffDeskDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly link: InboxLink;
  readonly destinations: ReadonlyMap<string, Destination>;
  readonly createOpener: (path: string) => Opener;
  readonly clock: Clock;
}

export interface StaffDeskOptions {
  /** A private folder of this desk alone; emptied at start. */
  readonly folder: string;
  readonly pace: PaceOptions;
}

export const staffDeskDefaults = { pace: paceDefaults } as const;

/** An item by its id, or by its name: the one that waits, else the newest. */
export type ItemRef = { readonly item: string } | { readonly partner: string; readonly path: string };

export interface StaffRow {
  readonly item: string;
  readonly partner: string;
  readonly path: string;
  readonly name: string;
  readonly size: number;
  readonly arrivedAtMs: number;
  readonly state: LedgerState;
  readonly action: LedgerItem['decision']['route']['action'];
  readonly trace: string;
  /** Below its destination, when it was delivered. */
  readonly file: string | null;
  /** Why it was set aside. */
  readonly reason: string | null;
  /** The earlier item that had the same partner, name and content. */
  readonly duplicateOf: string | null;
}

export interface StaffQuery {
  readonly partner?: string | undefined;
  readonly folder?: string | undefined;
  /** Only what nobody has taken yet. */
  readonly onlyWaiting?: boolean;
  /** `next` of the listing before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface StaffListing {
  readonly rows: readonly StaffRow[];
  /** Give it back for the next rows; undefined at the end. */
  readonly next: string | undefined;
}

/** A checked file in hand. Dispose it in any case. */
export interface TakenItem extends AsyncDisposable {
  readonly row: StaffRow;
  readonly sha256: string;
  /** The bytes, once. */
  read(): AsyncIterable<Buffer>;
  /** The taker has the bytes safe: the item is taken. Without it the item stays where it was. Idempotent. */
  commit(signal: AbortSignal): Promise<void>;
}

const maxRows = 1000;
const blockBytes = 256 * 1024;

export class StaffDesk {
  readonly #deps: StaffDeskDeps;
  readonly #options: StaffDeskOptions;

  constructor(deps: StaffDeskDeps, options: StaffDeskOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Makes the folder and removes what an earlier run left there. */
  async start(): Promise<void> {
    const { folder } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of (await readdir(folder)).filter(isId)) await rm(join(folder, name));
  }

  /**
   * Items of the inboxes, newest first.
   * @param query `folder` as the partner names it (`/Inbox/orders`); `limit` at most 1000.
   * @throws SallyportError `usage` for an `after` that is not a `next`.
   */
  async list(query: StaffQuery): Promise<StaffListing> {
    const limit = Math.min(Math.max(1, query.limit), maxRows);
    const folder = query.folder?.replace(/\/+$/, '');
    const items = await this.#deps.ledger.call('ledger.list', {
      partner: query.partner,
      folder: folder === '' ? undefined : folder,
      onlyWaiting: query.onlyWaiting ?? false,
      before: query.after === undefined ? undefined : parseMark(query.after),
      limit: limit + 1,
    });
    const rows = items.slice(0, limit);
    const last = rows.at(-1);
    return { rows: rows.map(rowOf), next: items.length > limit && last ? makeMark(last) : undefined };
  }

  /**
   * @param signal Ends the fetch; the item then stays where it was.
   * @throws SallyportError `item-unknown`, `usage` (several wait), `item-quarantined`, `upload-in-progress` (it is being delivered right now),
   *   `already-collected`, `content-mismatch`, `no-such-file` (delivered, and taken from there), link errors.
   */
  async takeByHand(ref: ItemRef, signal: AbortSignal): Promise<TakenItem> {
    const item = await this.#find(ref);
    switch (item.state) {
      case 'registered':
        return await this.#fetch(item, signal);
      case 'delivered':
        return await this.#openDelivered(item, signal);
      case 'pulling':
      case 'staged':
        throw new SallyportError('upload-in-progress', 'the item is being delivered', { item: item.id });
      case 'quarantined':
        throw new SallyportError('item-quarantined', `the item was set aside: ${item.reason ?? ''}`, { item: item.id });
      case 'pulled':
      case 'dropped':
      case 'moved':
      case 'gone':
        throw new SallyportError('already-collected', `the item is ${item.state}`, { item: item.id });
    }
  }

  async #find(ref: ItemRef): Promise<LedgerItem> {
    const { ledger } = this.#deps;
    const named = 'item' in ref ? undefined : await ledger.call('ledger.named', ref);
    if (named?.several) throw new SallyportError('usage', 'several items of this name wait; give the id of one');
    const item = 'item' in ref ? await ledger.call('ledger.find', { id: ref.item }) : named?.item;
    if (!item) throw new SallyportError('item-unknown', 'the inside knows no such item');
    return item;
  }

  async #fetch(item: LedgerItem, signal: AbortSignal): Promise<TakenItem> {
    const { ledger, link, clock } = this.#deps;
    const { id } = item;
    const lease = await Lease.take(id, link, clock, signal);
    if (!(await ledger.call('ledger.begin', { id, by: 'staff', nowMs: clock.nowMs() }))) {
      throw new SallyportError('upload-in-progress', 'the item is being delivered', { item: id });
    }
    const path = join(this.#options.folder, id);
    const giveBack = async (mismatch: boolean): Promise<void> => {
      await rm(path, { force: true });
      const nowMs = clock.nowMs();
      await ledger.call('ledger.retry', { id, nextAttemptMs: nowMs, nowMs, failure: null, mismatch });
      await lease.release(AbortSignal.timeout(5000));
    };
    try {
      const sha256 = await fetchItem(item, path, lease, this.#deps, this.#options.pace, signal);
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
      const take = (until: AbortSignal) => this.#taken(item, sha256, lease, until);
      return new FileInHand(
        rowOf(item),
        sha256,
        file,
        take,
        () => rm(path, { force: true }),
        () => giveBack(false),
      );
    } catch (error) {
      await giveBack(error instanceof SallyportError && error.code === 'content-mismatch');
      throw error;
    }
  }

  async #taken(item: LedgerItem, sha256: string, lease: Lease, signal: AbortSignal): Promise<void> {
    const { ledger, link, clock } = this.#deps;
    // The taker may have written for longer than a lease lasts. Nobody else fetches it meanwhile: the ledger has it as under way.
    await lease.keep(signal);
    lease.check();
    await ledger.call('ledger.pulled', { id: item.id, sha256, nowMs: clock.nowMs() });
    const settled = await ledger.call('ledger.find', { id: item.id });
    // Past this point it is taken. A confirm that fails is repeated by the puller.
    if (settled?.todo === 'confirm') await confirmItem(settled, { ledger, link, clock }, signal).catch(() => undefined);
  }

  async #openDelivered(item: LedgerItem, signal: AbortSignal): Promise<TakenItem> {
    const name = item.decision.plan?.targets.at(-1)?.destination;
    const destination = name === undefined ? undefined : this.#deps.destinations.get(name);
    if (!destination || item.file === null)
      throw new SallyportError('no-such-file', 'its destination is not configured any more');
    const file = await destination.open(item.file);
    const nothing = async (): Promise<void> => undefined;
    try {
      const sha256 = await handleSha256(file, signal);
      if (sha256 !== item.contentSha256) {
        throw new SallyportError('content-mismatch', 'the delivered file was changed since', { item: item.id, file: item.file });
      }
      return new FileInHand(rowOf(item), sha256, file, nothing, nothing, nothing);
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}

class FileInHand implements TakenItem {
  readonly row: StaffRow;
  readonly sha256: string;
  readonly #file: FileHandle;
  readonly #take: (signal: AbortSignal) => Promise<void>;
  readonly #remove: () => Promise<void>;
  readonly #giveBack: () => Promise<void>;
  #committed = false;
  #closed = false;

  constructor(
    row: StaffRow,
    sha256: string,
    file: FileHandle,
    take: (signal: AbortSignal) => Promise<void>,
    remove: () => Promise<void>,
    giveBack: () => Promise<void>,
  ) {
    this.row = row;
    this.sha256 = sha256;
    this.#file = file;
    this.#take = take;
    this.#remove = remove;
    this.#giveBack = giveBack;
  }

  async *read(): AsyncIterable<Buffer> {
    for (let position = 0; ; ) {
      const block = Buffer.allocUnsafe(blockBytes);
      const { bytesRead } = await this.#file.read(block, 0, blockBytes, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield block.subarray(0, bytesRead);
    }
  }

  async commit(signal: AbortSignal): Promise<void> {
    if (this.#committed) return;
    await this.#take(signal);
    this.#committed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
    await (this.#committed ? this.#remove() : this.#giveBack());
  }
}

const rowOf = (item: LedgerItem): StaffRow => ({
  item: item.id,
  partner: item.partner,
  path: item.path,
  name: nameOf(item.path),
  size: item.size,
  arrivedAtMs: item.registeredAtMs,
  state: item.state,
  action: item.decision.route.action,
  trace: item.trace,
  file: item.file,
  reason: item.reason,
  duplicateOf: item.duplicateOf,
});

const makeMark = ({ number }: LedgerItem): string => number.toString(36);

function parseMark(text: string): number {
  const number = /^[0-9a-z]{1,11}$/.test(text) ? Number.parseInt(text, 36) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new SallyportError('usage', 'this is not a mark that a listing gave out');
  return number;
}
