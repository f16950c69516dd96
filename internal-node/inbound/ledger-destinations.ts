/**
 * An item and its destinations: each of its plan gets it once, in their order, and it counts as delivered when the last one
 * is done with. A destination that fails again and again can be stopped; then nothing is tried there until somebody says so.
 * Runs in the worker thread.
 */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';
import { insideAction } from '../../shared/matching/actions.ts';
import { wakeCompanions } from './ledger-companions.ts';
import { courseOf, type LedgerItem, targetOf } from './ledger-item.ts';
import { contextOf, find } from './ledger-rows.ts';

export const destinationsMigration = `
  ALTER TABLE ledger_items ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ledger_items ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
  -- What each destination of an item with several has got; the last one stands in the item itself.
  CREATE TABLE ledger_deliveries (
    item TEXT NOT NULL, step INTEGER NOT NULL, destination TEXT NOT NULL, file TEXT NOT NULL, outcome TEXT NOT NULL,
    at_ms INTEGER NOT NULL, PRIMARY KEY (item, step)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER ledger_forgotten AFTER DELETE ON ledger_items BEGIN
    DELETE FROM ledger_deliveries WHERE item = OLD.id;
  END;
  CREATE TABLE ledger_stops (
    destination TEXT PRIMARY KEY, errors INTEGER NOT NULL, reason TEXT NOT NULL, stopped_ms INTEGER
  ) STRICT, WITHOUT ROWID`;

export interface PastDelivery {
  readonly destination: string;
  readonly file: string;
  readonly outcome: 'delivered' | 'skipped';
}

/** What earlier destinations of an item have got, the last first. */
export function deliveries(store: Store, { id }: { readonly id: string }): PastDelivery[] {
  return store
    .sql('SELECT destination, file, outcome FROM ledger_deliveries WHERE item = ? ORDER BY step DESC')
    .all(id) as unknown as PastDelivery[];
}

/** A staged item has its final name at a destination. @returns the item as it is then. */
export function delivered(
  store: Store,
  args: { readonly id: string; readonly replaced: boolean; readonly nowMs: number },
): LedgerItem | undefined {
  const { id, replaced, nowMs } = args;
  const item = find(store, id);
  const target = item && targetOf(item);
  if (item?.state !== 'staged' || !target) return item;
  const file = item.file ?? '';
  const { destination } = target;
  const fields = { destination, file, size: item.size, sha256: item.contentSha256 ?? '' };
  if (replaced) store.emit(event('item.replaced', nowMs, contextOf(item), { destination, file }));
  store.emit(event('item.delivered', nowMs, contextOf(item), fields));
  store.sql('UPDATE ledger_stops SET errors = 0 WHERE destination = ? AND errors > 0').run(destination);
  return advance(store, item, { destination, file, outcome: 'delivered' }, nowMs);
}

/** The destination has a file of that name, and its rule passes over those. @returns the item as it is then. */
export function skipped(store: Store, { id, nowMs }: { readonly id: string; readonly nowMs: number }): LedgerItem | undefined {
  const item = find(store, id);
  const target = item && targetOf(item);
  if (item?.state !== 'staged' || !target) return item;
  const { destination } = target;
  const file = item.file ?? '';
  store.emit(event('item.skipped', nowMs, contextOf(item), { destination, file }));
  return advance(store, item, { destination, file, outcome: 'skipped' }, nowMs);
}

/** On to the next destination, or to the end of the item. */
function advance(store: Store, item: LedgerItem, done: PastDelivery, nowMs: number): LedgerItem | undefined {
  const { plan } = item.decision;
  const count = plan?.targets.length ?? 1;
  const isLast = item.step + 1 >= count;
  if (count > 1 || done.outcome === 'skipped') {
    store
      .sql('INSERT OR REPLACE INTO ledger_deliveries(item, step, destination, file, outcome, at_ms) VALUES (?, ?, ?, ?, ?, ?)')
      .run(item.id, item.step, done.destination, done.file, done.outcome, nowMs);
  }
  const past = isLast ? deliveries(store, item) : [];
  const passedOver = past.filter(({ outcome }) => outcome === 'skipped').map(({ destination }) => destination);
  const isKept = isLast && (passedOver.length > 0 || (plan !== undefined && insideAction(plan.action).source === 'kept'));
  const reason = passedOver.length > 0 ? `a file of its name was at ${passedOver.join(', ')}` : null;
  const step = item.step + 1;
  if (isLast && !isKept) {
    store
      .sql(
        `UPDATE ledger_items SET state = 'delivered', outcome = 'delivered', todo = 'confirm', step = ?, attempts = 0,
           failures = 0, next_attempt_ms = 0, settled_ms = ? WHERE id = ?`,
      )
      .run(step, nowMs, item.id);
  } else {
    const { todo } = courseOf(item.decision, item.dmzState, { step, reason });
    store
      .sql(
        `UPDATE ledger_items SET state = 'registered', todo = ?, step = ?, reason = ?, attempts = 0, failures = 0,
           next_attempt_ms = 0, place = NULL, inode = NULL, file = NULL WHERE id = ?`,
      )
      .run(todo, step, reason, item.id);
  }
  if (isLast && plan && (count > 1 || isKept)) {
    const all = count > 1 ? past.toReversed() : [done];
    const destinations = all.map(({ destination, file, outcome }) => `${destination}: ${file}${mark(outcome)}`).join('; ');
    const fields = { path: item.path, action: plan.action, destinations, source: isKept ? 'kept' : 'taken' };
    store.emit(event('item.dispatched', nowMs, contextOf(item), fields));
  }
  const now = find(store, item.id);
  if (now && isLast) wakeCompanions(store, now);
  return now;
}

const mark = (outcome: PastDelivery['outcome']): string => (outcome === 'skipped' ? ' (skipped)' : '');

/** What a failure counts against. */
export interface Blame {
  readonly destination: string;
  /** Failures in a row after which the destination is stopped; 0: never. */
  readonly stopAfter: number;
  /** Failures of the item after which it waits for staff; null: never. */
  readonly limit: number | null;
}

/** A destination failed. @returns whether the item is given up: it waits for staff then. */
export function blame(
  store: Store,
  item: LedgerItem,
  { destination, stopAfter, limit }: Blame,
  failure: { readonly code: string; readonly detail: string },
  nowMs: number,
): boolean {
  const reason = `${failure.code}: ${failure.detail}`;
  const { errors } = store
    .sql(
      `INSERT INTO ledger_stops(destination, errors, reason) VALUES (?, 1, ?)
       ON CONFLICT DO UPDATE SET errors = errors + 1, reason = excluded.reason RETURNING errors`,
    )
    .get(destination, reason) as { errors: number };
  if (stopAfter > 0 && errors >= stopAfter) {
    const { changes } = store
      .sql('UPDATE ledger_stops SET stopped_ms = ? WHERE destination = ? AND stopped_ms IS NULL')
      .run(nowMs, destination);
    if (changes > 0) store.emit(event('destination.stopped', nowMs, {}, { destination, errors, reason }));
  }
  store.sql('UPDATE ledger_items SET failures = failures + 1 WHERE id = ?').run(item.id);
  if (limit === null || item.failures + 1 < limit) return false;
  store
    .sql(
      `UPDATE ledger_items SET state = 'registered', todo = '', reason = ?, place = NULL, inode = NULL, file = NULL
       WHERE id = ? AND state IN ('registered', 'pulling', 'staged')`,
    )
    .run(`given up after ${item.failures + 1} failures, ${reason}`, item.id);
  store.emit(event('item.given-up', nowMs, contextOf(item), { destination, failures: item.failures + 1, reason }));
  wakeCompanions(store, item);
  return true;
}

/** What is to be done with an item now; undefined when there is nothing, or its destination is stopped: it is put off then. */
export function next(
  store: Store,
  { id, putOffUntilMs }: { readonly id: string; readonly putOffUntilMs: number },
): LedgerItem | undefined {
  const item = find(store, id);
  const target = item && item.todo !== 'confirm' ? targetOf(item) : undefined;
  if (!target || !isStopped(store, target.destination)) return item;
  store.sql("UPDATE ledger_items SET next_attempt_ms = ? WHERE id = ? AND todo <> ''").run(putOffUntilMs, id);
  return undefined;
}

const isStopped = (store: Store, destination: string): boolean =>
  store.sql('SELECT 1 FROM ledger_stops WHERE destination = ? AND stopped_ms IS NOT NULL').get(destination) !== undefined;

export interface Stop {
  readonly destination: string;
  readonly errors: number;
  /** The last failure. */
  readonly reason: string;
  /** Null: it fails, and goes on trying. */
  readonly stoppedAtMs: number | null;
}

/** Destinations that fail. */
export const stops = (store: Store, _none: null): Stop[] =>
  store
    .sql(
      `SELECT destination, errors, reason, stopped_ms AS stoppedAtMs FROM ledger_stops
       WHERE errors > 0 OR stopped_ms IS NOT NULL ORDER BY destination`,
    )
    .all() as unknown as Stop[];

/** Somebody says that a destination is to be tried again. @returns false when it was not stopped. */
export function resume(store: Store, args: { readonly destination: string; readonly nowMs: number }): boolean {
  const { changes } = store
    .sql('DELETE FROM ledger_stops WHERE destination = ? AND stopped_ms IS NOT NULL')
    .run(args.destination);
  if (changes === 0) return false;
  store.sql("UPDATE ledger_items SET next_attempt_ms = 0 WHERE todo IN ('fetch', 'publish')").run();
  store.emit(event('destination.resumed', args.nowMs, {}, { destination: args.destination }));
  return true;
}

/** Somebody says that an item that was given up is to be tried again. @returns false when there is nothing to try. */
export function tryAgain(store: Store, { id, nowMs }: { readonly id: string; readonly nowMs: number }): boolean {
  const item = find(store, id);
  if (item?.state !== 'registered' || item.reason === null) return false;
  const { todo } = courseOf(item.decision, item.dmzState, { step: item.step, reason: null });
  if (todo === '') return false;
  store
    .sql('UPDATE ledger_items SET reason = NULL, todo = ?, attempts = 0, failures = 0, next_attempt_ms = 0 WHERE id = ?')
    .run(todo, id);
  store.emit(event('item.retried', nowMs, contextOf(item), { path: item.path }));
  return true;
}
