/** One look over the records of all rooms, for `sallyport status`. Reads only. */
import type { Store } from '../../shared/durable/operations.ts';

export interface Overview {
  readonly waiting: number;
  readonly held: number;
  readonly unrouted: number;
  readonly quarantined: number;
  /** In the DMZ for a partner who has not fetched it, as far as the DMZ says. */
  readonly offered: number;
  readonly oldestWaitingAtMs: number | null;
  readonly connected: readonly { readonly partner: string; readonly sessions: number }[];
  readonly policyExpiresAtMs: number;
}

interface Group {
  readonly state: string;
  readonly action: string;
  readonly n: number;
  readonly oldest: number;
}

function overview(store: Store, { nowMs }: { readonly nowMs: number }): Overview {
  const groups = store
    .sql(
      `SELECT state, iif(reason IS NULL, decision ->> '$.route.action', 'hold') AS action, COUNT(*) AS n, MIN(registered_ms) AS oldest FROM ledger_items
       WHERE state IN ('registered', 'pulling', 'staged', 'quarantined') GROUP BY 1, 2`,
    )
    .all() as unknown as Group[];
  const waits = (group: Group): boolean => group.state !== 'quarantined';
  const sum = (fits: (group: Group) => boolean): number => groups.filter(fits).reduce((total, { n }) => total + n, 0);
  const delivering = (group: Group): boolean => waits(group) && !['hold', 'unrouted'].includes(group.action);
  const oldest = groups.filter(delivering).map((group) => group.oldest);
  const offered = store.sql("SELECT COUNT(*) AS n FROM outgoing_items WHERE state = 'stored' AND fetched_ms IS NULL").get() as {
    n: number;
  };
  const policy = store.sql('SELECT expires_ms FROM policy_issued').get() as { expires_ms: number } | undefined;
  const connected = store
    .sql(
      `SELECT partner, COUNT(*) AS sessions FROM auth_sessions WHERE ended_ms IS NULL AND expires_ms > ?
       GROUP BY partner ORDER BY partner LIMIT 1000`,
    )
    .all(nowMs) as unknown as { partner: string; sessions: number }[];
  return {
    waiting: sum(delivering),
    held: sum((group) => waits(group) && group.action === 'hold'),
    unrouted: sum((group) => waits(group) && group.action === 'unrouted'),
    quarantined: sum((group) => !waits(group)),
    offered: offered.n,
    oldestWaitingAtMs: oldest.length > 0 ? Math.min(...oldest) : null,
    connected,
    policyExpiresAtMs: policy?.expires_ms ?? 0,
  };
}

export const operations = { 'admin.overview': overview };
export type OverviewOperations = typeof operations;
