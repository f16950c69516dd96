import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { didYouMean, editDistance, nearest } from './suggest.ts';

test('the nearest known word is suggested, a far one is not', () => {
  const known = ['listen', 'classicalKeyExchange', 'allowFrom'];
  assert.equal(nearest('lsiten', known), 'listen');
  assert.equal(nearest('classicalkeyexchange', known), 'classicalKeyExchange');
  assert.equal(nearest('banner', known), undefined);
  assert.equal(didYouMean('allowfron', known), ' - did you mean "allowFrom"?');
  assert.equal(didYouMean('zzz', known), '');
});

test('the distance is symmetric and zero only for the same word', () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      assert.equal(editDistance(a, b), editDistance(b, a));
      assert.equal(editDistance(a, b) === 0, a === b);
      assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
    }),
  );
});
