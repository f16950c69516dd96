import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, CacheBench, names, path, put, resume } from '../../test/fixtures/cache-bench.ts';
import { ObservedRecords } from '../../test/fixtures/observed-records.ts';
import type { FileView } from '../partner/file-view.ts';
import { maxPage } from './listing.ts';

/** What a partner does with a file from its first byte to its hand-over. */
async function lifeOfAFile(bench: CacheBench, view: FileView): Promise<void> {
  await put(view, '/Inbox/new.part', Buffer.alloc(400_000));
  await view.rename(path('/Inbox/new.part'), path('/Inbox/new'), false);
  await view.stat(path('/Inbox/new'));
  await view.digest(path('/Inbox/new'));
  await view.setAttributes(path('/Inbox/new'), { modifiedAtMs: 1 });
  const handle = await view.openForWriting(path('/Inbox/half'), begin);
  await handle.write(0, Buffer.alloc(300_000));
  await handle.flush();
  await handle.abandon('lost');
  const rest = await view.openForWriting(path('/Inbox/half'), resume);
  await rest.close();
  await put(view, '/Inbox/new', 'newer');
  await view.removeFile(path('/Inbox/new'));
  await view.makeFolder(path('/Inbox/folder'));
  await view.removeFolder(path('/Inbox/folder'));
  const { requests } = bench.handOver;
  const [item] = (await requests['inbox.list']({ after: Number.MAX_SAFE_INTEGER - 1, limit: 1 }, new AbortController().signal))
    .items;
  assert.equal(item, undefined);
}

async function workWith(count: number) {
  const records = new ObservedRecords();
  await using bench = await CacheBench.open({ database: records.asDatabase });
  records.fill(count);
  records.forget();
  await lifeOfAFile(bench, bench.view());
  return { work: records.work, records };
}

test('an upload is the same work with 100,000 items as with one, and no statement of it reads a table from end to end', async () => {
  const [few, many] = [await workWith(1), await workWith(100_000)];
  assert.deepEqual(many.work, few.work);
  const scans = [...many.records.texts].flatMap((text) =>
    many.records
      .plan(text)
      .filter((line) => /^SCAN (?!CONSTANT ROW|json_each)/.test(line))
      .map((line) => `${line}: ${text}`),
  );
  assert.deepEqual(scans, []);
});

test('a folder of 100,000 entries is listed in pages along its index, each name once and each row read once', async () => {
  const records = new ObservedRecords();
  await using bench = await CacheBench.open({ database: records.asDatabase });
  records.fill(100_000);
  records.forget();
  const found = await names(bench.view(), '/Inbox');
  assert.equal(found.length, 100_000);
  assert.equal(new Set(found).size, 100_000);
  assert.equal(records.rows, 100_000);
  assert.ok(records.statements <= 202, `${records.statements} statements`);
  assert.deepEqual(
    [...records.texts].flatMap((text) => records.plan(text)),
    ['SEARCH entries USING INDEX sqlite_autoindex_entries_1 (partner=? AND folder_key=? AND name_key>?)'],
  );
});

test('pages that are asked for at the same time are different ones, and little more is read than was asked for', async () => {
  const records = new ObservedRecords();
  await using bench = await CacheBench.open({ database: records.asDatabase });
  records.fill(10_000);
  const listing = await bench.view().openFolder(path('/Inbox'));
  records.forget();
  const pages = await Promise.all(Array.from({ length: 30 }, () => listing.next(100)));
  const seen = pages.flat().map(({ name }) => name);
  assert.equal(new Set(seen).size, 3000);
  assert.ok(records.rows < 3000 + 2 * maxPage, `${records.rows} rows`);
});

test('a folder of one page is read once, and no further', async () => {
  const records = new ObservedRecords();
  await using bench = await CacheBench.open({ database: records.asDatabase });
  records.fill(1000);
  const listing = await bench.view().openFolder(path('/Inbox'));
  records.forget();
  assert.equal((await listing.next(100)).length, 100);
  assert.deepEqual([records.rows, records.statements], [100, 1]);
});

test('however many listings are open, few hold what they read ahead, and each gives every name once', async () => {
  const records = new ObservedRecords();
  await using bench = await CacheBench.open({ database: records.asDatabase });
  records.fill(1500);
  const listings = await Promise.all(Array.from({ length: 40 }, () => bench.view().openFolder(path('/Inbox'))));
  const seen = listings.map((): string[] => []);
  let [pages, most] = [0, 0];
  do {
    pages = 0;
    for (const [n, listing] of listings.entries()) {
      const page = await listing.next(70);
      seen[n]?.push(...page.map(({ name }) => name));
      pages += page.length;
    }
    most = Math.max(most, records.rows - seen.flat().length);
  } while (pages > 0);
  assert.ok(seen.every((names) => names.length === 1500 && new Set(names).size === 1500));
  assert.ok(most <= 40 * 2 * maxPage, `${most} rows were read ahead or twice`);
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
