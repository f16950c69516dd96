/** The index over rules: it must never leave out a rule that would match, and leave out most of the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Rule } from '../policy.ts';
import { anchorsOf } from './anchors.ts';
import { compileExpression } from './expression.ts';
import { Router } from './routing.ts';
import { RuleIndex } from './rule-index.ts';
import { Subject } from './subject.ts';

test('what an expression shows of the beginning and the end of its values', () => {
  const shown = (text: string) => anchorsOf(text).map(({ begin, end }) => `${begin}…${end}`);
  assert.deepEqual(shown('Orders/*.CSV'), ['orders/….csv']);
  assert.deepEqual(shown('a*b | c?d | *'), ['a…b', 'c…d', '…']);
  assert.deepEqual(shown('[|]x'), ['…x']);
  assert.deepEqual(shown('x[]|]y | z'), ['x…y', 'z…z']);
  assert.deepEqual(shown('! a*'), ['…']);
  assert.deepEqual(shown('t/rep_{year.decimal}.pdf/'), ['rep_….pdf']);
  assert.deepEqual(shown('m/^in\\/INV_[0-9]+\\.csv$/i'), ['in/inv_….csv']);
  assert.deepEqual(shown('m/in\\.csv/'), ['…']);
  assert.deepEqual(shown('m/^a|b$/'), ['…']);
  assert.deepEqual(shown('m/^ab*c$/'), ['a…c']);
  assert.deepEqual(shown('m/^ab{2}c{x|y$/'), ['…']);
  assert.deepEqual(shown('m/^(a|b)\\.csv$/'), ['….csv']);
  assert.deepEqual(shown('e/^a/'), ['…']);
  assert.deepEqual(shown('p/in/*.csv/'), ['…']);
});

const piece = fc.constantFrom('a', 'A', 'k', '\u212a', '\u017f', 's', 'é', '1', '/', '.', '-', '_', ' ', 'ab', '.csv', '\n');
const globPiece = fc.oneof(piece, fc.constantFrom('*', '?', '[a]', '[!a]', '[|]', '[]a]', ' | ', '|', '{', '}', '\\'));
const regexPiece = fc.oneof(
  piece,
  fc.constantFrom(
    '.',
    '.*',
    'a?',
    'b+',
    'a{2}',
    'a{',
    '[ab]',
    '[^a]',
    '(a|b)',
    '(',
    ')',
    '|',
    '^',
    '$',
    '\\.',
    '\\d',
    '\\b',
    '\\z',
  ),
);
const joined = (parts: fc.Arbitrary<string>) => fc.array(parts, { minLength: 1, maxLength: 6 }).map((all) => all.join(''));
const expression = fc.oneof(
  joined(globPiece),
  joined(globPiece).map((text) => `t/${text}{year.decimal}/`),
  joined(regexPiece).map((text) => `m/^${text}$/i`),
  joined(regexPiece).map((text) => `m/^${text}/`),
  joined(regexPiece).map((text) => `m/${text}$/`),
);
const compiles = (text: string): boolean => {
  try {
    compileExpression(text);
    return true;
  } catch {
    return false;
  }
};

test('FD-05: with the index the first rule that matches is the one that a walk through all of them finds', () => {
  const rules = fc.array(fc.record({ partner: fc.option(expression), path: fc.option(expression) }), { maxLength: 8 });
  let decided = 0;
  const check = fc.property(rules, joined(piece), joined(piece), (given, partner, path) => {
    const all = given
      .filter((one) => [one.partner, one.path].every((text) => text === null || compiles(text)))
      .map(
        (one, n): Rule => ({
          ...{ name: `${n}`, source: '', route: { action: 'hold' } },
          ...(one.partner === null ? {} : { partner: one.partner }),
          ...(one.path === null ? {} : { path: one.path }),
        }),
      );
    const router = new Router(all, { timeZone: 'UTC' });
    const { decision, rules: answers } = router.explain({ partner, path, size: 1, atMs: 0 });
    const walked = answers.find(({ answer }) => answer === 'matches')?.rule.name ?? '';
    if (walked !== '') decided += 1;
    assert.equal(decision.rule, walked);
  });
  fc.assert(check, { numRuns: 1500, seed: 20_261_122 });
  assert.ok(decided > 100, `${decided}`);
});

test('what is shown of an expression holds for every value that it takes', () => {
  let taken = 0;
  const check = fc.property(expression, joined(piece), (text, value) => {
    if (!compiles(text)) return;
    const subject = new Subject(value);
    if (!compileExpression(text, { timeZone: 'UTC' }).test(subject, 0)) return;
    taken += 1;
    const folded = String.fromCodePoint(...subject.folded);
    assert.ok(
      anchorsOf(text).some(({ begin, end }) => folded.startsWith(begin) && folded.endsWith(end)),
      text,
    );
  });
  fc.assert(check, { numRuns: 2500, seed: 20_261_122 });
  assert.ok(taken > 100, `${taken}`);
});

test('of ten thousand rules only those are asked whose beginning, end or partner fits', () => {
  const asked = (rules: readonly Pick<Rule, 'partner' | 'path'>[], partner: string, path: string): number => {
    let count = 0;
    new RuleIndex(rules).first(partner, path, () => {
      count += 1;
      return false;
    });
    return count;
  };
  const many = (make: (n: number) => Pick<Rule, 'partner' | 'path'>) => Array.from({ length: 10_000 }, (_, n) => make(n));
  assert.equal(
    asked(
      many((n) => ({ path: `in/p${n}_*.csv` })),
      'acme',
      'in/p77_a.csv',
    ),
    1,
  );
  assert.equal(
    asked(
      many((n) => ({ path: `*/done/${n}.csv` })),
      'acme',
      'x/done/77.csv',
    ),
    1,
  );
  assert.equal(
    asked(
      many((n) => ({ path: `m/^in\\/p${n}_.*\\.csv$/i` })),
      'acme',
      'IN/P77_a.csv',
    ),
    1,
  );
  assert.equal(
    asked(
      many((n) => ({ partner: `p${n}`, path: '*.csv' })),
      'p77',
      'a.csv',
    ),
    1,
  );
  assert.equal(
    asked(
      many((n) => ({ path: `*_${n}_*` })),
      'acme',
      'a_77_b',
    ),
    10_000,
    'nothing is known of either end',
  );
});
