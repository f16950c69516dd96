import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, CacheBench, hasCode, names, path, put, resume, rule } from '../../test/fixtures/cache-bench.ts';
import { sender } from '../../test/fixtures/permissions.ts';

const signal = new AbortController().signal;

/** Takes an item as the inside does. */
async function take(bench: CacheBench, id: string, confirm: boolean): Promise<void> {
  const epoch = await bench.cache.nextEpoch();
  await bench.handOver.requests['inbox.lease']({ id, epoch }, signal);
  const item = (await bench.list()).find((one) => one.id === id);
  const params = { id, epoch, sha256: item?.sha256 ?? '', outcome: 'delivered' as const };
  if (confirm) assert.deepEqual(await bench.handOver.requests['inbox.confirm'](params, signal), { removed: true });
}

test('2.9 ghost: a delivered file stays: seen, not readable, not changeable, replaced by a newer upload', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  const [item] = await bench.list();
  await take(bench, item?.id ?? '', true);
  assert.deepEqual(await bench.objectFiles(), []);
  const ghost = await view.stat(path('/Inbox/x'));
  assert.deepEqual([ghost.size, ghost.ghost], [7, true]);
  assert.deepEqual(await names(bench.view(), '/Inbox'), ['x']); // also in a new session
  await view.setAttributes(path('/Inbox/x'), { modifiedAtMs: 5000 });
  assert.equal((await view.stat(path('/Inbox/x'))).modifiedAtMs, 5000);
  await assert.rejects(view.openForReading(path('/Inbox/x')), hasCode('permission-denied'));
  await assert.rejects(view.rename(path('/Inbox/x'), path('/Inbox/y'), false), hasCode('already-collected'));
  await assert.rejects(view.openForWriting(path('/Inbox/x'), { ...resume, append: true }), hasCode('already-collected'));
  await put(view, '/Inbox/x', 'a newer one');
  const fresh = await view.stat(path('/Inbox/x'));
  assert.deepEqual([fresh.size, fresh.ghost], [11, false]);
});

test('2.9 ghost: outlives its time while its session lives, and ends after it', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  await take(bench, (await bench.list())[0]?.id ?? '', true);
  bench.clock.advance(10 * 60_000);
  await bench.cache.sweep();
  assert.equal((await view.stat(path('/Inbox/x'))).ghost, true);
  await view.end('bye');
  const later = bench.view();
  bench.clock.advance(59_000);
  assert.equal((await later.stat(path('/Inbox/x'))).ghost, true);
  bench.clock.advance(2000);
  await assert.rejects(later.stat(path('/Inbox/x')), hasCode('no-such-file'));
  await bench.cache.sweep();
  assert.equal(await bench.database.call('names.look', { partner: 'acme', folderKey: '/Inbox', nameKey: 'x' }), undefined);
});

test('a leased file is a ghost only while the lease lives', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  await take(bench, (await bench.list())[0]?.id ?? '', false);
  assert.equal((await view.stat(path('/Inbox/x'))).ghost, true);
  await assert.rejects(view.rename(path('/Inbox/x'), path('/Inbox/y'), false), hasCode('already-collected'));
  bench.clock.advance(16 * 60_000);
  assert.equal((await view.stat(path('/Inbox/x'))).ghost, false);
  await view.removeFile(path('/Inbox/x'));
  assert.deepEqual(await bench.list(), []);
  assert.deepEqual(await bench.objectFiles(), []);
  assert.equal((await bench.events('item.removed')).length, 1);
});

test('2.9 overwrite keep-both: the newest is seen, both are handed over', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'one');
  await put(view, '/Inbox/x', 'second');
  assert.deepEqual(
    (await bench.list()).map(({ size }) => size),
    [3, 6],
  );
  assert.equal((await view.stat(path('/Inbox/x'))).size, 6);
  assert.deepEqual(await names(view, '/Inbox'), ['x']);
});

test('2.9 overwrite replace: the old one is superseded unless it is leased', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { onExisting: 'replace' });
  await put(view, '/Inbox/x', 'one');
  await put(view, '/Inbox/x', 'second');
  const [second, ...others] = await bench.list();
  assert.deepEqual([second?.size, others.length], [6, 0]);
  assert.equal((await bench.events('item.superseded'))[0]?.fields.by, second?.id);
  await take(bench, second?.id ?? '', false);
  await put(view, '/Inbox/x', 'the third');
  assert.deepEqual(
    (await bench.list()).map(({ size }) => size),
    [6, 9],
  );
});

test('2.9 overwrite refuse: a complete file cannot be replaced, a taken one does not count', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { onExisting: 'refuse' });
  await put(view, '/Inbox/x', 'one');
  await assert.rejects(view.openForWriting(path('/Inbox/x'), begin), hasCode('already-exists'));
  await take(bench, (await bench.list())[0]?.id ?? '', false);
  await put(view, '/Inbox/x', 'two');
  assert.equal((await bench.list()).length, 2);
});

test('2.9 overwrite: the old version stays visible until the new one is complete, also when the new one fails', async () => {
  await using bench = await CacheBench.open();
  const [view, other] = [bench.view(), bench.view()];
  await put(view, '/Inbox/x', 'old');
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('newer'));
  assert.equal((await other.stat(path('/Inbox/x'))).size, 3);
  await handle.abandon('lost');
  assert.equal((await view.stat(path('/Inbox/x'))).size, 3);
  assert.equal((await bench.list()).length, 1);
});

test('2.8 RENAME of a held item, SF-12: a temporary name holds an upload back; the rename completes it', async () => {
  await using bench = await CacheBench.open({ rules: [rule('*.csv', { action: 'deliver', destination: 'erp' })] });
  const uploader = bench.view('acme', { permissions: sender }); // completing needs no right to change
  await put(uploader, '/Inbox/data.csv.filepart', 'a,b');
  assert.deepEqual(await bench.list(), []);
  assert.deepEqual(await names(uploader, '/Inbox'), ['data.csv.filepart']);
  assert.equal((await bench.events('item.held')).length, 1);
  const second = bench.view('acme', { permissions: sender });
  await second.rename(path('/Inbox/data.csv.filepart'), path('/Inbox/data.csv'), false);
  const [item] = await bench.list();
  assert.equal(item?.path, '/Inbox/data.csv');
  assert.equal(item?.state, 'ready');
  assert.notEqual(item?.session, (await bench.events('item.completed'))[0]?.session); // who completes it answers for it
  assert.deepEqual(await names(uploader, '/Inbox'), ['data.csv']);
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'a,b');
  await assert.rejects(second.rename(path('/Inbox/data.csv'), path('/Inbox/other.csv'), false), hasCode('permission-denied'));
});

test('2.9 overwrite: a rename onto an existing file follows the overwrite policy', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { onExisting: 'replace' });
  await put(view, '/Inbox/x', 'old');
  await put(view, '/Inbox/x.part', 'newer');
  await view.rename(path('/Inbox/x.part'), path('/Inbox/x'), false);
  assert.deepEqual(
    (await bench.list()).map(({ size }) => size),
    [5],
  );
  assert.deepEqual(await names(view, '/Inbox'), ['x']);
  assert.equal((await bench.objectFiles()).length, 1);
});

test('2.9 overwrite: a rename that completes keeps both, or is refused, as the grant says; any other needs posix-rename', async () => {
  await using bench = await CacheBench.open();
  for (const [partner, onExisting, sizes] of [
    ['acme', 'keep-both', [3, 5]],
    ['globex', 'refuse', [3]],
  ] as const) {
    const view = bench.view(partner, { onExisting });
    await put(view, '/Inbox/x', 'old');
    await put(view, '/Inbox/x.part', 'newer');
    const renamed = view.rename(path('/Inbox/x.part'), path('/Inbox/x'), false);
    if (onExisting === 'refuse') await assert.rejects(renamed, hasCode('already-exists'));
    else await renamed;
    const items = (await bench.list()).filter((item) => item.partner === partner);
    assert.deepEqual(
      items.map(({ size }) => size),
      sizes,
    );
    assert.equal((await view.stat(path('/Inbox/x'))).size, sizes.at(-1));
  }
  const view = bench.view();
  await put(view, '/Inbox/y', 'complete');
  await assert.rejects(view.rename(path('/Inbox/y'), path('/Inbox/x'), false), hasCode('already-exists'));
  await view.rename(path('/Inbox/y'), path('/Inbox/x'), true);
});

test('a renamed complete file is decided anew, under a new id', async () => {
  await using bench = await CacheBench.open({ rules: [rule('*.csv', { action: 'deliver', destination: 'erp' })] });
  const view = bench.view();
  await put(view, '/Inbox/x.csv', 'a,b');
  const [before] = await bench.list();
  await view.rename(path('/Inbox/x.csv'), path('/Inbox/x.txt'), false);
  const [after, ...others] = await bench.list();
  assert.equal(others.length, 0);
  assert.notEqual(after?.id, before?.id);
  assert.equal(after?.state, 'unrouted');
  assert.equal((await bench.content(after?.id ?? '')).toString(), 'a,b');
  const epoch = await bench.cache.nextEpoch();
  const lease = bench.handOver.requests['inbox.lease']({ id: before?.id ?? '', epoch }, signal);
  await assert.rejects(lease, hasCode('already-collected'));
  await view.removeFile(path('/Inbox/x.txt'));
  assert.deepEqual(await bench.objectFiles(), []);
});

test('a partial keeps its bytes when it is renamed', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/a'), begin);
  await handle.write(0, Buffer.from('abc'));
  await handle.abandon('lost');
  await view.rename(path('/Inbox/a'), path('/Inbox/b'), false);
  assert.deepEqual(await bench.list(), []);
  const again = await view.openForWriting(path('/Inbox/b'), resume);
  assert.equal(again.size, 3);
  await again.close();
  assert.equal((await bench.list())[0]?.path, '/Inbox/b');
});

test('folders: made, listed, filled, not removed while something is in them', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await view.makeFolder(path('/Inbox/a'));
  await view.makeFolder(path('/Inbox/a/b'));
  await put(view, '/Inbox/a/b/x', 'content');
  assert.deepEqual(await names(view, '/'), ['Inbox', 'Outbox']);
  assert.deepEqual(await names(view, '/Inbox/a'), ['b']);
  assert.equal((await view.stat(path('/Inbox/a/b'))).kind, 'folder');
  await assert.rejects(view.openFolder(path('/Inbox/a/b/x')), hasCode('not-a-folder'));
  await assert.rejects(view.openFolder(path('/Inbox/none')), hasCode('no-such-file'));
  await assert.rejects(view.makeFolder(path('/Inbox/a')), hasCode('already-exists'));
  await assert.rejects(view.makeFolder(path('/Inbox/n/b')), hasCode('no-such-file'));
  await assert.rejects(view.removeFolder(path('/Inbox/a/b')), hasCode('folder-not-empty'));
  await assert.rejects(view.rename(path('/Inbox/a'), path('/Inbox/c'), false), hasCode('folder-not-empty'));
  await assert.rejects(view.removeFile(path('/Inbox/a')), hasCode('is-a-folder'));
  await assert.rejects(view.openForWriting(path('/Inbox/a'), begin), hasCode('is-a-folder'));
  await take(bench, (await bench.list())[0]?.id ?? '', true);
  await view.removeFolder(path('/Inbox/a/b')); // only a ghost was left
  await view.rename(path('/Inbox/a'), path('/Inbox/c'), false);
  assert.deepEqual(await names(view, '/Inbox'), ['c']);
  await view.removeFolder(path('/Inbox/c'));
  assert.deepEqual(await names(view, '/Inbox'), []);
  await assert.rejects(view.removeFolder(path('/Inbox')), hasCode('permission-denied'));
});

test('a folder cannot be taken away under an upload', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await view.makeFolder(path('/Inbox/a'));
  const handle = await view.openForWriting(path('/Inbox/a/x'), begin);
  await assert.rejects(view.removeFolder(path('/Inbox/a')), hasCode('upload-in-progress'));
  await handle.close();
  assert.deepEqual(await names(view, '/Inbox/a'), ['x']);
});

test('a partner sees nothing of another', async () => {
  await using bench = await CacheBench.open();
  const [acme, globex] = [bench.view('acme'), bench.view('globex')];
  await acme.makeFolder(path('/Inbox/secret'));
  await put(acme, '/Inbox/x', 'content of acme');
  const handle = await acme.openForWriting(path('/Inbox/partial'), begin);
  await handle.write(0, Buffer.from('abc'));
  assert.deepEqual(await names(globex, '/Inbox'), []);
  for (const name of ['/Inbox/x', '/Inbox/secret', '/Inbox/partial']) {
    await assert.rejects(globex.stat(path(name)), hasCode('no-such-file'), name);
    await assert.rejects(globex.removeFile(path(name)), hasCode('no-such-file'), name);
    await assert.rejects(globex.rename(path(name), path('/Inbox/mine'), false), hasCode('no-such-file'), name);
  }
  await handle.abandon('lost');
  const own = await globex.openForWriting(path('/Inbox/partial'), resume);
  assert.equal(own.size, 0);
  await own.abandon('done');
  await put(globex, '/Inbox/x', 'of globex');
  assert.equal((await acme.stat(path('/Inbox/x'))).size, 15);
});

test('retention lets partials go when their time is over, and says so', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/a'), begin);
  await handle.write(0, Buffer.from('abc'));
  await handle.abandon('lost');
  bench.clock.advance(8 * 86_400_000);
  await bench.cache.sweep();
  assert.deepEqual(await names(view, '/Inbox'), []);
  assert.deepEqual(await bench.objectFiles(), []);
  assert.equal((await bench.events('item.expired')).length, 1);
});
