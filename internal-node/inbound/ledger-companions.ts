/**
 * Items that have to do with each other: a trigger and the files that it completes, and a file that was sent twice. Runs in
 * the worker thread.
 */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';
import { isUnderWay, type LedgerItem } from './ledger-item.ts';
import { contextOf, find, rowToItem } from './ledger-rows.ts';
import type { Expected } from './trigger-content.ts';

export interface DuplicatePolicy {
  readonly action: 'deliver' | 'suppress' | 'quarantine';
  /** How long ago the first may have been settled. */
  readonly windowMs: number;
}

const onItsWay = "(state IN ('pulling', 'staged') OR (state = 'registered' AND todo = 'fetch'))";

/** Whether an earlier item that may turn out to be the same is still on its way. */
export function twinUnderWay(store: Store, { id }: { readonly id: string }): boolean {
  const item = find(store, id);
  if (!item) return false;
  const twin = store
    .sql(
      `SELECT 1 FROM ledger_items INDEXED BY ledger_unsettled
       WHERE partner = ? AND path = ? AND number < ? AND settled_ms IS NULL AND size = ?
         AND (?5 IS NULL OR sha256 IS NULL OR sha256 = ?5) AND ${onItsWay} LIMIT 1`,
    )
    .get(item.partner, item.path, item.number, item.size, item.sha256);
  return twin !== undefined;
}

/** The last earlier item of the same partner, name and checked content that was delivered or pulled, in the window. */
export function firstOf(
  store: Store,
  item: LedgerItem,
  sha256: string,
  { action, windowMs }: DuplicatePolicy,
  nowMs: number,
): string | undefined {
  const sinceMs = nowMs - windowMs;
  // Only what is there for good may stand for another.
  const states = action === 'deliver' ? "'delivered', 'pulled', 'staged'" : "'delivered', 'pulled'";
  const row = store
    .sql(
      `SELECT id FROM ledger_items INDEXED BY ledger_contents
       WHERE content_sha256 = ? AND partner = ? AND path = ? AND number < ? AND size = ?
         AND state IN (${states}) AND COALESCE(settled_ms, ?) >= ? ORDER BY number DESC LIMIT 1`,
    )
    .get(sha256, item.partner, item.path, item.number, item.size, sinceMs, sinceMs) as { id: string } | undefined;
  return row?.id;
}

/** Takes down that an item is the same as an earlier one, and what becomes of it. */
export function markDuplicate(
  store: Store,
  args: { readonly item: LedgerItem; readonly of: string; readonly sha256: string; readonly action: DuplicatePolicy['action'] },
  nowMs: number,
): void {
  const { item, of, sha256, action } = args;
  store.sql('UPDATE ledger_items SET dup_of = ? WHERE id = ?').run(of, item.id);
  store.emit(event('item.duplicate', nowMs, contextOf(item), { path: item.path, of, action }));
  if (action === 'suppress') {
    store
      .sql(
        `UPDATE ledger_items SET state = 'dropped', todo = 'confirm', outcome = 'ignored', content_sha256 = ?, attempts = 0,
           next_attempt_ms = 0, settled_ms = ? WHERE id = ? AND state = 'pulling'`,
      )
      .run(sha256, nowMs, item.id);
  }
}

export interface TriggerSight {
  /** `wait`: not read yet · `none`: nothing will ever be known of it · `aside`: it was set aside unread. */
  readonly kind: 'wait' | 'none' | 'aside' | 'read';
  readonly path: string;
  readonly releases: number;
  readonly expected: Expected | null;
}

/** What is known of the trigger that completed an item. */
export function triggerOf(store: Store, { id }: { readonly id: string }): TriggerSight {
  const item = find(store, id);
  const trigger = item?.trigger == null ? undefined : find(store, item.trigger);
  const nothing = { path: trigger?.path ?? '', releases: trigger?.releases ?? 0, expected: null };
  if (!item || item.trigger === null) return { kind: 'none', ...nothing };
  if (!trigger) return { kind: 'wait', ...nothing };
  if (trigger.partner !== item.partner) return { kind: 'none', ...nothing };
  if (trigger.expected !== null) return { kind: 'read', ...nothing, expected: trigger.expected };
  if (trigger.state === 'quarantined') return { kind: 'aside', ...nothing };
  const isComing = trigger.state === 'pulling' || (trigger.state === 'registered' && trigger.todo === 'fetch');
  return { kind: isComing ? 'wait' : 'none', ...nothing };
}

/**
 * How many of the files of a trigger are still to come or under way, how many were set aside, and whether all were sent again
 * and not delivered for that.
 */
export function filesOf(
  store: Store,
  { id }: { readonly id: string },
): { readonly open: number; readonly aside: number; readonly repeated: boolean } {
  const trigger = find(store, id);
  const rows = store.sql('SELECT * FROM ledger_items WHERE trigger_id = ?').all(id).map(rowToItem);
  const missing = Math.max(0, (trigger?.releases ?? 0) - rows.length);
  return {
    open: missing + rows.filter(isUnderWay).length,
    aside: rows.filter(({ state }) => state === 'quarantined').length,
    repeated: rows.length > 0 && rows.every(({ state, duplicateOf }) => state === 'dropped' && duplicateOf !== null),
  };
}

/** All files of a trigger are inside, and it is not to be delivered itself. */
export function dropTrigger(
  store: Store,
  { id, nowMs }: { readonly id: string; readonly nowMs: number },
): LedgerItem | undefined {
  const { changes } = store
    .sql(
      `UPDATE ledger_items SET state = 'dropped', todo = 'confirm', outcome = 'ignored', attempts = 0, next_attempt_ms = 0,
         place = NULL, inode = NULL, file = NULL, settled_ms = ? WHERE id = ? AND state = 'staged'`,
    )
    .run(nowMs, id);
  const item = find(store, id);
  if (changes > 0 && item) store.emit(event('item.dropped', nowMs, contextOf(item), { action: 'ignore', rule: 'a trigger' }));
  return item;
}

/** An item went on: whoever waits for it need not wait for its next attempt. */
export function wakeCompanions(store: Store, item: Pick<LedgerItem, 'id' | 'partner' | 'path' | 'trigger'>): void {
  if (item.trigger !== null)
    store.sql("UPDATE ledger_items SET next_attempt_ms = 0 WHERE id = ? AND todo <> ''").run(item.trigger);
  store.sql("UPDATE ledger_items SET next_attempt_ms = 0 WHERE trigger_id = ? AND todo <> ''").run(item.id);
  store
    .sql(
      `UPDATE ledger_items INDEXED BY ledger_put_off SET next_attempt_ms = 0
       WHERE partner = ? AND path = ? AND next_attempt_ms > 0 AND todo = 'fetch'`,
    )
    .run(item.partner, item.path);
}
