/**
 * Which age header belongs to which item. A header holds the one key of its bytes, and each file gets one of its own; so a header
 * that comes a second time, in another item, is a copy: bytes that are to be delivered once more, or read by somebody whose they
 * are not. Whoever presents it first has it, for as long as the inside remembers that item, or until it goes on as another one
 * because its partner renamed it. Runs in the worker thread.
 */
import type { Store } from '../shared/durable/operations.ts';

const forgotten = (table: string, headers: string): string => `
  CREATE TRIGGER known_headers_${table} AFTER DELETE ON ${table} BEGIN
    DELETE FROM known_headers WHERE item = OLD.id AND header IN (${headers});
  END;`;

/** Behind those of the ledger and of what is offered. */
export const migrations = [
  `CREATE TABLE known_headers (header BLOB PRIMARY KEY, item TEXT NOT NULL) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO known_headers SELECT unhex(header_sha256), id FROM outgoing_items WHERE header_sha256 IS NOT NULL;
  INSERT OR IGNORE INTO known_headers SELECT unhex(part.value ->> '$.headerSha256'), one.id
    FROM ledger_items AS one, json_each(one.segments) AS part WHERE one.decision ->> '$.rule' <> 'set aside by the inside';
  ${forgotten('outgoing_items', 'unhex(OLD.header_sha256)')}
  ${forgotten('ledger_items', "SELECT unhex(value ->> '$.headerSha256') FROM json_each(OLD.segments)")}`,
] as const;

/** @param headers SHA-256, hex. @returns the other items that one of them belongs to. */
export function ownersBeside(store: Store, item: string, headers: readonly string[]): readonly string[] {
  const select = store.sql('SELECT item FROM known_headers WHERE header = unhex(?)');
  const owners = headers.flatMap((header) => (select.get(header) as { item: string } | undefined)?.item ?? []);
  return [...new Set(owners)].filter((owner) => owner !== item);
}

/** From now on they belong to this item. @param headers SHA-256, hex. */
export function keepHeaders(store: Store, item: string, headers: readonly string[]): void {
  const insert = store.sql('INSERT OR REPLACE INTO known_headers(header, item) VALUES (unhex(?), ?)');
  for (const header of headers) insert.run(header, item);
}
