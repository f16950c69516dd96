import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import type { Decision } from '../../shared/policy.ts';
import { itemSchema } from '../../shared/tunnel/messages.ts';
import { CacheBench, names, path, put, rule } from '../../test/fixtures/cache-bench.ts';

const deliver: Decision = { route: { action: 'deliver', destination: 'erp' }, rule: 'inside' };

test('each completed item is told once, with the proof of its session', async () => {
  await using bench = await CacheBench.open();
  bench.announcer.linkUp();
  await bench.announcer.idle();
  for (let n = 0; n < 20; n += 1) await put(bench.view(), `/Inbox/${n}`, `${n}`);
  await bench.announcer.idle();
  assert.equal(bench.inside.announced.length, 20);
  assert.equal(new Set(bench.inside.announced.map(({ id }) => id)).size, 20);
  for (const item of bench.inside.announced) itemSchema.parse(item);
  bench.announcer.linkDown();
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.equal(bench.inside.announced.length, 20);
});

test('what was completed without a link is told when one is there, also after a restart', async () => {
  await using bench = await CacheBench.open();
  for (let n = 0; n < 100; n += 1) await put(bench.view(), `/Inbox/${n}`, `${n}`);
  await bench.stop();
  await bench.start();
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.equal(new Set(bench.inside.announced.map(({ id }) => id)).size, 100);
});

test('what the inside could not take is told again after a wait; others do not wait for it', async () => {
  await using bench = await CacheBench.open();
  let refusals = 0;
  bench.inside.decide = (item) => {
    if (item.path !== '/Inbox/bad' || refusals >= 2) return item.decision;
    refusals += 1;
    throw new SallyportError('limit-reached', 'later');
  };
  bench.announcer.linkUp();
  await bench.announcer.idle();
  for (const name of ['bad', 'good']) await put(bench.view(), `/Inbox/${name}`, name);
  await bench.announcer.idle();
  const left = async (): Promise<number> =>
    (await bench.database.call('dispatch.unregistered', { after: 0, limit: 10 })).items.length;
  assert.equal(await left(), 1);
  for (let n = 0; n < 5 && (await left()) > 0; n += 1) {
    bench.clock.advance(10_000);
    await bench.announcer.idle();
  }
  assert.equal(await left(), 0);
  assert.equal(refusals, 2);
});

test('a link that breaks leaves the rest for the next one', async () => {
  await using bench = await CacheBench.open();
  for (const name of ['a', 'b']) await put(bench.view(), `/Inbox/${name}`, name);
  bench.inside.down = true;
  bench.announcer.linkUp();
  await bench.announcer.idle();
  bench.announcer.linkDown();
  bench.inside.down = false;
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.equal(bench.inside.announced.length, 2);
});

test('the answer of the inside counts: a dispatched item is taken back from the Outbox', async () => {
  await using bench = await CacheBench.open({ rules: [rule('*', { action: 'outbox', partner: 'globex' })] });
  bench.inside.decide = () => deliver;
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  assert.deepEqual(await bench.list(), []);
  bench.announcer.linkUp();
  await bench.announcer.idle();
  const [item] = await bench.list();
  assert.deepEqual([item?.state, item?.decision], ['ready', deliver]);
  assert.deepEqual(await names(bench.view('globex'), '/Outbox'), []);
  assert.equal((await view.stat(path('/Inbox/x'))).ghost, false);
});

test('the answer of the inside counts: an item without a rule goes to an Outbox', async () => {
  await using bench = await CacheBench.open({ rules: [] });
  bench.inside.decide = () => ({ route: { action: 'outbox', partner: 'globex' }, rule: 'inside' });
  await put(bench.view(), '/Inbox/x', 'content');
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.deepEqual(await names(bench.view('globex'), '/Outbox'), ['x']);
  assert.deepEqual(await bench.list(), []);
});

test('FD-15, FD-16: delete removes the item once the inside agrees; ignore lets it lie', async () => {
  await using bench = await CacheBench.open({ rules: [rule('*.tmp', { action: 'delete' }), rule('*', { action: 'ignore' })] });
  const view = bench.view();
  await put(view, '/Inbox/x.tmp', 'x');
  await put(view, '/Inbox/y', 'y');
  assert.equal((await bench.objectFiles()).length, 2);
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.equal((await bench.objectFiles()).length, 1);
  assert.equal((await view.stat(path('/Inbox/x.tmp'))).ghost, true);
  assert.equal((await view.stat(path('/Inbox/y'))).ghost, false);
  await view.removeFile(path('/Inbox/x.tmp'));
  await view.removeFile(path('/Inbox/y'));
  assert.deepEqual(await bench.objectFiles(), []);
});

test('new rules: what no rule matched is presented again', async () => {
  await using bench = await CacheBench.open({ rules: [] });
  await put(bench.view(), '/Inbox/x', 'content');
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.equal((await bench.list())[0]?.state, 'unrouted');
  bench.inside.decide = () => deliver;
  await bench.announcer.policyChanged();
  await bench.announcer.idle();
  assert.equal((await bench.list())[0]?.state, 'ready');
});

test('a rename while the answer is on its way is not overwritten by it', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const { request } = bench.inside;
  bench.inside.request = (async (...args: Parameters<typeof request>) => {
    asked.resolve();
    await answer.promise;
    return await request(...args);
  }) as typeof request;
  bench.announcer.linkUp();
  await asked.promise;
  await view.rename(path('/Inbox/x'), path('/Inbox/y'), false);
  answer.resolve();
  await bench.announcer.idle();
  assert.deepEqual(
    bench.inside.announced.map((item) => item.path),
    ['/Inbox/x', '/Inbox/y'],
  );
  assert.deepEqual(
    (await bench.list()).map((item) => item.path),
    ['/Inbox/y'],
  );
});

test('the first item after a quiet time is told at once, those right behind it together', async () => {
  await using bench = await CacheBench.open();
  bench.announcer.linkUp();
  await bench.announcer.idle();
  const view = bench.view();
  for (const name of ['a', 'b', 'c']) await put(view, `/Inbox/${name}`, name);
  const told = (): string[] => bench.inside.announced.map((item) => item.path);
  assert.deepEqual(told(), ['/Inbox/a']);
  await view.rename(path('/Inbox/b'), path('/Inbox/b2'), false);
  bench.clock.advance(100);
  await bench.announcer.idle();
  assert.deepEqual(told().sort(), ['/Inbox/a', '/Inbox/b2', '/Inbox/c']);
});

test('while many items complete they are gathered for longer each time, until none came for a while', async () => {
  await using bench = await CacheBench.open();
  bench.announcer.linkUp();
  await bench.announcer.idle();
  const view = bench.view();
  const complete = async (...names: string[]): Promise<void> => {
    for (const name of names) await put(view, `/Inbox/${name}`, name);
  };
  const toldAfter = async (ms: number): Promise<string> => {
    bench.clock.advance(ms);
    await bench.database.call('upload.usage', { partner: 'acme' }); // behind what the announcer asked of the records
    return bench.inside.announced.map((item) => item.path.at(-1)).join('');
  };
  await complete('a', 'b', 'c');
  assert.equal(await toldAfter(39), 'a');
  assert.equal(await toldAfter(1), 'abc');
  await complete('d');
  assert.equal(await toldAfter(39), 'abc');
  await complete('e');
  assert.equal(await toldAfter(39), 'abc');
  assert.equal(await toldAfter(2), 'abcde');
  await complete('f', 'g');
  assert.equal(await toldAfter(40), 'abcdefg');
});
