/** The records of an upload: looking before it, noting that it runs, keeping it as a partial, committing it. */

import type { Store } from '../../../shared/durable/operations.ts';
import { SallyportError } from '../../../shared/errors.ts';
import { event } from '../../../shared/events/event.ts';
import type { Grant } from '../../../shared/policy.ts';
import type { ItemDescription } from '../../../shared/tunnel/messages.ts';
import type { Ruling } from '../../cache-view.ts';
import { type Entry, findEntry, folderExists, type NamePlace, putEntry } from './entries.ts';
import { type Hold, waitsForRename } from './hold.ts';
import { isHeld, tellHeld } from './holds.ts';
import {
  bury,
  contextOf,
  describe,
  findItem,
  type Item,
  nextCount,
  removeItem,
  type StoredSegment,
  saveItem,
  toItem,
} from './items.ts';
import { route } from './routing.ts';
import { pair } from './triggers.ts';

/** What a partner uses of his quota. */
export interface Usage {
  readonly bytes: number;
  readonly files: number;
  readonly partials: number;
  readonly folders: number;
}

export function usageOf(store: Store, partner: string): Usage {
  const row = store
    .sql(`SELECT bytes, files, partials, folders FROM usage WHERE partner = ? AND origin = 'partner'`)
    .get(partner);
  return row ? { ...(row as unknown as Usage) } : { bytes: 0, files: 0, partials: 0, folders: 0 };
}

/** Who uploads, and what. The same in every call of one upload. */
export interface UploadFacts {
  readonly id: string;
  readonly object: string;
  readonly partner: string;
  readonly session: string;
  readonly sessionProof: string;
  readonly trace: string;
  readonly place: NamePlace;
  readonly startedMs: number;
  /** How long its ghost will stay. */
  readonly ghostMs: number;
  /** Where it began: 0, or what a partial had. */
  readonly offset: number;
  /** Whether the row exists already, so that the beginning was told. */
  readonly recorded: boolean;
}

export interface UploadContent {
  readonly segments: readonly StoredSegment[];
  readonly liveFile: number | null;
  readonly nextFile: number;
}

const sizeOf = (segments: readonly StoredSegment[]): number => segments.reduce((sum, s) => sum + s.plainBytes, 0);

/** SHA-256 of the whole is known only when one pass made it. */
const wholeSha256 = (segments: readonly StoredSegment[]): string | null =>
  segments.length === 1 ? (segments[0]?.sha256 ?? null) : null;

function itemOf(facts: UploadFacts, content: UploadContent, nowMs: number): Item {
  return {
    id: facts.id,
    object: facts.object,
    seq: null,
    origin: 'partner',
    partner: facts.partner,
    outboxPartner: null,
    path: facts.place.path,
    pathKey: facts.place.pathKey,
    session: facts.session,
    sessionProof: facts.sessionProof,
    trace: facts.trace,
    ...content,
    size: sizeOf(content.segments),
    sha256: wholeSha256(content.segments),
    state: 'receiving',
    decision: null,
    policyNumber: 0,
    registered: false,
    startedMs: facts.startedMs,
    updatedMs: nowMs,
    completedMs: null,
    expiresMs: null,
    hold: null,
    dueMs: null,
    alarmMs: null,
    ghostMs: facts.ghostMs,
    trigger: null,
    releases: 0,
  };
}

function tellStart(store: Store, facts: UploadFacts): void {
  if (facts.recorded) return;
  store.emit(event('upload.started', facts.startedMs, contextOfUpload(facts), { path: facts.place.path, offset: facts.offset }));
}

const otherPartials = (store: Store, facts: UploadFacts): number =>
  usageOf(store, facts.partner).partials - (findItem(store, facts.id)?.state === 'partial' ? 1 : 0);

const contextOfUpload = (facts: UploadFacts) => contextOf(facts);

function unfinishedOf(store: Store, partner: string, pathKey: string): Item[] {
  return store.sql('SELECT * FROM items WHERE unfinished = 1 AND partner = ? AND path_key = ?').all(partner, pathKey).map(toItem);
}

/** Partials of the same name give way to a newer one, or to the complete file. */
export function dropPartials(store: Store, partner: string, pathKey: string, except: string, nowMs: number): string[] {
  return unfinishedOf(store, partner, pathKey)
    .filter((item) => item.object !== except)
    .flatMap((item) => removeItem(store, item, 'discarded', nowMs));
}

export interface Kept {
  readonly id: string;
  readonly object: string;
  readonly segments: readonly StoredSegment[];
  readonly nextFile: number;
  readonly size: number;
}

const keptOf = ({ id, object, segments, nextFile, size }: Item): Kept => ({ id, object, segments, nextFile, size });

/** Who acts. */
export interface Actor {
  readonly partner: string;
  readonly session: string;
  readonly sessionProof: string;
  readonly trace: string;
}

/** Whole, and still only here. */
const reopenable = new Set<string>(['temporary', 'ready', 'held', 'unrouted']);

export const uploadOperations = {
  /** What is there under a name, before an upload of it begins. */
  'upload.look': (
    store: Store,
    args: { readonly partner: string; readonly place: NamePlace; readonly nowMs: number },
  ): {
    folderExists: boolean;
    entry: Entry | undefined;
    partial: Kept | undefined;
    usage: Usage;
    givesWay: boolean;
    held: boolean;
  } => {
    const { partner, place } = args;
    const entry = findEntry(store, partner, place.folderKey, place.nameKey);
    const item = entry?.item ? findItem(store, entry.item) : undefined;
    const partial = unfinishedOf(store, partner, place.pathKey).find((item) => item.state === 'partial');
    return {
      folderExists: folderExists(store, partner, place.folderKey),
      entry,
      givesWay: item?.state === 'temporary' && waitsForRename(item.hold),
      held: item !== undefined && isHeld(item, args.nowMs),
      partial: partial && keptOf(partial),
      usage: usageOf(store, partner),
    };
  },

  /**
   * A whole file that nobody took goes back to being received, in one step; what the inside was told of it holds no longer.
   * @throws SallyportError `already-collected`, `content-mismatch` when another file has the name by now.
   */
  'upload.reopen': (
    store: Store,
    args: {
      readonly actor: Actor;
      readonly place: NamePlace;
      readonly expected: string;
      readonly newId: string;
      readonly leased: readonly string[];
      readonly nowMs: number;
    },
  ): { kept: Kept; usage: Usage } => {
    const { actor, place, nowMs } = args;
    const entry = findEntry(store, actor.partner, place.folderKey, place.nameKey);
    const item = entry?.item === args.expected ? findItem(store, args.expected) : undefined;
    if (!entry || !item) throw new SallyportError('content-mismatch', 'another file has the name by now');
    if (!reopenable.has(item.state) || args.leased.includes(item.id)) {
      throw new SallyportError('already-collected', 'the file was taken; it must be sent anew', { item: item.id });
    }
    const wasPromised = item.seq !== null;
    if (wasPromised) bury(store, item, 'reopened', nowMs);
    const { session, sessionProof, trace } = actor;
    const reopened: Item = {
      ...item,
      id: wasPromised ? args.newId : item.id,
      seq: null,
      session,
      sessionProof,
      trace,
      state: 'receiving',
      decision: null,
      registered: false,
      completedMs: null,
      updatedMs: nowMs,
      hold: null,
      dueMs: null,
      alarmMs: null,
      trigger: null,
      releases: 0,
    };
    saveItem(store, reopened);
    store.sql('UPDATE entries SET item = ?, partial = 1, session = ? WHERE row = ?').run(reopened.id, session, entry.row);
    store.emit(event('upload.reopened', nowMs, contextOf(reopened), { path: item.path, size: item.size, was: item.id }));
    return { kept: keptOf(reopened), usage: usageOf(store, actor.partner) };
  },

  'upload.usage': (store: Store, args: { readonly partner: string }): Usage => usageOf(store, args.partner),

  /** Notes that an upload runs, and which file it writes: without this a crash loses what came. */
  'upload.begin': (
    store: Store,
    args: { readonly facts: UploadFacts; readonly content: UploadContent; readonly nowMs: number },
  ): void => {
    saveItem(store, itemOf(args.facts, args.content, args.nowMs));
    tellStart(store, args.facts);
  },

  /** Keeps what came as a partial. @returns whether it was kept (the partner may have too many), and files to unlink. */
  'upload.keep': (
    store: Store,
    args: {
      readonly facts: UploadFacts;
      readonly content: UploadContent;
      readonly maxPartials: number;
      readonly reason: string;
      readonly modifiedMs: number;
      readonly nowMs: number;
    },
  ): { kept: boolean; unlink: string[]; usage: Usage } => {
    const { facts, nowMs } = args;
    const item: Item = { ...itemOf(facts, args.content, nowMs), state: 'partial', liveFile: null };
    if (item.size === 0 && isSomethingBetter(store, item, facts.place)) {
      const unlink = removeItem(store, item, 'discarded', nowMs);
      return { kept: false, unlink, usage: usageOf(store, facts.partner) };
    }
    tellStart(store, facts);
    const unlink = dropPartials(store, facts.partner, facts.place.pathKey, facts.object, nowMs);
    if (otherPartials(store, facts) >= args.maxPartials) {
      unlink.push(...removeItem(store, item, 'discarded', nowMs));
      const detail = `the partner keeps ${args.maxPartials} partial uploads already`;
      store.emit(event('upload.refused', nowMs, contextOf(item), { path: item.path, code: 'quota-exceeded', detail }));
      return { kept: false, unlink, usage: usageOf(store, facts.partner) };
    }
    saveItem(store, item);
    showPartial(store, item, facts.place, args.modifiedMs);
    store.emit(event('upload.partial', nowMs, contextOf(item), { path: item.path, size: item.size, reason: args.reason }));
    return { kept: true, unlink, usage: usageOf(store, facts.partner) };
  },

  /** Nothing worth keeping came, or it must not be kept. Also tells why when a code is given. */
  'upload.drop': (
    store: Store,
    args: {
      readonly facts: UploadFacts;
      readonly refused: { readonly code: string; readonly detail: string } | null;
      readonly nowMs: number;
    },
  ): { usage: Usage } => {
    const { facts, refused, nowMs } = args;
    const item = findItem(store, facts.id);
    if (item) removeItem(store, item, 'discarded', nowMs);
    store.sql('DELETE FROM entries WHERE item = ? AND partial = 1').run(facts.id);
    if (refused) {
      store.emit(event('upload.refused', nowMs, contextOfUpload(facts), { path: facts.place.path, ...refused }));
    }
    return { usage: usageOf(store, facts.partner) };
  },

  /**
   * Completes an upload: item, entry, event and decision in one transaction. After this the partner may hear "ok".
   * @returns files to unlink, and what the inside is to hear when the item is for it.
   * @throws SallyportError `already-exists` when the grant refuses to replace, `is-a-folder`
   */
  'upload.commit': (
    store: Store,
    args: {
      readonly facts: UploadFacts;
      readonly content: UploadContent;
      /** Why it is not complete yet; null when it is. */
      readonly hold: Hold | null;
      readonly ruling: Ruling;
      readonly onExisting: Grant['onExisting'];
      readonly leased: readonly string[];
      readonly modifiedMs: number;
      /** The sender never said that this was all. */
      readonly endUntold?: boolean;
      readonly nowMs: number;
    },
  ): { unlink: string[]; usage: Usage; announcement: ItemDescription | undefined; dueMs: number | null } => {
    const { facts, hold, ruling, nowMs } = args;
    const { partner, place } = facts;
    tellStart(store, facts);
    const unlink = makeRoom(store, { ...args, partner, place, by: facts.id, object: facts.object });
    const item: Item = {
      ...itemOf(facts, { ...args.content, liveFile: null }, nowMs),
      seq: hold ? null : nextCount(store, 'seq'),
      completedMs: ruling.atMs,
      policyNumber: ruling.policyNumber,
      state: 'temporary',
    };
    putEntry(store, { ...entryFor(item, place, args.modifiedMs), partial: false });
    store.emit(event('item.completed', nowMs, contextOf(item), { path: item.path, size: item.size, sha256: item.sha256 ?? '' }));
    if (args.endUntold) store.emit(event('upload.end-untold', nowMs, contextOf(item), { path: item.path }));
    if (hold) {
      saveItem(store, { ...item, hold: hold.kind, dueMs: hold.dueMs, alarmMs: hold.alarmMs });
      tellHeld(store, item, hold.kind, nowMs);
      const dueMs = pair(store, item, place, hold, nowMs) ?? hold.dueMs;
      return { unlink, usage: usageOf(store, partner), announcement: undefined, dueMs };
    }
    const routed = route(store, item, ruling.decision, nowMs);
    return { unlink, usage: usageOf(store, partner), announcement: describe(routed), dueMs: null };
  },
};

/** What is in the way of a new complete file under a name. @returns files to unlink. */
export function makeRoom(
  store: Store,
  args: {
    readonly partner: string;
    readonly place: NamePlace;
    /** The newer item and its object. */
    readonly by: string;
    readonly object: string;
    readonly onExisting: Grant['onExisting'];
    readonly leased: readonly string[];
    readonly nowMs: number;
  },
): string[] {
  const { partner, place, nowMs } = args;
  const old = findEntry(store, partner, place.folderKey, place.nameKey);
  if (old?.kind === 'folder') throw new SallyportError('is-a-folder', 'a folder has this name');
  const unlink: string[] = [];
  if (old?.item && old.ghostUntil === null && !old.partial) {
    const item = findItem(store, old.item);
    // What is held back was not promised to the inside: the newer one takes its place.
    const unpromised = item !== undefined && isHeld(item, nowMs);
    const givesWay = unpromised && waitsForRename(item.hold);
    const untaken = item !== undefined && item.state !== 'offered' && !args.leased.includes(item.id);
    if (args.onExisting === 'refuse' && untaken && !givesWay) {
      throw new SallyportError('already-exists', 'the grant does not allow to replace a file');
    }
    if (untaken && (args.onExisting === 'replace' || unpromised)) {
      unlink.push(...removeItem(store, item, 'superseded', nowMs));
      store.emit(event('item.superseded', nowMs, contextOf(item), { path: item.path, by: args.by }));
    }
  }
  unlink.push(...dropPartials(store, partner, place.pathKey, args.object, nowMs));
  return unlink;
}

function entryFor(item: Item, place: NamePlace, modifiedMs: number): Omit<Entry, 'row' | 'partial'> {
  return {
    partner: item.partner,
    folderKey: place.folderKey,
    nameKey: place.nameKey,
    name: place.name,
    kind: 'file',
    item: item.id,
    size: item.size,
    modifiedMs,
    hidden: false,
    ghostUntil: null,
    session: item.session,
  };
}

/** An older complete file keeps its place until a newer one is complete. */
function showPartial(store: Store, item: Item, place: NamePlace, modifiedMs: number): void {
  if (!isTaken(store, item.partner, place)) putEntry(store, { ...entryFor(item, place, modifiedMs), partial: true });
}

function isTaken(store: Store, partner: string, place: NamePlace): boolean {
  const old = findEntry(store, partner, place.folderKey, place.nameKey);
  return old !== undefined && (old.kind === 'folder' || (old.ghostUntil === null && !old.partial));
}

/** Beside these an empty partial helps nobody, and would take the place of the bytes of an older one. */
const isSomethingBetter = (store: Store, item: Item, place: NamePlace): boolean =>
  isTaken(store, item.partner, place) ||
  unfinishedOf(store, item.partner, item.pathKey).some(({ object, size }) => object !== item.object && size > 0);
