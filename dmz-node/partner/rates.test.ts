import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Rates } from './rates.ts';

const never = new AbortController().signal;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a second of bytes is free, what follows waits for its turn, and sessions of one partner share the rate', async () => {
  const clock = new ManualClock();
  const rates = new Rates(clock);
  await rates.pay('acme', 'upload', 1000, 1000, never);
  let paid = 0;
  const waits = [1, 2].map(async () => {
    await rates.pay('acme', 'upload', 500, 1000, never);
    paid += 1;
  });
  await rates.pay('globex', 'upload', 1000, 1000, never);
  await rates.pay('acme', 'download', 1000, 1000, never);
  assert.equal(paid, 0);
  clock.advance(500);
  await settle();
  assert.equal(paid, 1);
  clock.advance(500);
  await Promise.all(waits);
});

test('a wait ends with its session, and what is paid for is forgotten', async () => {
  const clock = new ManualClock();
  const rates = new Rates(clock);
  const over = new AbortController();
  const wait = rates.pay('acme', 'upload', 1_000_000, 1000, over.signal);
  over.abort();
  await wait;
  rates.tidy('acme');
  assert.equal(rates.size, 1);
  clock.advance(1_000_000);
  rates.tidy('acme');
  assert.equal(rates.size, 0);
  await rates.pay('acme', 'upload', 1_000_000, undefined, never);
  assert.equal(rates.size, 0);
});
