import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOf, digestFor, parseTrigger } from './trigger-content.ts';

const sha256 = 'a'.repeat(64);
const md5 = 'b'.repeat(32);

test('2.9 trigger content: nothing, or anything else, says nothing', () => {
  for (const text of ['', 'done\n', 'OK 2026-11-22', 'count=many', '\u0000\u0001']) {
    assert.deepEqual(parseTrigger(text), { count: null, digests: {}, digest: null }, text);
  }
});

test('2.9 trigger content: a digest alone, and with a name as sha256sum, md5sum, BSD and openssl write it', () => {
  assert.equal(parseTrigger(`${sha256.toUpperCase()}\n`).digest, sha256);
  for (const line of [`${md5}  x.csv`, `${md5} *x.csv`, `${md5}\tout/x.csv`, `MD5 (x.csv) = ${md5}`, `MD5(C:\\x.csv)= ${md5}`]) {
    assert.deepEqual(parseTrigger(line).digests, { 'x.csv': md5 }, line);
  }
  const several = parseTrigger(`${sha256}  a\r\n${md5}  b\r\n`);
  assert.equal(digestFor(several, 'a', false), sha256);
  assert.equal(digestFor(several, 'c', true), undefined);
  assert.equal(digestFor(parseTrigger(`${md5}  x.csv.tmp`), 'x.csv', true), md5); // hashed under the name it had then
  assert.equal(digestFor(parseTrigger(`${md5}  __proto__`), 'x', false), undefined);
});

test('2.9 trigger content: a count, said or by the names', () => {
  for (const text of ['3', 'count=3', 'Files: 3\n']) assert.equal(countOf(parseTrigger(text), false), 3, text);
  assert.equal(countOf(parseTrigger(`${sha256}  a\n${sha256}  b`), false), 2);
  assert.equal(countOf(parseTrigger('3'), true), undefined);
});
