/**
 * The command behind `scripts/measure-rules`: many rules and many decisions, where rules differ in what their paths begin or
 * end with, in their partner, or in nothing that an index could use.
 */
import { parseArgs } from 'node:util';
import { Router } from '../../shared/matching/routing.ts';
import type { Rule } from '../../shared/policy.ts';

interface Case {
  readonly name: string;
  readonly rule: (n: number) => Pick<Rule, 'partner' | 'path'>;
  /** A file that the nth rule takes. */
  readonly file: (n: number) => { readonly partner: string; readonly path: string };
}

const at = (path: (n: number) => string) => (n: number) => ({ partner: 'acme', path: path(n) });
const cases: readonly Case[] = [
  {
    name: 'a common beginning: `orders/p1234_*.csv`',
    rule: (n) => ({ path: `orders/p${n}_*.csv` }),
    file: at((n) => `orders/p${n}_a.csv`),
  },
  {
    name: 'a common end: `*/p1234/orders.csv`',
    rule: (n) => ({ path: `*/p${n}/orders.csv` }),
    file: at((n) => `in/p${n}/orders.csv`),
  },
  {
    name: 'a regular expression: `m/^in\\/p1234_[0-9]+\\.csv$/i`',
    rule: (n) => ({ path: `m/^in\\/p${n}_[0-9]+\\.csv$/i` }),
    file: at((n) => `IN/P${n}_42.csv`),
  },
  {
    name: 'a partner each, and `*.csv`',
    rule: (n) => ({ partner: `p${n}`, path: '*.csv' }),
    file: (n) => ({ partner: `p${n}`, path: 'in/a.csv' }),
  },
  { name: 'nothing at either end: `*_p1234_*`', rule: (n) => ({ path: `*_p${n}_*` }), file: at((n) => `in/x_p${n}_y.csv`) },
];

const { values } = parseArgs({
  options: {
    rules: { type: 'string', default: '10000' },
    decisions: { type: 'string', default: '100000' },
    json: { type: 'boolean', default: false },
  },
});
const counts = [...new Set([10, Number(values.rules) / 10, Number(values.rules)])];
const results = cases.flatMap(({ name, rule, file }) =>
  counts.map((count) => {
    const rules = Array.from(
      { length: count },
      (_, n): Rule => ({ name: `${n}`, source: '', route: { action: 'hold' }, ...rule(n) }),
    );
    const compileFrom = performance.now();
    const router = new Router(rules, { timeZone: 'UTC' });
    const compileMs = performance.now() - compileFrom;
    // One that is slow anyway need not be asked so often.
    const decisions = name.startsWith('nothing') ? Math.max(100, Number(values.decisions) / count) : Number(values.decisions);
    const facts = Array.from({ length: 1000 }, (_, n) => ({ ...file((n * 7919) % count), size: 1, atMs: 0 }));
    for (const one of facts.slice(0, 100)) router.decide(one);
    const from = performance.now();
    for (let n = 0; n < decisions; n += 1) router.decide(facts[n % facts.length] ?? { partner: '', path: '', size: 0, atMs: 0 });
    const microseconds = ((performance.now() - from) * 1000) / decisions;
    const wrong = facts.filter((one, n) => router.decide(one).rule !== `${(n * 7919) % count}`).length;
    if (wrong > 0) throw new Error(`${name}: ${wrong} decisions are wrong`);
    return { name, rules: count, decisions, microseconds: Number(microseconds.toFixed(2)), compileMs: Math.round(compileMs) };
  }),
);
if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
else {
  for (const { name, rules, microseconds, compileMs } of results) {
    process.stdout.write(`${name.padEnd(48)} ${String(rules).padStart(6)} rules  ${microseconds} µs  read in ${compileMs} ms\n`);
  }
}
