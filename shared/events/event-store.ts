/** The events table that every record store has, and the few statements on it. */
import type { StatementSync } from 'node:sqlite';
import type { EventName } from './catalogue.ts';
import type { EventRecord, EventValue, NumberedEvent } from './event.ts';

export const eventMigration = `
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    trace TEXT, session TEXT, item TEXT, partner TEXT,
    origin TEXT, origin_seq INTEGER,
    fields TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_trace ON events(trace) WHERE trace IS NOT NULL;
  CREATE INDEX events_by_item ON events(item) WHERE item IS NOT NULL;
  CREATE UNIQUE INDEX events_by_origin ON events(origin, origin_seq) WHERE origin IS NOT NULL`;

type Sql = (text: string) => StatementSync;

/** An event of another node that is already here is passed over: reading a range twice is harmless. */
export function insertEvent(sql: Sql, event: EventRecord): void {
  sql(
    `INSERT INTO events(name, at_ms, trace, session, item, partner, origin, origin_seq, fields)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  ).run(
    event.name,
    event.atMs,
    event.trace ?? null,
    event.session ?? null,
    event.item ?? null,
    event.partner ?? null,
    event.origin?.node ?? null,
    event.origin?.seq ?? null,
    JSON.stringify(event.fields),
  );
}

interface EventRow {
  readonly seq: number;
  readonly name: string;
  readonly at_ms: number;
  readonly trace: string | null;
  readonly session: string | null;
  readonly item: string | null;
  readonly partner: string | null;
  readonly origin: string | null;
  readonly origin_seq: number | null;
  readonly fields: string;
}

const toEvent = (row: EventRow): NumberedEvent => ({
  seq: row.seq,
  name: row.name as EventName,
  atMs: row.at_ms,
  ...(row.trace === null ? {} : { trace: row.trace }),
  ...(row.session === null ? {} : { session: row.session }),
  ...(row.item === null ? {} : { item: row.item }),
  ...(row.partner === null ? {} : { partner: row.partner }),
  ...(row.origin === null ? {} : { origin: { node: row.origin, seq: row.origin_seq ?? 0 } }),
  fields: JSON.parse(row.fields) as Record<string, EventValue>,
});

export function readEventsAfter(sql: Sql, seq: number, limit: number): NumberedEvent[] {
  const rows = sql('SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?').all(seq, limit);
  return (rows as unknown as EventRow[]).map(toEvent);
}

/** All events of one trace, or of one item together with the session-wide events of its trace; oldest first. */
export function readTrace(sql: Sql, traceOrItem: string): NumberedEvent[] {
  const rows = sql(
    `SELECT * FROM events WHERE trace = ?1 OR item = ?1
       OR (item IS NULL AND trace IN (SELECT trace FROM events WHERE item = ?1 AND trace IS NOT NULL))
     ORDER BY at_ms, seq LIMIT 10000`,
  ).all(traceOrItem);
  return (rows as unknown as EventRow[]).map(toEvent);
}

/** The last that is here of another node's events, with the number it has there. */
export function readOrigin(sql: Sql, origin: string): NumberedEvent | undefined {
  const row = sql('SELECT * FROM events WHERE origin = ? ORDER BY origin_seq DESC LIMIT 1').get(origin) as EventRow | undefined;
  return row && { ...toEvent(row), seq: row.origin_seq ?? 0 };
}
