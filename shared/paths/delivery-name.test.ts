/** Names that reach a disk inside: always harmless, whatever a partner or a taken-over DMZ writes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SallyportError } from '../errors.ts';
import { deliveryComponents, withNumber } from './delivery-name.ts';
import { isReservedName } from './name-policy.ts';

const badName = (error: unknown): boolean => error instanceof SallyportError && error.code === 'bad-name';

test('harmless names stay as they are, in their folders', () => {
  assert.deepEqual(deliveryComponents('2026/Q3/Bericht (final).tar.gz'), ['2026', 'Q3', 'Bericht (final).tar.gz']);
  assert.deepEqual(deliveryComponents('.profile'), ['.profile']);
});

const mapped: readonly (readonly [from: string, to: string])[] = [
  ['-rf', '_-rf'],
  [' a ', 'a'],
  ['a. .', 'a'],
  ['...', '_'],
  [' ', '_'],
  ['\u00a0-x', '_-x'],
  ['CON', '_CON'],
  ['con.txt', '_con.txt'],
  ['LPT1 .x', '_LPT1 .x'],
  ['com¹', '_com¹'],
  ['console', 'console'],
  ['desktop.ini', '_desktop.ini'],
  ['PROGRA~1.EXE', 'PROGRA_1.EXE'],
  ['a:b*c?"<>|\\d', 'a_b_c______d'],
  [' .sallyport-draft', '_.sallyport-draft'],
  ['cafe\u0301', 'caf\u00e9'],
];
for (const [from, to] of mapped) {
  test(`maps ${JSON.stringify(from)} to ${JSON.stringify(to)}`, () => assert.deepEqual(deliveryComponents(from), [to]));
}

test('a long name loses the end of its stem, not its extension, and leaves 40 bytes free', () => {
  const [name = ''] = deliveryComponents(`${'é'.repeat(120)}.csv`);
  assert.ok(name.endsWith('é.csv'));
  assert.ok(Buffer.byteLength(name) <= 215 && Buffer.byteLength(name) >= 213);
});

test('a path from the other side is checked again', () => {
  for (const below of [
    '',
    '../a',
    'a//b',
    '/a',
    'a/..',
    'a\0b',
    'a/.sallyport-x',
    Array(33).fill('d').join('/'),
    'a/'.repeat(600),
  ]) {
    assert.throws(() => deliveryComponents(below), badName, JSON.stringify(below.slice(0, 20)));
  }
});

test('numbers stand before the extension and fit', () => {
  assert.equal(withNumber('report.pdf', 2), 'report (2).pdf');
  assert.equal(withNumber('a.tar.gz', 3), 'a.tar (3).gz');
  assert.equal(withNumber('.profile', 2), '.profile (2)');
  assert.equal(withNumber('README', 10), 'README (10)');
  const long = withNumber(`${'😀'.repeat(60)}.csv`, 12345);
  assert.ok(Buffer.byteLength(long) <= 255 && long.endsWith('😀 (12345).csv') && long.isWellFormed());
  assert.throws(() => withNumber('a', 1.5));
});

const hostile = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }),
  fc.string({ unit: fc.constantFrom(' ', '.', '-', 'a', '~', '1', '\\', 'é', '😀', '\u00a0'), minLength: 1, maxLength: 255 }),
  fc.constantFrom('nul.', 'CON ', 'aux..txt', '. . .', '.sallyport', ' .SALLYPORT', '....'),
);

test('any names: every component is safe and has room for a number', () => {
  let delivered = 0;
  fc.assert(
    fc.property(fc.array(hostile, { minLength: 1, maxLength: 4 }), (parts) => {
      let components: readonly string[];
      try {
        components = deliveryComponents(parts.join('/'));
      } catch (error) {
        assert.ok(badName(error), String(error));
        return;
      }
      delivered += 1;
      for (const name of components) {
        assert.ok(!['', '.', '..'].includes(name) && !/[/\\\p{Cc}:*?"<>|]/u.test(name), JSON.stringify(name));
        assert.ok(Buffer.byteLength(name) <= 215 && name.isWellFormed());
        assert.ok(!name.startsWith('-') && !/[\s.]$/.test(name) && name === name.trim() && !isReservedName(name));
        assert.ok(!/^(con|prn|aux|nul|com\d|lpt\d)\s*(\.|$)/i.test(name), name);
        assert.equal(name, name.normalize('NFC'));
      }
      assert.deepEqual(deliveryComponents(components.join('/')), components, 'mapping what is mapped changes nothing');
    }),
    { numRuns: 3000 },
  );
  assert.ok(delivered > 300, `only ${delivered} of the made-up names were acceptable: the property was hardly tested`);
});

test('numbered variants of one name differ from each other and from it', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 120 }),
      fc.integer({ min: 1, max: 9_999_999 }),
      (name, n) => {
        const numbered = withNumber(name, n);
        assert.ok(Buffer.byteLength(numbered) <= 255);
        assert.notEqual(numbered, withNumber(name, n + 1));
        assert.notEqual(numbered, name);
      },
    ),
  );
});
