import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { AttemptDelays, attemptDelayDefaults } from './attempt-delays.ts';

function bench(options: Partial<typeof attemptDelayDefaults> = {}) {
  const clock = new ManualClock();
  return { clock, delays: new AttemptDelays(clock, { ...attemptDelayDefaults, ...options }) };
}
const peer = '192.0.2.1';

test('every failure doubles the wait, up to a maximum', () => {
  const { clock, delays } = bench();
  const waits = [1, 2, 3, 4, 5, 6, 7, 8].map(() => {
    const wait = delays.book(peer, 'acme', 'password');
    clock.advance(wait ?? 0);
    delays.failed(peer, 'acme', 'password');
    return wait;
  });
  assert.deepEqual(waits, [0, 250, 500, 1000, 2000, 4000, 8000, 8000]);
});

test('attempts at the same time queue up, and a long queue is refused', () => {
  const { delays } = bench();
  for (let i = 0; i < 6; i++) delays.failed(peer, 'acme', 'password');
  const waits = [1, 2, 3, 4].map(() => delays.book(peer, 'acme', 'password'));
  assert.deepEqual(waits, [8000, 16_000, undefined, undefined]);
});

test('a wrong password delays neither a key, nor another account, nor another source', () => {
  const { delays } = bench();
  for (let i = 0; i < 5; i++) delays.failed(peer, 'acme', 'password');
  assert.equal(delays.book(peer, 'acme', 'key'), 0);
  assert.equal(delays.book(peer, 'other', 'password'), 0);
  assert.equal(delays.book('192.0.2.2', 'acme', 'password'), 0);
  assert.notEqual(delays.book(peer, 'acme', 'password'), 0);
});

test('failures are forgotten after success and after a while', () => {
  const { clock, delays } = bench();
  delays.failed(peer, 'acme', 'password');
  delays.succeeded(peer, 'acme', 'password');
  assert.equal(delays.book(peer, 'acme', 'password'), 0);
  for (let i = 0; i < 10; i++) delays.failed(peer, 'acme', 'password');
  clock.advance(600_001);
  assert.equal(delays.book(peer, 'acme', 'password'), 0);
});

test('the table keeps the newest when strangers type a million names', () => {
  const { delays } = bench({ maxEntries: 100 });
  for (let i = 0; i < 1000; i++) delays.failed(peer, `name ${i}`, 'password');
  assert.equal(delays.entries, 100);
  assert.equal(delays.book(peer, 'name 999', 'password'), 250);
  assert.equal(delays.book(peer, 'name 0', 'password'), 0);
});
