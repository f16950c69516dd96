import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../test/fixtures/manual-clock.ts';
import { TokenBucket } from './token-bucket.ts';

test('gives what it holds, then only what flows in, and never holds more than it can', () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket({ clock }, { burst: 3, perMinute: 60 });
  const taken = (): number => {
    let count = 0;
    while (bucket.take()) count += 1;
    return count;
  };
  assert.equal(taken(), 3);
  clock.advance(999);
  assert.equal(taken(), 0);
  clock.advance(1);
  assert.equal(taken(), 1);
  clock.advance(3_600_000);
  assert.equal(bucket.isFull, true);
  assert.equal(taken(), 3);
  bucket.giveBack();
  assert.equal(taken(), 1);
  for (let i = 0; i < 10; i += 1) bucket.giveBack();
  assert.equal(taken(), 3);
});
