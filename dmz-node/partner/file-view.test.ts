import assert from 'node:assert/strict';
import { test } from 'node:test';
import { begin, CacheBench, hasCode, path, put } from '../../test/fixtures/cache-bench.ts';
import { granted } from '../../test/fixtures/permissions.ts';

test('the name policy is applied to every path', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  assert.equal(view.resolve(Buffer.from('Inbox/../Inbox/./a')), '/Inbox/a');
  assert.equal(view.resolve(Buffer.from('../../..')), '/');
  for (const name of ['/Inbox/a\nb', '/Inbox/\u202egpj.exe', `/Inbox/${'x'.repeat(256)}`, '/Inbox/.sallyport-x']) {
    assert.throws(() => view.resolve(Buffer.from(name)), hasCode('bad-name'), name);
  }
  assert.throws(() => view.resolve(Buffer.from([0x2f, 0xff])), hasCode('bad-name'));
});

test('a grant without rights can look and nothing else', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/x', 'x');
  const view = bench.view('acme', { permissions: granted('allow-list') });
  assert.equal((await view.stat(path('/Inbox/x'))).writable, false);
  const denied = hasCode('permission-denied');
  await assert.rejects(view.openForWriting(path('/Inbox/y'), begin), denied);
  await assert.rejects(view.openForReading(path('/Outbox/y')), denied);
  await assert.rejects(view.setAttributes(path('/Inbox/x'), { modifiedAtMs: 1 }), denied);
  await assert.rejects(view.removeFile(path('/Inbox/x')), denied);
  await assert.rejects(view.makeFolder(path('/Inbox/f')), denied);
  await assert.rejects(view.removeFolder(path('/Inbox/f')), denied);
  await assert.rejects(view.rename(path('/Inbox/x'), path('/Inbox/y'), false), denied);
});

test('nothing exists or can be made outside of the two folders, and uploads cannot be read back', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'x');
  await assert.rejects(view.stat(path('/etc')), hasCode('no-such-file'));
  await assert.rejects(view.openFolder(path('/Other')), hasCode('no-such-file'));
  await assert.rejects(view.openForReading(path('/etc/passwd')), hasCode('no-such-file'));
  await assert.rejects(view.makeFolder(path('/Other')), hasCode('permission-denied'));
  await assert.rejects(view.openForWriting(path('/x'), begin), hasCode('permission-denied'));
  await assert.rejects(view.rename(path('/Inbox/x'), path('/x'), false), hasCode('permission-denied'));
  await assert.rejects(view.openForReading(path('/Inbox/x')), hasCode('permission-denied'));
  assert.equal((await view.stat(path('/'))).name, '/');
});

test('handles are limited, and closing gives them back', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const handles = [];
  for (let n = 0; n < 64; n += 1) handles.push(await view.openForWriting(path(`/Inbox/${n}`), begin));
  await assert.rejects(view.openForWriting(path('/Inbox/more'), begin), hasCode('limit-reached'));
  await handles[0]?.close();
  await (await view.openForWriting(path('/Inbox/more'), begin)).close();
  await view.end('bye');
});

test('bytes are counted, and an ended view refuses everything', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'twelve bytes');
  assert.equal(view.receivedBytes, 12);
  const [one, two] = [view.end('first'), view.end('second')];
  await Promise.all([one, two]);
  await assert.rejects(view.stat(path('/Inbox/x')), hasCode('session-unknown'));
  await assert.rejects(view.openForWriting(path('/Inbox/y'), begin), hasCode('session-unknown'));
});

test('an upload that is being opened while the session ends does not outlive it', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const refused = assert.rejects(view.openForWriting(path('/Inbox/x'), begin), hasCode('session-unknown'));
  await view.end('gone');
  await refused;
  assert.equal(bench.cache.core.live.all().length, 0);
});
