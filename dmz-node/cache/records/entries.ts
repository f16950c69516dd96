/** Rows of `entries`: what a partner sees under a name. */
import { randomInt } from 'node:crypto';
import type { Store } from '../../../shared/durable/operations.ts';
import { withNumber } from '../../../shared/paths/delivery-name.ts';

/** A name in one partner's view. Keys are NFC, the others the exact characters for display. */
export interface NamePlace {
  readonly path: string;
  readonly pathKey: string;
  readonly folderKey: string;
  readonly nameKey: string;
  readonly name: string;
}

export interface Entry {
  readonly row: number;
  readonly partner: string;
  readonly folderKey: string;
  readonly nameKey: string;
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly item: string | null;
  readonly size: number;
  readonly modifiedMs: number;
  readonly partial: boolean;
  /** In an Outbox, but the inside does not know of it yet and would give no key. */
  readonly hidden: boolean;
  /** Not null: only a ghost. Shown until then, and while its session lives. */
  readonly ghostUntil: number | null;
  readonly session: string | null;
}

interface EntryRow {
  readonly row: number;
  readonly partner: string;
  readonly folder_key: string;
  readonly name_key: string;
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly item: string | null;
  readonly size: number;
  readonly modified_ms: number;
  readonly partial: number;
  readonly hidden: number;
  readonly ghost_until: number | null;
  readonly session: string | null;
}

export function toEntry(raw: unknown): Entry {
  const row = raw as EntryRow;
  return {
    row: row.row,
    partner: row.partner,
    folderKey: row.folder_key,
    nameKey: row.name_key,
    name: row.name,
    kind: row.kind,
    item: row.item,
    size: row.size,
    modifiedMs: row.modified_ms,
    partial: row.partial === 1,
    hidden: row.hidden === 1,
    ghostUntil: row.ghost_until,
    session: row.session,
  };
}

/** What a listing tells of an entry. */
export type ListedEntry = Pick<
  Entry,
  'folderKey' | 'nameKey' | 'name' | 'kind' | 'size' | 'modifiedMs' | 'item' | 'hidden' | 'ghostUntil' | 'session'
>;

/**
 * The same as it comes from the records: a long listing is very many of these, and objects with names for their fields would take
 * three times as long on their way between the threads. The name is null where it is its own key.
 */
export type ListedRow = readonly [
  nameKey: string,
  name: string | null,
  isFolder: number,
  size: number,
  modifiedMs: number,
  item: string | null,
  hidden: number,
  ghostUntil: number | null,
  session: string | null,
];
export const listedColumns = `name_key, nullif(name, name_key), kind = 'folder', size, modified_ms, item, hidden, ghost_until, session`;

export function toListedEntry(folderKey: string, row: ListedRow): ListedEntry {
  const [nameKey, name, isFolder, size, modifiedMs, item, hidden, ghostUntil, session] = row;
  return {
    folderKey,
    nameKey,
    name: name ?? nameKey,
    kind: isFolder === 1 ? 'folder' : 'file',
    size,
    modifiedMs,
    item,
    hidden: hidden === 1,
    ghostUntil,
    session,
  };
}

export function findEntry(store: Store, partner: string, folderKey: string, nameKey: string): Entry | undefined {
  const row = store
    .sql('SELECT * FROM entries WHERE partner = ? AND folder_key = ? AND name_key = ?')
    .get(partner, folderKey, nameKey);
  return row ? toEntry(row) : undefined;
}

export type NewEntry = Omit<Entry, 'row'>;

/** Puts an entry under its name, in place of whatever was there. */
export function putEntry(store: Store, entry: NewEntry): void {
  store
    .sql(
      `INSERT INTO entries(partner, folder_key, name_key, name, kind, item, size, modified_ms, partial, hidden, ghost_until, session)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (partner, folder_key, name_key) DO UPDATE SET name = excluded.name, item = excluded.item,
         size = excluded.size, modified_ms = excluded.modified_ms, partial = excluded.partial, hidden = excluded.hidden,
         ghost_until = excluded.ghost_until, session = excluded.session`,
    )
    .run(
      entry.partner,
      entry.folderKey,
      entry.nameKey,
      entry.name,
      entry.kind,
      entry.item,
      entry.size,
      entry.modifiedMs,
      entry.partial ? 1 : 0,
      entry.hidden ? 1 : 0,
      entry.ghostUntil,
      entry.session,
    );
}

export function removeEntry(store: Store, entry: Pick<Entry, 'row'>): void {
  store.sql('DELETE FROM entries WHERE row = ?').run(entry.row);
}

/** The uploader goes on seeing it for a while. */
export function makeGhost(store: Store, item: string, partner: string, untilMs: number): void {
  store
    .sql(`UPDATE entries SET ghost_until = ? WHERE item = ? AND partner = ? AND folder_key NOT LIKE '/Outbox%'`)
    .run(untilMs, item, partner);
}

/** Takes an item out of the Outbox of a partner. */
export function leaveOutbox(store: Store, item: string, partner: string): void {
  store.sql(`DELETE FROM entries WHERE item = ? AND partner = ? AND folder_key LIKE '/Outbox%'`).run(item, partner);
}

const alwaysThere = new Set(['/', '/Inbox', '/Outbox']);

export const parentKey = (key: string): string => key.slice(0, key.lastIndexOf('/')) || '/';
export const lastOf = (key: string): string => key.slice(key.lastIndexOf('/') + 1);

export function folderExists(store: Store, partner: string, folderKey: string): boolean {
  if (alwaysThere.has(folderKey)) return true;
  return findEntry(store, partner, parentKey(folderKey), lastOf(folderKey))?.kind === 'folder';
}

/** A name that is free in a folder: the name itself, or with a number. */
export function freeName(store: Store, partner: string, folderKey: string, name: string): string {
  for (let n = 1; ; n += 1) {
    // After a thousand files of one name, counting on would make each further one dearer than the last.
    const number = n <= 1000 ? n : randomInt(1001, 2 ** 40);
    const candidate = n === 1 ? name : withNumber(name, number);
    if (!findEntry(store, partner, folderKey, candidate.normalize('NFC'))) return candidate;
  }
}
