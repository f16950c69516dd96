import assert from 'node:assert/strict';
import test from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { FrameQueue, ProgressWatch } from './data-stream.ts';

const flow = () => {
  const calls: string[] = [];
  return { calls, pause: () => void calls.push('pause'), resume: () => void calls.push('resume') };
};
const frame = Buffer.alloc(256 * 1024);

test('stops the network when about a mebibyte is queued and goes on when half of it is read', async () => {
  const network = flow();
  const queue = new FrameQueue(network, () => undefined);
  for (let n = 0; n < 4; n++) queue.push(frame);
  assert.deepEqual(network.calls, ['pause']);
  await queue.next();
  assert.deepEqual(network.calls, ['pause']);
  await queue.next();
  assert.deepEqual(network.calls, ['pause', 'resume']);
});

test('gives what is queued before the end, and a failure at once', async () => {
  const ended = new FrameQueue(flow(), () => undefined);
  ended.push(Buffer.from('a'));
  ended.end();
  ended.push(Buffer.from('late'));
  assert.equal((await ended.next()).value?.toString(), 'a');
  assert.equal((await ended.next()).done, true);

  const failed = new FrameQueue(flow(), () => undefined);
  const waiting = failed.next();
  failed.fail(new Error('cut'));
  await assert.rejects(waiting, /cut/);
  await assert.rejects(failed.next(), /cut/);
});

test('tells once that its reader left early, and not after the end', async () => {
  let left = 0;
  const queue = new FrameQueue(flow(), () => (left += 1));
  queue.push(frame);
  for await (const _ of queue) break;
  await queue.return();
  assert.equal(left, 1);
  const whole = new FrameQueue(flow(), () => (left += 1));
  whole.end();
  for await (const _ of whole);
  await whole.return();
  assert.equal(left, 1);
});

test('calls a stream stalled after its limit, not counting excused time', () => {
  const clock = new ManualClock();
  let stalls = 0;
  let excused = true;
  const watch = new ProgressWatch(
    clock,
    60_000,
    () => excused,
    () => (stalls += 1),
  );
  clock.advance(600_000);
  assert.equal(stalls, 0);
  excused = false;
  clock.advance(50_000);
  watch.touch();
  clock.advance(50_000);
  assert.equal(stalls, 0);
  clock.advance(20_000);
  assert.equal(stalls, 1);
  clock.advance(600_000);
  assert.equal(stalls, 1);
});
