/** Trigger and flag files (reliability.md §2.9), as far as the DMZ goes: by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheBench, path, put } from '../../test/fixtures/cache-bench.ts';
import type { FileView } from '../partner/file-view.ts';

const uploads = { complete: 'trigger' } as const;

async function bench(): Promise<{ bench: CacheBench; view: FileView } & AsyncDisposable> {
  const made = await CacheBench.open();
  return { bench: made, view: made.view('acme', { uploads }), [Symbol.asyncDispose]: () => made[Symbol.asyncDispose]() };
}

async function listed(cache: CacheBench): Promise<string[]> {
  await cache.cache.settle();
  return (await cache.list()).map((item) => item.path.slice('/Inbox/'.length));
}

test('2.9 trigger: a file waits for its trigger, and comes before it', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv', 'data');
  await put(view, '/Inbox/y.csv', 'other data');
  cache.clock.advance(3_600_000);
  assert.deepEqual(await listed(cache), []);
  const later = cache.view('acme', { uploads });
  await put(later, '/Inbox/x.csv.done', '');
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.done']);
  const [file, trigger] = await cache.list();
  assert.deepEqual([file?.trigger, file?.releases, trigger?.trigger, trigger?.releases], [trigger?.id, undefined, undefined, 1]);
  assert.equal(file?.sessionProof, trigger?.sessionProof); // the session that completes it answers for it
});

test('2.9 trigger: trigger first and data later works too', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv.sha256', 'digest');
  assert.deepEqual(await listed(cache), []);
  await put(view, '/Inbox/x.csv', 'data');
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.sha256']);
});

test('2.9 trigger: a file that is sent again after its trigger begins a new cycle', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv', 'one');
  await put(view, '/Inbox/x.csv.ok', '');
  await put(view, '/Inbox/x.csv', 'second');
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.ok']);
  await put(view, '/Inbox/x.csv.ok', '');
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.ok', 'x.csv', 'x.csv.ok']);
  assert.deepEqual(
    (await cache.list()).map(({ size }) => size),
    [3, 0, 6, 0],
  );
});

test('2.9 trigger: before the trigger a newer file takes the place of the older one', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv', 'one');
  await put(view, '/Inbox/x.csv', 'second');
  await put(view, '/Inbox/x.csv.done', '');
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.done']);
  assert.equal((await cache.list())[0]?.size, 6);
});

test('2.9 trigger: one for a folder completes what waits in it, in the order of its coming, and nothing elsewhere', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await view.makeFolder(path('/Inbox/other'));
  for (const name of ['c', 'a', 'b', 'other/d']) {
    await put(view, `/Inbox/${name}`, name);
    cache.clock.advance(10);
  }
  await put(view, '/Inbox/ALL.done', 'count=3');
  assert.deepEqual(await listed(cache), ['c', 'a', 'b', 'ALL.done']);
  assert.equal((await cache.list())[3]?.releases, 3);
});

test('2.9 trigger: one for a folder that came first takes what comes, until nothing comes for the quiet time', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/ALL.done', '');
  for (const name of ['a', 'b']) {
    await put(view, `/Inbox/${name}`, name);
    cache.clock.advance(20_000);
  }
  assert.deepEqual(await listed(cache), ['a', 'b']);
  cache.clock.advance(20_000);
  assert.deepEqual(await listed(cache), ['a', 'b', 'ALL.done']);
  await put(view, '/Inbox/c', 'c');
  assert.equal((await listed(cache)).length, 3);
});

test('2.9 trigger: without its file a trigger raises an alarm once, and so does a file without trigger', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv.done', '');
  await put(view, '/Inbox/y.csv', 'data');
  cache.clock.advance(3_600_001);
  for (let round = 0; round < 2; round += 1) await cache.cache.sweep();
  assert.deepEqual(
    (await cache.events('item.held-long')).map(({ fields }) => [fields.path, fields.why]),
    [['/Inbox/x.csv.done', 'a trigger, until its file comes']],
  );
  cache.clock.advance(24 * 3_600_000);
  await cache.cache.sweep();
  assert.equal((await cache.events('item.held-long')).length, 2);
  assert.deepEqual(await listed(cache), []);
});

test('2.9 trigger: a trigger under a temporary name triggers with its rename', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv', 'data');
  await put(view, '/Inbox/x.csv.done.part', '');
  assert.deepEqual(await listed(cache), []);
  await view.rename(path('/Inbox/x.csv.done.part'), path('/Inbox/x.csv.done'), false);
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.done']);
});

test('2.9 trigger: a kill between the trigger and the completion changes nothing', async () => {
  await using both = await bench();
  const { bench: cache, view } = both;
  await put(view, '/Inbox/x.csv', 'data');
  const call = cache.database.call.bind(cache.database);
  cache.database.call = (async (name: never, args: never) => {
    if (name === 'holds.due' || name === 'holds.release') throw new Error('killed');
    return await call(name, args);
  }) as typeof cache.database.call;
  await put(view, '/Inbox/x.csv.done', '');
  await cache.crash();
  await cache.start();
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.done']);
  await cache.crash();
  await cache.start();
  assert.deepEqual(await listed(cache), ['x.csv', 'x.csv.done']);
  assert.equal((await cache.events('item.released')).length, 2);
});
