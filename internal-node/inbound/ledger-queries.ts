/** What others ask of the ledger. Runs in the worker thread. */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';
import type { InsideDecision } from '../../shared/policy.ts';
import type { PastItem } from '../replay.ts';
import { type LedgerItem, setAsideRule } from './ledger-item.ts';
import { contextOf, find, rowToItem } from './ledger-rows.ts';

/** An item that has something to do. No more than is needed to choose among them: this is asked often. */
export interface DueItem {
  readonly id: string;
  readonly partner: string;
  readonly size: number;
}

/** What is to be done now: for each partner with work its first items (32), so that none can hide the others'. */
export function due(store: Store, { nowMs }: { readonly nowMs: number }): DueItem[] {
  // A loose index scan: one step for each partner, whatever the number of items.
  const partners = store
    .sql(
      `WITH RECURSIVE p(partner) AS (
         SELECT MIN(partner) FROM ledger_items WHERE todo <> ''
         UNION ALL
         SELECT (SELECT MIN(partner) FROM ledger_items WHERE todo <> '' AND partner > p.partner) FROM p WHERE p.partner IS NOT NULL
       ) SELECT partner FROM p WHERE partner IS NOT NULL`,
    )
    .all() as unknown as { partner: string }[];
  // SQLite would plan anew for each value of a bound LIMIT.
  const select = store.sql(
    `SELECT id, partner, size FROM ledger_items WHERE todo <> '' AND partner = ? AND next_attempt_ms <= ?
     ORDER BY next_attempt_ms, number LIMIT 32`,
  );
  return partners.flatMap(({ partner }) => select.all(partner, nowMs) as unknown as DueItem[]);
}

/** Which headers `partner` may have opened of an item that a rule gave to his outbox. */
export function readable(store: Store, { id, partner }: { readonly id: string; readonly partner: string }) {
  const item = find(store, id);
  if (item?.state !== 'moved' || item.reader !== partner) return undefined;
  return { headers: item.segments.map((segment) => segment.headerSha256), path: item.path };
}

export function fetched(
  store: Store,
  {
    id,
    partner,
    reader = partner,
    nowMs,
  }: { readonly id: string; readonly partner: string; readonly reader?: string; readonly nowMs: number },
): boolean {
  const item = find(store, id);
  if (item?.state !== 'moved' || item.reader !== partner) return false;
  // As the reader sees it; the folders of the sender are not his.
  const path = `/Outbox/${item.path.slice(item.path.lastIndexOf('/') + 1)}`;
  store.emit(event('item.downloaded', nowMs, { ...contextOf(item), partner: reader }, { path, size: item.size }));
  return true;
}

export interface ListQuery {
  readonly partner?: string | undefined;
  /** A folder as the partner names it, for instance `/Inbox/orders`: only what lies in it or below. */
  readonly folder?: string | undefined;
  /** Only what nobody has taken yet. */
  readonly onlyWaiting: boolean;
  /** Only items with a number below this. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Newest first. */
export function list(store: Store, { partner, folder, onlyWaiting, before, limit }: ListQuery): LedgerItem[] {
  // '0' is the character after '/': the range holds exactly what begins with `folder/`.
  const low = folder === undefined ? '' : `${folder}/`;
  const high = folder === undefined ? '\u{10ffff}' : `${folder}0`;
  return store
    .sql(
      `SELECT * FROM ledger_items WHERE number < ? ${partner === undefined ? '' : 'AND partner = ?5'} AND path >= ?2 AND path < ?3
       ${onlyWaiting ? "AND state IN ('registered', 'pulling', 'staged', 'quarantined')" : ''}
       ORDER BY number DESC LIMIT ?4`,
    )
    .all(before ?? Number.MAX_SAFE_INTEGER, low, high, limit, ...(partner === undefined ? [] : [partner]))
    .map(rowToItem);
}

/** Which item a name means: the one that waits, else the newest. `several`: more than one waits. */
export function named(
  store: Store,
  { partner, path }: { readonly partner: string; readonly path: string },
): { item: LedgerItem; several: boolean } | undefined {
  const rows = store
    .sql(
      `SELECT * FROM ledger_items WHERE partner = ? AND path = ? AND state <> 'quarantined'
       ORDER BY state = 'registered' DESC, number DESC LIMIT 2`,
    )
    .all(partner, path)
    .map(rowToItem);
  const [first, second] = rows;
  return first && { item: first, several: second?.state === 'registered' };
}

/** How many items are in each state: the inside's half of the proof that nothing is lost. */
export function counts(store: Store, _none: null): Readonly<Record<string, number>> {
  const rows = store.sql('SELECT state, COUNT(*) AS n FROM ledger_items GROUP BY state').all() as unknown as {
    state: string;
    n: number;
  }[];
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
}

/** A past item with its place in the ledger. */
export interface PastDecision extends PastItem {
  readonly number: number;
}

export interface HistoryQuery {
  readonly sinceMs: number;
  /** Only items with a number above this. */
  readonly after: number;
  readonly limit: number;
}

/** Genuine items that were registered since then, the oldest first. */
export function history(store: Store, { sinceMs, after, limit }: HistoryQuery): PastDecision[] {
  const rows = store
    .sql(
      `SELECT number, id AS item, partner, path, size, COALESCE(completed_ms, registered_ms) AS atMs, decision FROM ledger_items
       WHERE number > ? AND registered_ms >= ? AND NOT (state = 'quarantined' AND decision ->> '$.rule' = ?) ORDER BY number LIMIT ?`,
    )
    .all(after, sinceMs, setAsideRule, limit) as unknown as (Omit<PastDecision, 'decision'> & { readonly decision: string })[];
  return rows.map((row) => ({ ...row, decision: JSON.parse(row.decision) as InsideDecision }));
}
