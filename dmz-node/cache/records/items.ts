/** Rows of `items` as values, and the few statements that every other operations file shares. */
import type { Store } from '../../../shared/durable/operations.ts';
import type { EventContext } from '../../../shared/events/event.ts';
import type { Decision } from '../../../shared/policy.ts';
import type { ItemDescription } from '../../../shared/tunnel/messages.ts';
import type { HoldKind } from './hold.ts';

/** One age file of an item, in `objects/<first two>/<object>.<file>`. */
export interface StoredSegment {
  /** Number in the file's name; never used twice for one object. */
  readonly file: number;
  readonly headerSha256: string;
  /** Plaintext bytes that count. */
  readonly plainBytes: number;
  readonly sealedBytes: number;
  readonly sha256: string | null;
}

/** `temporary`: whole, but held back (holds.ts): the inside is not told yet. */
export type ItemState =
  | 'receiving'
  | 'partial'
  | 'temporary'
  | 'ready'
  | 'held'
  | 'unrouted'
  | 'offered'
  | 'dropped'
  | 'quarantined';

export interface Item {
  readonly id: string;
  /** Names the files. Differs from the id once a completed item was renamed. */
  readonly object: string;
  /** Order of completion; null while there is nothing for the inside to know. */
  readonly seq: number | null;
  readonly origin: 'partner' | 'inside';
  /** Who uploaded it, or whom the inside offers it to. */
  readonly partner: string;
  readonly outboxPartner: string | null;
  readonly path: string;
  readonly pathKey: string;
  readonly session: string | null;
  readonly sessionProof: string | null;
  readonly trace: string;
  readonly segments: readonly StoredSegment[];
  /** The file that an upload under way writes; recovery looks at it. */
  readonly liveFile: number | null;
  readonly nextFile: number;
  readonly size: number;
  readonly sha256: string | null;
  readonly state: ItemState;
  readonly decision: Decision | null;
  readonly policyNumber: number;
  /** The inside knows it. */
  readonly registered: boolean;
  readonly startedMs: number;
  readonly updatedMs: number;
  readonly completedMs: number | null;
  readonly expiresMs: number | null;
  /** Why it is held back, while its state is `temporary`. */
  readonly hold: HoldKind | null;
  /** When a hold ends by itself. */
  readonly dueMs: number | null;
  /** When somebody should be told that it is still held back. */
  readonly alarmMs: number | null;
  /** How long its uploader sees it after it was taken. */
  readonly ghostMs: number;
  /** The item that was the trigger of this one. */
  readonly trigger: string | null;
  /** Of how many it was the trigger. */
  readonly releases: number;
}

interface ItemRow {
  readonly id: string;
  readonly object: string;
  readonly seq: number | null;
  readonly origin: 'partner' | 'inside';
  readonly partner: string;
  readonly outbox_partner: string | null;
  readonly path: string;
  readonly path_key: string;
  readonly session: string | null;
  readonly session_proof: string | null;
  readonly trace: string;
  readonly segments: string;
  readonly live_file: number | null;
  readonly next_file: number;
  readonly size: number;
  readonly sha256: string | null;
  readonly state: ItemState;
  readonly decision: string | null;
  readonly policy_number: number;
  readonly registered: number;
  readonly started_ms: number;
  readonly updated_ms: number;
  readonly completed_ms: number | null;
  readonly expires_ms: number | null;
  readonly hold: HoldKind | null;
  readonly due_ms: number | null;
  readonly alarm_ms: number | null;
  readonly ghost_ms: number;
  readonly trigger_id: string | null;
  readonly releases: number;
}

export function toItem(raw: unknown): Item {
  const row = raw as ItemRow;
  return {
    id: row.id,
    object: row.object,
    seq: row.seq,
    origin: row.origin,
    partner: row.partner,
    outboxPartner: row.outbox_partner,
    path: row.path,
    pathKey: row.path_key,
    session: row.session,
    sessionProof: row.session_proof,
    trace: row.trace,
    segments: JSON.parse(row.segments) as StoredSegment[],
    liveFile: row.live_file,
    nextFile: row.next_file,
    size: row.size,
    sha256: row.sha256,
    state: row.state,
    decision: row.decision === null ? null : (JSON.parse(row.decision) as Decision),
    policyNumber: row.policy_number,
    registered: row.registered === 1,
    startedMs: row.started_ms,
    updatedMs: row.updated_ms,
    completedMs: row.completed_ms,
    expiresMs: row.expires_ms,
    hold: row.hold,
    dueMs: row.due_ms,
    alarmMs: row.alarm_ms,
    ghostMs: row.ghost_ms,
    trigger: row.trigger_id,
    releases: row.releases,
  };
}

export function findItem(store: Store, id: string): Item | undefined {
  const row = store.sql('SELECT * FROM items WHERE id = ?').get(id);
  return row ? toItem(row) : undefined;
}

/** Writes the whole row; the object is what stays the same. */
export function saveItem(store: Store, item: Item): void {
  store
    .sql(
      `INSERT INTO items(id, object, seq, origin, partner, outbox_partner, path, path_key, session, session_proof, trace,
         segments, live_file, next_file, size, sha256, state, decision, policy_number, registered, started_ms, updated_ms,
         completed_ms, expires_ms, hold, due_ms, alarm_ms, ghost_ms, trigger_id, releases)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (object) DO UPDATE SET id = excluded.id, seq = excluded.seq, outbox_partner = excluded.outbox_partner,
         path = excluded.path, path_key = excluded.path_key, session = excluded.session,
         session_proof = excluded.session_proof, trace = excluded.trace, segments = excluded.segments,
         live_file = excluded.live_file, next_file = excluded.next_file, size = excluded.size, sha256 = excluded.sha256,
         state = excluded.state, decision = excluded.decision, policy_number = excluded.policy_number,
         registered = excluded.registered, updated_ms = excluded.updated_ms, completed_ms = excluded.completed_ms,
         expires_ms = excluded.expires_ms, hold = excluded.hold, due_ms = excluded.due_ms, alarm_ms = excluded.alarm_ms,
         ghost_ms = excluded.ghost_ms, trigger_id = excluded.trigger_id, releases = excluded.releases`,
    )
    .run(
      item.id,
      item.object,
      item.seq,
      item.origin,
      item.partner,
      item.outboxPartner,
      item.path,
      item.pathKey,
      item.session,
      item.sessionProof,
      item.trace,
      JSON.stringify(item.segments),
      item.liveFile,
      item.nextFile,
      item.size,
      item.sha256,
      item.state,
      item.decision === null ? null : JSON.stringify(item.decision),
      item.policyNumber,
      item.registered ? 1 : 0,
      item.startedMs,
      item.updatedMs,
      item.completedMs,
      item.expiresMs,
      item.hold,
      item.dueMs,
      item.alarmMs,
      item.ghostMs,
      item.trigger,
      item.releases,
    );
}

/**
 * Drops the row and leaves a tombstone. The caller decides about entries and events.
 * @returns Names of the files to unlink once the commit is durable.
 */
export function removeItem(store: Store, item: Item, outcome: string, nowMs: number): string[] {
  store.sql('DELETE FROM items WHERE object = ?').run(item.object);
  bury(store, item, outcome, nowMs);
  return filesOf(item);
}

export function bury(store: Store, item: Pick<Item, 'id' | 'object' | 'sha256'>, outcome: string, nowMs: number): void {
  store
    .sql('INSERT OR REPLACE INTO tombstones(id, object, sha256, outcome, at_ms) VALUES (?, ?, ?, ?, ?)')
    .run(item.id, item.object, item.sha256, outcome, nowMs);
}

export function hasTombstone(store: Store, id: string): boolean {
  return store.sql('SELECT 1 FROM tombstones WHERE id = ?').get(id) !== undefined;
}

/** Of an item, or of one that is gone and has a tombstone. */
export function sha256Of(store: Store, id: string): string | null {
  const row =
    store.sql('SELECT sha256 FROM items WHERE id = ?').get(id) ?? store.sql('SELECT sha256 FROM tombstones WHERE id = ?').get(id);
  return (row as { sha256: string | null } | undefined)?.sha256 ?? null;
}

/** Every file that an object may have: also those that were cut off or are being written. */
export function filesOf(item: Pick<Item, 'object' | 'nextFile' | 'liveFile'>): string[] {
  const count = Math.max(item.nextFile, (item.liveFile ?? -1) + 1);
  return Array.from({ length: count }, (_, file) => `${item.object}.${file}`);
}

export function nextCount(store: Store, counter: 'epoch' | 'seq'): number {
  const row = store.sql('UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value').get(counter);
  return (row as { value: number }).value;
}

export const contextOf = (item: Pick<Item, 'trace' | 'session' | 'id' | 'partner'>): EventContext => ({
  trace: item.trace,
  ...(item.session === null ? {} : { session: item.session }),
  item: item.id,
  partner: item.partner,
});

const describable = new Set<string>(['ready', 'held', 'unrouted', 'offered', 'dropped']);

/** The item as the inside hears of it; undefined while it is not complete. */
export function describe(item: Item): ItemDescription | undefined {
  const { seq, session, sessionProof, completedMs, decision } = item;
  if (seq === null || session === null || sessionProof === null || completedMs === null || decision === null) return undefined;
  if (!describable.has(item.state)) return undefined;
  return {
    id: item.id,
    seq,
    partner: item.partner,
    path: item.path,
    size: item.size,
    sha256: item.sha256,
    completedAtMs: completedMs,
    session,
    sessionProof,
    trace: item.trace,
    segments: item.segments.map(({ headerSha256, plainBytes, sealedBytes, sha256 }) => ({
      headerSha256,
      plainBytes,
      sealedBytes,
      sha256,
    })),
    state: item.state as ItemDescription['state'],
    decision,
    policyNumber: item.policyNumber,
    ...(item.trigger === null ? {} : { trigger: item.trigger }),
    ...(item.releases === 0 ? {} : { releases: item.releases }),
  };
}
