/** The first rule that matches decides; no rule means unrouted; a wrong rule names itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { decisionSchema, type Rule } from '../policy.ts';
import { Router } from './routing.ts';

const deliver = (destination: string): Rule['route'] => ({ action: 'deliver', destination });
const rules: readonly Rule[] = [
  { name: 'big', source: 'rules.yaml:2', minBytes: 1000, route: { action: 'hold' } },
  { name: 'acme invoices', source: 'rules.yaml:8', partner: 'acme', path: 'invoices/*.pdf', route: deliver('erp') },
  { name: 'numbers', source: '', path: 'm/^[0-9]+\\.csv$/', route: deliver('bank') },
  { name: 'small', source: 'rules.yaml:20', path: '*.txt', maxBytes: 10, route: { action: 'ignore' } },
  {
    name: 'to globex',
    source: 'rules.yaml:24',
    partner: 'acme | umbrella',
    route: { action: 'outbox', partner: 'globex' },
  },
];
const atMs = Date.UTC(2026, 10, 22);
const router = new Router(rules);

test('the first matching rule decides and is named with its source', () => {
  const decision = router.decide({ partner: 'acme', path: 'invoices/2026/A.PDF', size: 10, atMs });
  const route = { action: 'deliver', destination: 'erp' };
  assert.deepEqual(decision, {
    ...{ route, rule: 'acme invoices (rules.yaml:8)' },
    plan: { action: 'deliver', targets: [{ destination: 'erp', file: 'acme/invoices/2026/A.PDF' }] },
  });
});

test('FD-05: an earlier rule wins over a later, better fitting one', () => {
  assert.equal(router.decide({ partner: 'acme', path: 'invoices/a.pdf', size: 1000, atMs }).rule, 'big (rules.yaml:2)');
});

test('every condition of a rule must hold, bounds included', () => {
  assert.equal(router.decide({ partner: 'zeta', path: 'a.txt', size: 10, atMs }).rule, 'small (rules.yaml:20)');
  assert.equal(router.decide({ partner: 'zeta', path: 'a.txt', size: 11, atMs }).route.action, 'unrouted');
  assert.equal(router.decide({ partner: 'zeta', path: '123.csv', size: 1, atMs }).rule, 'numbers');
  assert.equal(router.decide({ partner: 'zeta', path: 'a/123.csv', size: 1, atMs }).route.action, 'unrouted');
  assert.equal(router.decide({ partner: 'umbrella', path: 'x', size: 0, atMs }).rule, 'to globex (rules.yaml:24)');
});

test('FD-06: no rule means unrouted, never a guess', () => {
  const none = { route: { action: 'unrouted' }, rule: '' };
  assert.deepEqual(router.decide({ partner: 'zeta', path: 'a.doc', size: 1, atMs }), none);
  assert.deepEqual(new Router([]).decide({ partner: 'acme', path: 'a', size: 1, atMs }), none);
});

test('a decision fits the schema that crosses the tunnel, with the longest name and source', () => {
  const rule: Rule = { name: 'n'.repeat(64), source: 's'.repeat(256), route: { action: 'hold' } };
  decisionSchema.parse(new Router([rule]).decide({ partner: 'a', path: 'b', size: 0, atMs }));
});

test('a wrong pattern names the rule, its line and the column', () => {
  assert.throws(
    () => new Router([{ name: 'oops', source: 'rules.yaml:31', path: 'a[b', route: { action: 'hold' } }]),
    (error) =>
      error instanceof SallyportError &&
      error.code === 'config-invalid' &&
      error.message.startsWith('rules.yaml:31: rule "oops", path: column 2:') &&
      error.fields.column === 2,
  );
});

test('what is explained is what is decided, rule by rule', () => {
  const facts = { partner: 'umbrella', path: 'x.pdf', size: 5, atMs };
  const { decision, rules: answers } = router.explain(facts);
  assert.deepEqual(decision, router.decide(facts));
  assert.deepEqual(
    answers.map(({ rule, answer }) => `${rule.name}: ${answer}`),
    ['big: size', 'acme invoices: partner', 'numbers: path', 'small: path', 'to globex: matches'],
  );
  const first = router.explain({ ...facts, size: 5000 });
  assert.deepEqual(
    first.rules.map(({ answer }) => answer),
    ['matches', ...Array(4).fill('not reached')],
  );
});

test('dates in a rule are those of the item, in the time zone of the policy', () => {
  const dated = new Router(
    [{ name: 'today', source: '', path: 't/{year.decimal}-{month.padded}-{day.padded}.csv/', route: { action: 'hold' } }],
    {
      timeZone: 'Europe/Berlin',
    },
  );
  const late = Date.UTC(2026, 10, 21, 23, 30);
  assert.equal(dated.decide({ partner: 'a', path: '2026-11-22.csv', size: 1, atMs: late }).route.action, 'hold');
  assert.equal(dated.decide({ partner: 'a', path: '2026-11-21.csv', size: 1, atMs: late }).route.action, 'unrouted');
});

test('a thousand rules of the worst kind still answer for the longest path', () => {
  const worst = Array.from(
    { length: 1000 },
    (_, n): Rule => ({ name: `${n}`, source: '', path: '*_*_*_*.csv', route: { action: 'hold' } }),
  );
  assert.equal(new Router(worst).decide({ partner: 'a', path: '_'.repeat(1017), size: 1, atMs }).route.action, 'unrouted');
});
