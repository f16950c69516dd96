/** The operations of the DMZ node's records, and one that fills a folder: nobody waits for 100,000 uploads. */
import { type NewEntry, putEntry } from '../../../dmz-node/cache/records/entries.ts';
import { putFolder } from '../../../dmz-node/cache/records/names.ts';
import { operations as dmzOperations } from '../../../dmz-node/records.ts';
import type { Store } from '../../../shared/durable/operations.ts';

export { migrations } from '../../../dmz-node/records.ts';

const dayMs = 86_400_000;

interface SeedArgs {
  readonly partner: string;
  readonly folder: string;
  readonly entries: number;
  readonly nowMs: number;
}

export const operations = {
  ...dmzOperations,
  /** Files that were collected a moment ago and are still listed: `00000.csv` and so on. */
  'seed.folder': (store: Store, { partner, folder, entries, nowMs }: SeedArgs): void => {
    putFolder(store, partner, { folderKey: '/Inbox', nameKey: folder, name: folder }, nowMs);
    for (let n = 0; n < entries; n += 1) putEntry(store, collected(partner, `/Inbox/${folder}`, seededName(n), n, nowMs));
  },
};

export type SeedOperations = typeof operations;

export const seededName = (n: number): string => `${String(n).padStart(6, '0')}.csv`;

const collected = (partner: string, folderKey: string, name: string, size: number, nowMs: number): NewEntry => ({
  partner,
  folderKey,
  nameKey: name,
  name,
  kind: 'file',
  item: null,
  size,
  modifiedMs: nowMs,
  partial: false,
  hidden: false,
  ghostUntil: nowMs + dayMs,
  session: null,
});
