/**
 * The steps of an item from the DMZ to its end. Each is guarded by the state it starts from: a step that comes too late (a
 * second hand is on the item) changes nothing and says so. Runs in the worker thread.
 */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';
import { type DuplicatePolicy, firstOf, markDuplicate, wakeCompanions } from './ledger-companions.ts';
import { type Blame, blame } from './ledger-destinations.ts';
import { courseOf, type LedgerItem } from './ledger-item.ts';
import { contextOf, find, rowToItem } from './ledger-rows.ts';
import type { Expected } from './trigger-content.ts';

/** Begins an attempt. @returns undefined when the item is no longer in a state to begin from. */
export function begin(
  store: Store,
  { id, by, nowMs }: { readonly id: string; readonly by: 'puller' | 'staff'; readonly nowMs: number },
) {
  const guard = by === 'puller' ? "AND todo = 'fetch'" : '';
  const { changes } = store
    .sql(
      `UPDATE ledger_items SET state = 'pulling', todo = '', attempts = attempts + 1 WHERE id = ? AND state = 'registered' ${guard}`,
    )
    .run(id);
  const item = find(store, id);
  if (changes === 0 || !item) return undefined;
  store.emit(event('item.leased', nowMs, contextOf(item), { attempt: item.attempts }));
  return item;
}

interface Staged {
  readonly id: string;
  readonly place: string;
  readonly inode: string;
  readonly sha256: string;
  readonly file: string;
  /** What it says as a trigger. */
  readonly expected: Expected | null;
  readonly duplicates: DuplicatePolicy;
  readonly nowMs: number;
}

/** @returns what became of it; undefined when it was no longer being pulled. */
export function staged(store: Store, args: Staged): 'staged' | 'suppressed' | 'quarantined' | undefined {
  const { id, place, inode, sha256, file, expected, duplicates, nowMs } = args;
  const fetched = find(store, id);
  if (fetched?.state !== 'pulling') return undefined;
  // A trigger says the same each time: it goes the way of its files.
  const first = fetched.releases > 0 || fetched.step > 0 ? undefined : firstOf(store, fetched, sha256, duplicates, nowMs);
  if (first !== undefined) {
    const { action } = duplicates;
    markDuplicate(store, { item: fetched, of: first, sha256, action }, nowMs);
    if (action === 'quarantine') quarantine(store, { id, reason: `the same as ${first}, sent again`, nowMs });
    if (action !== 'deliver') {
      wakeCompanions(store, fetched);
      return action === 'suppress' ? 'suppressed' : 'quarantined';
    }
  }
  const { changes } = store
    .sql(
      `UPDATE ledger_items SET state = 'staged', todo = 'publish', next_attempt_ms = 0, place = ?, inode = ?,
         content_sha256 = ?, file = ?, expected = ? WHERE id = ? AND state = 'pulling'`,
    )
    .run(place, inode, sha256, file, expected === null ? null : JSON.stringify(expected), id);
  const item = find(store, id);
  if (changes === 0 || !item) return undefined;
  store.emit(event('item.staged', nowMs, contextOf(item), { size: item.size, sha256 }));
  if (expected !== null) wakeCompanions(store, item);
  return 'staged';
}

/** The file had another name decided before; none of them exists under its name yet. */
export function retarget(store: Store, { id, file }: { readonly id: string; readonly file: string }): void {
  store.sql("UPDATE ledger_items SET file = ? WHERE id = ? AND state = 'staged'").run(file, id);
}

export function pulled(
  store: Store,
  { id, sha256, nowMs }: { readonly id: string; readonly sha256: string; readonly nowMs: number },
): void {
  store.sql("UPDATE ledger_items SET content_sha256 = ? WHERE id = ? AND state = 'pulling'").run(sha256, id);
  const { changes } = store
    .sql(
      `UPDATE ledger_items SET state = 'pulled', outcome = 'pulled', todo = 'confirm', attempts = 0, next_attempt_ms = 0, settled_ms = ?
       WHERE id = ? AND state = 'pulling'`,
    )
    .run(nowMs, id);
  const item = find(store, id);
  if (changes === 0 || !item) return;
  store.emit(event('item.pulled', nowMs, contextOf(item), { path: item.path }));
  wakeCompanions(store, item);
}

export function confirmed(store: Store, { id, nowMs }: { readonly id: string; readonly nowMs: number }): void {
  const item = find(store, id);
  if (item?.todo !== 'confirm') return;
  store.sql("UPDATE ledger_items SET todo = '', confirmed_ms = ? WHERE id = ?").run(nowMs, id);
  if (item.confirmedAtMs === null) store.emit(event('item.confirmed', nowMs, contextOf(item), { outcome: item.outcome ?? '' }));
}

interface Retry {
  readonly id: string;
  readonly nextAttemptMs: number;
  readonly nowMs: number;
  /** Recorded as an event, unless it is only the tunnel that went away. */
  readonly failure: { readonly code: string; readonly detail: string } | null;
  /** The bytes were not those that were announced. */
  readonly mismatch: boolean;
  /** Whose failure it is, when it is that of a destination. */
  readonly blame?: Blame | null;
}

/**
 * An attempt failed: the item waits for the next one. `pulling` falls back; `staged` and what is to be confirmed stays so.
 * After too many failures it waits for staff instead.
 */
export function retry(store: Store, args: Retry): 'waits' | 'given up' {
  const { id, nextAttemptMs, nowMs, failure, mismatch } = args;
  const before = find(store, id);
  if (!before) return 'waits';
  store
    .sql(
      `UPDATE ledger_items SET next_attempt_ms = ?, mismatches = mismatches + ?, attempts = MAX(attempts, ?)
       WHERE id = ?`,
    )
    .run(nextAttemptMs, mismatch ? 1 : 0, before.attempts + (before.state === 'pulling' ? 0 : 1), id);
  if (before.state === 'pulling') fallBack(store, before, nextAttemptMs);
  if (failure && before.outcome === null) {
    const attempt = Math.max(1, before.attempts);
    store.emit(event('item.delivery-failed', nowMs, contextOf(before), { ...failure, attempt }));
  }
  return failure && args.blame && blame(store, before, args.blame, failure, nowMs) ? 'given up' : 'waits';
}

function fallBack(store: Store, item: LedgerItem, nextAttemptMs: number): void {
  const { todo } = courseOf(item.decision, item.dmzState, item);
  store
    .sql("UPDATE ledger_items SET state = 'registered', todo = ?, next_attempt_ms = ? WHERE id = ? AND state = 'pulling'")
    .run(todo === 'fetch' ? 'fetch' : '', nextAttemptMs, item.id);
}

/** Damaged drafts of a staged item: fetched anew, the DMZ still has it. */
export function unstage(store: Store, { id }: { readonly id: string }): void {
  store
    .sql(
      `UPDATE ledger_items SET state = 'registered', todo = 'fetch', place = NULL, inode = NULL, file = NULL,
         content_sha256 = NULL, mismatches = mismatches + 1 WHERE id = ? AND state = 'staged'`,
    )
    .run(id);
}

export function quarantine(
  store: Store,
  { id, reason, nowMs }: { readonly id: string; readonly reason: string; readonly nowMs: number },
): void {
  const { changes } = store
    .sql(
      `UPDATE ledger_items SET state = 'quarantined', todo = '', reader = NULL, reason = ?
       WHERE id = ? AND state IN ('registered', 'pulling', 'staged')`,
    )
    .run(reason, id);
  const item = find(store, id);
  if (changes === 0 || !item) return;
  store.emit(event('item.quarantined', nowMs, contextOf(item), { reason }));
  wakeCompanions(store, item);
}

/**
 * The DMZ says that it has no such item: removed by its partner, or withheld. It comes back when it is listed again.
 * @param args.staged Also when it lies here already: the DMZ knows that it was removed.
 */
export function gone(store: Store, args: { readonly id: string; readonly nowMs: number; readonly staged: boolean }): void {
  const { id, nowMs, staged: alsoStaged } = args;
  const { changes } = store
    .sql(
      `UPDATE ledger_items SET state = 'gone', todo = '', place = NULL, inode = NULL, file = NULL, content_sha256 = NULL,
         settled_ms = ? WHERE id = ? AND (state IN ('registered', 'pulling') OR (? AND state = 'staged'))`,
    )
    .run(nowMs, id, alsoStaged ? 1 : 0);
  const item = find(store, id);
  if (changes === 0 || !item) return;
  store.emit(event('item.gone', nowMs, contextOf(item), { path: item.path }));
  wakeCompanions(store, item);
}

/** After a whole look at the DMZ's list: what waits here, was known before the look began and is not in it, is gone. */
export function reconcile(
  store: Store,
  { seen, beforeMs, nowMs }: { readonly seen: readonly string[]; readonly beforeMs: number; readonly nowMs: number },
): number {
  const present = new Set(seen);
  const rows = store
    .sql("SELECT id FROM ledger_items WHERE state = 'registered' AND registered_ms < ?")
    .all(beforeMs) as unknown as { id: string }[];
  const missing = rows.filter(({ id }) => !present.has(id));
  for (const { id } of missing) gone(store, { id, nowMs, staged: false });
  return missing.length;
}

/** At start: attempts that were cut fall back, and what was staged is handed out to be settled. */
export function recover(store: Store, _none: null): LedgerItem[] {
  for (const row of store.sql("SELECT * FROM ledger_items WHERE state = 'pulling'").all()) fallBack(store, rowToItem(row), 0);
  return store.sql("SELECT * FROM ledger_items WHERE state = 'staged' ORDER BY number").all().map(rowToItem);
}

/** Longer than any wait between two attempts: who has to wait for so long was put off while the clock was ahead. */
const longestWaitMs = 86_400_000;

/** A clock that was wrong for a while must not park items until that date. */
export function unpark(store: Store, { nowMs }: { readonly nowMs: number }): void {
  store.sql("UPDATE ledger_items SET next_attempt_ms = 0 WHERE todo <> '' AND next_attempt_ms > ?").run(nowMs + longestWaitMs);
}

/**
 * Forgets what was confirmed, or is gone, since long ago. A replay after that lacks a valid session and is set aside.
 * @returns of how many; 1000 when there may be more.
 */
export function forget(store: Store, { beforeMs }: { readonly beforeMs: number }): number {
  const ended = ["confirmed_ms IS NOT NULL AND confirmed_ms < ? AND todo = ''", "state = 'gone' AND settled_ms < ?"];
  const forgotten = ended.map((when) => {
    const numbers = `SELECT number FROM ledger_items WHERE ${when} LIMIT 1000`;
    return Number(store.sql(`DELETE FROM ledger_items WHERE number IN (${numbers})`).run(beforeMs).changes);
  });
  return Math.max(...forgotten);
}
