/** What the record store of the inside knows of events: its own, and those of the DMZ node that were read over the tunnel. */
import type { Store } from '../../shared/durable/operations.ts';
import type { EventRecord, NumberedEvent } from '../../shared/events/event.ts';
import { readOrigin, readTrace } from '../../shared/events/event-store.ts';

export const migrations: readonly string[] = [];

/** The newest event that asks for somebody's attention. */
function lastOf(store: Store, { names }: { readonly names: readonly string[] }): NumberedEvent | undefined {
  const row = store
    .sql(
      `SELECT seq, name, at_ms, item, fields FROM events
       WHERE seq > (SELECT COALESCE(MAX(seq), 0) - 20000 FROM events) AND name IN (SELECT value FROM json_each(?))
       ORDER BY seq DESC LIMIT 1`,
    )
    .get(JSON.stringify(names)) as { seq: number; name: string; at_ms: number; item: string | null; fields: string } | undefined;
  if (!row) return undefined;
  const item = row.item === null ? {} : { item: row.item };
  return { seq: row.seq, name: row.name, atMs: row.at_ms, ...item, fields: JSON.parse(row.fields) } as NumberedEvent;
}

/** Item and trace ids that begin with a prefix of at least four characters; at most three, so that "several" can be told. */
function resolve(store: Store, { prefix }: { readonly prefix: string }): string[] {
  // '{' is the character after 'z', the last of an id's alphabet.
  const rows = store
    .sql(
      `SELECT DISTINCT id FROM (
         SELECT item AS id FROM events WHERE item >= ?1 AND item < ?2
         UNION SELECT trace AS id FROM events WHERE trace >= ?1 AND trace < ?2) LIMIT 3`,
    )
    .all(prefix, `${prefix}{`) as { id: string }[];
  return rows.map(({ id }) => id);
}

/** The item that a partner last saw under a path, as the events of both nodes tell. */
function seenAs(store: Store, { partner, path }: { readonly partner: string; readonly path: string }): string | undefined {
  const row = store
    .sql(
      `SELECT item FROM events WHERE partner = ? AND item IS NOT NULL AND name IN ('item.offered', 'item.stored', 'key.released', 'item.downloaded')
       AND fields ->> '$.path' = ? ORDER BY seq DESC LIMIT 1`,
    )
    .get(partner, path) as { item: string } | undefined;
  return row?.item;
}

/** The record store of a node that follows another: `edge1`, `edge1#2`, `edge1#3`… No name of a node holds a `#`. */
export function nextStore(store: string): string {
  const [node = '', number = '1'] = store.split('#');
  return `${node}#${Number(number) + 1}`;
}

/** The newest record store of a node that events came from, and the last of them. */
function newestOf(store: Store, { node }: { readonly node: string }): { store: string; last: NumberedEvent | undefined } {
  let newest = { store: node, last: readOrigin(store.sql, node) };
  for (let next = nextStore(node); ; next = nextStore(next)) {
    const last = readOrigin(store.sql, next);
    if (!last) return newest;
    newest = { store: next, last };
  }
}

/** A restored store tells what it held at the time of its backup a second time. */
function isRepeated(store: Store, { origin, name, atMs, item }: EventRecord): boolean {
  if (!origin?.node.includes('#')) return false;
  for (let known = origin.node.split('#')[0] ?? ''; known !== origin.node; known = nextStore(known)) {
    const row = store
      .sql('SELECT 1 FROM events WHERE origin = ? AND origin_seq = ? AND name = ? AND at_ms = ? AND item IS ?')
      .get(known, origin.seq, name, atMs, item ?? null);
    if (row) return true;
  }
  return false;
}

/** Who showed a password to this node. */
export interface TypedPassword {
  /** A partner, or the name that was typed when nobody was let in. */
  readonly user: string;
  /** Whether he was let in at least once: that password is right. */
  readonly accepted: boolean;
  readonly times: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Everybody who typed a password since then, right or wrong; what the DMZ node claims does not count. */
function typedPasswords(store: Store, { sinceMs }: { readonly sinceMs: number }): TypedPassword[] {
  const rows = store
    .sql(
      `SELECT COALESCE(partner, fields ->> '$.user') AS user, MAX(name = 'auth.accepted') AS accepted, COUNT(*) AS times,
              MIN(at_ms) AS firstMs, MAX(at_ms) AS lastMs
       FROM events WHERE origin IS NULL AND at_ms >= ? AND name IN ('auth.accepted', 'auth.rejected')
         AND fields ->> '$.method' LIKE '%password%'
       GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10000`,
    )
    .all(sinceMs) as { user: string; accepted: number; times: number; firstMs: number; lastMs: number }[];
  return rows.map((row) => ({ ...row, accepted: row.accepted === 1 }));
}

export const operations = {
  'audit.store': (store: Store, events: readonly EventRecord[]): void => {
    for (const event of events) if (!isRepeated(store, event)) store.emit(event);
  },
  'audit.newestOf': newestOf,
  'audit.trace': (store: Store, { ref }: { readonly ref: string }): NumberedEvent[] => readTrace(store.sql, ref),
  'audit.resolve': resolve,
  'audit.seenAs': seenAs,
  'audit.lastOf': lastOf,
  'audit.typedPasswords': typedPasswords,
};
export type AuditOperations = typeof operations;
