/**
 * The records of what is offered to partners. Each step is one transaction with its event. Runs in the worker thread of the
 * record store.
 */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';
import { keepHeaders } from '../known-headers.ts';
import type { OutgoingItem } from './outgoing-item.ts';

export const migrations = [
  `CREATE TABLE outgoing_items (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    trace TEXT NOT NULL, partner TEXT NOT NULL, path TEXT NOT NULL, file TEXT,
    size INTEGER NOT NULL, modified_ms INTEGER NOT NULL, stamp TEXT,
    state TEXT NOT NULL, todo TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next_attempt_ms INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT, header_sha256 TEXT, sealed_bytes INTEGER,
    expires_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL, stored_ms INTEGER, fetched_ms INTEGER
  ) STRICT;
  CREATE INDEX outgoing_todo ON outgoing_items(next_attempt_ms, number) WHERE todo <> '';
  CREATE INDEX outgoing_expiry ON outgoing_items(expires_ms) WHERE state IN ('claimed', 'sealed', 'stored');
  CREATE INDEX outgoing_partner ON outgoing_items(partner, number)`,
] as const;

const rowToItem = (row: Record<string, unknown>): OutgoingItem =>
  ({
    id: row.id,
    number: row.number,
    trace: row.trace,
    partner: row.partner,
    path: row.path,
    file: row.file,
    size: row.size,
    modifiedAtMs: row.modified_ms,
    stamp: row.stamp,
    state: row.state,
    todo: row.todo,
    attempts: row.attempts,
    nextAttemptMs: row.next_attempt_ms,
    sha256: row.sha256,
    headerSha256: row.header_sha256,
    sealedBytes: row.sealed_bytes,
    expiresAtMs: row.expires_ms,
    createdAtMs: row.created_ms,
    storedAtMs: row.stored_ms,
    fetchedAtMs: row.fetched_ms,
  }) as OutgoingItem;

const find = (store: Store, id: string): OutgoingItem | undefined => {
  const row = store.sql('SELECT * FROM outgoing_items WHERE id = ?').get(id);
  return row && rowToItem(row);
};
const contextOf = ({ id, trace, partner }: OutgoingItem) => ({ trace, item: id, partner });

interface Claim {
  readonly id: string;
  readonly trace: string;
  readonly partner: string;
  readonly path: string;
  readonly file: string;
  readonly size: number;
  readonly modifiedAtMs: number;
  readonly stamp: string;
  readonly expiresAtMs: number;
  readonly nowMs: number;
}

/** Recorded before the file is moved, so that no moved file lacks its record. */
function claim(store: Store, args: Claim): void {
  const { id, trace, partner, path, file, size, modifiedAtMs, stamp, expiresAtMs, nowMs } = args;
  store
    .sql(
      `INSERT INTO outgoing_items(id, trace, partner, path, file, size, modified_ms, stamp, state, todo, expires_ms, created_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'claimed', 'seal', ?, ?)`,
    )
    .run(id, trace, partner, path, file, size, modifiedAtMs, stamp, expiresAtMs, nowMs);
  store.emit(event('outgoing.found', nowMs, { trace, item: id, partner }, { file, size }));
}

interface Sealed {
  readonly id: string;
  readonly sha256: string;
  readonly headerSha256: string;
  readonly sealedBytes: number;
}

function sealed(store: Store, { id, sha256, headerSha256, sealedBytes }: Sealed): void {
  const { changes } = store
    .sql(
      `UPDATE outgoing_items SET state = 'sealed', todo = 'offer', attempts = 0, next_attempt_ms = 0,
         sha256 = ?, header_sha256 = ?, sealed_bytes = ? WHERE id = ? AND state = 'claimed'`,
    )
    .run(sha256, headerSha256, sealedBytes, id);
  if (changes > 0) keepHeaders(store, id, [headerSha256]);
}

interface Pushed extends Sealed {
  readonly trace: string;
  readonly partner: string;
  readonly path: string;
  readonly size: number;
  readonly expiresAtMs: number;
  readonly nowMs: number;
}

/** A file that staff gives directly: sealed already, no source to claim. */
function pushed(store: Store, args: Pushed): OutgoingItem {
  const { id, trace, partner, path, size, sha256, headerSha256, sealedBytes, expiresAtMs, nowMs } = args;
  store
    .sql(
      `INSERT INTO outgoing_items(id, trace, partner, path, size, modified_ms, state, todo, sha256, header_sha256, sealed_bytes,
         expires_ms, created_ms) VALUES (?, ?, ?, ?, ?, ?, 'sealed', 'offer', ?, ?, ?, ?, ?)`,
    )
    .run(id, trace, partner, path, size, nowMs, sha256, headerSha256, sealedBytes, expiresAtMs, nowMs);
  keepHeaders(store, id, [headerSha256]);
  const item = find(store, id);
  if (!item) throw new Error('a row that was just made is missing');
  store.emit(event('outgoing.found', nowMs, contextOf(item), { file: path, size }));
  return item;
}

interface Stored {
  readonly id: string;
  /** As the partner sees it: the name that was asked for may have been taken. */
  readonly path: string;
  readonly nowMs: number;
}

function stored(store: Store, { id, path, nowMs }: Stored): void {
  const { changes } = store
    .sql(
      `UPDATE outgoing_items SET state = 'stored', todo = 'clean', attempts = 0, next_attempt_ms = 0, stored_ms = ?, path = ?
       WHERE id = ? AND state = 'sealed'`,
    )
    .run(nowMs, path, id);
  const item = find(store, id);
  if (changes === 0 || !item) return;
  const { size, sha256 } = item;
  store.emit(event('item.offered', nowMs, contextOf(item), { path, size, sha256: sha256 ?? '' }));
}

interface Done {
  readonly id: string;
  readonly todo: 'clean' | 'withdraw';
  /** Why its source lies in the outgoing folder again; null: it does not. */
  readonly detail: string | null;
  readonly nowMs: number;
}

/** Nothing is left to do. */
function done(store: Store, { id, todo, detail, nowMs }: Done): void {
  const { changes } = store.sql("UPDATE outgoing_items SET todo = '' WHERE id = ? AND todo = ?").run(id, todo);
  const item = find(store, id);
  if (changes > 0 && item && detail !== null) {
    store.emit(event('outgoing.failed', nowMs, contextOf(item), { file: item.file ?? '', detail }));
  }
}

/** The file lies in the outgoing folder again, as if it had never been taken. */
function giveBack(
  store: Store,
  { id, detail, nowMs }: { readonly id: string; readonly detail: string | null; readonly nowMs: number },
): void {
  const item = find(store, id);
  if (item?.state !== 'claimed') return;
  store.sql('DELETE FROM outgoing_items WHERE id = ?').run(id);
  if (detail !== null) store.emit(event('outgoing.failed', nowMs, contextOf(item), { file: item.file ?? '', detail }));
}

interface Retry {
  readonly id: string;
  readonly nextAttemptMs: number;
  readonly nowMs: number;
  /** Recorded as an event, unless it is only the tunnel that is down. */
  readonly detail: string | null;
}

function retry(store: Store, { id, nextAttemptMs, nowMs, detail }: Retry): void {
  store.sql('UPDATE outgoing_items SET attempts = attempts + 1, next_attempt_ms = ? WHERE id = ?').run(nextAttemptMs, id);
  const item = find(store, id);
  if (item && detail !== null) {
    store.emit(event('outgoing.failed', nowMs, contextOf(item), { file: item.file ?? item.path, detail }));
  }
}

/** From now on no key is released for it; the DMZ is told when it can be. */
function withdraw(
  store: Store,
  { id, reason, nowMs }: { readonly id: string; readonly reason: string; readonly nowMs: number },
): boolean {
  const { changes } = store
    .sql(
      `UPDATE outgoing_items SET state = 'withdrawn', todo = 'withdraw', attempts = 0, next_attempt_ms = 0
       WHERE id = ? AND state IN ('claimed', 'sealed', 'stored')`,
    )
    .run(id);
  const item = find(store, id);
  if (changes === 0 || !item) return false;
  store.emit(event('item.withdrawn', nowMs, contextOf(item), { reason }));
  return true;
}

function expire(store: Store, { nowMs }: { readonly nowMs: number }): number {
  const rows = store
    .sql(
      `SELECT * FROM outgoing_items WHERE state IN ('claimed', 'sealed', 'stored') AND expires_ms <= ? ORDER BY expires_ms LIMIT 500`,
    )
    .all(nowMs)
    .map(rowToItem);
  for (const item of rows) {
    store
      .sql("UPDATE outgoing_items SET state = 'expired', todo = 'withdraw', attempts = 0, next_attempt_ms = 0 WHERE id = ?")
      .run(item.id);
    store.emit(event('item.expired', nowMs, contextOf(item), { path: item.path }));
  }
  return rows.length;
}

function forget(store: Store, { beforeMs }: { readonly beforeMs: number }): number {
  const { changes } = store
    .sql("DELETE FROM outgoing_items WHERE state IN ('withdrawn', 'expired') AND todo = '' AND expires_ms < ? AND created_ms < ?")
    .run(beforeMs, beforeMs);
  return Number(changes);
}

/** No wait is that long: who has to wait longer was put off while the clock was ahead. */
const longestWaitMs = 3_600_000;

function due(store: Store, { nowMs, limit }: { readonly nowMs: number; readonly limit: number }): OutgoingItem[] {
  return store
    .sql(
      `SELECT * FROM outgoing_items WHERE todo <> '' AND (next_attempt_ms <= ?1 OR next_attempt_ms > ?1 + ?2)
       ORDER BY next_attempt_ms, number LIMIT ?3`,
    )
    .all(nowMs, longestWaitMs, limit)
    .map(rowToItem);
}

function readable(
  store: Store,
  { id, partner, nowMs }: { readonly id: string; readonly partner: string; readonly nowMs: number },
) {
  const item = find(store, id);
  if (!item || item.partner !== partner || item.headerSha256 === null || item.expiresAtMs <= nowMs) return undefined;
  // `sealed` too: the DMZ may show it a moment before its answer has come.
  if (item.state !== 'sealed' && item.state !== 'stored') return undefined;
  return { headers: [item.headerSha256], path: item.path };
}

function fetched(
  store: Store,
  {
    id,
    partner,
    reader,
    nowMs,
  }: { readonly id: string; readonly partner: string; readonly reader: string; readonly nowMs: number },
): boolean {
  const item = find(store, id);
  if (!item || item.partner !== partner || item.headerSha256 === null) return false;
  store.sql('UPDATE outgoing_items SET fetched_ms = ? WHERE id = ?').run(nowMs, id);
  store.emit(event('item.downloaded', nowMs, { ...contextOf(item), partner: reader }, { path: item.path, size: item.size }));
  return true;
}

export interface OutgoingQuery {
  readonly partner?: string | undefined;
  /** Only what its partner has not fetched, as far as the DMZ says. */
  readonly onlyWaiting: boolean;
  /** Only items with a number below this. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Newest first. */
function list(store: Store, { partner, onlyWaiting, before, limit }: OutgoingQuery): OutgoingItem[] {
  return store
    .sql(
      `SELECT * FROM outgoing_items WHERE number < ? ${partner === undefined ? '' : 'AND partner = ?3'}
       ${onlyWaiting ? "AND state IN ('claimed', 'sealed', 'stored') AND fetched_ms IS NULL" : ''} ORDER BY number DESC LIMIT ?2`,
    )
    .all(before ?? Number.MAX_SAFE_INTEGER, limit, ...(partner === undefined ? [] : [partner]))
    .map(rowToItem);
}

export const operations = {
  'outgoing.claim': claim,
  'outgoing.sealed': sealed,
  'outgoing.pushed': pushed,
  'outgoing.stored': stored,
  'outgoing.done': done,
  'outgoing.giveBack': giveBack,
  'outgoing.retry': retry,
  'outgoing.withdraw': withdraw,
  'outgoing.expire': expire,
  'outgoing.forget': forget,
  'outgoing.due': due,
  'outgoing.readable': readable,
  'outgoing.fetched': fetched,
  'outgoing.find': (store: Store, { id }: { readonly id: string }) => find(store, id),
  'outgoing.list': list,
  /** All that still has files inside, whatever its state. */
  'outgoing.unfinished': (store: Store, _none: null): OutgoingItem[] =>
    store.sql("SELECT * FROM outgoing_items WHERE todo <> '' ORDER BY number").all().map(rowToItem),
  'outgoing.backlog': (store: Store, _none: null): number =>
    (store.sql("SELECT COUNT(*) AS n FROM outgoing_items WHERE todo IN ('seal', 'offer')").get() as { n: number }).n,
} as const;

export type OutgoingOperations = typeof operations;
