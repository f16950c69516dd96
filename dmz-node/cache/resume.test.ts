/** Resuming, two writers, ghosts and write-only partners (reliability.md §2.8, §2.9). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, CacheBench, hasCode, names, path, put, resume } from '../../test/fixtures/cache-bench.ts';
import { dropBox, sender } from '../../test/fixtures/permissions.ts';
import type { FileView } from '../partner/file-view.ts';
import type { WriteHandle } from '../partner-view.ts';

const signal = new AbortController().signal;
const append = { ...resume, append: true };

async function lease(bench: CacheBench, id: string): Promise<{ confirm(): Promise<unknown> }> {
  const epoch = await bench.cache.nextEpoch();
  const item = (await bench.list()).find((one) => one.id === id);
  await bench.handOver.requests['inbox.lease']({ id, epoch }, signal);
  const params = { id, epoch, sha256: item?.sha256 ?? '', outcome: 'delivered' as const };
  return { confirm: async () => await bench.handOver.requests['inbox.confirm'](params, signal) };
}

test("2.9 resume: only the same partner's partial, with its contiguous size in STAT", async () => {
  await using bench = await CacheBench.open();
  const handle = await bench.view().openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  await handle.write(10, Buffer.from('later')); // does not count: there is a hole before it
  await handle.abandon('lost');
  const later = bench.view();
  assert.equal((await later.stat(path('/Inbox/x'))).size, 3);
  assert.equal((await later.openForWriting(path('/Inbox/x'), resume)).size, 3);
  const stranger = await bench.view('globex').openForWriting(path('/Inbox/x'), resume);
  assert.equal(stranger.size, 0);
});

test('2.9 resume: beyond what is kept a write makes a hole, and the close fails', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const first = await view.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('abc'));
  await first.abandon('lost');
  const second = await view.openForWriting(path('/Inbox/x'), resume);
  await second.write(5, Buffer.from('fg'));
  await assert.rejects(second.close(), hasCode('upload-has-holes'));
  assert.deepEqual(await bench.list(), []);
  assert.equal((await view.stat(path('/Inbox/x'))).size, 3);
});

async function opened(view: FileView, name: string): Promise<WriteHandle> {
  const handle = await view.openForWriting(path(name), begin);
  handle.keepEmpty();
  return handle;
}

test('2.9 resume: an upload that was cut before its first byte is continued from 0, also after a kill', async () => {
  await using bench = await CacheBench.open();
  await (await opened(bench.view(), '/Inbox/x')).abandon('lost');
  assert.deepEqual((await bench.events('upload.partial')).at(-1)?.fields.size, 0);
  await bench.crash();
  await bench.start();
  assert.deepEqual(await bench.events('item.quarantined'), []);
  const view = bench.view();
  assert.equal((await view.stat(path('/Inbox/x'))).size, 0);
  const handle = await view.openForWriting(path('/Inbox/x'), { ...append, create: false });
  assert.equal(handle.size, 0);
  await handle.write(0, Buffer.from('all of it'));
  await handle.flush();
  await bench.crash();
  await bench.start();
  const last = await bench.view().openForWriting(path('/Inbox/x'), resume);
  assert.equal(last.size, 9, 'what was flushed of it is kept');
  await last.close();
  const [item, ...others] = await bench.list();
  assert.equal(others.length, 0);
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'all of it');
  assert.equal((await bench.objectFiles()).length, 1);
});

test('2.9 resume: an empty partial counts, is let go in its time, and takes the place of nothing', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { maxPartials: 2 });
  const cut = async (name: string): Promise<void> => (await opened(view, `/Inbox/${name}`)).abandon('lost');
  await put(view, '/Inbox/whole', 'whole');
  const half = await opened(view, '/Inbox/half');
  await half.write(0, Buffer.from('ha'));
  await half.abandon('lost');
  for (const name of ['whole', 'half', 'empty']) await cut(name);
  await assert.rejects(cut('one too many'), hasCode('quota-exceeded'));
  const sizes = await Promise.all(['whole', 'half', 'empty'].map(async (name) => (await view.stat(path(`/Inbox/${name}`))).size));
  assert.deepEqual(sizes, [5, 2, 0]);
  assert.equal((await bench.objectFiles()).length, 2);
  bench.clock.advance(8 * 86_400_000);
  await bench.cache.sweep();
  assert.deepEqual(await names(view, '/Inbox'), ['whole']);
  assert.equal((await bench.events('item.expired')).length, 2);
});

test('2.9 resume: a file of no bytes that is continued is not lost with its connection', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { uploads: { continueComplete: true } });
  for (const name of ['x', 'y']) await put(view, `/Inbox/${name}`, '');
  await (await view.openForWriting(path('/Inbox/x'), append)).abandon('lost');
  await view.openForWriting(path('/Inbox/y'), append);
  await bench.crash();
  await bench.start();
  assert.deepEqual(await names(bench.view(), '/Inbox'), ['x', 'y']);
});

test('2.9 resume: a second session that resumes the same partial is refused', async () => {
  await using bench = await CacheBench.open();
  const [one, two] = [bench.view(), bench.view()];
  const first = await one.openForWriting(path('/Inbox/x'), begin);
  await first.write(0, Buffer.from('abc'));
  await first.abandon('lost');
  const second = await one.openForWriting(path('/Inbox/x'), resume);
  await assert.rejects(two.openForWriting(path('/Inbox/x'), resume), hasCode('upload-in-progress'));
  await second.write(3, Buffer.from('d'));
  await second.close();
  assert.equal((await bench.list()).length, 1);
});

test('2.9 resume: a complete file is not continued by default', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'whole');
  for (const options of [append, { ...resume, create: false }]) {
    await assert.rejects(view.openForWriting(path('/Inbox/x'), options), hasCode('already-exists'));
  }
  const handle = await view.openForWriting(path('/Inbox/x'), resume);
  await assert.rejects(handle.write(5, Buffer.from(' and more')), hasCode('already-exists'));
  await assert.rejects(handle.close());
  assert.equal((await bench.list()).length, 1);
  assert.equal((await bench.objectFiles()).length, 1);
});

test('2.9 overwrite: a complete file is sent anew by writing from the beginning, as scp does without asking to cut it', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'first and long');
  await (await view.openForWriting(path('/Inbox/x'), resume)).close();
  assert.equal((await bench.list()).length, 1, 'nothing was written, nothing is changed');
  const handle = await view.openForWriting(path('/Inbox/x'), resume);
  await handle.write(0, Buffer.from('second'));
  await handle.setAttributes({ size: 6 });
  await handle.close();
  const empty = await view.openForWriting(path('/Inbox/x'), resume);
  await empty.setAttributes({ size: 0 });
  await empty.close();
  const contents = await Promise.all((await bench.list()).map(async ({ id }) => String(await bench.content(id))));
  assert.deepEqual(contents, ['first and long', 'second', '']);
});

test('2.9 resume: where the policy allows it, a complete file goes back to being received in one step', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { uploads: { continueComplete: true } });
  await put(view, '/Inbox/x', 'whole');
  const [before] = await bench.list();
  const handle = await view.openForWriting(path('/Inbox/x'), append);
  assert.equal(handle.size, 5);
  assert.deepEqual(await bench.list(), []); // nobody can take half of the new one
  const epoch = await bench.cache.nextEpoch();
  const late = bench.handOver.requests['inbox.lease']({ id: before?.id ?? '', epoch }, signal);
  await assert.rejects(late, hasCode('already-collected'));
  await handle.write(0, Buffer.from(' and more'));
  await handle.close();
  const [after, ...others] = await bench.list();
  assert.equal(others.length, 0);
  assert.notEqual(after?.id, before?.id);
  assert.equal((await bench.content(after?.id ?? '')).toString(), 'whole and more');
  assert.equal((await bench.events('upload.reopened'))[0]?.fields.was, before?.id);
});

test('2.9 resume: what is continued and then lost is a partial with all that there was, also after a kill', async () => {
  await using bench = await CacheBench.open();
  const grant = { uploads: { continueComplete: true } };
  const view = bench.view('acme', grant);
  await put(view, '/Inbox/x', 'whole');
  await put(view, '/Inbox/y', 'whole');
  await (await view.openForWriting(path('/Inbox/x'), append)).abandon('lost');
  await view.openForWriting(path('/Inbox/y'), append);
  await bench.crash();
  await bench.start();
  const later = bench.view('acme', grant);
  for (const name of ['/Inbox/x', '/Inbox/y']) {
    assert.equal((await later.stat(path(name))).size, 5);
    await (await later.openForWriting(path(name), resume)).close();
  }
  assert.equal((await bench.list()).length, 2);
  assert.equal((await bench.objectFiles()).length, 2);
});

test('2.9 resume: a leased or delivered file is not continued, whatever the policy allows', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { uploads: { continueComplete: true } });
  await put(view, '/Inbox/x', 'whole');
  const { confirm } = await lease(bench, (await bench.list())[0]?.id ?? '');
  await assert.rejects(view.openForWriting(path('/Inbox/x'), append), hasCode('already-collected'));
  await confirm();
  await assert.rejects(view.openForWriting(path('/Inbox/x'), append), hasCode('already-collected'));
});

test('2.9 resume: what is held under a temporary name may be continued: its rename is still to come', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { permissions: sender });
  await put(view, '/Inbox/x.filepart', 'first half,'); // a program that closes what it interrupts
  const handle = await bench.view().openForWriting(path('/Inbox/x.filepart'), resume);
  assert.equal(handle.size, 11);
  await handle.write(11, Buffer.from(' second half'));
  await handle.close();
  await view.rename(path('/Inbox/x.filepart'), path('/Inbox/x'), false);
  const [item] = await bench.list();
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'first half, second half');
  assert.equal((await bench.objectFiles()).length, 2);
});

test('2.8 two write handles on one path: the second is refused while the first lives, also of the same session', async () => {
  await using bench = await CacheBench.open();
  const [one, two] = [bench.view(), bench.view()];
  const handle = await one.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('abc'));
  bench.clock.advance(59_000);
  await assert.rejects(two.openForWriting(path('/Inbox/x'), begin), hasCode('upload-in-progress'));
  bench.clock.advance(60_000);
  await assert.rejects(one.openForWriting(path('/Inbox/x'), begin), hasCode('upload-in-progress'));
  await handle.close();
  assert.equal((await bench.list()).length, 1);
});

test('2.8 two write handles on one path: a silent one is cut and taken over by another session', async () => {
  await using bench = await CacheBench.open();
  const [one, two] = [bench.view(), bench.view()];
  const dead = await one.openForWriting(path('/Inbox/x'), begin);
  await dead.write(0, Buffer.from('abc'));
  bench.clock.advance(61_000);
  const handle = await two.openForWriting(path('/Inbox/x'), resume);
  assert.equal(handle.size, 3);
  await assert.rejects(dead.write(3, Buffer.from('X')), hasCode('upload-failed'));
  await assert.rejects(dead.close(), hasCode('upload-failed'));
  await handle.write(3, Buffer.from('def'));
  await handle.close();
  const [item, ...others] = await bench.list();
  assert.equal(others.length, 0);
  assert.equal((await bench.content(item?.id ?? '')).toString(), 'abcdef');
  assert.equal((await bench.events('upload.partial'))[0]?.fields.reason, 'another session took the name over');
});

test('2.8 two write handles on one path: taking over can be switched off', async () => {
  await using bench = await CacheBench.open();
  const grant = { uploads: { takeOverMs: null } };
  const dead = await bench.view('acme', grant).openForWriting(path('/Inbox/x'), begin);
  await dead.write(0, Buffer.from('abc'));
  bench.clock.advance(9 * 60_000);
  const other = bench.view('acme', grant);
  await assert.rejects(other.openForWriting(path('/Inbox/x'), resume), hasCode('upload-in-progress'));
});

test('2.8 write handles: without a byte for the time of the partner they end as partials', async () => {
  await using bench = await CacheBench.open();
  const [quick, usual] = [bench.view('acme', { uploads: { idleUploadMs: 5000 } }), bench.view('globex')];
  const handles = [await quick.openForWriting(path('/Inbox/x'), begin), await usual.openForWriting(path('/Inbox/x'), begin)];
  for (const handle of handles) await handle.write(0, Buffer.from('abc'));
  bench.clock.advance(6000);
  await bench.cache.sweep();
  await assert.rejects(handles[0]?.write(3, Buffer.from('d')) ?? Promise.resolve(), hasCode('upload-failed'));
  await handles[1]?.write(3, Buffer.from('d'));
  await handles[1]?.close();
  assert.equal((await bench.list()).length, 1);
});

test('2.9 ghost: DELETE and RENAME of what is not leased yet are done; what is taken keeps its name, and may leave the view', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  for (const name of ['a', 'b', 'c', 'd']) await put(view, `/Inbox/${name}`, name);
  const [, , c, d] = await bench.list();
  await view.removeFile(path('/Inbox/a'));
  await view.rename(path('/Inbox/b'), path('/Inbox/e'), false);
  assert.deepEqual([(await bench.events('item.removed')).length, (await bench.events('item.renamed')).length], [1, 1]);
  await (await lease(bench, d?.id ?? '')).confirm();
  await lease(bench, c?.id ?? '');
  for (const name of ['/Inbox/c', '/Inbox/d']) {
    await assert.rejects(view.rename(path(name), path('/Inbox/f'), false), hasCode('already-collected'));
  }
  assert.deepEqual(await names(view, '/Inbox'), ['c', 'd', 'e']);
  for (const name of ['/Inbox/c', '/Inbox/d']) await view.removeFile(path(name));
  assert.deepEqual(await names(view, '/Inbox'), ['e']);
  assert.deepEqual(
    (await bench.events('item.ghost-removed')).map(({ item, fields }) => [item, fields.path]),
    [
      [c?.id, '/Inbox/c'],
      [d?.id, '/Inbox/d'],
    ],
  );
  assert.ok(
    (await bench.list()).some(({ id }) => id === c?.id),
    'what is being fetched is not taken back',
  );
});

test('2.9 ghost: a program that removes the old file before it renames the new one is not refused once the old was taken', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'first');
  await (await lease(bench, (await bench.list())[0]?.id ?? '')).confirm();
  await put(view, '/Inbox/x.filepart', 'second');
  await view.removeFile(path('/Inbox/x'));
  await assert.rejects(view.stat(path('/Inbox/x')), hasCode('no-such-file'));
  await view.rename(path('/Inbox/x.filepart'), path('/Inbox/x'), false);
  assert.deepEqual(
    (await bench.list()).map(({ path: name, size }) => [name, size]),
    [['/Inbox/x', 6]],
  );
});

test('2.9 ghost, SF-05, SF-07: shown with its committed size and set time in new sessions, read by nobody, replaced by a newer upload', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  await (await lease(bench, (await bench.list())[0]?.id ?? '')).confirm();
  await view.setAttributes(path('/Inbox/x'), { modifiedAtMs: 1_000_000_000_000 });
  const later = bench.view();
  const ghost = await later.stat(path('/Inbox/x'));
  assert.deepEqual([ghost.size, ghost.modifiedAtMs, ghost.ghost], [7, 1_000_000_000_000, true]);
  await assert.rejects(later.openForReading(path('/Inbox/x')));
  await put(later, '/Inbox/x', 'a newer one');
  assert.equal((await view.stat(path('/Inbox/x'))).size, 11);
  assert.equal((await bench.list()).length, 1);
});

test('SF-06: a ghost ends when it is removed, with a newer upload, and with its time', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  for (const name of ['removed', 'newer', 'old']) {
    await put(view, `/Inbox/${name}`, 'content');
    await (await lease(bench, (await bench.list())[0]?.id ?? '')).confirm();
  }
  await view.removeFile(path('/Inbox/removed'));
  await assert.rejects(view.stat(path('/Inbox/removed')), hasCode('no-such-file'));
  await put(view, '/Inbox/newer', 'another content');
  const newer = await view.stat(path('/Inbox/newer'));
  assert.deepEqual([newer.size, newer.ghost], [15, false]);
  await view.end('bye');
  bench.clock.advance(11 * 60_000);
  await assert.rejects(bench.view().stat(path('/Inbox/old')), hasCode('no-such-file'));
});

test('SF-21: a write-only partner sees his own fresh upload and what he can resume, nothing else', async () => {
  await using bench = await CacheBench.open();
  const grant = { permissions: dropBox };
  const [view, other] = [bench.view('acme', grant), bench.view('acme', grant)];
  await put(bench.view(), '/Inbox/earlier', 'of another session');
  await put(view, '/Inbox/x', 'content');
  assert.equal((await view.stat(path('/Inbox'))).kind, 'folder'); // \`cd\` asks for it
  assert.equal((await view.stat(path('/Inbox/x'))).size, 7);
  await (await lease(bench, (await bench.list())[1]?.id ?? '')).confirm();
  assert.equal((await view.stat(path('/Inbox/x'))).size, 7);
  for (const name of ['/Inbox/earlier', '/Inbox/none']) await assert.rejects(view.stat(path(name)), hasCode('no-such-file'));
  await assert.rejects(other.stat(path('/Inbox/x')), hasCode('no-such-file'));
  for (const folder of ['/', '/Inbox', '/Outbox'])
    await assert.rejects(view.openFolder(path(folder)), hasCode('permission-denied'));
  const handle = await view.openForWriting(path('/Inbox/y'), begin);
  await handle.write(0, Buffer.from('abc'));
  await handle.abandon('lost');
  assert.equal((await other.stat(path('/Inbox/y'))).size, 3);
});
