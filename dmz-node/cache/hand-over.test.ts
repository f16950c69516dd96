import assert from 'node:assert/strict';
import { readFile, truncate } from 'node:fs/promises';
import { test } from 'node:test';
import { newItemId } from '../../shared/ids.ts';
import { itemSchema, requests, wireEventSchema } from '../../shared/tunnel/messages.ts';
import { begin, CacheBench, hasCode, path, put, resume, rule } from '../../test/fixtures/cache-bench.ts';
import { cacheDefaults } from './cache.ts';

const signal = new AbortController().signal;

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

test('list gives what waits, in order and in pages, and each description fits the schema', async () => {
  await using bench = await CacheBench.open({
    rules: [
      rule('*.csv', { action: 'deliver', destination: 'erp' }),
      rule('*.hold', { action: 'hold' }),
      rule('*.gone', { action: 'ignore' }),
    ],
  });
  const view = bench.view();
  for (const name of ['a.csv', 'b.hold', 'c.txt', 'd.gone', 'e.csv']) await put(view, `/Inbox/${name}`, name);
  const list = bench.handOver.requests['inbox.list'];
  const first = await list({ after: 0, limit: 2 }, signal);
  const second = await list({ after: first.items.at(-1)?.seq ?? 0, limit: 64 }, signal);
  assert.deepEqual([first.more, second.more], [true, false]);
  const all = [...first.items, ...second.items];
  assert.deepEqual(
    all.map(({ path: name, state }) => [name, state]),
    [
      ['/Inbox/a.csv', 'ready'],
      ['/Inbox/b.hold', 'held'],
      ['/Inbox/c.txt', 'unrouted'],
      ['/Inbox/e.csv', 'ready'],
    ],
  );
  for (const item of all) itemSchema.parse(item);
  assert.equal((await bench.events('item.unrouted')).length, 1);
});

test('an answer stays below the size of a control message', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  const deep = `/Inbox/${'f'.repeat(200)}`;
  await view.makeFolder(path(deep));
  for (let n = 0; n < 64; n += 1) await put(view, `${deep}/${'x'.repeat(240)}${n}`, 'x');
  for (let interrupted = 0; interrupted < 20; interrupted += 1) {
    const handle = await view.openForWriting(path(`${deep}/many`), resume);
    await handle.write(handle.size, Buffer.from('x'));
    if (interrupted < 19) await handle.abandon('lost');
    else await handle.close();
  }
  const list = bench.handOver.requests['inbox.list'];
  let found = 0;
  for (let after = 0, more = true; more; ) {
    const page = await list({ after, limit: 64 }, signal);
    assert.ok(JSON.stringify(page).length < 61_000);
    found += page.items.length;
    after = page.items.at(-1)?.seq ?? after;
    more = page.more;
  }
  assert.equal(found, 65);
});

test('a leased item is read from any offset; without a lease, with an old epoch or after its time it is not', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/x', Buffer.alloc(400_000, 7));
  const id = (await bench.list())[0]?.id ?? '';
  const { 'inbox.lease': lease, 'inbox.release': release } = bench.handOver.requests;
  const read = bench.handOver.streams['inbox.read'];
  const epoch = await bench.cache.nextEpoch();
  await assert.rejects(readAll(read({ id, epoch, segment: 0, offset: 0 }, signal)), hasCode('lease-lost'));
  await assert.rejects(lease({ id, epoch: epoch - 1 }, signal), hasCode('stale-epoch'));
  await assert.rejects(lease({ id: newItemId(), epoch }, signal), hasCode('item-unknown'));
  assert.deepEqual(await lease({ id, epoch }, signal), { leaseMs: 15 * 60_000 });
  const [file] = await bench.objectFiles();
  const stored = await readFile(bench.cache.core.files.path(file ?? ''));
  assert.deepEqual(await readAll(read({ id, epoch, segment: 0, offset: 0 }, signal)), stored);
  assert.deepEqual(await readAll(read({ id, epoch, segment: 0, offset: 399_999 }, signal)), stored.subarray(399_999));
  assert.deepEqual(await readAll(read({ id, epoch, segment: 0, offset: stored.length }, signal)), Buffer.alloc(0));
  await assert.rejects(readAll(read({ id, epoch, segment: 1, offset: 0 }, signal)), hasCode('item-unknown'));
  bench.clock.advance(10 * 60_000);
  await lease({ id, epoch }, signal); // renewed
  bench.clock.advance(10 * 60_000);
  await readAll(read({ id, epoch, segment: 0, offset: 0 }, signal)); // reading renews as well
  bench.clock.advance(14 * 60_000);
  await readAll(read({ id, epoch, segment: 0, offset: 0 }, signal));
  bench.clock.advance(16 * 60_000);
  await assert.rejects(readAll(read({ id, epoch, segment: 0, offset: 0 }, signal)), hasCode('lease-lost'));
  await lease({ id, epoch }, signal);
  await release({ id, epoch }, signal);
  await assert.rejects(readAll(read({ id, epoch, segment: 0, offset: 0 }, signal)), hasCode('lease-lost'));
});

test('small items are leased and sent together; what cannot be sent whole says so and holds up no other', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  for (const name of ['a', 'damaged', 'b']) await put(view, `/Inbox/${name}`, `content of ${name}`);
  await put(view, '/Inbox/large', Buffer.alloc(200_000, 7));
  const list = await bench.list();
  const idOf = (name: string): string => list.find((item) => item.path === `/Inbox/${name}`)?.id ?? '';
  const epoch = await bench.cache.nextEpoch();
  const { files, leases } = bench.cache.core;
  await truncate(files.path(`${idOf('damaged')}.0`), 10);
  const stranger = newItemId();
  const ids = [idOf('a'), idOf('damaged'), stranger, idOf('large'), idOf('b'), idOf('b')];
  const collect = bench.handOver.streams['inbox.collect'];
  await assert.rejects(readAll(collect({ epoch: epoch - 1, ids }, signal)), hasCode('stale-epoch'));
  assert.equal(leases.count(), 0);
  const bytes = await readAll(collect({ epoch, ids }, signal));
  const [a, b] = await Promise.all(['a', 'b'].map((name) => readFile(files.path(`${idOf(name)}.0`))));
  const length = (value = Buffer.alloc(0)): Buffer => Buffer.from(value.length.toString(16).padStart(8, '0'), 'hex');
  const lease = Buffer.from((15 * 60_000).toString(16).padStart(8, '0'), 'hex');
  const nothing = length();
  const expected = [lease, length(a), a, nothing, nothing, nothing, length(b), b, length(b), b];
  assert.deepEqual(bytes, Buffer.concat(expected as Buffer[]));
  assert.deepEqual([leases.holds(idOf('a')), leases.holds(idOf('b')), leases.holds(stranger)], [true, true, false]);
  await assert.rejects(view.rename(path('/Inbox/a'), path('/Inbox/c'), false), hasCode('already-collected'));
});

test('a new link voids the leases of the old one, in the middle of a stream; a late end of the old link changes nothing', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/x', Buffer.alloc(1_000_000, 7));
  const id = (await bench.list())[0]?.id ?? '';
  const old = await bench.cache.nextEpoch();
  await bench.handOver.requests['inbox.lease']({ id, epoch: old }, signal);
  const stream = bench.handOver.streams['inbox.read']({ id, epoch: old, segment: 0, offset: 0 }, signal)[Symbol.asyncIterator]();
  assert.equal((await stream.next()).done, false);
  const epoch = await bench.cache.nextEpoch();
  await assert.rejects(stream.next(), hasCode('stale-epoch'));
  assert.ok(epoch > old);
  await bench.handOver.requests['inbox.lease']({ id, epoch }, signal);
  bench.cache.linkDown(old);
  assert.equal(bench.cache.core.leases.holds(id), true);
  bench.cache.linkDown(epoch);
  assert.equal(bench.cache.core.leases.holds(id), false);
  await assert.rejects(bench.handOver.requests['inbox.lease']({ id, epoch }, signal), hasCode('stale-epoch'));
});

test('what the inside had leased counts as taken after the link is lost, until the inside is back or its time is over', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/a', 'content');
  const id = (await bench.list())[0]?.id ?? '';
  const { requests } = bench.handOver;
  const epoch = await bench.cache.nextEpoch();
  await requests['inbox.lease']({ id, epoch }, signal);
  bench.cache.linkDown(epoch);
  await assert.rejects(view.rename(path('/Inbox/a'), path('/Inbox/b'), false), hasCode('already-collected'));
  await assert.rejects(requests['inbox.lease']({ id, epoch }, signal), hasCode('stale-epoch'));

  const next = await bench.cache.nextEpoch();
  await requests['inbox.lease']({ id, epoch: next }, signal);
  bench.cache.linkDown(next);
  bench.clock.advance(cacheDefaults.leaseMs);
  await view.removeFile(path('/Inbox/a'));
  await bench.cache.nextEpoch();
  assert.deepEqual(await bench.list(), []);
});

test('confirm removes once, answers the same again, and keeps the file when it names another hash or an old epoch', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/x', 'content');
  const [item] = await bench.list();
  const { id = '', sha256 } = item ?? {};
  const confirm = bench.handOver.requests['inbox.confirm'];
  const epoch = await bench.cache.nextEpoch();
  const params = { id, epoch, sha256: sha256 ?? '', outcome: 'delivered' as const };
  await bench.handOver.requests['inbox.lease']({ id, epoch }, signal);
  await assert.rejects(confirm({ ...params, sha256: '0'.repeat(64) }, signal), hasCode('content-mismatch'));
  await assert.rejects(confirm({ ...params, epoch: epoch - 1 }, signal), hasCode('stale-epoch'));
  assert.equal((await bench.objectFiles()).length, 1);
  assert.deepEqual(await confirm(params, signal), { removed: true });
  assert.deepEqual(await confirm(params, signal), { removed: true });
  assert.deepEqual(await confirm({ ...params, id: newItemId() }, signal), { removed: false });
  assert.deepEqual(await bench.objectFiles(), []);
  assert.deepEqual(await bench.list(), []);
  assert.deepEqual(
    (await bench.events('item.confirmed')).map(({ fields }) => fields.outcome),
    ['delivered'],
  );
});

test('tombstones are remembered for their time only', async () => {
  await using bench = await CacheBench.open();
  await put(bench.view(), '/Inbox/x', 'content');
  const [item] = await bench.list();
  const epoch = await bench.cache.nextEpoch();
  const params = { id: item?.id ?? '', epoch, sha256: item?.sha256 ?? '', outcome: 'pulled' as const };
  assert.deepEqual(await bench.handOver.requests['inbox.confirm'](params, signal), { removed: true });
  bench.clock.advance(31 * 86_400_000);
  await bench.cache.sweep();
  assert.deepEqual(await bench.handOver.requests['inbox.confirm'](params, signal), { removed: false });
});

test('events are streamed after a number and then as they happen, until the link closes', async () => {
  await using bench = await CacheBench.open();
  const view = bench.view();
  await put(view, '/Inbox/x', 'content');
  const link = new AbortController();
  const stream = bench.handOver.streams['events.read']({ after: 0 }, link.signal)[Symbol.asyncIterator]();
  const lines = async (): Promise<{ seq: number; name: string }[]> => {
    const { value } = await stream.next();
    return String(value)
      .trimEnd()
      .split('\n')
      .map((line) => wireEventSchema.parse(JSON.parse(line)));
  };
  const before = await lines();
  assert.ok(before.some(({ name }) => name === 'item.completed'));
  const more = lines(); // nothing is there yet: it waits
  await view.makeFolder(path('/Inbox/new'));
  const [made] = await more;
  assert.equal(made?.name, 'folder.made');
  assert.equal(made?.seq, (before.at(-1)?.seq ?? 0) + 1);
  const last = stream.next();
  link.abort();
  assert.equal((await last).done, true);
});

test('status counts what is there', async () => {
  await using bench = await CacheBench.open({ rules: [rule('*.csv', { action: 'deliver', destination: 'erp' })] });
  const view = bench.view();
  await put(view, '/Inbox/a.csv', '12345');
  await put(view, '/Inbox/b.txt', '12345');
  const handle = await view.openForWriting(path('/Inbox/c'), begin);
  await handle.write(0, Buffer.from('123'));
  await handle.abandon('lost');
  bench.clock.advance(90_000);
  const status = await bench.handOver.requests['status.get']({}, signal);
  requests['status.get'].result.parse(status);
  assert.deepEqual(status.items, { ready: 1, held: 0, unrouted: 1, leased: 0, offered: 0, partial: 1 });
  assert.equal(status.cacheBytes, 13);
  assert.equal(status.oldestReadyMs, 90_000, 'an age, not a moment');
  assert.ok(status.freeBytes > 0 && status.lastEvent > 0);
});
