import assert from 'node:assert/strict';
import test from 'node:test';
import { z } from 'zod';
import { decodeText, encodeText, parseBy } from './wire.ts';

const refused = (text: string) => assert.throws(() => decodeText(text), { code: 'protocol-violation' }, text.slice(0, 60));

test('reads back what it writes', () => {
  const message = {
    k: 'req',
    n: 1,
    p: { text: 'ä"\\\n\u2028', list: [1, -1.5, 1e21, null, true], 1: 'integer keys come first' },
  };
  assert.deepEqual(decodeText(encodeText(message)), message);
});

test('refuses JSON that is not in canonical form', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1, "b":2}',
    '{"b":1,"1":2}',
    '{"a":1.0}',
    '{"a":-0}',
    '{"a":1e400}',
    '{"a":9007199254740993}',
    '{"a":NaN}',
    '{"a":"\\u0041"}',
    '{"a":"\\/"}',
    '\ufeff{}',
    '{} ',
    '{"a":1',
    '',
  ]) {
    refused(text);
  }
});

test('refuses keys that reach prototypes, at any depth, and lone surrogates', () => {
  refused('{"__proto__":{"admin":true}}');
  refused('{"a":[{"constructor":1}]}');
  refused('{"a":{"prototype":{}}}');
  refused('{"a":"\\ud800"}');
  refused('{"\\udc00":1}');
  assert.equal(({} as { admin?: boolean }).admin, undefined);
});

test('refuses depth before anything is parsed, and is not fooled by brackets in strings', () => {
  refused(`${'['.repeat(30)}${']'.repeat(30)}`);
  refused('['.repeat(4_000_000));
  refused(`{"a":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_001)}`);
  const text = JSON.stringify({ a: `"\\${'[{'.repeat(50)}` });
  assert.equal(JSON.stringify(decodeText(text)), text);
});

test('names the place of a mistake and never the value', () => {
  const schema = z.strictObject({ user: z.strictObject({ password: z.string().max(4) }) });
  assert.throws(
    () => parseBy(schema, { user: { password: 'hunter2' } }, 'auth.check'),
    (error: Error) => /auth\.check .* user\.password/.test(error.message) && !error.message.includes('hunter2'),
  );
});
