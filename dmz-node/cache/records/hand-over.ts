/** The records of the hand-over to the inside, and of what the inside offers. */
import type { Store } from '../../../shared/durable/operations.ts';
import { SallyportError } from '../../../shared/errors.ts';
import type { NumberedEvent } from '../../../shared/events/event.ts';
import { event } from '../../../shared/events/event.ts';
import { readEventsAfter } from '../../../shared/events/event-store.ts';
import type { DmzStatus, ItemDescription } from '../../../shared/tunnel/messages.ts';
import { findEntry, freeName, leaveOutbox, makeGhost, type NamePlace, putEntry } from './entries.ts';
import {
  bury,
  contextOf,
  describe,
  findItem,
  hasTombstone,
  type Item,
  nextCount,
  removeItem,
  type StoredSegment,
  saveItem,
  toItem,
} from './items.ts';
import { putFolder } from './names.ts';

/** States in which an item can be taken by the inside. */
const takeable = new Set<string>(['ready', 'held', 'unrouted', 'dropped']);

/** What a lease opens: the files to read. */
export interface LeasedItem {
  readonly id: string;
  readonly object: string;
  readonly segments: readonly StoredSegment[];
}

export interface OfferedItem extends LeasedItem {
  readonly trace: string;
  readonly path: string;
  readonly size: number;
  readonly sha256: string | null;
}

export const handOverOperations = {
  /** A new epoch voids every lease. Durable before anybody hears the number. */
  'epoch.next': (store: Store, _args: null): number => nextCount(store, 'epoch'),

  /** Items that wait for the inside, by number; stops before the answer grows above `maxBytes` of JSON. */
  'inbox.list': (
    store: Store,
    args: { readonly after: number; readonly limit: number; readonly maxBytes: number },
  ): { items: ItemDescription[]; more: boolean } => {
    const rows = store
      .sql('SELECT * FROM items WHERE waiting = 1 AND seq > ? ORDER BY seq LIMIT ?')
      .all(args.after, args.limit + 1);
    const items: ItemDescription[] = [];
    let bytes = 0;
    for (const row of rows.slice(0, args.limit)) {
      const description = describe(toItem(row));
      if (!description) continue;
      bytes += Buffer.byteLength(JSON.stringify(description)) + 1;
      if (bytes > args.maxBytes && items.length > 0) return { items, more: true };
      items.push(description);
    }
    return { items, more: rows.length > args.limit };
  },

  /** @throws SallyportError `already-collected` when it was here and is over, `item-unknown` when there is nothing to take */
  'inbox.lease': (store: Store, args: { readonly id: string }): LeasedItem => {
    const item = findItem(store, args.id);
    if (!item && hasTombstone(store, args.id)) {
      throw new SallyportError('already-collected', 'the item was removed', { item: args.id });
    }
    if (!item || !takeable.has(item.state)) throw new SallyportError('item-unknown', 'no item to lease', { item: args.id });
    return { id: item.id, object: item.object, segments: item.segments };
  },

  /**
   * The inside has it for good. A repeated confirm finds the tombstone and is answered alike.
   * @throws SallyportError `content-mismatch`
   */
  'inbox.confirm': (
    store: Store,
    args: {
      readonly id: string;
      readonly sha256: string;
      readonly outcome: string;
      readonly nowMs: number;
    },
  ): { removed: boolean; unlink: string[] } => {
    const { nowMs } = args;
    const item = findItem(store, args.id);
    if (!item) return { removed: hasTombstone(store, args.id), unlink: [] };
    if (!takeable.has(item.state)) throw new SallyportError('item-unknown', 'the item is not handed over', { item: args.id });
    if (item.sha256 !== null && item.sha256 !== args.sha256) {
      throw new SallyportError('content-mismatch', 'the confirm names another hash; the item is kept', { item: args.id });
    }
    const unlink = removeItem(store, { ...item, sha256: args.sha256 }, args.outcome, nowMs);
    makeGhost(store, item.id, item.partner, nowMs + item.ghostMs);
    store.emit(event('item.confirmed', nowMs, contextOf(item), { outcome: args.outcome }));
    return { removed: true, unlink };
  },

  /**
   * Is this offer here already, or was it once?
   * @returns where it lies; null when it is over already, undefined when it never came or was damaged here.
   */
  'outbox.known': (
    store: Store,
    args: { readonly id: string; readonly sha256: string; readonly nowMs: number },
  ): string | null | undefined => {
    const item = findItem(store, args.id);
    if (item && (item.origin !== 'inside' || item.sha256 !== args.sha256)) {
      throw new SallyportError('content-mismatch', 'the id belongs to another item', { item: args.id });
    }
    if (item?.state === 'quarantined') {
      // The inside still has it, and sends it again: the next start removes what is left of the first.
      store.sql('DELETE FROM items WHERE object = ?').run(item.object);
      bury(store, { ...item, id: item.object }, 'damaged', args.nowMs);
      return undefined;
    }
    if (item) return item.path;
    return hasTombstone(store, args.id) ? null : undefined;
  },

  /** An offer is on its way into a file of this object. Until it is stored, the next start may remove the file. */
  'outbox.begin': (store: Store, { object, nowMs }: { readonly object: string; readonly nowMs: number }): void =>
    bury(store, { id: object, object, sha256: null }, 'unfinished', nowMs),

  /** @returns the path under which the partner sees it: with a number when the name was taken. */
  'outbox.store': (
    store: Store,
    args: {
      readonly id: string;
      readonly object: string;
      readonly partner: string;
      readonly place: NamePlace;
      /** Folders from the Outbox down to the one of the item; made when missing. */
      readonly folders: readonly NamePlace[];
      readonly segment: StoredSegment;
      readonly sha256: string;
      readonly modifiedMs: number;
      readonly expiresMs: number;
      readonly trace: string;
      readonly nowMs: number;
    },
  ): string => {
    const { partner, place, nowMs, segment } = args;
    store.sql('DELETE FROM tombstones WHERE id = ?').run(args.object);
    for (const folder of args.folders) {
      const old = findEntry(store, partner, folder.folderKey, folder.nameKey);
      if (old?.kind === 'file') throw new SallyportError('not-a-folder', 'a file has the name of a folder of the offer');
      if (!old) putFolder(store, partner, folder, nowMs);
    }
    const name = freeName(store, partner, place.folderKey, place.name);
    const path = `${place.path.slice(0, place.path.length - place.name.length)}${name}`;
    const item: Item = {
      id: args.id,
      object: args.object,
      seq: null,
      origin: 'inside',
      partner,
      outboxPartner: partner,
      path,
      pathKey: path.normalize('NFC'),
      session: null,
      sessionProof: null,
      trace: args.trace,
      segments: [segment],
      liveFile: null,
      nextFile: 1,
      size: segment.plainBytes,
      sha256: args.sha256,
      state: 'offered',
      decision: null,
      policyNumber: 0,
      registered: true,
      startedMs: nowMs,
      updatedMs: nowMs,
      completedMs: nowMs,
      expiresMs: args.expiresMs,
      hold: null,
      dueMs: null,
      alarmMs: null,
      ghostMs: 0,
      trigger: null,
      releases: 0,
    };
    saveItem(store, item);
    putEntry(store, {
      partner,
      folderKey: place.folderKey,
      nameKey: name.normalize('NFC'),
      name,
      kind: 'file',
      item: item.id,
      size: item.size,
      modifiedMs: args.modifiedMs,
      partial: false,
      hidden: false,
      ghostUntil: null,
      session: null,
    });
    store.emit(event('item.stored', nowMs, contextOf(item), { path, size: item.size }));
    return path;
  },

  'outbox.withdraw': (
    store: Store,
    args: { readonly id: string; readonly nowMs: number },
  ): { removed: boolean; unlink: string[] } => {
    const item = findItem(store, args.id);
    if (item?.state !== 'offered') return { removed: item === undefined && hasTombstone(store, args.id), unlink: [] };
    const unlink = removeItem(store, item, 'withdrawn', args.nowMs);
    leaveOutbox(store, item.id, item.outboxPartner ?? item.partner);
    store.emit(event('item.withdrawn', args.nowMs, contextOf(item), { reason: 'the inside' }));
    return { removed: true, unlink };
  },

  /** What a download opens. @throws SallyportError `no-such-file` */
  'outbox.open': (store: Store, args: { readonly id: string; readonly nowMs: number }): OfferedItem => {
    const item = findItem(store, args.id);
    const offered = item?.state === 'offered' && item.registered && (item.expiresMs ?? Infinity) > args.nowMs;
    if (!item || !offered) throw new SallyportError('no-such-file', 'the item is not offered', { item: args.id });
    return {
      id: item.id,
      object: item.object,
      segments: item.segments,
      trace: item.trace,
      path: item.path,
      size: item.size,
      sha256: item.sha256,
    };
  },

  'events.after': (store: Store, args: { readonly after: number; readonly limit: number }): NumberedEvent[] =>
    readEventsAfter(store.sql, args.after, args.limit),

  'status.counts': (
    store: Store,
    { nowMs }: { readonly nowMs: number },
  ): Pick<DmzStatus, 'cacheBytes' | 'oldestReadyMs' | 'lastEvent'> & { readonly states: Readonly<Record<string, number>> } => {
    const states = store.sql('SELECT state, COUNT(*) AS count FROM items GROUP BY state').all() as unknown as {
      state: string;
      count: number;
    }[];
    const bytes = store.sql('SELECT COALESCE(SUM(bytes), 0) AS bytes FROM usage').get() as { bytes: number };
    const oldest = store.sql(`SELECT completed_ms FROM items WHERE state = 'ready' ORDER BY seq LIMIT 1`).get() as
      | { completed_ms: number }
      | undefined;
    const last = store.sql('SELECT MAX(seq) AS seq FROM events').get() as { seq: number | null };
    return {
      states: Object.fromEntries(states.map(({ state, count }) => [state, count])),
      cacheBytes: bytes.bytes,
      oldestReadyMs: oldest ? Math.max(0, nowMs - oldest.completed_ms) : null,
      lastEvent: last.seq ?? 0,
    };
  },
};
