/** The records behind the announcer: which items the inside does not know yet, and the decision it answered. */
import type { Store } from '../../../shared/durable/operations.ts';
import type { Decision } from '../../../shared/policy.ts';
import type { ItemDescription } from '../../../shared/tunnel/messages.ts';
import { describe, findItem, type Item, removeItem, toItem } from './items.ts';
import { route, sameRoute } from './routing.ts';

export const dispatchOperations = {
  /** Items to register after a number, in order. Damaged ones are passed over. */
  'dispatch.unregistered': (
    store: Store,
    args: { readonly after: number; readonly limit: number },
  ): { items: ItemDescription[]; last: number | null } => {
    const rows = store
      .sql('SELECT * FROM items WHERE registered = 0 AND seq IS NOT NULL AND seq > ? ORDER BY seq LIMIT ?')
      .all(args.after, args.limit)
      .map(toItem);
    return { items: rows.map(describe).filter((item) => item !== undefined), last: rows.at(-1)?.seq ?? null };
  },

  /** Those of the items that are still to be registered. */
  'dispatch.describe': (store: Store, args: { readonly ids: readonly string[] }): ItemDescription[] =>
    args.ids
      .map((id) => findItem(store, id))
      .map((item) => (item && !item.registered ? describe(item) : undefined))
      .filter((item) => item !== undefined),

  /**
   * The inside knows the item and answered a decision, which counts. An item that meanwhile got another number (it was
   * renamed or decided anew) is left alone: its own registration is still to come.
   * @returns Files to unlink.
   */
  'dispatch.adopt': (
    store: Store,
    args: {
      readonly id: string;
      readonly seq: number;
      readonly decision: Decision;
      readonly nowMs: number;
    },
  ): string[] => {
    const item = findItem(store, args.id);
    if (!item || item.seq !== args.seq || describe(item) === undefined) return [];
    const registered: Item = { ...item, registered: true, decision: args.decision };
    if (sameRoute(item.decision, args.decision)) {
      store.sql('UPDATE items SET registered = 1, decision = ? WHERE id = ?').run(JSON.stringify(args.decision), item.id);
      store.sql('UPDATE entries SET hidden = 0 WHERE item = ? AND hidden = 1').run(item.id);
    } else {
      route(store, registered, args.decision, args.nowMs);
    }
    if (args.decision.route.action !== 'delete') return [];
    store.sql('UPDATE entries SET ghost_until = ? WHERE item = ?').run(args.nowMs + item.ghostMs, item.id);
    return removeItem(store, registered, 'deleted', args.nowMs);
  },

  /** New rules: what no rule matched is asked about again. */
  'dispatch.askAgain': (store: Store, _args: null): number => {
    const { changes } = store.sql(`UPDATE items SET registered = 0 WHERE state = 'unrouted' AND registered = 1`).run();
    return Number(changes);
  },
};
