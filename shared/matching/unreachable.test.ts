/** What is told to be unreachable is, and what is not certain is not told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Rule } from '../policy.ts';
import { Router } from './routing.ts';
import { unreachableRules } from './unreachable.ts';

const rule = (name: string, conditions: Partial<Rule>): Rule => ({ name, source: '', route: { action: 'hold' }, ...conditions });
const names = (...rules: readonly Rule[]) =>
  unreachableRules(rules).map(({ rule: found, behind }) => `${found.name} behind ${behind.name}`);

test('a rule behind one without conditions, or with the same ones, never decides', () => {
  const all = rule('all', {});
  assert.deepEqual(names(all, rule('late', { path: '*.csv' })), ['late behind all']);
  assert.deepEqual(names(rule('a', { path: '*.csv' }), rule('b', { path: '*.csv', partner: 'acme' })), ['b behind a']);
  assert.deepEqual(names(rule('a', { path: '*.csv', partner: 'acme' }), rule('b', { path: '*.csv' }), all), []);
  assert.deepEqual(names(rule('star', { path: '*' }), rule('late', {})), ['late behind star']);
});

test('sizes count', () => {
  const small = rule('small', { path: '*.csv', maxBytes: 10 });
  assert.deepEqual(names(small, rule('big', { path: '*.csv', minBytes: 5 })), []);
  assert.deepEqual(names(small, rule('smaller', { path: '*.csv', minBytes: 2, maxBytes: 10 })), ['smaller behind small']);
});

test('no file is ever decided by a rule that was told to be unreachable', () => {
  const text = fc.option(fc.constantFrom('*', 'a*', '*b', 'm/a/'), { nil: undefined });
  const bytes = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined });
  const some = fc.array(fc.record({ partner: text, path: text, minBytes: bytes, maxBytes: bytes }), { maxLength: 6 });
  fc.assert(
    fc.property(
      some,
      fc.constantFrom('a', 'b', 'ab', 'c'),
      fc.constantFrom('a', 'b', 'ab', 'x'),
      fc.integer({ min: 0, max: 5 }),
      (all, partner, path, size) => {
        const rules = all.map((given, n) =>
          rule(`${n}`, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))),
        );
        const never = new Set(unreachableRules(rules).map(({ rule: { name } }) => name));
        assert.ok(!never.has(new Router(rules).decide({ partner, path, size, atMs: 0 }).rule));
      },
    ),
    { numRuns: 1000, seed: 20_261_122 },
  );
});
