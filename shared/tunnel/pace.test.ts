import assert from 'node:assert/strict';
import test from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Pace } from './pace.ts';

test('lets a burst pass, then stops reading until the debt is paid', () => {
  const clock = new ManualClock();
  const calls: string[] = [];
  const pace = new Pace(
    clock,
    { pause: () => calls.push('pause'), resume: () => calls.push('resume') },
    { perSecond: 100, burst: 50 },
  );
  for (let n = 0; n < 50; n++) pace.take();
  assert.deepEqual(calls, []);
  for (let n = 0; n < 100; n++) pace.take();
  assert.deepEqual(calls, ['pause']);
  clock.advance(990);
  assert.deepEqual(calls, ['pause'], 'a hundred too many at a hundred a second are one second');
  clock.advance(20);
  assert.deepEqual(calls, ['pause', 'resume']);
  pace.take();
  clock.advance(10_000);
  for (let n = 0; n < 50; n++) pace.take();
  assert.deepEqual(calls.slice(2).filter((call) => call === 'pause').length <= 1, true);
});
