/** A short run of `./scripts/kill-test`; the long one (200 kills) is the command itself. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { killTest } from '../../scripts/kill-test.ts';

it('loses nothing, duplicates nothing and shows nothing half when either node is killed during uploads', {
  timeout: 240_000,
}, async (t) => {
  const result = await killTest({ kills: 5, seed: Date.now() % 100_000, writers: 3, log: (line) => t.diagnostic(line) });
  t.diagnostic(JSON.stringify(result));
  assert.deepEqual(result.faults, []);
  assert.ok(result.acknowledged > 0, 'uploads were acknowledged meanwhile');
  assert.ok(result.kills.dmz + result.kills.internal > 0);
});
