import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import type { SealedWriter } from '../../shared/seal/seal-workers.ts';
import { begin, CacheBench, hasCode, names, path, put, resume } from '../../test/fixtures/cache-bench.ts';
import { stallRule } from '../progress.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('2.8 CLOSE: after all writes it completes the item: bytes, digest, record, event', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const content = randomBytes(300_000);
  await put(view, '/Inbox/report.bin', content);
  const [item, ...others] = await bench.list();
  assert.ok(item);
  assert.equal(others.length, 0);
  assert.equal(item.size, content.length);
  assert.equal(item.sha256, sha256(content));
  assert.equal(item.path, '/Inbox/report.bin');
  assert.equal(item.state, 'ready');
  assert.deepEqual(item.decision.route, { action: 'deliver', destination: 'erp' });
  assert.equal(sha256(await bench.content(item.id)), item.sha256);
  const stat = await view.stat(path('/Inbox/report.bin'));
  assert.deepEqual([stat.size, stat.ghost, stat.kind], [content.length, false, 'file']);
  const completed = (await bench.events()).filter((e) => e.item === item.id).map((e) => e.name);
  assert.deepEqual(completed, ['upload.started', 'item.completed', 'item.routed']);
});

test('2.8 raw FIN, lenient: an upload whose end nobody told is complete, and its item says so', async () => {
  await using bench = await CacheBench.open();
  const handle = await bench.view().openForWriting(path('/Inbox/old.bin'), begin);
  await handle.write(0, Buffer.from('perhaps all'));
  await handle.close(true);
  const [item] = await bench.list();
  const told = (await bench.events()).filter((e) => e.item === item?.id).map((e) => e.name);
  assert.deepEqual(told, ['upload.started', 'item.completed', 'upload.end-untold', 'item.routed']);
});

test('2.8 CLOSE without WRITE, 2.9 zero bytes: an upload of no bytes is complete', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/flag.done', '');
  const [item] = await bench.list();
  assert.equal(item?.size, 0);
  assert.equal(item?.sha256, sha256(Buffer.alloc(0)));
  assert.equal((await bench.content(item?.id ?? '')).length, 0);
});

test('writes out of order within the window are put in order', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const content = randomBytes(200_000);
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  const scratch = Buffer.alloc(50_000);
  for (const offset of [100_000, 50_000, 150_000, 0]) {
    content.copy(scratch, 0, offset, offset + 50_000);
    await handle.write(offset, scratch); // the same memory again each time: what waits must be a copy
  }
  await handle.close();
  const [item] = await bench.list();
  assert.equal(item?.sha256, sha256(content));
});

test('2.8 CLOSE behind WRITEs: writes that are sent without waiting keep their order, and the close waits for them', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const content = randomBytes(6 * 1024 * 1024);
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  const piece = 32 * 1024;
  const writes = [];
  for (let offset = 0; offset < content.length; offset += piece) {
    writes.push(handle.write(offset, content.subarray(offset, offset + piece)));
  }
  const closed = handle.close(); // arrives while writes still run: it waits for them
  await Promise.all([...writes, closed]);
  assert.equal((await bench.list())[0]?.sha256, sha256(content));
});

test('2.8 CLOSE with holes: fails and keeps the contiguous part for resuming', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await handle.write(5, Buffer.from('fgh'));
  await assert.rejects(handle.close(), hasCode('upload-has-holes'));
  assert.deepEqual(await bench.list(), []);
  assert.equal((await view.stat(path('/Inbox/x'))).size, 3);
  const again = await view.openForWriting(path('/Inbox/x'), resume);
  assert.equal(again.size, 3);
  await again.write(3, Buffer.from('defgh'));
  await again.close();
  const [item] = await bench.list();
  assert.equal(item?.segments.length, 2);
  assert.equal(item?.sha256, null);
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'abcdefgh');
});

test('2.8 end without CLOSE: a session that ends without close leaves a partial, never an item', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('half'));
  await view.end('connection lost');
  assert.deepEqual(await bench.list(), []);
  await assert.rejects(handle.close(), hasCode('upload-failed'));
  assert.deepEqual(await bench.list(), []);
  assert.equal((await bench.events('upload.partial'))[0]?.fields.size, 4);
  const later = bench.view();
  assert.equal((await later.stat(path('/Inbox/x'))).size, 4);
  assert.equal(bench.cache.core.live.all().length, 0);
});

test('an abandoned upload without bytes leaves nothing, unless it is said to be kept', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  for (const keepEmpty of [false, true]) {
    const handle = await view.openForWriting(path(`/Inbox/${keepEmpty}`), begin);
    if (keepEmpty) handle.keepEmpty();
    await handle.abandon('gone');
  }
  assert.deepEqual(await names(view, '/Inbox'), ['true']);
  assert.deepEqual(await bench.objectFiles(), []);
  assert.deepEqual(await bench.list(), []);
});

test('2.9 resume: cuts the tail behind the first offset', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const first = await view.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('abcXXXX'));
  await first.abandon('lost');
  const second = await view.openForWriting(path('/Inbox/x'), resume);
  assert.equal(second.size, 7);
  const writes = [second.write(3, Buffer.from('de')), second.write(5, Buffer.from('fg'))]; // not awaited: they queue behind the cut
  await Promise.all(writes);
  await second.close();
  const [item] = await bench.list();
  assert.equal(item?.size, 7);
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'abcdefg');
  assert.deepEqual(
    item?.segments.map(({ plainBytes, sha256: digest }) => [plainBytes, digest === null]),
    [
      [3, true],
      [4, false],
    ],
  );
});

test('resuming with append ignores the offsets', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const first = await view.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('abc'));
  await first.abandon('lost');
  const second = await view.openForWriting(path('/Inbox/x'), { ...resume, append: true });
  await Promise.all([second.write(0, Buffer.from('de')), second.write(0, Buffer.from('f'))]);
  await second.close();
  assert.equal((await bench.content((await bench.list())[0]?.id ?? '')).toString(), 'abcdef');
});

test('resuming an upload whose bytes all came completes it', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const first = await view.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('abc'));
  await first.abandon('lost');
  await (await view.openForWriting(path('/Inbox/x'), resume)).close();
  const [item] = await bench.list();
  assert.equal(item?.sha256, sha256(Buffer.from('abc')));
  assert.equal((await bench.events('item.completed')).length, 1);
});

test('2.9 overwrite: truncating begins anew, and the old partial goes when the new file is complete', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const first = await view.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('old'));
  await first.abandon('lost');
  await put(view, '/Inbox/x', 'new file');
  const [item] = await bench.list();
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'new file');
  assert.equal((await bench.objectFiles()).length, 1);
  assert.deepEqual(await names(view, '/Inbox'), ['x']);
});

test('2.8 FSETSTAT: of the size cuts an upload and refuses to make it longer', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abcdef'));
  await handle.setAttributes({ size: 4, modifiedAtMs: 1_000_000_000_000 });
  await assert.rejects(handle.setAttributes({ size: 100 }), hasCode('unsupported'));
  assert.equal(handle.size, 4);
  await handle.write(4, Buffer.from('E'));
  await handle.close();
  assert.equal((await bench.content((await bench.list())[0]?.id ?? '')).toString(), 'abcdE');
  assert.equal((await view.stat(path('/Inbox/x'))).modifiedAtMs, 1_000_000_000_000);
});

test('2.8 CLOSE after a failed WRITE: a write too far ahead fails, and so does close; what was contiguous stays', async () => {
  await using bench = await CacheBench.open({ cache: { reorderWindowBytes: 1000, reorderBudgetBytes: 1000 } });
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await assert.rejects(handle.write(5000, Buffer.from('x')), hasCode('write-out-of-window'));
  await assert.rejects(handle.write(3, Buffer.from('d')), hasCode('upload-failed'));
  await assert.rejects(handle.close(), hasCode('upload-failed'));
  assert.deepEqual(await bench.list(), []);
  assert.equal((await view.stat(path('/Inbox/x'))).size, 3);
});

test('AC-15: a file above the size limit is refused and removed', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { maxFileBytes: 10 });
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('12345678'));
  await assert.rejects(handle.write(8, Buffer.from('9ab')), hasCode('quota-exceeded'));
  await assert.rejects(handle.close(), hasCode('upload-failed'));
  await assert.rejects(view.stat(path('/Inbox/x')), hasCode('no-such-file'));
  assert.deepEqual(await bench.objectFiles(), []);
  assert.equal((await bench.events('upload.refused'))[0]?.fields.code, 'quota-exceeded');
});

test('AC-21: the quota counts what waits and what is under way, over all sessions of the partner', async () => {
  await using bench = await CacheBench.open();
  const grant = { quotaBytes: 20, quotaFiles: 3 };
  const one = bench.view('acme', grant);
  const two = bench.view('acme', grant);
  await put(one, '/Inbox/a', '0123456789');
  const running = await one.openForWriting(path('/Inbox/b'), begin);
  await running.write(0, Buffer.from('01234567'));
  const other = await two.openForWriting(path('/Inbox/c'), begin);
  await assert.rejects(other.write(0, Buffer.from('abc')), hasCode('quota-exceeded'));
  await assert.rejects(two.openForWriting(path('/Inbox/d'), begin), hasCode('quota-exceeded'));
  await other.abandon('refused');
  await running.close();
  await put(bench.view('globex', grant), '/Inbox/a', '0123456789'); // another partner's quota is another
  assert.equal((await bench.list()).length, 3);
});

test('a quota that was freed meanwhile is noticed before a write is refused', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { quotaBytes: 10 });
  await put(view, '/Inbox/a', '12345678');
  const handle = await view.openForWriting(path('/Inbox/b'), begin);
  await view.removeFile(path('/Inbox/a'));
  await handle.write(0, Buffer.from('87654321'));
  await handle.close();
  assert.equal((await bench.list()).length, 1);
});

test('more partials than the grant allows are refused, and none is kept beyond', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { maxPartials: 1 });
  const two = [];
  for (const name of ['/Inbox/a', '/Inbox/b']) two.push(await view.openForWriting(path(name), begin));
  for (const handle of two) {
    await handle.write(0, Buffer.from('x'));
    await handle.abandon('lost');
  }
  assert.deepEqual(await names(view, '/Inbox'), ['a']);
  await assert.rejects(view.openForWriting(path('/Inbox/c'), begin), hasCode('quota-exceeded'));
  await put(view, '/Inbox/a', 'whole'); // the partial's own name is free
  await put(view, '/Inbox/c', 'whole');
  assert.equal((await bench.objectFiles()).length, 2);
});

test('2.8 two write handles on one path: one live writer for one name, in whatever form it is written', async () => {
  await using bench = await CacheBench.open();
  const [one, two] = [bench.view(), bench.view()];
  const handle = await one.openForWriting(path('/Inbox/caf\u00e9'), begin);
  await assert.rejects(two.openForWriting(path('/Inbox/cafe\u0301'), begin), hasCode('upload-in-progress'));
  await assert.rejects(one.removeFile(path('/Inbox/caf\u00e9')), hasCode('upload-in-progress'));
  await handle.close();
  await put(two, '/Inbox/cafe\u0301', 'again');
  assert.deepEqual(await names(one, '/Inbox'), ['cafe\u0301']); // equal after NFC: one name
});

test('while it runs only the own session sees it, with its growing size', async () => {
  await using bench = await CacheBench.open();
  const [own, other] = [bench.view(), bench.view()];
  const handle = await own.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  assert.equal((await own.stat(path('/Inbox/x'))).size, 3);
  assert.deepEqual(await names(own, '/Inbox'), ['x']);
  await assert.rejects(other.stat(path('/Inbox/x')), hasCode('no-such-file'));
  assert.deepEqual(await names(other, '/Inbox'), []);
  await handle.write(3, Buffer.from('def'));
  assert.equal((await own.stat(path('/Inbox/x'))).size, 6);
  await handle.close();
  assert.deepEqual(await names(other, '/Inbox'), ['x']);
});

test('below the gate of free space nothing is accepted, and the partner hears so', async () => {
  await using bench = await CacheBench.open({ cache: { minimumFree: { bytes: 2 ** 52 } } });
  await assert.rejects(bench.view().openForWriting(path('/Inbox/x'), begin), hasCode('no-space'));
  assert.equal((await bench.events('space.low')).length, 1);
  assert.equal((await bench.events('upload.refused'))[0]?.fields.code, 'no-space');
});

test('without a policy in force nothing is accepted', async () => {
  await using bench = await CacheBench.open();
  bench.policy = undefined;
  await assert.rejects(bench.view().openForWriting(path('/Inbox/x'), begin), (error: unknown) => {
    return error instanceof SallyportError && error.partnerReply === 'unavailable';
  });
});

test('after a failed flush nothing more is accepted', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  bench.cache.core.health.note(new SallyportError('store-suspect', 'EIO'));
  await assert.rejects(view.openForWriting(path('/Inbox/x'), begin), hasCode('store-suspect'));
  assert.equal((await bench.events('store.suspect')).length, 1);
});

test('an upload that gets no byte for too long becomes a partial', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  bench.clock.advance(11 * 60_000);
  await bench.cache.sweep();
  await assert.rejects(handle.write(3, Buffer.from('d')), hasCode('upload-failed'));
  await handle.abandon('over');
  assert.equal((await view.stat(path('/Inbox/x'))).size, 3);
});

test('F47: an upload into which bytes only drip becomes a partial, one at the least rate goes on', async () => {
  await using bench = await CacheBench.open({ cache: { stall: stallRule(10 * 60_000, 2) } });
  const view = bench.view();
  const dripping = await view.openForWriting(path('/Inbox/dripping'), begin);
  const slow = await view.openForWriting(path('/Inbox/slow'), begin);
  for (let minute = 0; minute < 11; minute += 1) {
    await dripping.write(minute, Buffer.from('x'));
    await slow.write(minute * 120, Buffer.alloc(120));
    bench.clock.advance(60_000);
    await bench.cache.sweep();
  }
  await assert.rejects(dripping.write(11, Buffer.from('x')), hasCode('upload-failed'));
  await slow.write(11 * 120, Buffer.from('x'));
  await slow.close();
  await dripping.abandon('over');
  assert.equal((await view.stat(path('/Inbox/dripping'))).size, 11);
  assert.equal((await view.stat(path('/Inbox/slow'))).size, 11 * 120 + 1);
});

test('open flags: exclusive, create and resuming a finished file', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'done');
  await assert.rejects(view.openForWriting(path('/Inbox/x'), { ...begin, exclusive: true }), hasCode('already-exists'));
  await assert.rejects(view.openForWriting(path('/Inbox/x'), { ...resume, append: true }), hasCode('already-exists'));
  await assert.rejects(view.openForWriting(path('/Inbox/y'), { ...begin, create: false }), hasCode('no-such-file'));
  await assert.rejects(view.openForWriting(path('/Inbox/no/y'), begin), hasCode('no-such-file'));
  await assert.rejects(view.openForWriting(path('/Inbox'), begin), hasCode('is-a-folder'));
  assert.equal(bench.cache.core.live.all().length, 0);
});

test('2.8 CLOSE after a failed WRITE, 2.11: a disk that fills up in mid-write fails the write and the close, and leaves nothing behind', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const full = new SallyportError('no-space', 'ENOSPC');
  let destroyed = 0;
  const writer: SealedWriter = {
    write: () => Promise.reject(full),
    finish: () => Promise.reject(full),
    destroy: async () => {
      destroyed += 1;
    },
  };
  Object.assign(bench.cache.core.seal, { createWriter: () => writer });
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await assert.rejects(handle.write(0, Buffer.from('abc')), hasCode('no-space'));
  await assert.rejects(handle.close(), hasCode('upload-failed'));
  assert.equal(destroyed, 1);
  await assert.rejects(view.stat(path('/Inbox/x')), hasCode('no-such-file'));
  assert.equal((await bench.events('upload.refused'))[0]?.fields.code, 'no-space');
  assert.equal(bench.cache.core.live.all().length, 0);
});

test('a flush that fails at the end is never answered with ok, and stops the intake', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const writer: SealedWriter = {
    write: async () => {},
    finish: () => Promise.reject(new SallyportError('store-suspect', 'EIO')),
    destroy: async () => {},
  };
  Object.assign(bench.cache.core.seal, { createWriter: () => writer });
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await assert.rejects(handle.close(), hasCode('store-suspect'));
  assert.deepEqual(await bench.list(), []);
  await assert.rejects(view.openForWriting(path('/Inbox/y'), begin), hasCode('store-suspect'));
});

test('records on a full disk refuse the upload, and what no record tells of does not stay', async () => {
  for (const size of [1000, 400_000]) {
    await using bench = await CacheBench.open();
    const view = bench.view();
    const { database } = bench;
    const call = database.call.bind(database);
    database.call = (async (name: never, args: never) => {
      if (['upload.commit', 'upload.keep', 'upload.drop'].includes(name)) throw new SallyportError('no-space', 'SQLITE_FULL');
      return await call(name, args);
    }) as typeof database.call;
    await assert.rejects(put(view, '/Inbox/x', Buffer.alloc(size)), hasCode('no-space'));
    assert.deepEqual(await bench.objectFiles(), []);
    assert.equal(bench.cache.core.health.suspect, null);
    database.call = call;
    await put(view, '/Inbox/x', Buffer.alloc(size, 'x'));
    await bench.crash();
    await bench.start();
    assert.deepEqual(
      (await bench.list()).map((item) => item.size),
      [size],
    );
    assert.equal((await bench.objectFiles()).length, 1);
  }
});
