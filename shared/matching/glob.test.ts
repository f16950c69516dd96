/** The grammar of globs, and that no glob and no value make matching expensive: counted in words, not in time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { compileGlob } from './glob.ts';
import { Subject } from './subject.ts';

const matches = (glob: string, value: string): boolean => compileGlob(glob).test(new Subject(value));

const table: readonly (readonly [glob: string, yes: readonly string[], no: readonly string[]])[] = [
  ['*.pdf', ['Report.PDF', 'a/b.pdf', '.pdf'], ['a.pdf.tmp', 'pdf']],
  ['*/INV_*.csv', ['srv/inbox/a/INV_1.csv', 'x/inv_.CSV'], ['INV_1.csv']],
  ['*', ['', '.profile', 'a/b', 'a\nb'], []],
  ['a?c', ['abc', 'a/c', 'a😀c', 'aßc'], ['ac', 'abbc']],
  ['file[!a]', ['fileb', 'file!'], ['filea', 'fileA', 'file']],
  ['[a-f]x', ['ax', 'FX'], ['gx', '-x']],
  ['[A-F]x', ['ax', 'FX'], ['gx']],
  ['[Z-a]', ['z', 'A', '_', '^'], ['m']],
  ['[]]', [']'], ['[', '']],
  ['[!]]', ['a'], [']']],
  ['[-x]', ['-', 'X'], ['y']],
  ['[x-]', ['-', 'x'], ['y']],
  ['what[?]', ['what?'], ['whatx']],
  ['[*]', ['*'], ['a']],
  ['a[|]b', ['a|b'], ['a', 'b']],
  ['*.pdf | *.txt', ['a.txt', 'a.PDF'], ['a.doc', 'a.pdf ']],
  ['a[ ]|b', ['a ', 'b'], ['a']],
  ['! *.tmp', ['a.pdf', ''], ['a.tmp', 'A.TMP']],
  ['! *.tmp | *.part', ['a.pdf'], ['a.tmp', 'b.part']],
  ['a!b', ['a!b'], ['ab']],
  ['[!!]', ['a'], ['!']],
  ['{a,b}.txt', ['{a,b}.txt'], ['a.txt']],
  ['+(a)', ['+(a)'], ['a', 'aa']],
  ['a\\*', ['a\\', 'a\\bc'], ['a*']],
  ['*a*b', ['ab', 'xaxb', 'aab', 'abab'], ['ba', 'abc']],
  ['STRAẞE', ['straße'], ['strasse']],
  ['σας', ['ΣΑΣ', 'σασ'], []],
  ['caf\u00e9', ['cafe\u0301', 'CAFÉ'], ['cafe']],
  ['\u212a', ['k', 'K'], []],
];
for (const [glob, yes, no] of table) {
  test(`glob ${JSON.stringify(glob)}`, () => {
    for (const value of yes) assert.ok(matches(glob, value), `should match ${JSON.stringify(value)}`);
    for (const value of no) assert.ok(!matches(glob, value), `should not match ${JSON.stringify(value)}`);
  });
}

const wrong: readonly (readonly [glob: string, column: number, hint: RegExp])[] = [
  ['', 1, /empty/],
  ['!', 2, /empty/],
  ['a || b', 4, /empty/],
  ['a |', 4, /empty/],
  ['ab[cd', 3, /\[\[\]/],
  ['x[', 2, /never closed/],
  ['x[]', 2, /never closed/],
  ['x[z-a]', 3, /backwards/],
  ['a'.repeat(513), 513, /at most 512/],
];
for (const [glob, column, hint] of wrong) {
  test(`refuses ${JSON.stringify(glob.slice(0, 20))} at column ${column}`, () => {
    assert.throws(
      () => compileGlob(glob),
      (error) =>
        error instanceof SallyportError &&
        error.code === 'config-invalid' &&
        error.fields.column === column &&
        hint.test(error.message),
    );
  });
}

const killers: readonly (readonly [glob: string, value: string])[] = [
  ['*_*_*_*.csv', '_'.repeat(255)],
  ['*-*-*-*-*.txt', '-'.repeat(120)],
  ['*a*a*a*a*a*a*a*a*a*b', 'a'.repeat(200)],
  ['+(ab|abab)', 'ab'.repeat(2048)],
  [`${'*a'.repeat(255)}*b`, 'a'.repeat(4096)],
  [`*${'a'.repeat(510)}b`, 'a'.repeat(4096)],
  [`*${'?'.repeat(510)}b`, 'a'.repeat(4096)],
  [Array(128).fill('*a').join('|'), `${'a'.repeat(4095)}b`],
];
for (const [glob, value] of killers) {
  test(`${glob.slice(0, 22)} costs a few words for each character, whatever comes`, () => {
    const made = compileGlob(glob);
    assert.ok(made.wordsPerCharacter <= Math.ceil((glob.length + 129) / 32), `${made.wordsPerCharacter} words`);
    assert.equal(made.test(new Subject(value)), false);
  });
}

test('a value that is no path any more is matched by nothing, also when negated', () => {
  assert.equal(matches('*', 'a'.repeat(4096)), true);
  assert.equal(matches('*', 'a'.repeat(4097)), false);
  assert.equal(matches('!x', 'a'.repeat(4097)), false);
});
