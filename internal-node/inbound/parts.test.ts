/** The small parts: turns, reserved space, leases, what a description must fulfil. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DmzDouble } from '../../test/fixtures/dmz-double.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Pace } from '../pace.ts';
import { FairQueue } from './fair-queue.ts';
import { checkPath } from './item-checks.ts';
import { Lease } from './lease.ts';
import { StagingArea } from './staging.ts';

const never = new AbortController().signal;

test('partners have their turns one after the other, whatever each has waiting', () => {
  const queue = new FairQueue<{ id: string; partner: string }>();
  const work = (partner: string, n: number) => Array.from({ length: n }, (_, i) => ({ id: `${partner}${i}`, partner }));
  queue.refill([...work('flood', 3), ...work('honest', 1), ...work('other', 1)]);
  const taken = Array.from({ length: 6 }, () => queue.take(() => true)?.id);
  assert.deepEqual(taken, ['flood0', 'honest0', 'other0', 'flood1', 'flood2', undefined]);
});

test('who had a turn comes last after a refill too, and who may not is passed over', () => {
  const queue = new FairQueue<{ id: string; partner: string }>();
  const both = [
    { id: 'a1', partner: 'a' },
    { id: 'a2', partner: 'a' },
    { id: 'b1', partner: 'b' },
  ];
  queue.refill(both);
  assert.equal(queue.take(() => true)?.id, 'a1');
  queue.refill(both.slice(1));
  assert.equal(queue.take(() => true)?.id, 'b1');
  assert.equal(
    queue.take(({ partner }) => partner !== 'a'),
    undefined,
  );
  assert.equal(queue.take(() => true)?.id, 'a2');
});

test('space is reserved before it is used and given back once', async () => {
  const area = new StagingArea({ floor: { bytes: 10 }, perPartnerBytes: 50 });
  const place = { name: 'x', space: async () => ({ freeBytes: 100, totalBytes: 1000 }) };
  const first = await area.reserve(place, 'a', 40);
  await assert.rejects(area.reserve(place, 'a', 20), { code: 'no-space' });
  await assert.rejects(area.reserve(place, 'b', 51), { code: 'no-space' });
  const second = await area.reserve(place, 'b', 50);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  second[Symbol.dispose]();
  // Larger than the partner's share, but alone.
  (await area.reserve(place, 'a', 90))[Symbol.dispose]();
  const part = new StagingArea({ floor: { percent: 10 }, perPartnerBytes: 50 });
  await assert.rejects(part.reserve(place, 'a', 1), { code: 'no-space' });
});

test('a lease ends before the DMZ thinks so, is renewed while bytes flow, and dies with its link', async () => {
  const clock = new ManualClock();
  const dmz = new DmzDouble();
  dmz.leaseMs = 9000;
  dmz.items.set('x', { description: {}, sealed: [] } as never);
  const lease = await Lease.take('x', dmz, clock, never);
  clock.advance(7100);
  assert.equal(lease.held(), true);
  clock.advance(200);
  assert.throws(() => lease.check(), { code: 'lease-lost' });
  await lease.keep(never);
  assert.equal(lease.held(), true);
  await lease.keep(never);
  assert.equal(dmz.leased.length, 2);
  dmz.linkEpoch = 2;
  assert.equal(lease.held(), false);
});

test('a transfer that stands still, and one that only drips, are ended', () => {
  const clock = new ManualClock();
  const options = { idleMs: 1000, minBytesPerSecond: 100, graceMs: 5000 };
  using still = new Pace(clock, 1000, options);
  clock.advance(999);
  assert.equal(still.signal.aborted, false);
  clock.advance(1);
  assert.equal(still.signal.aborted, true);
  using dripping = new Pace(clock, 1000, options);
  for (let n = 0; n < 29; n += 1) {
    dripping.moved();
    clock.advance(500);
  }
  assert.equal(dripping.signal.aborted, false);
  dripping.moved();
  clock.advance(500);
  assert.equal(dripping.signal.aborted, true);
});

test('a path must be in its plain form and below the Inbox', () => {
  assert.deepEqual(checkPath('/Inbox/a/b.csv'), { below: 'a/b.csv' });
  for (const path of [
    '/Inbox',
    '/Inbox/',
    '/Inbox/a/',
    '/Inbox//a',
    '/Inbox/./a',
    'Inbox/a',
    '/Outbox/a',
    '/Inbox/.sallyport-staging/x',
  ]) {
    assert.ok('wrong' in checkPath(path), path);
  }
});
