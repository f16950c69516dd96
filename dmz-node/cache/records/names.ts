/** What a partner does to names: look, list, remove, rename, folders. */

import type { Store } from '../../../shared/durable/operations.ts';
import { SallyportError } from '../../../shared/errors.ts';
import { type EventContext, event } from '../../../shared/events/event.ts';
import type { Grant } from '../../../shared/policy.ts';
import type { Ruling } from '../../cache-view.ts';
import {
  type Entry,
  findEntry,
  folderExists,
  type ListedRow,
  listedColumns,
  type NamePlace,
  putEntry,
  removeEntry,
} from './entries.ts';
import { type Hold, waitsForRename } from './hold.ts';
import { tellHeld } from './holds.ts';
import { bury, contextOf, findItem, type Item, nextCount, removeItem, saveItem, sha256Of } from './items.ts';
import { route } from './routing.ts';
import { pair } from './triggers.ts';
import { type Actor, dropPartials, makeRoom, usageOf } from './uploads.ts';

const contextOfActor = (actor: Actor): EventContext => ({
  trace: actor.trace,
  session: actor.session,
  partner: actor.partner,
});

/** A ghost is seen until its time is over, and by its own session as long as that lives. */
const isSeen = (entry: Entry, actor: Actor, nowMs: number): boolean =>
  !entry.hidden && (entry.ghostUntil === null || entry.ghostUntil > nowMs || entry.session === actor.session);

function seenEntry(store: Store, actor: Actor, place: NamePlace, nowMs: number, owner: string = actor.partner): Entry {
  const entry = findEntry(store, owner, place.folderKey, place.nameKey);
  if (!entry || !isSeen(entry, actor, nowMs)) throw new SallyportError('no-such-file', 'no entry of that name');
  return entry;
}

/** Its item was taken, or is being fetched at this moment. */
const isGhost = (entry: Entry, leased: readonly string[]): boolean =>
  entry.ghostUntil !== null || (entry.item !== null && leased.includes(entry.item));

/** The item behind a file entry, when it may still be changed. */
function untakenItem(store: Store, entry: Entry, leased: readonly string[]): Item {
  if (entry.kind === 'folder') throw new SallyportError('is-a-folder', 'the entry is a folder');
  const item = entry.item === null ? undefined : findItem(store, entry.item);
  if (!item || isGhost(entry, leased)) {
    throw new SallyportError('already-collected', 'the item was taken', { item: entry.item });
  }
  if (item.state === 'receiving') throw new SallyportError('upload-in-progress', 'the item is being uploaded');
  return item;
}

export const nameOperations = {
  'names.look': (
    store: Store,
    args: { readonly partner: string; readonly folderKey: string; readonly nameKey: string },
  ): Entry | undefined => findEntry(store, args.partner, args.folderKey, args.nameKey),

  /** An entry with the SHA-256 of its content: null for what is not complete, or was never hashed as a whole. */
  'names.digest': (
    store: Store,
    args: { readonly partner: string; readonly folderKey: string; readonly nameKey: string },
  ): { entry: Entry; sha256: string | null } | undefined => {
    const entry = findEntry(store, args.partner, args.folderKey, args.nameKey);
    return entry && { entry, sha256: entry.item === null || entry.partial ? null : sha256Of(store, entry.item) };
  },

  /** Entries of a folder after a name, by name. Ghosts and hidden ones are among them: the reader decides. */
  'names.page': (
    store: Store,
    args: { readonly partner: string; readonly folderKey: string; readonly after: string; readonly limit: number },
  ): { folderExists: boolean; rows: ListedRow[] } => {
    if (!folderExists(store, args.partner, args.folderKey)) return { folderExists: false, rows: [] };
    const statement = store.sql(
      `SELECT ${listedColumns} FROM entries WHERE partner = ? AND folder_key = ? AND name_key > ? ORDER BY name_key LIMIT ?`,
    );
    statement.setReturnArrays(true);
    const rows = statement.all(args.partner, args.folderKey, args.after, args.limit);
    return { folderExists: true, rows: rows as unknown as ListedRow[] };
  },

  'names.touch': (
    store: Store,
    args: {
      readonly actor: Actor;
      readonly place: NamePlace;
      readonly modifiedMs: number;
      readonly nowMs: number;
    },
  ): void => {
    const entry = seenEntry(store, args.actor, args.place, args.nowMs);
    store.sql('UPDATE entries SET modified_ms = ? WHERE row = ?').run(args.modifiedMs, entry.row);
    // Its quiet time begins anew, however long that is. Who touched it last can answer for it: the session that sent it may be
    // over for too long by then.
    store
      .sql(
        `UPDATE items SET due_ms = ?1 + due_ms - updated_ms, updated_ms = ?1, session = ?2, session_proof = ?3
         WHERE id = ?4 AND hold = 'quiet'`,
      )
      .run(args.nowMs, args.actor.session, args.actor.sessionProof, entry.item);
  },

  /**
   * A ghost leaves the view and its item stays where it is: programs remove the old file of a name before they give the name to
   * the one they sent, and would fail after all bytes came (WinSCP, docs/uploads.md).
   * @returns Files to unlink.
   */
  'names.remove': (
    store: Store,
    args: {
      readonly actor: Actor;
      /** Whose name it is: of an Outbox that is shared, another's. */
      readonly owner: string;
      readonly place: NamePlace;
      readonly leased: readonly string[];
      readonly nowMs: number;
    },
  ): string[] => {
    const { actor, owner, place, nowMs } = args;
    const entry = seenEntry(store, actor, place, nowMs, owner);
    if (entry.kind === 'file' && isGhost(entry, args.leased)) {
      removeEntry(store, entry);
      const item = entry.item === null ? {} : { item: entry.item };
      store.emit(event('item.ghost-removed', nowMs, { ...contextOfActor(actor), ...item }, { path: place.path }));
      return dropPartials(store, owner, place.pathKey, '', nowMs);
    }
    const item = untakenItem(store, entry, args.leased);
    const unlink = removeItem(store, item, 'removed', nowMs);
    removeEntry(store, entry);
    unlink.push(...dropPartials(store, owner, place.pathKey, '', nowMs));
    store.emit(event('item.removed', nowMs, { ...contextOfActor(actor), item: item.id }, { path: place.path }));
    return unlink;
  },

  'names.makeFolder': (
    store: Store,
    args: { readonly actor: Actor; readonly place: NamePlace; readonly maxFolders: number; readonly nowMs: number },
  ): void => {
    const { actor, place, nowMs } = args;
    if (!folderExists(store, actor.partner, place.folderKey)) throw new SallyportError('no-such-file', 'no such folder');
    const old = findEntry(store, actor.partner, place.folderKey, place.nameKey);
    if (old && isSeen(old, actor, nowMs)) throw new SallyportError('already-exists', 'the name is taken');
    if (old) removeEntry(store, old);
    if (usageOf(store, actor.partner).folders >= args.maxFolders) {
      throw new SallyportError('quota-exceeded', 'too many folders', { maxFolders: args.maxFolders });
    }
    putFolder(store, actor.partner, place, nowMs);
    store.emit(event('folder.made', nowMs, contextOfActor(actor), { path: place.path }));
  },

  /** Folders that are to be there; what has such a name already stays, and beyond the most folders nothing is made. */
  'names.prepareFolders': (
    store: Store,
    args: {
      readonly actor: Actor;
      /** Parents before what is in them. */
      readonly places: readonly NamePlace[];
      readonly maxFolders: number;
      readonly nowMs: number;
    },
  ): void => {
    const { actor, nowMs } = args;
    for (const place of args.places) {
      const old = findEntry(store, actor.partner, place.folderKey, place.nameKey);
      if (old && isSeen(old, actor, nowMs)) continue;
      if (!folderExists(store, actor.partner, place.folderKey)) continue;
      if (usageOf(store, actor.partner).folders >= args.maxFolders) return;
      if (old) removeEntry(store, old);
      putFolder(store, actor.partner, place, nowMs);
      store.emit(event('folder.made', nowMs, contextOfActor(actor), { path: place.path }));
    }
  },

  /** @throws SallyportError `folder-not-empty` unless there is nothing in it but ghosts. */
  'names.removeFolder': (
    store: Store,
    args: { readonly actor: Actor; readonly place: NamePlace; readonly nowMs: number },
  ): void => {
    const { actor, place, nowMs } = args;
    const entry = seenEntry(store, actor, place, nowMs);
    if (entry.kind !== 'folder') throw new SallyportError('not-a-folder', 'the entry is a file');
    refuseUnlessEmpty(store, actor.partner, place.pathKey);
    store.sql('DELETE FROM entries WHERE partner = ? AND folder_key = ?').run(actor.partner, place.pathKey);
    removeEntry(store, entry);
    store.emit(event('folder.removed', nowMs, contextOfActor(actor), { path: place.path }));
  },

  /** Only an empty folder: what is in one is promised to the inside under its path. */
  'names.renameFolder': (
    store: Store,
    args: { readonly actor: Actor; readonly from: NamePlace; readonly to: NamePlace; readonly nowMs: number },
  ): void => {
    const { actor, from, to, nowMs } = args;
    const entry = seenEntry(store, actor, from, nowMs);
    if (entry.kind !== 'folder') throw new SallyportError('not-a-folder', 'the entry is a file');
    if (to.folderKey === from.pathKey || to.folderKey.startsWith(`${from.pathKey}/`)) {
      throw new SallyportError('bad-name', 'a folder cannot be moved into itself');
    }
    refuseUnlessEmpty(store, actor.partner, from.pathKey);
    if (!folderExists(store, actor.partner, to.folderKey)) throw new SallyportError('no-such-file', 'no such folder');
    const old = findEntry(store, actor.partner, to.folderKey, to.nameKey);
    if (old && isSeen(old, actor, nowMs)) throw new SallyportError('already-exists', 'the name is taken');
    if (old) removeEntry(store, old);
    store.sql('DELETE FROM entries WHERE partner = ? AND folder_key = ?').run(actor.partner, from.pathKey);
    removeEntry(store, entry);
    putFolder(store, actor.partner, to, entry.modifiedMs);
    store.emit(event('item.renamed', nowMs, contextOfActor(actor), { from: from.path, to: to.path }));
  },

  /**
   * Gives a file another name. A file under a temporary name becomes complete by this; one that the inside may already
   * have heard of gets a new id, because what the inside was told of the old one can no longer be true.
   * @returns Files to unlink, and when something that is held back will be due.
   */
  'names.rename': (store: Store, args: RenameArgs): { unlink: string[]; dueMs: number | null } => {
    const { actor, from, to, nowMs } = args;
    const entry = seenEntry(store, actor, from, nowMs);
    const item = untakenItem(store, entry, args.leased);
    if (!args.mayRename && !(item.state === 'temporary' && item.hold === 'rename')) {
      throw new SallyportError('permission-denied', 'the grant allows no changes of what is complete');
    }
    if (item.id !== args.expected) throw new SallyportError('content-mismatch', 'another file has the name by now');
    if (!folderExists(store, actor.partner, to.folderKey)) throw new SallyportError('no-such-file', 'no such folder');
    const old = findEntry(store, actor.partner, to.folderKey, to.nameKey);
    const inTheWay = old && isSeen(old, actor, nowMs) && old.ghostUntil === null && !old.partial;
    // What a rename completes follows the overwrite policy like any other upload: `makeRoom` knows it.
    const completes = item.state === 'temporary' && waitsForRename(item.hold);
    if (inTheWay && (item.state === 'partial' || !(args.overwrite || completes)))
      throw new SallyportError('already-exists', 'the new name is taken');
    const unlink = makeRoom(store, {
      ...args,
      partner: actor.partner,
      place: to,
      by: item.id,
      object: item.object,
    });
    removeEntry(store, entry);
    putEntry(store, {
      ...entry,
      folderKey: to.folderKey,
      nameKey: to.nameKey,
      name: to.name,
      item: renamedId(item, args),
      session: actor.session,
    });
    store.emit(event('item.renamed', nowMs, { ...contextOfActor(actor), item: item.id }, { from: from.path, to: to.path }));
    const dueMs = renameItem(store, item, args);
    return { unlink, dueMs };
  },

  /** A session is over: from now on the time of its ghosts runs. @returns how many uploads its end completes. */
  'names.endSession': (store: Store, args: { readonly session: string; readonly ghostUntilMs: number }): number => {
    store
      .sql('UPDATE entries SET ghost_until = MAX(ghost_until, ?) WHERE session = ? AND ghost_until IS NOT NULL')
      .run(args.ghostUntilMs, args.session);
    const held = store
      .sql(`SELECT COUNT(*) AS count FROM items WHERE session = ? AND hold = 'session-end' AND due_ms IS NULL`)
      .get(args.session) as { count: number };
    return held.count;
  },
};

export interface RenameArgs {
  readonly actor: Actor;
  readonly from: NamePlace;
  readonly to: NamePlace;
  /** The item that the caller saw under the old name and decided about. */
  readonly expected: string;
  readonly newId: string;
  /** Otherwise only what waits for its rename. */
  readonly mayRename: boolean;
  /** Why it is not complete under the new name; null when it is. */
  readonly hold: Hold | null;
  readonly ruling: Ruling;
  readonly overwrite: boolean;
  readonly onExisting: Grant['onExisting'];
  readonly leased: readonly string[];
  readonly ghostMs: number;
  readonly nowMs: number;
}

const wasPromised = (item: Item): boolean => item.seq !== null;
const renamedId = (item: Item, args: RenameArgs): string => (wasPromised(item) ? args.newId : item.id);

function renameItem(store: Store, item: Item, args: RenameArgs): number | null {
  const { actor, to, hold, nowMs } = args;
  if (wasPromised(item)) bury(store, item, 'renamed', nowMs);
  const renamed: Item = {
    ...item,
    id: renamedId(item, args),
    path: to.path,
    pathKey: to.pathKey,
    updatedMs: nowMs,
    ghostMs: args.ghostMs,
    trigger: null,
    releases: 0,
  };
  if (item.state === 'partial') {
    saveItem(store, renamed);
    return null;
  }
  const complete: Item = {
    ...renamed,
    // The session that completes an item answers for it.
    session: actor.session,
    sessionProof: actor.sessionProof,
    trace: actor.trace,
    registered: false,
    policyNumber: args.ruling.policyNumber,
  };
  if (wasPromised(item)) {
    const { path, size, sha256 } = complete;
    store.emit(event('item.completed', nowMs, contextOf(complete), { path, size, sha256: sha256 ?? '' }));
  }
  if (hold) {
    const { kind, dueMs, alarmMs } = hold;
    const held: Item = { ...complete, state: 'temporary', seq: null, decision: null, hold: kind, dueMs, alarmMs };
    saveItem(store, held);
    tellHeld(store, held, kind, nowMs);
    return pair(store, held, to, hold, nowMs) ?? dueMs;
  }
  route(store, { ...complete, seq: nextCount(store, 'seq'), completedMs: args.ruling.atMs }, args.ruling.decision, nowMs);
  return null;
}

function refuseUnlessEmpty(store: Store, partner: string, folderKey: string): void {
  const row = store
    .sql('SELECT 1 FROM entries WHERE partner = ? AND folder_key = ? AND ghost_until IS NULL LIMIT 1')
    .get(partner, folderKey);
  if (row) throw new SallyportError('folder-not-empty', 'the folder is not empty');
}

/** A folder without anything in it. */
export function putFolder(store: Store, partner: string, place: Omit<NamePlace, 'path' | 'pathKey'>, nowMs: number): void {
  putEntry(store, {
    partner,
    folderKey: place.folderKey,
    nameKey: place.nameKey,
    name: place.name,
    kind: 'folder',
    item: null,
    size: 0,
    modifiedMs: nowMs,
    partial: false,
    hidden: false,
    ghostUntil: null,
    session: null,
  });
}
