/**
 * Pairs files with the triggers that complete them, whichever came first. By their names alone: what a trigger says inside
 * (a digest, a count) is sealed, and looked at by the inside before it delivers anything.
 *
 * Pairing only makes both due, in one transaction with the upload that made the pair; the releaser completes what is due,
 * the files before their trigger. So a stop in between is like any other moment.
 */
import type { Store } from '../../../shared/durable/operations.ts';
import { findEntry, type NamePlace } from './entries.ts';
import type { Hold, Pairing } from './hold.ts';
import { findItem, type Item, toItem } from './items.ts';

/** More than any quota lets wait. */
const mostOfBatch = 100_000;

/** Makes due what `item`, just saved as held, completes or is completed by. @returns when the first of it is due. */
export function pair(store: Store, item: Item, place: NamePlace, { pairing }: Hold, nowMs: number): number | null {
  switch (pairing?.role) {
    case undefined:
      return null;
    case 'trigger': {
      const file = waiting(store, item.partner, place.folderKey, pairing.fileName, 'trigger');
      return file ? join(store, item, [file], item, nowMs) : null;
    }
    case 'batch': {
      const files = waitingIn(store, item.partner, place.folderKey, 'trigger');
      return files.length > 0 ? join(store, item, files, item, nowMs) : null;
    }
    case 'file':
      return joinEarlier(store, item, place, pairing, nowMs);
  }
}

/** The trigger was there first. One for a whole folder waits a while for more files. */
function joinEarlier(
  store: Store,
  item: Item,
  place: NamePlace,
  { triggerNames, quietMs }: Extract<Pairing, { readonly role: 'file' }>,
  nowMs: number,
): number | null {
  for (const name of triggerNames) {
    const trigger = waiting(store, item.partner, place.folderKey, name, 'file');
    if (trigger) return join(store, trigger, [item], item, nowMs);
  }
  const [batch] = waitingIn(store, item.partner, place.folderKey, 'folder');
  if (!batch) return null;
  join(store, batch, [item], item, nowMs);
  store.sql('UPDATE items SET due_ms = ? WHERE id = ?').run(nowMs + quietMs, batch.id);
  return nowMs;
}

/** @param by The later of the pair: its session is the one that can still answer for both. */
function join(store: Store, trigger: Item, files: readonly Item[], by: Item, nowMs: number): number {
  const due = store.sql(
    'UPDATE items SET due_ms = ?, alarm_ms = NULL, session = ?, session_proof = ?, trigger_id = ? WHERE id = ?',
  );
  for (const { id } of files) due.run(nowMs, by.session, by.sessionProof, trigger.id, id);
  store
    .sql('UPDATE items SET due_ms = ?, alarm_ms = NULL, session = ?, session_proof = ?, releases = releases + ? WHERE id = ?')
    .run(nowMs, by.session, by.sessionProof, files.length, trigger.id);
  return nowMs;
}

type Waits = 'trigger' | 'file' | 'folder';

function waiting(store: Store, partner: string, folderKey: string, nameKey: string, hold: Waits): Item | undefined {
  const entry = findEntry(store, partner, folderKey, nameKey);
  const item = entry?.item ? findItem(store, entry.item) : undefined;
  return item?.state === 'temporary' && item.hold === hold && item.dueMs === null ? item : undefined;
}

/** In a folder, in the order of their coming. A trigger for a folder may be due already and still take more. */
function waitingIn(store: Store, partner: string, folderKey: string, hold: Waits): Item[] {
  return store
    .sql(
      `SELECT items.* FROM entries JOIN items ON items.id = entries.item
       WHERE entries.partner = ? AND entries.folder_key = ? AND items.state = 'temporary' AND items.hold = ?
         AND (items.due_ms IS NULL OR items.hold = 'folder')
       ORDER BY items.completed_ms, items.row LIMIT ?`,
    )
    .all(partner, folderKey, hold, mostOfBatch)
    .map(toItem);
}
