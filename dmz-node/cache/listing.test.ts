import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { begin, CacheBench, names, path, put } from '../../test/fixtures/cache-bench.ts';

test('a folder of 100,000 entries is listed in pages, in time, each name once', async () => {
  await using bench = await CacheBench.open();
  await bench.stop();
  const db = new DatabaseSync(join(bench.folder, 'records.sqlite'));
  db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO entries(partner, folder_key, name_key, name, kind, item, size, modified_ms, ghost_until)
    SELECT 'acme', '/Inbox', printf('file-%06d', i), printf('file-%06d', i), 'file', 'item' || i, i, i, 4e15 FROM n`);
  db.close();
  await bench.start();
  const view = bench.view();
  const startedMs = performance.now();
  const found = await names(view, '/Inbox');
  const tookMs = performance.now() - startedMs;
  assert.equal(found.length, 100_000);
  assert.equal(new Set(found).size, 100_000);
  assert.ok(tookMs < 3000, `took ${tookMs} ms`);
  const uploadMs = performance.now();
  await put(view, '/Inbox/one-more', 'x');
  assert.ok(performance.now() - uploadMs < 500, 'an upload costs the same however many there are');
});

test('what appears while a folder is being listed comes at most once', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  for (const name of ['b', 'd', 'f']) await put(view, `/Inbox/${name}`, name);
  const growing = await view.openForWriting(path('/Inbox/c'), begin);
  await growing.write(0, Buffer.from('xyz'));
  const listing = await view.openFolder(path('/Inbox'));
  const first = await listing.next(1);
  await growing.close();
  await put(view, '/Inbox/e', 'e');
  const [one, two] = await Promise.all([listing.next(2), listing.next(100)]);
  const seen = [...first, ...one, ...two, ...(await listing.next(100))].map(({ name }) => name);
  assert.equal(new Set(seen).size, seen.length);
  for (const name of ['b', 'c', 'd', 'f']) assert.ok(seen.includes(name), name);
  assert.deepEqual(await listing.next(10), []);
});
