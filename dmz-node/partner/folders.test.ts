/** Folders beside the Inbox and the Outbox, those that are made at login, and rates, in front of a whole cache. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, CacheBench, hasCode, names, path, put, rule } from '../../test/fixtures/cache-bench.ts';
import { grantedOn } from '../../test/fixtures/permissions.ts';

const folders = [
  { path: '/team/claims', place: '/Inbox/claims' },
  { path: '/reports', place: '/Outbox/reports' },
  { path: '/prices', place: '/Outbox', owner: 'price-lists' },
];
const shared = rule('*.list', { action: 'outbox', partner: 'price-lists' });

async function benchWithLists(): Promise<CacheBench> {
  const bench = await CacheBench.open({ rules: [shared, rule('*', { action: 'hold' })] });
  bench.announcer.linkUp();
  for (const name of ['a.list', 'b.list']) await put(bench.view('globex'), `/Inbox/${name}`, name);
  await bench.announcer.idle();
  return bench;
}

test('AC-10: what a partner has of folders is listed, always there, and never changed', async () => {
  await using bench = await benchWithLists();
  const view = bench.view('acme', { folders });
  assert.deepEqual(await names(view, '/'), ['prices', 'reports', 'team', 'Inbox', 'Outbox']);
  assert.deepEqual(await names(view, '/team'), ['claims']);
  assert.deepEqual(await names(view, '/reports'), []);
  assert.deepEqual((await names(view, '/prices')).sort(), ['a.list', 'b.list']);
  const seen = await view.stat(path('/team/claims'));
  assert.deepEqual([seen.name, seen.kind, seen.writable], ['claims', 'folder', true]);
  assert.equal((await view.stat(path('/prices'))).writable, false);
  const denied = hasCode('permission-denied');
  for (const fixed of ['/team', '/team/claims', '/prices']) {
    await assert.rejects(view.removeFolder(path(fixed)), denied, fixed);
    await assert.rejects(view.rename(path(fixed), path('/Inbox/x'), false), denied, fixed);
    await assert.rejects(view.openForWriting(path(fixed), begin), hasCode('is-a-folder'), fixed);
  }
  await assert.rejects(view.makeFolder(path('/team/other')), denied);
  await assert.rejects(view.stat(path('/team/other')), hasCode('no-such-file'));
  await assert.rejects(bench.view('acme').stat(path('/prices/a.list')), hasCode('no-such-file'));
});

test('AC-10: what is sent into a folder is in the Inbox under its place, and under both names it is one file', async () => {
  await using bench = await benchWithLists();
  const view = bench.view('acme', { folders });
  await put(view, '/team/claims/x.csv', 'a claim');
  assert.equal((await view.stat(path('/Inbox/claims/x.csv'))).size, 7);
  assert.deepEqual(
    (await bench.list()).filter(({ partner }) => partner === 'acme').map((item) => item.path),
    ['/Inbox/claims/x.csv'],
  );
  await view.makeFolder(path('/team/claims/sub'));
  await view.rename(path('/team/claims/x.csv'), path('/Inbox/y.csv'), false);
  await view.rename(path('/Inbox/y.csv'), path('/team/claims/sub/z.csv'), false);
  assert.deepEqual(await names(view, '/Inbox/claims/sub'), ['z.csv']);
  const open = await view.openForWriting(path('/team/claims/open'), begin);
  await assert.rejects(view.openForWriting(path('/Inbox/claims/open'), begin), hasCode('upload-in-progress'));
  await open.abandon('over');
  await view.removeFile(path('/team/claims/sub/z.csv'));
  assert.deepEqual(await names(view, '/team/claims/sub'), []);
});

test('AC-10: a shared Outbox is read by those who see it, and nobody puts anything into it', async () => {
  await using bench = await benchWithLists();
  const view = bench.view('acme', { folders });
  const handle = await view.openForReading(path('/prices/a.list'));
  assert.equal(handle.path, '/prices/a.list');
  assert.equal((await handle.read(0, 100)).toString(), 'a.list');
  await handle.close();
  assert.deepEqual(
    bench.inside.notes.map(({ partner }) => partner),
    ['acme'],
  );
  const [downloaded] = await bench.events('item.downloaded');
  assert.equal(downloaded?.partner, 'acme');
  await assert.rejects(view.openForWriting(path('/prices/c.list'), begin), hasCode('permission-denied'));
  await assert.rejects(view.makeFolder(path('/prices/new')), hasCode('permission-denied'));
  await view.removeFile(path('/prices/a.list'));
  assert.deepEqual(await names(bench.view('acme', { folders }), '/prices'), ['b.list']);
  assert.equal((await bench.events('item.removed')).at(-1)?.partner, 'acme');
});

test('PE-16: lines are for the path that the partner sees', async () => {
  await using bench = await benchWithLists();
  const permissions = grantedOn([['/prices | /prices/*', 'allow-list']], ['allow-full-control']);
  const view = bench.view('acme', { folders, permissions });
  assert.deepEqual((await names(view, '/prices')).length, 2);
  await assert.rejects(view.openForReading(path('/prices/a.list')), hasCode('permission-denied'));
  await assert.rejects(view.removeFile(path('/prices/a.list')), hasCode('permission-denied'));
  const claims = grantedOn([['/team/*', 'allow-list']], ['allow-full-control']);
  const narrow = bench.view('acme', { folders, permissions: claims });
  await assert.rejects(narrow.openForWriting(path('/team/claims/x'), begin), hasCode('permission-denied'));
  await put(narrow, '/Inbox/claims/x', 'through the other name, as the lines say');
});

test('AC-08: folders of the structure are there after the login, with those above them; a file in the way stays', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/taken', 'a file');
  const makeFolders = ['/Inbox/in', '/Inbox/out/2026/q4', '/Inbox/taken', '/Inbox/taken/below'];
  const view = bench.view('acme', { makeFolders });
  assert.deepEqual((await names(view, '/Inbox')).sort(), ['in', 'out', 'taken']);
  assert.deepEqual(await names(view, '/Inbox/out/2026'), ['q4']);
  assert.equal((await view.stat(path('/Inbox/taken'))).kind, 'file');
  await view.removeFolder(path('/Inbox/in'));
  const again = bench.view('acme', { makeFolders });
  assert.equal((await again.stat(path('/Inbox/in'))).kind, 'folder');
  assert.deepEqual(
    (await bench.events('folder.made')).map(({ fields }) => fields.path),
    [...['/Inbox/in', '/Inbox/out', '/Inbox/out/2026', '/Inbox/out/2026/q4'], '/Inbox/in'],
  );
});

test('a session begins where its grant says, and that folder is there', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { startIn: '/Inbox/orders' });
  const at = (text: string): string => view.resolve(Buffer.from(text));
  assert.deepEqual([at('x'), at('.'), at('../y'), at('/z')], ['/Inbox/orders/x', '/Inbox/orders', '/Inbox/y', '/z']);
  await put(view, at('x'), 'x');
  assert.deepEqual(await names(view, '/Inbox/orders'), ['x']);
  assert.equal(bench.view().resolve(Buffer.from('Inbox')), '/Inbox');
});

test('AC-21: a session over its rate waits, and ends at once when it is told to', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { uploadBytesPerS: 1024 });
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.alloc(1024));
  const slow = handle.write(1024, Buffer.alloc(4096));
  let done = false;
  void slow.then(() => {
    done = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(done, false);
  await view.end('told to');
  await slow;
  assert.equal((await bench.view().stat(path('/Inbox/x'))).size, 5120);
});

test('AC-15, AC-21: an upload that is announced as too large is refused before its first byte, and leaves nothing', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view('acme', { maxFileBytes: 1000, quotaBytes: 1500 });
  const open = (announcedBytes: number) => view.openForWriting(path('/Inbox/x'), { ...begin, announcedBytes });
  await assert.rejects(open(1001), hasCode('quota-exceeded'));
  await put(view, '/Inbox/first', Buffer.alloc(900));
  await assert.rejects(open(800), hasCode('quota-exceeded'));
  await (await open(600)).abandon('enough');
  assert.deepEqual(await names(view, '/Inbox'), ['first']);
});
