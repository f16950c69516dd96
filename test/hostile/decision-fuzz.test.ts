/** A sample of what `scripts/fuzz decisions` plays a million times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareDecisions } from './decision-fuzz.ts';

test('live decisions and dry runs are the same, for rules and for permissions, on both nodes', () => {
  const { compared, faults } = compareDecisions(20_261_122, 4000);
  assert.deepEqual(faults, []);
  assert.equal(compared, 4000);
});
