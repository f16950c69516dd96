/** Start-up recovery and retention: bringing records and files together, and letting go of what is over. */
import type { Store } from '../../../shared/durable/operations.ts';
import { event } from '../../../shared/events/event.ts';
import { leaveOutbox, putEntry } from './entries.ts';
import { alarmHeld } from './holds.ts';
import { contextOf, type Item, type ItemState, removeItem, type StoredSegment, saveItem, toItem } from './items.ts';
import { dropPartials } from './uploads.ts';

const hasNoTakenEntry = (store: Store, item: Item): boolean => {
  const slash = item.pathKey.lastIndexOf('/');
  const entry = store
    .sql('SELECT item, partial, ghost_until FROM entries WHERE partner = ? AND folder_key = ? AND name_key = ?')
    .get(item.partner, item.pathKey.slice(0, slash), item.pathKey.slice(slash + 1)) as
    | { item: string; partial: number; ghost_until: number | null }
    | undefined;
  return entry === undefined || entry.item === item.id || entry.ghost_until !== null || entry.partial === 1;
};

/** What is compared with the files. As columns, because a start asks for all there are. */
export type ObjectRow = readonly [id: string, object: string, state: ItemState, segments: string, liveFile: number | null];

export type StoredObject = Pick<Item, 'id' | 'object' | 'state' | 'segments' | 'liveFile'>;

export function toStoredObject([id, object, state, segments, liveFile]: ObjectRow): StoredObject {
  return { id, object, state, segments: JSON.parse(segments) as StoredSegment[], liveFile };
}

export const upkeepOperations = {
  /** The first two letters of all objects. */
  'recovery.prefixes': (store: Store, _args: null): string[] =>
    (store.sql('SELECT DISTINCT substr(object, 1, 2) AS prefix FROM items').all() as unknown as { prefix: string }[]).map(
      ({ prefix }) => prefix,
    ),

  /** Every object whose name begins so, for comparing with the files of one folder. */
  'recovery.items': (store: Store, args: { readonly prefix: string }): ObjectRow[] => {
    const statement = store.sql(
      'SELECT id, object, state, segments, live_file FROM items WHERE object >= ? AND object < ? ORDER BY object',
    );
    statement.setReturnArrays(true);
    return statement.all(args.prefix, `${args.prefix}~`) as unknown as ObjectRow[];
  },

  /** Which of these objects were removed for good. */
  'recovery.buried': (store: Store, args: { readonly objects: readonly string[] }): string[] =>
    args.objects.filter((object) => store.sql('SELECT 1 FROM tombstones WHERE object = ?').get(object) !== undefined),

  /** An upload that a stop cut short: `segments` is what counts of it; nothing removes it. */
  'recovery.interrupted': (
    store: Store,
    args: { readonly object: string; readonly segments: readonly StoredSegment[]; readonly nowMs: number },
  ): string[] => {
    const row = store.sql('SELECT * FROM items WHERE object = ?').get(args.object);
    if (!row) return [];
    const item = toItem(row);
    const size = args.segments.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
    if (args.segments.length === 0) {
      store.sql('DELETE FROM entries WHERE item = ? AND partial = 1').run(item.id);
      return removeItem(store, item, 'discarded', args.nowMs);
    }
    const partial: Item = {
      ...item,
      segments: args.segments,
      size,
      sha256: args.segments.length === 1 ? (args.segments[0]?.sha256 ?? null) : null,
      state: 'partial',
      liveFile: null,
      nextFile: Math.max(item.nextFile, (item.liveFile ?? -1) + 1),
      updatedMs: args.nowMs,
    };
    const unlink = dropPartials(store, item.partner, item.pathKey, item.object, args.nowMs);
    saveItem(store, partial);
    if (hasNoTakenEntry(store, partial)) showRecovered(store, partial, args.nowMs);
    const reason = 'the node stopped';
    store.emit(event('upload.partial', args.nowMs, contextOf(item), { path: item.path, size, reason }));
    return unlink;
  },

  /** Its bytes are not what the record says: set aside, never delivered, told. */
  'recovery.damaged': (
    store: Store,
    args: { readonly object: string; readonly reason: string; readonly nowMs: number },
  ): void => {
    const row = store.sql('SELECT * FROM items WHERE object = ?').get(args.object);
    if (!row) return;
    const item = toItem(row);
    if (item.outboxPartner !== null) leaveOutbox(store, item.id, item.outboxPartner);
    store.sql('DELETE FROM entries WHERE item = ?').run(item.id);
    saveItem(store, { ...item, state: 'quarantined', registered: true, updatedMs: args.nowMs });
    store.emit(event('item.quarantined', args.nowMs, contextOf(item), { reason: args.reason }));
  },

  'recovery.orphan': (store: Store, args: { readonly file: string; readonly nowMs: number }): void => {
    const reason = `the file ${args.file} has no record and was moved to quarantine/`;
    store.emit(event('item.quarantined', args.nowMs, { item: args.file.split('.')[0] }, { reason }));
  },

  'recovery.done': (
    store: Store,
    args: { readonly partials: number; readonly removed: number; readonly damaged: number; readonly nowMs: number },
  ): number => {
    const { count } = store.sql('SELECT COUNT(*) AS count FROM items WHERE waiting = 1').get() as { count: number };
    const { partials, removed, damaged, nowMs } = args;
    store.emit(event('node.recovered', nowMs, {}, { partials, removed, damaged, items: count }));
    return count;
  },

  /** One bounded batch of everything whose time is over. @returns files to unlink and whether there may be more. */
  'retention.sweep': (
    store: Store,
    args: {
      readonly nowMs: number;
      readonly partialTtlMs: number;
      readonly tombstoneTtlMs: number;
      readonly liveSessions: readonly string[];
      readonly maxGhosts: number;
      readonly limit: number;
    },
  ): { unlink: string[]; more: boolean } => {
    const { nowMs, limit } = args;
    const unlink: string[] = [];
    let most = 0;
    const each = (sql: string, ...values: (string | number)[]): void => {
      const items = store
        .sql(sql)
        .all(...values, limit)
        .map(toItem);
      most = Math.max(most, items.length);
      for (const item of items) unlink.push(...expire(store, item, nowMs));
    };
    const old = 'SELECT * FROM items WHERE state = ? AND updated_ms <= ? ORDER BY updated_ms LIMIT ?';
    each(old, 'partial', nowMs - args.partialTtlMs);
    each(old, 'dropped', nowMs - args.tombstoneTtlMs);
    each(`SELECT * FROM items WHERE expires_ms <= ? AND state = 'offered' ORDER BY expires_ms LIMIT ?`, nowMs);
    most = Math.max(most, sweepGhosts(store, args), alarmHeld(store, nowMs, limit));
    const { changes } = store
      .sql('DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE at_ms <= ? ORDER BY at_ms LIMIT ?)')
      .run(nowMs - args.tombstoneTtlMs, limit);
    return { unlink, more: Math.max(most, Number(changes)) >= limit };
  },
};

function expire(store: Store, item: Item, nowMs: number): string[] {
  store.sql('DELETE FROM entries WHERE item = ? AND ghost_until IS NULL').run(item.id);
  if (item.outboxPartner !== null) leaveOutbox(store, item.id, item.outboxPartner);
  store.emit(event('item.expired', nowMs, contextOf(item), { path: item.path }));
  return removeItem(store, item, 'expired', nowMs);
}

/** Ghosts of live sessions stay, but not without end: a session that uploads for ever must not fill the records. */
function sweepGhosts(
  store: Store,
  args: { readonly nowMs: number; readonly liveSessions: readonly string[]; readonly maxGhosts: number; readonly limit: number },
): number {
  const ended = store
    .sql(
      `DELETE FROM entries WHERE row IN (SELECT row FROM entries WHERE ghost_until <= ?
         AND (session IS NULL OR session NOT IN (SELECT value FROM json_each(?))) ORDER BY ghost_until LIMIT ?)`,
    )
    .run(args.nowMs, JSON.stringify(args.liveSessions), args.limit);
  const tooMany = store
    .sql(
      `DELETE FROM entries WHERE row IN (SELECT row FROM entries WHERE ghost_until IS NOT NULL
         ORDER BY ghost_until DESC LIMIT ? OFFSET ?)`,
    )
    .run(args.limit, args.maxGhosts);
  return Math.max(Number(ended.changes), Number(tooMany.changes));
}

function showRecovered(store: Store, item: Item, nowMs: number): void {
  const slash = item.pathKey.lastIndexOf('/');
  putEntry(store, {
    partner: item.partner,
    folderKey: item.pathKey.slice(0, slash),
    nameKey: item.pathKey.slice(slash + 1),
    name: item.path.slice(item.path.lastIndexOf('/') + 1),
    kind: 'file',
    item: item.id,
    size: item.size,
    modifiedMs: nowMs,
    partial: true,
    hidden: false,
    ghostUntil: null,
    session: item.session,
  });
}
