/** Each rule of the name policy, with its neighbour that is allowed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { checkComponent, isReservedName } from './name-policy.ts';

const refused: Readonly<Record<string, readonly string[]>> = {
  'syntax of paths': ['', '.', '..', 'a/b', '/'],
  'control characters': ['a\0', 'a\r\nb', '\t', '\x1b[2J', '\x7f', '\u0085', '\u009b'],
  'line and paragraph separators': ['a\u2028b', 'a\u2029b'],
  'bidirectional overrides': ['invoice\u202efdp.exe', '\u2066a', '\u200ea', '\u061ca'],
  'invisible characters': ['a\u200bb', 'a\u200d', '\ufeffa', 'a\u00adb', 'a\u2060b', 'a\u{e0041}'],
  'invalid text': ['a\ufffd', 'a\ud800', '\udc00b'],
  'reserved names': ['.sallyport', '.sallyport-draft-1', '.SALLYPORT', '.ſallyport', '．sallyport'],
  'too long': ['a'.repeat(256), 'é'.repeat(128), '😀'.repeat(64)],
};
for (const [rule, names] of Object.entries(refused)) {
  test(`refuses ${rule}`, () => {
    for (const name of names) {
      const isBadName = (error: unknown): boolean => error instanceof SallyportError && error.code === 'bad-name';
      assert.throws(() => checkComponent(name), isBadName, JSON.stringify(name));
    }
  });
}

test('accepts what is only awkward: delivery maps it', () => {
  const awkward = [
    'CON',
    'aux.txt',
    '-rf',
    ' a ',
    'a.',
    '...',
    'a:b?',
    'a\\b',
    'PROGRA~1',
    'desktop.ini',
    '.profile',
    '=1+1',
    'a\u00a0b',
  ];
  for (const name of [...awkward, 'a'.repeat(255), 'ä'.repeat(127), 'नमस्ते.csv', '日本語.txt', '😀.png', 'my.sallyport']) {
    assert.doesNotThrow(() => checkComponent(name), JSON.stringify(name));
  }
});

test('an error never carries the hostile characters', () => {
  assert.throws(
    () => checkComponent('a\x1b[31m\u202e'),
    (error) => error instanceof SallyportError && !/[\p{Cc}\u202e]/u.test(JSON.stringify(error.fields) + error.message),
  );
});

test('reserved means the beginning of the name in any case', () => {
  assert.ok(isReservedName('.Sallyport.tmp'));
  assert.ok(!isReservedName('a.sallyport'));
});
