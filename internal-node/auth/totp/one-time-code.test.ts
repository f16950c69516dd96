import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '../../../shared/secret.ts';
import { CodeGenerator, typedCode } from './one-time-code.ts';

/** RFC 6238 appendix B, SHA-1, the last six of its eight digits. */
const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';
const vectors: readonly (readonly [seconds: number, code: string])[] = [
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_234_567_890, '005924'],
  [20_000_000_000, '353130'],
];

test('TO-03, TO-06: the codes of RFC 6238, in the step before and after too, and not two steps off', () => {
  const generator = CodeGenerator.fromUri(`otpauth://totp/Example:john@example.test?secret=${secret}&issuer=Example`);
  for (const [seconds, code] of vectors) {
    const atMs = seconds * 1000;
    const step = Math.floor(seconds / 30);
    assert.equal(generator.stepOf(code, atMs), step);
    assert.equal(generator.stepOf(code, atMs + 30_000), step);
    assert.equal(generator.stepOf(code, atMs - 30_000), step);
    assert.equal(generator.stepOf(code, atMs + 60_000), undefined);
    assert.equal(generator.stepOf(code, atMs - 60_000), undefined);
  }
  for (const code of ['', '28708', '2870820', '28708a', ' 287082', '２８７０８２'])
    assert.equal(generator.stepOf(code, 59_000), undefined);
});

test('TO-03: what is no usable URI is refused without quoting it', () => {
  for (const uri of [
    '',
    secret,
    `otpauth://hotp/x?secret=${secret}&counter=1`,
    `otpauth://totp/x?secret=${secret}&digits=8`,
    `otpauth://totp/x?secret=${secret}&period=3600`,
    'otpauth://totp/x?secret=GEZDGNBV',
    'otpauth://totp/x',
  ]) {
    assert.throws(
      () => CodeGenerator.fromUri(uri),
      (error: Error) => /no usable otpauth/.test(error.message) && !error.message.includes('GEZD'),
      uri,
    );
  }
});

test('TO-02, TO-12: a code is the end of what was typed, and something must be before it', () => {
  const taken = (text: string, code?: string) => {
    const typed = typedCode(new Secret(text), code === undefined ? undefined : new Secret(code));
    return typed && [typed.password.reveal(), typed.code];
  };
  assert.deepEqual(taken('SecretPass123456'), ['SecretPass', '123456']);
  assert.deepEqual(taken('99999123456'), ['99999', '123456']);
  assert.deepEqual(taken('passABCDE-23456'), ['pass', 'abcde-23456']);
  assert.deepEqual(taken('pass', '123 456'), ['pass', '123456']);
  for (const text of ['123456', ' 123456', '12345', 'password', '', 'abcde-23456']) assert.equal(taken(text), undefined, text);
  assert.equal(taken(' ', '123456'), undefined);
});
