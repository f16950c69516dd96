import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { begin, CacheBench, hasCode, path, put, resume } from '../../test/fixtures/cache-bench.ts';
import { dropBox, granted } from '../../test/fixtures/permissions.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('what was flushed outlives a crash to the last byte, what came after it does not count before it is flushed', async () => {
  await using bench = await CacheBench.open();
  const content = randomBytes(300_001);
  const handle = await bench.view().openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, content.subarray(0, 100_000));
  await handle.flush();
  await handle.write(100_000, content.subarray(100_000, 200_001));
  await handle.flush();
  await handle.write(200_001, Buffer.alloc(1000));
  await bench.crash();
  await bench.start();
  const view = bench.view();
  assert.equal((await view.stat(path('/Inbox/x'))).size, 200_001);
  const rest = await view.openForWriting(path('/Inbox/x'), resume);
  await rest.write(200_001, content.subarray(200_001));
  await rest.close();
  const [item] = await bench.list();
  assert.deepEqual(
    item?.segments.map(({ plainBytes }) => plainBytes),
    [100_000, 100_001, 100_000],
  );
  assert.equal(sha256(await bench.content(item?.id ?? '')), sha256(content));
});

test('a flush right before the close costs no segment, and the digest of the whole is known', async () => {
  await using bench = await CacheBench.open();
  const content = randomBytes(70_000);
  const handle = await bench.view().openForWriting(path('/Inbox/x'), begin);
  await handle.flush(); // nothing was written yet
  const written = handle.write(0, content);
  const flushed = handle.flush(); // waits for the write before it
  await Promise.all([written, flushed, handle.flush()]);
  await handle.close();
  const [item] = await bench.list();
  assert.equal(item?.segments.length, 1);
  assert.equal(item?.sha256, sha256(content));
  assert.equal((await bench.objectFiles()).length, 1);
});

test('a flush refuses while bytes before others are missing, and the upload goes on', async () => {
  await using bench = await CacheBench.open();
  const handle = await bench.view().openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await handle.write(6, Buffer.from('ghi'));
  await assert.rejects(handle.flush(), hasCode('upload-has-holes'));
  await handle.write(3, Buffer.from('def'));
  await handle.flush();
  await handle.close();
  const [item] = await bench.list();
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'abcdefghi');
});

test('an upload that is flushed without end is told so, loses nothing and can still be resumed', async () => {
  await using bench = await CacheBench.open();
  const handle = await bench.view().openForWriting(path('/Inbox/x'), begin);
  let flushed = 0;
  for (let n = 0; n < 50; n += 1) {
    await handle.write(n, Buffer.from([n]));
    await handle.flush().then(
      () => flushed++,
      (error: unknown) => assert.ok(hasCode('limit-reached')(error), String(error)),
    );
  }
  assert.equal(flushed, 40);
  await handle.abandon('lost');
  const rest = await bench.view().openForWriting(path('/Inbox/x'), resume);
  assert.equal(rest.size, 50);
  await rest.write(50, Buffer.from([50]));
  await rest.close();
  const [item] = await bench.list();
  assert.deepEqual(await bench.content(item?.id ?? ''), Buffer.from(Array.from({ length: 51 }, (_, n) => n)));
});

test('flushed bytes count once against the quota', async () => {
  await using bench = await CacheBench.open();
  const grant = { quotaBytes: 1000 };
  const view = bench.view('acme', grant);
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.alloc(600));
  await handle.flush();
  assert.equal((await view.space(path('/Inbox'))).freeBytes, 400);
  const second = await view.openForWriting(path('/Inbox/y'), begin);
  await second.write(0, Buffer.alloc(400));
  await assert.rejects(handle.write(600, Buffer.alloc(1)), hasCode('quota-exceeded'));
  await second.close();
  assert.equal((await view.space(path('/Inbox'))).freeBytes, 0);
});

test('the space is the quota less what is stored and what is under way, and nothing while the node takes nothing', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { quotaBytes: 10_000, quotaFiles: 10 });
  await put(view, '/Inbox/done', Buffer.alloc(1000));
  const handle = await view.openForWriting(path('/Inbox/growing'), begin);
  await handle.write(0, Buffer.alloc(500));
  const expected = { totalBytes: 10_000, freeBytes: 8500, totalFiles: 10, freeFiles: 8 };
  assert.deepEqual(await view.space(path('/Inbox/done')), { ...expected, writable: true });
  assert.deepEqual(await view.space(path('/Outbox')), { ...expected, writable: false });
  await assert.rejects(view.space(path('/Inbox/none')), hasCode('no-such-file'));
  await assert.rejects(view.space(path('/etc')), hasCode('no-such-file'));
  const other = await bench.view('globex', { quotaBytes: 77, permissions: granted('allow-list') }).space(path('/Inbox'));
  assert.deepEqual([other.totalBytes, other.freeBytes, other.writable], [77, 77, false]);
  await using full = await CacheBench.open({ cache: { minimumFree: { bytes: Number.MAX_SAFE_INTEGER } } });
  assert.deepEqual((await full.view('acme', { quotaBytes: 77 }).space(path('/Inbox'))).freeBytes, 0);
});

test('the digest of a complete file is answered from its record, also when only its ghost is left', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const content = randomBytes(1000);
  await put(view, '/Inbox/a', content);
  const expected = { sha256: sha256(content), size: 1000 };
  assert.deepEqual(await view.digest(path('/Inbox/a')), expected);
  const [item] = await bench.list();
  await bench.database.call('inbox.confirm', {
    id: item?.id ?? '',
    sha256: expected.sha256,
    outcome: 'delivered',
    nowMs: 1,
  });
  assert.deepEqual(await view.digest(path('/Inbox/a')), expected);
  await assert.rejects(bench.view('globex').digest(path('/Inbox/a')), hasCode('no-such-file'));
  await assert.rejects(
    bench.view('acme', { permissions: granted('allow-list') }).digest(path('/Inbox/a')),
    hasCode('permission-denied'),
  );
  await assert.rejects(bench.view('acme', { permissions: dropBox }).digest(path('/Inbox/a')), hasCode('no-such-file'));
});

test('there is no digest of a folder, of a partial, or of a file that came in several pieces', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await view.makeFolder(path('/Inbox/folder'));
  await assert.rejects(view.digest(path('/Inbox/folder')), hasCode('is-a-folder'));
  await assert.rejects(view.digest(path('/Inbox')), hasCode('is-a-folder'));
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await assert.rejects(view.digest(path('/Inbox/x')), hasCode('no-such-file'));
  await handle.flush();
  await handle.write(3, Buffer.from('def'));
  await handle.abandon('lost');
  await assert.rejects(view.digest(path('/Inbox/x')), hasCode('unsupported'));
  const rest = await view.openForWriting(path('/Inbox/x'), resume);
  await rest.close();
  await assert.rejects(view.digest(path('/Inbox/x')), hasCode('unsupported'));
});
