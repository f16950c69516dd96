/** Rows of the ledger as items, and what their events carry. */
import type { Store } from '../../shared/durable/operations.ts';
import type { LedgerItem } from './ledger-item.ts';

export const rowToItem = (row: Record<string, unknown>): LedgerItem =>
  ({
    id: row.id,
    number: row.number,
    seq: row.seq,
    partner: row.partner,
    path: row.path,
    size: row.size,
    sha256: row.sha256,
    segments: JSON.parse(row.segments as string),
    session: row.session,
    sessionProof: row.session_proof,
    trace: row.trace,
    decision: JSON.parse(row.decision as string),
    reader: row.reader,
    dmzState: row.dmz_state,
    state: row.state,
    todo: row.todo,
    step: row.step,
    attempts: row.attempts,
    failures: row.failures,
    mismatches: row.mismatches,
    nextAttemptMs: row.next_attempt_ms,
    place: row.place,
    inode: row.inode,
    contentSha256: row.content_sha256,
    file: row.file,
    outcome: row.outcome,
    reason: row.reason,
    registeredAtMs: row.registered_ms,
    settledAtMs: row.settled_ms,
    confirmedAtMs: row.confirmed_ms,
    trigger: row.trigger_id,
    releases: row.releases,
    expected: row.expected === null ? null : JSON.parse(row.expected as string),
    duplicateOf: row.dup_of,
  }) as LedgerItem;

export const find = (store: Store, id: string): LedgerItem | undefined => {
  const row = store.sql('SELECT * FROM ledger_items WHERE id = ?').get(id);
  return row && rowToItem(row);
};
export const contextOf = (item: Pick<LedgerItem, 'id' | 'trace' | 'partner' | 'session'>) => ({
  trace: item.trace,
  session: item.session,
  item: item.id,
  partner: item.partner,
});
