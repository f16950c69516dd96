import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newItemId } from '../../shared/ids.ts';
import { begin, CacheBench, names, path, put, resume } from '../../test/fixtures/cache-bench.ts';
import { eventually } from '../../test/fixtures/eventually.ts';

const signal = new AbortController().signal;

test('after a kill: acknowledged items are there, an interrupted upload is a partial of whole chunks', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/done', 'acknowledged');
  const content = randomBytes(1_000_000);
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  for (let offset = 0; offset < content.length; offset += 100_000) {
    await handle.write(offset, content.subarray(offset, offset + 100_000));
  }
  const small = await view.openForWriting(path('/Inbox/small'), begin);
  await small.write(0, Buffer.alloc(1000));
  const epoch = await bench.cache.nextEpoch();
  await bench.crash();
  const file = (await readdir(join(bench.folder, 'objects'), { recursive: true })).filter((name) => name.includes('.'));
  assert.ok(file.length >= 2);
  await bench.start();
  const later = bench.view();
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/done'],
  );
  const kept = (await later.stat(path('/Inbox/x'))).size;
  assert.ok(kept > 0 && kept % 65_536 === 0, `${kept}`);
  assert.deepEqual(await names(later, '/Inbox'), ['done', 'x']); // what was small had no record: it is gone
  const [census] = (await bench.events('node.recovered')).slice(-1);
  assert.deepEqual([census?.fields.partials, census?.fields.damaged, census?.fields.items], [1, 0, 1]);
  assert.ok((await bench.cache.nextEpoch()) > epoch + 1);
  const again = await later.openForWriting(path('/Inbox/x'), resume);
  assert.equal(again.size, kept);
  await again.write(kept, content.subarray(kept));
  await again.close();
  const item = (await bench.list()).find((one) => one.path === '/Inbox/x');
  assert.deepEqual(
    item?.segments.map(({ plainBytes, sha256 }) => [plainBytes, sha256 === null]),
    [
      [kept, true],
      [content.length - kept, false],
    ],
  );
  assert.deepEqual(await bench.content(item?.id ?? ''), content);
});

test('a kill while an upload is resumed keeps what was kept, with the cut', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const first = await view.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('abcdef'));
  await first.abandon('lost');
  const second = await view.openForWriting(path('/Inbox/x'), resume);
  await second.write(4, Buffer.from('EF'));
  await bench.crash();
  await bench.start();
  const later = bench.view();
  const third = await later.openForWriting(path('/Inbox/x'), resume);
  assert.equal(third.size, 4);
  await third.write(4, Buffer.from('!'));
  await third.close();
  assert.equal((await bench.content((await bench.list())[0]?.id ?? '')).toString(), 'abcd!');
  await bench.crash();
  await bench.start();
  assert.equal((await bench.objectFiles()).length, 2);
});

test('a torn partial is cut to whole chunks; one without any is removed', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handles = [];
  for (const name of ['/Inbox/a', '/Inbox/b']) {
    const handle = await view.openForWriting(path(name), begin);
    await handle.write(0, randomBytes(400_000));
    handles.push(handle);
  }
  await eventually('both are written', () => bench.cache.core.live.all().length === 2);
  await sleep(50); // the sealing threads write what is queued
  await bench.crash();
  const files = (await readdir(join(bench.folder, 'objects'), { recursive: true })).filter((name) => name.includes('.')).sort();
  const [one, two] = files.map((name) => join(bench.folder, 'objects', name));
  await truncate(one ?? '', 70_000);
  await truncate(two ?? '', 100);
  await bench.start();
  const found = await names(bench.view(), '/Inbox');
  assert.equal(found.length, 1);
  assert.equal((await bench.view().stat(path(`/Inbox/${found[0]}`))).size, 65_536);
  assert.equal((await bench.objectFiles()).length, 1);
});

test('an item whose file is missing or short is set aside, told, and never handed over', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  for (const name of ['a', 'b', 'c']) await put(view, `/Inbox/${name}`, `content of ${name}`);
  const [a, b, c] = await bench.list();
  await bench.crash();
  const [missing, short] = [join(bench.folder, 'objects', a?.id.slice(0, 2) ?? '', `${a?.id}.0`), b?.id ?? ''];
  await unlink(missing);
  await truncate(join(bench.folder, 'objects', short.slice(0, 2), `${short}.0`), 10);
  await bench.start();
  assert.deepEqual(
    (await bench.list()).map(({ id }) => id),
    [c?.id],
  );
  assert.deepEqual(await names(bench.view(), '/Inbox'), ['c']);
  assert.equal((await bench.events('item.quarantined')).length, 2);
  const epoch = await bench.cache.nextEpoch();
  const lease = bench.handOver.requests['inbox.lease']({ id: b?.id ?? '', epoch }, signal);
  await assert.rejects(lease, { code: 'item-unknown' });
  await bench.crash();
  await bench.start(); // told once, and the short file is kept for the operator
  assert.equal((await bench.events('item.quarantined')).length, 2);
  assert.ok((await bench.objectFiles()).includes(`${b?.id}.0`));
});

test('leftovers: small ones and those of removed items go, a large unknown file is set aside', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/x', 'content');
  const [item] = await bench.list();
  const epoch = await bench.cache.nextEpoch();
  const params = { id: item?.id ?? '', epoch, sha256: item?.sha256 ?? '', outcome: 'delivered' as const };
  await bench.handOver.requests['inbox.confirm'](params, signal);
  await bench.cache.core.files.settled();
  const [small, large] = [newItemId(), newItemId()];
  const fileOf = (id: string): string => bench.cache.core.files.path(`${id}.0`);
  const [back, smallFile, largeFile] = [fileOf(params.id), fileOf(small), fileOf(large)];
  await bench.crash();
  await writeFile(back, Buffer.alloc(20_000_000)); // the unlink after the confirm did not happen
  await writeFile(smallFile, 'remains of an upload');
  await writeFile(largeFile, Buffer.alloc(20_000_000));
  await bench.start();
  assert.deepEqual(await bench.objectFiles(), []);
  assert.deepEqual(await readdir(join(bench.folder, 'quarantine')), [`${large}.0`]);
  const [told, ...others] = await bench.events('item.quarantined');
  assert.deepEqual([told?.item, others.length], [large, 0]);
  const [census] = (await bench.events('node.recovered')).slice(-1);
  assert.deepEqual([census?.fields.removed, census?.fields.damaged], [2, 1]);
});

test('a second process on the same folder does not start', async () => {
  await using bench = await CacheBench.open();
  await assert.rejects(bench.secondStart(), { code: 'already-running' });
});

test('stopping in order keeps uploads under way as partials', async () => {
  await using bench = await CacheBench.open();
  const handle = await bench.view().openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await bench.stop();
  await bench.start();
  assert.equal((await bench.view().stat(path('/Inbox/x'))).size, 3);
});
