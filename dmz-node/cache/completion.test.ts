import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Router } from '../../shared/matching/routing.ts';
import type { Rule } from '../../shared/policy.ts';
import { defaultUploads } from '../../shared/uploads.ts';
import { begin, CacheBench, names, path, put, resume, rule } from '../../test/fixtures/cache-bench.ts';
import { sender } from '../../test/fixtures/permissions.ts';

const dayMs = 86_400_000;

/** Uses the settings that ship. */
async function usual(): Promise<CacheBench> {
  const bench = await CacheBench.open();
  if (bench.policy) bench.policy = { ...bench.policy, uploads: defaultUploads };
  return bench;
}

test('2.9 temp-name: every name of the usual list is held at CLOSE and completed by its rename', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { permissions: sender });
  const temporary = ['a.part', 'b.filepart', 'c.partial', 'd.tmp', 'e.temp', 'f.upload', 'g.uploading', 'h.crdownload'];
  temporary.push('i.!ut', '.j', '~k', 'l~');
  for (const name of temporary) await put(view, `/Inbox/${name}`, name);
  assert.deepEqual(await bench.list(), []);
  assert.equal((await bench.events('item.held')).length, temporary.length);
  for (const [index, name] of temporary.entries()) {
    await view.rename(path(`/Inbox/${name}`), path(`/Inbox/${index}.csv`), false);
    assert.equal((await bench.list()).length, index + 1);
  }
});

test("2.9 temp-name: a partner's own list counts before that of all", async () => {
  await using bench = await usual();
  const [own, other] = [bench.view('acme', { uploads: { temporaryNames: ['*.wip'] } }), bench.view('globex')];
  await put(own, '/Inbox/x.wip', 'held');
  await put(own, '/Inbox/x.part', 'complete');
  await put(other, '/Inbox/y.wip', 'complete');
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/x.part', '/Inbox/y.wip'],
  );
});

test('2.9 temp-name: without a policy in force nothing that looks temporary is completed', async () => {
  await using bench = await usual();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x.filepart'), begin);
  bench.policy = undefined;
  await handle.close();
  assert.deepEqual(await bench.list(), []);
  assert.deepEqual(await names(view, '/Inbox'), ['x.filepart']);
});

test('2.9 temp-name: held for too long is told once and never removed', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { uploads: { holdAlarmMs: dayMs } });
  await put(view, '/Inbox/x.part', 'content');
  bench.clock.advance(dayMs - 1000);
  await bench.cache.sweep();
  assert.deepEqual(await bench.events('item.held-long'), []);
  bench.clock.advance(2000);
  for (let round = 0; round < 3; round += 1) await bench.cache.sweep();
  const [alarm, ...more] = await bench.events('item.held-long');
  assert.equal(more.length, 0);
  assert.equal(alarm?.fields.path, '/Inbox/x.part');
  assert.equal(alarm?.fields.heldMs, dayMs + 1000);
  await view.rename(path('/Inbox/x.part'), path('/Inbox/x'), false);
  assert.equal((await bench.content((await bench.list())[0]?.id ?? '')).toString(), 'content');
});

test('2.8 RENAME of a held item: a partial cannot be completed by it', async () => {
  await using bench = await usual();
  const view = bench.view();
  const handle = await view.openForWriting(path('/Inbox/x.part'), begin);
  await handle.write(0, Buffer.from('half'));
  await handle.abandon('lost');
  await view.rename(path('/Inbox/x.part'), path('/Inbox/x'), false);
  assert.deepEqual(await bench.list(), []);
  const again = await view.openForWriting(path('/Inbox/x'), resume);
  assert.equal(again.size, 4);
  await again.close();
  assert.equal((await bench.list()).length, 1);
});

test("2.9 ghost: stays for the partner's own time after his session", async () => {
  await using bench = await usual();
  const view = bench.view('acme', { uploads: { ghostMs: 5000 } });
  await put(view, '/Inbox/x', 'content');
  const [item] = await bench.list();
  const epoch = await bench.cache.nextEpoch();
  const params = { id: item?.id ?? '', epoch, sha256: item?.sha256 ?? '', outcome: 'delivered' as const };
  await bench.handOver.requests['inbox.confirm'](params, new AbortController().signal);
  bench.clock.advance(60_000);
  await bench.cache.sweep();
  assert.equal((await view.stat(path('/Inbox/x'))).ghost, true);
  await view.end('bye');
  bench.clock.advance(4000);
  assert.equal((await bench.view().stat(path('/Inbox/x'))).size, 7);
  bench.clock.advance(2000);
  await assert.rejects(bench.view().stat(path('/Inbox/x')), { code: 'no-such-file' });
});

test('2.9 completion mode close: complete at CLOSE, nothing is held', async () => {
  await using bench = await usual();
  await put(bench.view(), '/Inbox/x', 'content');
  assert.equal((await bench.list()).length, 1);
});

test('2.9 completion mode rename: whatever the name, only a rename completes it, once', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { permissions: sender, uploads: { complete: 'rename' } });
  await put(view, '/Inbox/x', 'content');
  bench.clock.advance(dayMs / 2);
  await bench.cache.sweep();
  assert.deepEqual(await bench.list(), []);
  assert.equal((await view.stat(path('/Inbox/x'))).size, 7);
  await view.rename(path('/Inbox/x'), path('/Inbox/y'), false);
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/y'],
  );
  await assert.rejects(view.rename(path('/Inbox/y'), path('/Inbox/z'), false), { code: 'permission-denied' });
});

test('2.9 completion mode quiet: complete when nothing touched it for so long', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { uploads: { complete: 'quiet', quietMs: 10_000 } });
  await put(view, '/Inbox/x', 'content');
  bench.clock.advance(9000);
  await bench.cache.sweep();
  assert.deepEqual(await bench.list(), []);
  await view.setAttributes(path('/Inbox/x'), { modifiedAtMs: 1000 }); // a touch
  bench.clock.advance(9000);
  await bench.cache.sweep();
  assert.deepEqual(await bench.list(), []);
  bench.clock.advance(2000); // the timer itself completes it
  await bench.cache.settle();
  const [item] = await bench.list();
  assert.equal(item?.path, '/Inbox/x');
  assert.equal(item?.completedAtMs, bench.clock.nowMs());
  assert.equal((await bench.events('item.released')).length, 1);
});

test('2.9 completion mode quiet: whoever touched it last answers for it, since its sender may have left long ago', async () => {
  await using bench = await usual();
  const quiet = { uploads: { complete: 'quiet', quietMs: 10_000 } } as const;
  const [sent, touched] = [bench.view('acme', quiet), bench.view('acme', quiet)];
  await put(sent, '/Inbox/x', 'content');
  await put(touched, '/Inbox/y', 'of the second session');
  await sent.end('left');
  await touched.setAttributes(path('/Inbox/x'), { modifiedAtMs: 1000 });
  bench.clock.advance(11_000);
  await bench.cache.settle();
  const items = await bench.list();
  assert.deepEqual(items.map((item) => item.path).sort(), ['/Inbox/x', '/Inbox/y']);
  assert.equal(new Set(items.map(({ sessionProof }) => sessionProof)).size, 1);
  assert.equal(new Set(items.map(({ session }) => session)).size, 1);
});

test('2.9 completion mode quiet: a name that is written anew is not quiet, and the newer file takes its place', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { uploads: { complete: 'quiet', quietMs: 10_000 } });
  await put(view, '/Inbox/x', 'old');
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('newer'));
  bench.clock.advance(60_000);
  await bench.cache.sweep();
  assert.deepEqual(await bench.list(), []);
  await handle.close();
  bench.clock.advance(11_000);
  await bench.cache.sweep();
  assert.deepEqual(
    (await bench.list()).map(({ size }) => size),
    [5],
  );
  assert.equal((await bench.events('item.superseded')).length, 1);
});

test('2.9 completion mode quiet: who writes a new version answers for the one before it, which may be completed long after its own session', async () => {
  await using bench = await usual();
  const quiet = { uploads: { complete: 'quiet', quietMs: 10_000 } } as const;
  const [sent, anew] = [bench.view('acme', quiet), bench.view('acme', quiet)];
  await put(sent, '/Inbox/x', 'old');
  await sent.end('left');
  await put(anew, '/Inbox/y', 'of the second session');
  const handle = await anew.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('newer'));
  bench.clock.advance(60_000);
  await bench.cache.settle();
  await handle.abandon('lost');
  bench.clock.advance(11_000);
  await bench.cache.settle();
  const items = await bench.list();
  assert.deepEqual(items.map((item) => item.path).sort(), ['/Inbox/x', '/Inbox/y']);
  assert.equal(new Set(items.map(({ sessionProof }) => sessionProof)).size, 1);
  assert.equal((await bench.content(items.find((item) => item.path === '/Inbox/x')?.id ?? '')).toString(), 'old');
});

test('2.9 completion mode quiet: a failed new version leaves the old one to be completed', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { uploads: { complete: 'quiet', quietMs: 10_000 } });
  await put(view, '/Inbox/x', 'old');
  const handle = await view.openForWriting(path('/Inbox/x'), begin);
  await handle.write(0, Buffer.from('newer'));
  await handle.abandon('lost');
  bench.clock.advance(11_000);
  await bench.cache.sweep();
  assert.equal((await bench.content((await bench.list())[0]?.id ?? '')).toString(), 'old');
});

test('2.9 completion mode session-end: complete when the session that sent it is over, in the order of sending', async () => {
  await using bench = await usual();
  const uploads = { complete: 'session-end' } as const;
  const [one, two] = [bench.view('acme', { uploads }), bench.view('acme', { uploads })];
  for (const name of ['b', 'a', 'c']) {
    await put(one, `/Inbox/${name}`, name);
    bench.clock.advance(10);
  }
  await put(two, '/Inbox/other', 'x');
  await bench.cache.sweep();
  assert.deepEqual(await bench.list(), []);
  await one.end('quit');
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/b', '/Inbox/a', '/Inbox/c'],
  );
});

test('2.9 completion modes: a kill while something is held loses and completes nothing twice', async () => {
  await using bench = await usual();
  await put(bench.view('acme', { uploads: { complete: 'quiet', quietMs: 10_000 } }), '/Inbox/quiet', 'q');
  await put(bench.view('acme', { uploads: { complete: 'session-end' } }), '/Inbox/session', 's');
  await put(bench.view('acme', { uploads: { complete: 'rename' } }), '/Inbox/rename', 'r');
  await bench.crash();
  await bench.start(); // sessions of before are over
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/session'],
  );
  bench.clock.advance(11_000);
  await bench.cache.settle();
  await bench.crash();
  await bench.start();
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/session', '/Inbox/quiet'],
  );
  assert.equal((await bench.events('item.released')).length, 2);
  await bench.view('acme', { uploads: { complete: 'rename' } }).rename(path('/Inbox/rename'), path('/Inbox/final'), false);
  assert.equal((await bench.list()).length, 3);
});

test('2.9 completion modes: what is held under its final name counts as there when the grant refuses to replace', async () => {
  await using bench = await usual();
  const view = bench.view('acme', { onExisting: 'refuse', uploads: { complete: 'quiet', quietMs: 10_000 } });
  await put(view, '/Inbox/x', 'one');
  await assert.rejects(view.openForWriting(path('/Inbox/x'), begin), { code: 'already-exists' });
  await put(view, '/Inbox/y.part', 'one');
  await put(view, '/Inbox/y.part', 'two'); // under a temporary name nothing was promised
  assert.deepEqual(await names(view, '/Inbox'), ['x', 'y.part']);
});

const inside = { action: 'deliver', destination: 'erp' } as const;
const withRules = (...rules: readonly Rule[]): Promise<CacheBench> => CacheBench.open({ rules });

test('FD-28: a rule with a delay waits until nothing touched the file for so long, and follows it to another name', async () => {
  await using bench = await withRules({ ...rule('*.csv', inside), completion: { complete: 'quiet', quietMs: 5000 } });
  const view = bench.view();
  await put(view, '/Inbox/first.csv', 'content');
  bench.clock.advance(4000);
  await view.rename(path('/Inbox/first.csv'), path('/Inbox/second.csv'), false);
  bench.clock.advance(4000);
  await bench.cache.settle();
  assert.deepEqual(await bench.list(), [], 'it has waited for 4 s under this name');
  await view.setAttributes(path('/Inbox/second.csv'), { modifiedAtMs: 1000 });
  bench.clock.advance(4000);
  await bench.cache.settle();
  assert.deepEqual(await bench.list(), [], 'a touch counts');
  bench.clock.advance(1000);
  await bench.cache.settle();
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/second.csv'],
  );
});

test('a rule says how uploads for it are completed, whatever their partner has; temporary names are held all the same', async () => {
  const partners = { uploads: { complete: 'rename' } } as const;
  await using bench = await withRules(
    { ...rule('*.now', inside), completion: { complete: 'close' } },
    { ...rule('*.end', inside), completion: { complete: 'session-end' } },
    rule('*', inside),
  );
  const view = bench.view('acme', partners);
  for (const name of ['a.now', 'b.end', 'c.other', 'd.part']) await put(view, `/Inbox/${name}`, name);
  const complete = async () => (await bench.list()).map((item) => item.path);
  assert.deepEqual(await complete(), ['/Inbox/a.now']);
  await view.rename(path('/Inbox/c.other'), path('/Inbox/c'), false);
  assert.deepEqual(await complete(), ['/Inbox/a.now', '/Inbox/c']);
  await view.end('quit');
  assert.deepEqual((await complete()).sort(), ['/Inbox/a.now', '/Inbox/b.end', '/Inbox/c']);
});

test('at midnight both nodes decide by the same instant: the one at which the DMZ decided is the completion of the item', async () => {
  const dayEndMs = Date.UTC(2026, 10, 22) - 1;
  await using bench = await withRules(rule('t/*_{day.padded}.csv/', inside));
  const { clock } = bench;
  clock.advance(dayEndMs - 20_000 - clock.nowMs());
  await put(bench.view('acme', { uploads: { complete: 'quiet', quietMs: 10_000 } }), '/Inbox/quiet_21.csv', 'q');
  // From here on no two looks at the clock in a row find the same day.
  let looks = 0;
  clock.nowMs = () => dayEndMs + (looks++ % 2);
  clock.advance(20_000);
  await bench.cache.settle();
  await put(bench.view(), '/Inbox/close_21.csv', 'c');
  for (const item of await bench.list()) {
    const facts = { partner: item.partner, path: item.path.slice('/Inbox/'.length), size: item.size, atMs: item.completedAtMs };
    const router = new Router(bench.policy?.rules ?? [], { timeZone: 'UTC' });
    assert.deepEqual(router.decide(facts).route, item.decision.route, item.path);
  }
  assert.equal((await bench.list()).length, 2);
});
