/** `p/…/` means what micromatch means by the same glob. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import micromatch from 'micromatch';
import { compilePathGlob } from './path-glob.ts';
import { Subject } from './subject.ts';

const component = fc.constantFrom('a', 'b', '*', '**', '*.c', 'a*', '?', '.x', '[ab]', '[!a]b', '{a,b}', 'a.c', '*b*');
const glob = fc.array(component, { minLength: 1, maxLength: 4 }).map((all) => all.join('/'));
const path = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'a.c', '.x', 'bb', '.c'), { minLength: 1, maxLength: 4 })
  .map((all) => all.join('/'));

test('agrees with micromatch on random globs and paths', () => {
  fc.assert(
    fc.property(glob, path, (text, value) => {
      // It takes [!a] for one of `!` and `a`.
      const theirs = text.replaceAll('[!', '[^');
      const expected = micromatch.isMatch(value, theirs, { dot: true, noextglob: true, nonegate: true });
      assert.equal(compilePathGlob(text).test(new Subject(value)), expected, `${text} on ${value}`);
    }),
    { numRuns: 2000, seed: 20_261_122 },
  );
});
