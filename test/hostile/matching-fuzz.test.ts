/** A sample of what `scripts/fuzz matching` plays whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileExpression } from '../../shared/matching/expression.ts';
import { Subject } from '../../shared/matching/subject.ts';
import { compareGlobs, compareRegexes, killers, longValues } from './matching-fuzz.ts';

test('globs mean what a plain translation of the grammar means', () => {
  const { compared, faults } = compareGlobs(20_261_122, 2000);
  assert.deepEqual(faults, []);
  assert.ok(compared > 1000, `only ${compared} were globs`);
});

test('regular expressions find what the engine that compiled them finds', () => {
  const { compared, faults } = compareRegexes(20_261_122, 2000);
  assert.deepEqual(faults, []);
  assert.ok(compared > 1500, `only ${compared} compiled`);
});

test('MX-28: what stalls other engines is answered, for values of any length, with any expression', () => {
  for (const text of killers) {
    const expression = compileExpression(text);
    for (const value of longValues) {
      expression.test(new Subject(value), 0);
      assert.equal(expression.test(new Subject(`${value}x`), 0), false, 'longer than any value that counts');
    }
  }
});
