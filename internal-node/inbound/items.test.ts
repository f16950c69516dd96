/** Who may read what of an Outbox that is shared: as far as he sees it, and nobody else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Records } from '../../shared/durable/database.ts';
import { silentLogger } from '../../shared/log.ts';
import { parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import { eventually } from '../../test/fixtures/eventually.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Items } from './items.ts';
import type { LedgerOperations } from './ledger-operations.ts';

const places: Readonly<Record<string, readonly { owner: string; place: string }[]>> = {
  acme: [{ owner: 'lists', place: '/Outbox/2026' }],
  globex: [{ owner: 'lists', place: '/Outbox' }],
};
const offered = new Map([
  ['new', { owner: 'lists', path: '/Outbox/2026/a.csv' }],
  ['old', { owner: 'lists', path: '/Outbox/2025/a.csv' }],
  ['own', { owner: 'acme', path: '/Outbox/b.csv' }],
]);

function bench() {
  const fetched: string[] = [];
  const items = new Items({
    ledger: { call: async () => undefined } as unknown as Records<LedgerOperations>,
    offered: {
      readableBy: async (item, name) => {
        const found = offered.get(item);
        return found?.owner === name ? { headers: ['h'], path: found.path } : undefined;
      },
      fetched: async (item, name, reader) => {
        fetched.push(`${item} of ${name} by ${reader}`);
        return true;
      },
    },
    sharedWith: (partner) => (places[partner] ?? []).map(({ owner, place }) => ({ owner, place: parseVirtualPath(place) })),
    clock: new ManualClock(),
    log: silentLogger,
  });
  return { items, fetched };
}

test('AC-10: keys of what is shared are for those who see it, as far as they see it', async () => {
  const { items } = bench();
  const readable = async (item: string, partner: string): Promise<boolean> =>
    (await items.readableBy(item, partner)) !== undefined;
  assert.deepEqual(await Promise.all(['new', 'old', 'own'].map((item) => readable(item, 'acme'))), [true, false, true]);
  assert.deepEqual(await Promise.all(['new', 'old', 'own'].map((item) => readable(item, 'globex'))), [true, true, false]);
  assert.deepEqual(await Promise.all(['new', 'old', 'own'].map((item) => readable(item, 'initech'))), [false, false, false]);
});

test('a download of what is shared is taken down with who read it', async () => {
  const { items, fetched } = bench();
  for (const [item, partner] of [
    ['new', 'acme'],
    ['own', 'acme'],
  ] as const)
    items.fetched({ item, partner, session: 's', atMs: 0 });
  await eventually('both', () => fetched.length === 2);
  assert.deepEqual(fetched.sort(), ['new of lists by acme', 'own of acme by acme']);
});
