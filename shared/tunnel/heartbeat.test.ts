import assert from 'node:assert/strict';
import test from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Heartbeat } from './heartbeat.ts';

const options = { everyMs: 3000, deadAfterMs: 9000 };

function bench() {
  const clock = new ManualClock();
  const silent: string[] = [];
  const state = { bytes: 0, pings: 0, answer: () => {} };
  const heartbeat = new Heartbeat(
    {
      clock,
      receivedBytes: () => state.bytes,
      ping: () => {
        state.pings += 1;
        return new Promise((resolve) => {
          state.answer = resolve;
        });
      },
      onSilent: (detail) => silent.push(detail),
    },
    options,
  );
  return { clock, silent, state, heartbeat };
}

test('calls a link dead when nothing was heard for the limit', () => {
  const { clock, silent, heartbeat, state } = bench();
  heartbeat.start();
  clock.advance(8999);
  assert.deepEqual(silent, []);
  clock.advance(1);
  assert.equal(silent.length, 1);
  clock.advance(60_000);
  assert.equal(silent.length, 1);
  assert.equal(state.pings, 1, 'no second ping while one waits');
});

test('takes any byte as life, so that a slow line is not cut, but not for ever', () => {
  const { clock, silent, heartbeat, state } = bench();
  heartbeat.start();
  for (let n = 0; n < 25; n++) {
    state.bytes += 1;
    clock.advance(3000);
  }
  assert.deepEqual(silent, []);
  for (let n = 0; n < 10; n++) {
    state.bytes += 1;
    clock.advance(3000);
  }
  assert.match(silent[0] ?? '', /not answered/);
});

test('measures the round trip', async () => {
  const { clock, heartbeat, state } = bench();
  heartbeat.start();
  clock.advance(40);
  state.answer();
  await Promise.resolve();
  assert.equal(heartbeat.rttMs, 40);
  heartbeat.stop();
});
