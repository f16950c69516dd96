/** Regular expressions: where an error is, and that cost is capped before a value is ever seen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { maxPlaces } from './automaton.ts';
import { compileRegex } from './regex.ts';
import { Subject } from './subject.ts';

const matches = (text: string, value: string, ignoreCase = false): boolean =>
  compileRegex(text, { ignoreCase }).test(new Subject(value));

test('is found anywhere, minds case unless told otherwise, and anchors by itself', () => {
  assert.ok(matches('INV_[0-9]+', 'a/INV_12.csv'));
  assert.ok(!matches('INV_[0-9]+', 'a/inv_12.csv'));
  assert.ok(matches('INV_[0-9]+', 'a/inv_12.csv', true));
  assert.ok(!matches('^INV', 'a/INV'));
  assert.ok(!matches('a.b', 'a\nb'));
  assert.ok(matches('caf\u00e9$', 'cafe\u0301'));
});

const wrong: readonly (readonly [text: string, column: number, hint: RegExp])[] = [
  ['ab(cd', 3, /missing closing \)/],
  ['a(b)(c', 5, /missing closing \)/],
  ['[(]x(', 5, /missing closing \)/],
  ['ab)', 3, /\)/],
  ['ab[cd', 3, /literal bracket/],
  ['ab(?=c)', 3, /look-ahead/],
  ['a(?<!c)', 2, /look-behind/],
  ['(a)\\1', 4, /back-references/],
  ['\\\\1(a)\\1', 7, /back-references/],
  ['x[z-a]', 3, /range/],
  ['ab*{2}', 3, /nested repetition/],
  ['(?:a{1000}){1000}', 12, /at most 1000/],
  ['*a', 1, /missing argument/],
  ['a'.repeat(513), 513, /at most 512/],
];
for (const [text, column, hint] of wrong) {
  test(`refuses ${text.slice(0, 20)} at column ${column}`, () => {
    assert.throws(
      () => compileRegex(text, { ignoreCase: false }),
      (error) => {
        assert.ok(error instanceof SallyportError && error.code === 'config-invalid');
        assert.match(error.message, hint);
        assert.equal(error.fields.column, column);
        return true;
      },
    );
  });
}

test('refuses an expression whose written-out size would make every character of a value expensive', () => {
  for (const text of ['(.*a){400}', '\\pL{500}', '(a{0,100}){10}$', '((a?){30}){30}b', '.*a.{240}\\d']) {
    assert.throws(
      () => compileRegex(text, { ignoreCase: false }),
      (error) => error instanceof SallyportError && /too costly/.test(error.message),
    );
  }
  assert.ok(matches(`^${'[0-9]'.repeat(maxPlaces)}$`, '7'.repeat(maxPlaces)));
});

const killers = [
  '(a+)+b',
  '(a|aa)+b',
  '(a*)*b',
  '(a|a?)+$b',
  '(.*)(.*)(.*)(.*)(.*)b',
  '(x+x+)+y',
  '^(([a-z])+.)+[A-Z]([a-z])+$',
  '.*a.{55}\\d',
];
for (const text of killers) {
  test(`${text} is linear: a value of 4096 characters is answered`, () => {
    assert.equal(matches(text, 'a'.repeat(4096)), false);
  });
}
