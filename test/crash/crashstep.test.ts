/** Some crash points of each action; all of them: `./scripts/crashstep`. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type CrashPoint, CrashStep } from './crashstep.ts';

const points: readonly CrashPoint[] = [
  { action: 'upload', thread: 'seal', call: 'pwritev', n: 2 },
  { action: 'upload', thread: 'records', call: 'fsync', n: 2 },
  { action: 'trigger', thread: 'records', call: 'fsync', n: 6 },
  { action: 'delivery', thread: 'MainThread', call: 'link', n: 1 },
  { action: 'delivery', thread: 'records', call: 'fsync', n: 4 },
  { action: 'destinations', thread: 'MainThread', call: 'link', n: 2 },
  { action: 'offer', thread: 'libuv-worker', call: 'link', n: 1 },
  { action: 'store', thread: 'records', call: 'fsync', n: 4 },
];

it('FD-39: loses, duplicates and leaves nothing when a node dies right before a system call', { timeout: 300_000 }, async (t) => {
  await using walk = await CrashStep.start((line) => t.diagnostic(line));
  for (const point of points) await walk.step(point);
  const result = await walk.end();
  t.diagnostic(JSON.stringify(result));
  assert.deepEqual(result.faults, []);
  assert.ok(result.acknowledged > 0, 'uploads were acknowledged meanwhile');
  // Commits share flushes now and then, so that the last ones are not there.
  assert.ok(result.deaths >= points.length - 2, 'the points were reached');
});
