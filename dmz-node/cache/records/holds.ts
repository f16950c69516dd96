/** Items that are whole but held back: their name, or their partner's way of completing, says "not yet". */
import type { Store } from '../../../shared/durable/operations.ts';
import { event } from '../../../shared/events/event.ts';
import type { ItemDescription } from '../../../shared/tunnel/messages.ts';
import type { Ruling } from '../../cache-view.ts';
import type { HoldKind } from './hold.ts';
import { contextOf, describe, findItem, type Item, nextCount, toItem } from './items.ts';
import { route } from './routing.ts';

const reasons: Readonly<Record<HoldKind, string>> = {
  name: 'temporary name',
  rename: 'until it is renamed',
  quiet: 'until nothing touches it for a while',
  'session-end': 'until its session ends',
  trigger: 'until its trigger comes',
  file: 'a trigger, until its file comes',
  folder: 'a trigger, until a file comes into its folder',
};

export const tellHeld = (store: Store, item: Item, kind: HoldKind, nowMs: number): void =>
  store.emit(event('item.held', nowMs, contextOf(item), { path: item.path, rule: reasons[kind] }));

export interface DueItem {
  readonly id: string;
  readonly partner: string;
  readonly path: string;
  readonly pathKey: string;
  readonly size: number;
}

export interface AnsweringFor {
  readonly id: string;
  readonly session: string;
  readonly sessionProof: string;
}

export const holdOperations = {
  /** What is held back no longer, in the order in which it came, and when the next one is. */
  'holds.due': (
    store: Store,
    args: {
      readonly nowMs: number;
      readonly liveSessions: readonly string[];
      readonly except: readonly string[];
      readonly limit: number;
    },
  ): { items: DueItem[]; nextMs: number | null } => {
    const { nowMs, limit } = args;
    store
      .sql(
        `UPDATE items SET due_ms = ? WHERE hold = 'session-end' AND due_ms IS NULL
           AND session NOT IN (SELECT value FROM json_each(?))`,
      )
      .run(nowMs, JSON.stringify(args.liveSessions));
    const items = store
      .sql(
        `SELECT id, partner, path, path_key AS pathKey, size FROM items
         WHERE due_ms <= ? AND state = 'temporary' AND id NOT IN (SELECT value FROM json_each(?))
         ORDER BY due_ms, hold IN ('file', 'folder'), completed_ms, row LIMIT ?`,
      )
      .all(nowMs, JSON.stringify(args.except), limit) as unknown as DueItem[];
    const next = store.sql('SELECT MIN(due_ms) AS ms FROM items WHERE due_ms > ?').get(nowMs) as { ms: number | null };
    return { items, nextMs: next.ms };
  },

  /**
   * Who writes a name anew answers for the version before it, which waits for that: the session that sent it may be over for too
   * long when the new one fails.
   */
  'holds.answer': (store: Store, answers: readonly AnsweringFor[]): void => {
    const answer = store.sql(
      "UPDATE items SET session = ?2, session_proof = ?3 WHERE id = ?1 AND hold = 'quiet' AND session <> ?2",
    );
    for (const { id, session, sessionProof } of answers) answer.run(id, session, sessionProof);
  },

  /** Completes one that is due. @returns what the inside is to hear; undefined when it was touched meanwhile. */
  'holds.release': (store: Store, args: { readonly id: string; readonly ruling: Ruling }): ItemDescription | undefined => {
    const item = findItem(store, args.id);
    if (item?.state !== 'temporary' || item.dueMs === null || item.dueMs > args.ruling.atMs) return undefined;
    return describe(release(store, item, args.ruling));
  },
};

/** It is complete now, and decided. */
function release(store: Store, item: Item, { decision, policyNumber, atMs }: Ruling): Item {
  store.emit(
    event('item.released', atMs, contextOf(item), { path: item.path, why: item.hold === null ? '' : reasons[item.hold] }),
  );
  return route(store, { ...item, seq: nextCount(store, 'seq'), completedMs: atMs, policyNumber }, decision, atMs);
}

/** Held, and not due: a newer upload may take its place. A name that is being written anew is not quiet, however late it is. */
export const isHeld = ({ state, hold, dueMs }: Item, nowMs: number): boolean =>
  state === 'temporary' && (dueMs === null || dueMs > nowMs || hold === 'quiet');

/** Tells once of what is held back for too long. @returns how many. */
export function alarmHeld(store: Store, nowMs: number, limit: number): number {
  const late = store.sql('SELECT * FROM items WHERE alarm_ms <= ? ORDER BY alarm_ms LIMIT ?').all(nowMs, limit).map(toItem);
  for (const item of late) {
    store.sql('UPDATE items SET alarm_ms = NULL WHERE object = ?').run(item.object);
    const since = item.completedMs ?? item.updatedMs;
    const why = item.hold === null ? '' : reasons[item.hold];
    store.emit(event('item.held-long', nowMs, contextOf(item), { path: item.path, why, heldMs: Math.max(0, nowMs - since) }));
  }
  return late.length;
}
