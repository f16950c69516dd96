import assert from 'node:assert/strict';
import test from 'node:test';
import { printableJson } from './printable-json.ts';

test('JSON holds no character that drives a terminal, and parses to the same value', () => {
  const text = '\u0000\u001b[2J\r\n\u007f\u009b2J\u2028\u2029\u202e\u2066 plain ü 漢 🙂 " \\\\';
  const value = { [text]: [text, { text }], 'as it was': 'ü 漢 🙂' };
  assert.deepEqual(JSON.parse(printableJson(value)), value);
  assert.doesNotMatch(printableJson(value), /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
  assert.ok(printableJson(value).endsWith('"as it was":"ü 漢 🙂"}'));
  assert.deepEqual(JSON.parse(printableJson(value, 2)), value);
});
