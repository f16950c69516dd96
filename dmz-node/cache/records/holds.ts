/** Items that are whole but held back: their name, or their partner's way of completing, says "not yet". */
import type { Store } from '../../../shared/durable/operations.ts';
import { event } from '../../../shared/events/event.ts';
import { contextOf, type Item, toItem } from './items.ts';

/** `name`: a temporary name. */
export type HoldKind = 'name';

export interface Hold {
  readonly kind: HoldKind;
  /** When it is complete by itself; null: something must happen first. */
  readonly dueMs: number | null;
  /** When it has waited for so long that somebody should know. */
  readonly alarmMs: number;
}

const reasons: Readonly<Record<HoldKind, string>> = {
  name: 'temporary name',
};

export const tellHeld = (store: Store, item: Item, kind: HoldKind, nowMs: number): void =>
  store.emit(event('item.held', nowMs, contextOf(item), { path: item.path, rule: reasons[kind] }));

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
