/** The first rule that matches decides; no rule means unrouted; a wrong rule names itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { decisionSchema, type Pattern, type Rule } from '../policy.ts';
import { compilePattern } from './pattern.ts';
import { Router } from './routing.ts';

const glob = (text: string): Pattern => ({ kind: 'glob', text });
const deliver = (destination: string): Rule['route'] => ({ action: 'deliver', destination });
const rules: readonly Rule[] = [
  { name: 'big', source: 'rules.yaml:2', minBytes: 1000, route: { action: 'hold' } },
  { name: 'acme invoices', source: 'rules.yaml:8', partner: glob('acme'), path: glob('invoices/*.pdf'), route: deliver('erp') },
  { name: 'numbers', source: '', path: { kind: 'regex', text: '^[0-9]+\\.csv$', ignoreCase: false }, route: deliver('bank') },
  { name: 'small', source: 'rules.yaml:20', path: glob('*.txt'), maxBytes: 10, route: { action: 'ignore' } },
  {
    name: 'to globex',
    source: 'rules.yaml:24',
    partner: glob('acme | umbrella'),
    route: { action: 'outbox', partner: 'globex' },
  },
];
const router = new Router(rules);

test('the first matching rule decides and is named with its source', () => {
  const decision = router.decide({ partner: 'acme', path: 'invoices/2026/A.PDF', size: 10 });
  assert.deepEqual(decision, { route: { action: 'deliver', destination: 'erp' }, rule: 'acme invoices (rules.yaml:8)' });
});

test('an earlier rule wins over a later, better fitting one', () => {
  assert.equal(router.decide({ partner: 'acme', path: 'invoices/a.pdf', size: 1000 }).rule, 'big (rules.yaml:2)');
});

test('every condition of a rule must hold, bounds included', () => {
  assert.equal(router.decide({ partner: 'zeta', path: 'a.txt', size: 10 }).rule, 'small (rules.yaml:20)');
  assert.equal(router.decide({ partner: 'zeta', path: 'a.txt', size: 11 }).route.action, 'unrouted');
  assert.equal(router.decide({ partner: 'zeta', path: '123.csv', size: 1 }).rule, 'numbers');
  assert.equal(router.decide({ partner: 'zeta', path: 'a/123.csv', size: 1 }).route.action, 'unrouted');
  assert.equal(router.decide({ partner: 'umbrella', path: 'x', size: 0 }).rule, 'to globex (rules.yaml:24)');
});

test('no rule means unrouted, never a guess', () => {
  const none = { route: { action: 'unrouted' }, rule: '' };
  assert.deepEqual(router.decide({ partner: 'zeta', path: 'a.doc', size: 1 }), none);
  assert.deepEqual(new Router([]).decide({ partner: 'acme', path: 'a', size: 1 }), none);
});

test('a decision fits the schema that crosses the tunnel, with the longest name and source', () => {
  const rule: Rule = { name: 'n'.repeat(64), source: 's'.repeat(256), route: { action: 'hold' } };
  decisionSchema.parse(new Router([rule]).decide({ partner: 'a', path: 'b', size: 0 }));
});

test('a wrong pattern names the rule, its line and the column', () => {
  assert.throws(
    () => new Router([{ name: 'oops', source: 'rules.yaml:31', path: glob('a[b'), route: { action: 'hold' } }]),
    (error) =>
      error instanceof SallyportError &&
      error.code === 'config-invalid' &&
      error.message.startsWith('rules.yaml:31: rule "oops", path: column 2:') &&
      error.fields.column === 2,
  );
});

test('a single pattern of either kind becomes a function', () => {
  assert.equal(compilePattern(glob('! *.tmp'))('a.tmp'), false);
  assert.equal(compilePattern({ kind: 'regex', text: 'b$', ignoreCase: true })('AB'), true);
});

test('a thousand rules of the worst kind still answer for the longest path', () => {
  const worst = Array.from(
    { length: 1000 },
    (_, n): Rule => ({ name: `${n}`, source: '', path: glob('*_*_*_*.csv'), route: { action: 'hold' } }),
  );
  assert.equal(new Router(worst).decide({ partner: 'a', path: '_'.repeat(1017), size: 1 }).route.action, 'unrouted');
});
