/** What a decision changes in the records: the item's state and who sees it. One transaction with the events that say so. */
import type { Store } from '../../../shared/durable/operations.ts';
import { event } from '../../../shared/events/event.ts';
import type { Decision } from '../../../shared/policy.ts';
import { findEntry, freeName, leaveOutbox, makeGhost, putEntry } from './entries.ts';
import { contextOf, type Item, type ItemState, saveItem } from './items.ts';

const stateOf: Readonly<Record<Decision['route']['action'], ItemState>> = {
  deliver: 'ready',
  outbox: 'offered',
  hold: 'held',
  delete: 'dropped',
  ignore: 'dropped',
  unrouted: 'unrouted',
};

export function sameRoute(a: Decision | null, b: Decision): boolean {
  return a !== null && JSON.stringify(routeKey(a)) === JSON.stringify(routeKey(b));
}

const routeKey = ({ route }: Decision): readonly string[] => [
  route.action,
  'partner' in route ? route.partner : '',
  'destination' in route ? route.destination : '',
];

/** Gives a completed item its place by `decision` and saves it. @returns the saved item. */
export function route(store: Store, item: Item, decision: Decision, nowMs: number): Item {
  if (item.outboxPartner !== null) leaveOutbox(store, item.id, item.outboxPartner);
  const target = decision.route;
  const routed: Item = {
    ...item,
    decision,
    state: stateOf[target.action],
    outboxPartner: target.action === 'outbox' ? target.partner : null,
    updatedMs: nowMs,
    hold: null,
    dueMs: null,
    alarmMs: null,
  };
  saveItem(store, routed);
  if (target.action === 'outbox') {
    enterOutbox(store, routed, target.partner, nowMs);
    makeGhost(store, item.id, item.partner, nowMs + item.ghostMs);
  } else if (item.state === 'offered') {
    store.sql('UPDATE entries SET ghost_until = NULL WHERE item = ? AND partner = ?').run(item.id, item.partner);
  }
  tell(store, routed, decision, nowMs);
  return routed;
}

function enterOutbox(store: Store, item: Item, partner: string, nowMs: number): void {
  const name = freeName(store, partner, '/Outbox', item.path.slice(item.path.lastIndexOf('/') + 1));
  putEntry(store, {
    partner,
    folderKey: '/Outbox',
    nameKey: name.normalize('NFC'),
    name,
    kind: 'file',
    item: item.id,
    size: item.size,
    modifiedMs: item.completedMs ?? nowMs,
    partial: false,
    hidden: !item.registered,
    ghostUntil: null,
    session: null,
  });
}

function tell(store: Store, item: Item, { route: target, rule }: Decision, nowMs: number): void {
  const context = contextOf(item);
  switch (target.action) {
    case 'deliver':
      store.emit(event('item.routed', nowMs, context, { action: 'deliver', target: target.destination, rule }));
      return;
    case 'outbox':
      store.emit(event('item.routed', nowMs, context, { action: 'outbox', target: target.partner, rule }));
      return;
    case 'hold':
      store.emit(event('item.held', nowMs, context, { path: item.path, rule }));
      return;
    case 'delete':
    case 'ignore':
      store.emit(event('item.dropped', nowMs, context, { action: target.action, rule }));
      return;
    case 'unrouted':
      store.emit(event('item.unrouted', nowMs, context, { path: item.path }));
  }
}

/** The entry that shows an item in its uploader's Inbox, if it is the newest of its name. */
export function entryOf(store: Store, item: Item): ReturnType<typeof findEntry> {
  const slash = item.pathKey.lastIndexOf('/');
  const entry = findEntry(store, item.partner, item.pathKey.slice(0, slash), item.pathKey.slice(slash + 1));
  return entry?.item === item.id ? entry : undefined;
}
