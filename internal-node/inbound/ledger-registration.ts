/** How an item comes into the ledger, and how the decision about it changes while it waits. Runs in the worker thread. */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';
import type { Decision, InsideDecision } from '../../shared/policy.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';
import { keepHeaders, ownersBeside } from '../known-headers.ts';
import { wakeCompanions } from './ledger-companions.ts';
import { courseOf, type LedgerItem, sameContent } from './ledger-item.ts';
import { contextOf, find } from './ledger-rows.ts';
import { gone } from './ledger-steps.ts';

/** What a claim of the DMZ is to the ledger. */
export type Sighting =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'known'; readonly decision: Decision }
  /** The same id with other bytes or of another partner: the first one stands. */
  | { readonly kind: 'conflict' }
  /** The decision may change: no rule matched so far, or the partner renamed it before it was taken. */
  | { readonly kind: 'undecided'; readonly item: LedgerItem };

export function sight(store: Store, claim: ItemDescription, nowMs: number): Sighting {
  const item = find(store, claim.id);
  if (!item) return { kind: 'unknown' };
  // A former name comes back though its bytes went on under another: one of the two is a copy.
  const wentOn = item.state === 'gone' && ownersBeside(store, item.id, headersOf(claim)).length > 0;
  if (wentOn || !sameContent(item, claim)) {
    const first = store.sql('UPDATE ledger_items SET conflict = 1 WHERE id = ? AND conflict = 0').run(item.id);
    if (first.changes > 0) {
      store.emit(event('item.forged', nowMs, contextOf(item), { reason: 'another content under the id of a known item' }));
    }
    return { kind: 'conflict' };
  }
  if (item.state === 'gone')
    store.sql("UPDATE ledger_items SET state = 'registered', settled_ms = NULL WHERE id = ?").run(item.id);
  if (item.state === 'registered' || item.state === 'gone') {
    // What one destination has stays decided as it was: another decision would send it somewhere twice.
    const isUndecided = item.path !== claim.path || item.decision.route.action === 'unrouted';
    if (isUndecided && item.step === 0) return { kind: 'undecided', item };
    if (item.dmzState !== claim.state || item.state === 'gone') follow(store, item, item.decision, claim.state);
  } else if (item.confirmedAtMs !== null) {
    // Listed again after a confirm: the answer was lost, or it is a replay. Confirming again is harmless.
    store.sql("UPDATE ledger_items SET todo = 'confirm', next_attempt_ms = 0 WHERE id = ?").run(item.id);
  }
  return { kind: 'known', decision: item.decision };
}

/** Puts a registered item on the course that its decision and the DMZ's state give it. */
function follow(store: Store, item: LedgerItem, decision: InsideDecision, dmzState: ItemDescription['state']): void {
  const { state, todo, outcome, reader } = courseOf(decision, dmzState, item);
  store
    .sql(
      `UPDATE ledger_items SET dmz_state = ?, state = ?, todo = ?, outcome = ?, reader = ?, next_attempt_ms = 0
       WHERE id = ? AND state = 'registered'`,
    )
    .run(dmzState, state, todo, outcome, reader, item.id);
}

function emitDecision(
  store: Store,
  item: Pick<LedgerItem, 'id' | 'trace' | 'partner' | 'session' | 'path'>,
  decision: InsideDecision,
  nowMs: number,
) {
  const { route, rule, plan } = decision;
  const { path } = item;
  const context = contextOf(item);
  if (plan) {
    const target = plan.targets.map(({ destination }) => destination).join(', ');
    store.emit(event('item.routed', nowMs, context, { action: plan.action, target, rule }));
  }
  if (route.action === 'unrouted') store.emit(event('item.unrouted', nowMs, context, { path }));
  else if (route.action === 'hold') store.emit(event('item.held', nowMs, context, { path, rule }));
  else if (route.action === 'outbox')
    store.emit(event('item.routed', nowMs, context, { action: 'outbox', target: route.partner, rule }));
  else if (route.action !== 'deliver') store.emit(event('item.dropped', nowMs, context, { action: route.action, rule }));
}

interface Registration {
  readonly item: ItemDescription;
  readonly decision: InsideDecision;
  /** Why the item cannot be genuine; it is set aside then. */
  readonly forged: string | null;
  /** The DMZ's decision, when it differs though it was made by the same policy. */
  readonly mismatch: { readonly dmz: string; readonly inside: string } | null;
  readonly nowMs: number;
  /** Items of one partner that may wait at the same time. */
  readonly maxWaiting: number;
  /** Items that may be set aside, of all partners and strangers together. */
  readonly maxSetAside: number;
}

/** Items of a partner that were not taken yet. */
function waitingOf(store: Store, partner: string): number {
  const row = store.sql('SELECT items FROM ledger_waiting WHERE partner = ?').get(partner) as { items: number } | undefined;
  return row?.items ?? 0;
}

/** Items that were set aside, counted up to `most`. */
function setAside(store: Store, most: number): number {
  const row = store
    .sql("SELECT COUNT(*) AS items FROM (SELECT 1 FROM ledger_items WHERE state = 'quarantined' LIMIT ?)")
    .get(most) as { items: number };
  return row.items;
}

const headersOf = ({ segments }: Pick<ItemDescription, 'segments'>): readonly string[] =>
  segments.map(({ headerSha256 }) => headerSha256);

/**
 * Who renames a file before it is taken, or goes on with it, has it presented as another item with the same bytes. Then the
 * former one is over, for good.
 * @returns `copied`: bytes of an item that was taken, or of somebody else's · `busy`: their item is being taken.
 */
function succeed(store: Store, item: ItemDescription, nowMs: number): 'yes' | 'busy' | 'copied' {
  const former = ownersBeside(store, item.id, headersOf(item)).map((id) => find(store, id));
  const mayEnd = (one: LedgerItem | undefined): boolean =>
    one !== undefined && one.partner === item.partner && one.step === 0 && endable.includes(one.state);
  if (!former.every(mayEnd)) return 'copied';
  if (former.some((one) => one?.state === 'pulling' || one?.state === 'staged')) return 'busy';
  for (const one of former) if (one) gone(store, { id: one.id, nowMs, staged: false });
  return 'yes';
}

const endable: readonly LedgerItem['state'][] = ['registered', 'pulling', 'staged', 'gone'];

/** @returns `copied`, `busy`: see `succeed`. It is not taken down then. */
export function register(
  store: Store,
  { item, decision, forged, mismatch, nowMs, maxWaiting, maxSetAside }: Registration,
): 'done' | 'known' | 'full' | 'copied' | 'busy' {
  if (find(store, item.id)) return 'known';
  // Counted apart: forged items in a partner's name must not keep his own out.
  const [waiting, most] =
    forged === null ? [waitingOf(store, item.partner), maxWaiting] : [setAside(store, maxSetAside), maxSetAside];
  if (waiting >= most) return 'full';
  const succession = forged === null ? succeed(store, item, nowMs) : 'yes';
  if (succession !== 'yes') return succession;
  const course = courseOf(decision, item.state);
  store
    .sql(
      `INSERT INTO ledger_items(id, seq, partner, path, size, sha256, segments, session, session_proof, trace, decision, reader,
         dmz_state, state, todo, outcome, reason, registered_ms, trigger_id, releases, completed_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      item.id,
      item.seq,
      item.partner,
      item.path,
      item.size,
      item.sha256,
      JSON.stringify(item.segments),
      item.session,
      item.sessionProof,
      item.trace,
      JSON.stringify(decision),
      forged === null ? course.reader : null,
      item.state,
      forged === null ? course.state : 'quarantined',
      forged === null ? course.todo : '',
      forged === null ? course.outcome : null,
      forged,
      nowMs,
      item.trigger ?? null,
      item.releases ?? 0,
      item.completedAtMs,
    );
  if (forged === null) keepHeaders(store, item.id, headersOf(item));
  wakeCompanions(store, { ...item, trigger: item.trigger ?? null });
  const context = contextOf(item);
  if (forged !== null) {
    store.emit(event('item.forged', nowMs, context, { reason: forged }));
    return 'done';
  }
  store.emit(event('item.registered', nowMs, context, { path: item.path, size: item.size }));
  emitDecision(store, item, decision, nowMs);
  if (mismatch) store.emit(event('item.route-mismatch', nowMs, context, mismatch));
  return 'done';
}

/** A new decision for an item that waits: a rule was added, or the partner renamed it. */
export function redecide(
  store: Store,
  args: { readonly claim: ItemDescription; readonly decision: InsideDecision; readonly nowMs: number },
): void {
  const { claim, decision, nowMs } = args;
  const item = find(store, claim.id);
  if (item?.state !== 'registered') return;
  store
    .sql('UPDATE ledger_items SET path = ?, decision = ?, session = ?, session_proof = ? WHERE id = ?')
    .run(claim.path, JSON.stringify(decision), claim.session, claim.sessionProof, item.id);
  if (item.path !== claim.path) {
    store.emit(event('item.renamed', nowMs, contextOf(item), { from: item.path, to: claim.path }));
  }
  if (item.path !== claim.path || JSON.stringify(item.decision) !== JSON.stringify(decision)) {
    emitDecision(store, { ...item, path: claim.path }, decision, nowMs);
  }
  follow(store, item, decision, claim.state);
}

/** A rename that no valid session stands behind: the item waits for staff under its first name. */
export function contest(store: Store, { id, nowMs }: { readonly id: string; readonly nowMs: number }): void {
  const item = find(store, id);
  if (item?.state !== 'registered') return;
  store.sql("UPDATE ledger_items SET todo = '' WHERE id = ?").run(id);
  const { changes } = store.sql('UPDATE ledger_items SET conflict = 1 WHERE id = ? AND conflict = 0').run(id);
  if (changes > 0) store.emit(event('item.forged', nowMs, contextOf(item), { reason: 'renamed without a valid session' }));
}
