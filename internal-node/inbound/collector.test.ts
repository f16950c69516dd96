/** What the inside makes of a stream of small items, honest or not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { newItemId } from '../../shared/ids.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import { Collector } from './collector.ts';
import type { InboxLink } from './lease.ts';

const never = new AbortController().signal;
const item = (sealedBytes: number, partner = 'acme') => ({
  id: newItemId(),
  partner,
  segments: [{ headerSha256: 'a'.repeat(64), plainBytes: 1, sealedBytes, sha256: null }],
});
const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const entry = (bytes: Buffer): Buffer => Buffer.concat([number(bytes.length), bytes]);

/** A link on which each stream is `bytes`, one byte at a time where that matters. */
function linkWith(bytes: Buffer, opened: string[][] = [], step = bytes.length): InboxLink {
  async function* stream(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
  }
  return {
    request: async () => ({}) as never,
    openStream: async (_method, params) => {
      opened.push((params as { ids: string[] }).ids);
      return stream();
    },
    epoch: () => 7,
  };
}

const collectorOf = (link: InboxLink): Collector =>
  new Collector(
    { link, clock: systemClock },
    { pace: { idleMs: 5000, minBytesPerSecond: 1, graceMs: 5000 }, streams: 8, streamsPerPartner: 2 },
  );
const hasCode = (code: string) => (error: unknown) => error instanceof SallyportError && error.code === code;

test('items that are asked for together come with one stream, each with its own bytes and lease', async () => {
  const items = [item(3), item(2), item(4)];
  const bytes = Buffer.concat([number(60_000), entry(Buffer.from('abc')), number(0), entry(Buffer.from('wxyz'))]);
  for (const step of [1, bytes.length]) {
    const opened: string[][] = [];
    const collector = collectorOf(linkWith(bytes, opened, step));
    const [first, second, third] = await Promise.all(items.map((one) => collector.take(one, never)));
    assert.deepEqual(opened, [items.map(({ id }) => id)]);
    assert.deepEqual([first?.sealed.toString(), second, third?.sealed.toString()], ['abc', undefined, 'wxyz']);
    assert.deepEqual([first?.lease.id, first?.lease.epoch, first?.lease.held()], [items[0]?.id, 7, true]);
  }
});

test('a stream names no more items and holds no more bytes than it may; a large item is not asked for', async () => {
  const opened: string[][] = [];
  const collector = collectorOf(linkWith(Buffer.alloc(0), opened));
  const many = Array.from({ length: limits.collectItems + 1 }, () => item(10));
  const large = Array.from({ length: 9 }, () => item(limits.collectItemBytes));
  await Promise.allSettled([...many, ...large].map((one) => collector.take(one, never)));
  const counts = opened.map((ids) => ids.length);
  assert.deepEqual(counts[0], limits.collectItems);
  assert.ok(
    counts.slice(1).every((count) => count <= 8),
    counts.join(),
  );
  assert.equal(
    counts.reduce((sum, count) => sum + count),
    many.length + large.length,
  );
  assert.equal(await collector.take(item(limits.collectItemBytes + 1), never), undefined);
  assert.equal(opened.length, counts.length);
});

test('while the streams of a partner stand still his items wait, and come together; nobody else waits for them', async () => {
  const opened: string[][] = [];
  const stuck = Promise.withResolvers<void>();
  const answer = Buffer.concat([number(60_000), ...Array.from({ length: 5 }, () => entry(Buffer.from('abc')))]);
  const honest = linkWith(answer);
  const collector = collectorOf({
    ...honest,
    openStream: async (method, params, signal) => {
      opened.push((params as { ids: string[] }).ids);
      if (opened.length <= 2) await stuck.promise;
      return honest.openStream(method, params, signal);
    },
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  const taken: Promise<unknown>[] = [];
  for (let n = 0; n < 7; n += 1) {
    taken.push(collector.take(item(3), never));
    await turn();
  }
  assert.equal(opened.length, 2);
  assert.ok(await collector.take(item(3, 'globex'), never));
  stuck.resolve();
  await Promise.all(taken);
  assert.deepEqual(
    opened
      .slice(3)
      .map((ids) => ids.length)
      .toSorted(),
    [5],
  );
});

test('only some items of a partner are read by themselves at the same time', () => {
  const collector = collectorOf(linkWith(Buffer.alloc(0)));
  const first = collector.alone(item(3));
  collector.alone(item(3));
  assert.throws(() => collector.alone(item(3)), hasCode('waits-for-other'));
  collector.alone(item(3, 'globex'));
  first[Symbol.dispose]();
  collector.alone(item(3));
});

test('an item of another length fails alone', async () => {
  const items = [item(3), item(3)];
  const collector = collectorOf(linkWith(Buffer.concat([number(60_000), entry(Buffer.from('ab')), entry(Buffer.from('abc'))])));
  const [first, second] = await Promise.allSettled(items.map((one) => collector.take(one, never)));
  assert.ok(first?.status === 'rejected' && hasCode('content-mismatch')(first.reason));
  assert.ok(second?.status === 'fulfilled' && second.value?.sealed.toString() === 'abc');
});

const broken: Readonly<Record<string, Buffer>> = {
  'ends too early': Buffer.concat([number(60_000), number(3), Buffer.from('ab')]),
  'is empty': Buffer.alloc(0),
  'names more bytes than any small item has': Buffer.concat([number(60_000), number(0xffff_ffff), Buffer.alloc(1000)]),
  'gives a lease for ever': Buffer.concat([number(0xffff_ffff), entry(Buffer.from('abc'))]),
  'gives a lease for no time': Buffer.concat([number(0), entry(Buffer.from('abc'))]),
};
for (const [what, bytes] of Object.entries(broken)) {
  test(`a stream that ${what} fails, and counts against no item's bytes`, async () => {
    await assert.rejects(collectorOf(linkWith(bytes)).take(item(3), never), hasCode('protocol-violation'));
  });
}

test('without a link, and when the work is cut, nothing is taken', async () => {
  const down = collectorOf({ ...linkWith(Buffer.alloc(0)), epoch: () => undefined });
  await assert.rejects(down.take(item(3), never), hasCode('tunnel-down'));
  const cut = new AbortController();
  const hanging = collectorOf({
    ...linkWith(Buffer.alloc(0)),
    openStream: (_method, _params, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  });
  const taken = hanging.take(item(3), cut.signal);
  setImmediate(() => setImmediate(() => cut.abort(new Error('the node stops'))));
  await assert.rejects(taken, /the node stops/);
});
