import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Secret } from '../shared/secret.ts';
import { guessBits, passwordLength, refuseWeak } from './password-strength.ts';

const refuses = (text: string, pattern: RegExp): void => {
  assert.throws(() => refuseWeak(new Secret(text), ['acme-gmbh']), { code: 'usage', message: pattern }, text);
};

test('AC-18: short passwords and those that people choose are refused, and the message holds nothing of them', () => {
  refuses('kX9#vQ2!pLm', /at least 12/);
  refuses('x'.repeat(passwordLength.most + 1), /at most/);
  const easy = [
    ...['passwordpassword', 'P@ssw0rd2026!', 'Summer2026Summer', 'aaaaaaaaaaaaaaaa', 'abcdefghijklmnop', '123456789012345'],
    ...['acme-gmbh2026!', 'Welcome-acme-gmbh', 'qwertyqwerty12', 'abcabcabcabcabcabc', 'January2026January'],
  ];
  for (const text of easy) {
    refuses(text, /too easy to guess/);
    assert.throws(
      () => refuseWeak(new Secret(text), ['acme-gmbh']),
      (error: Error) => !error.message.includes(text),
    );
  }
});

test('AC-18: random ones and a few words that have nothing to do with each other are taken', () => {
  const good = [
    'correct horse battery staple',
    'kX9#vQ2!pLm7',
    'lampe-regal-tiger-wolke',
    'Vg7t2Kq9bWx4Zc',
    'ünïcödé-Zürich-Fluß',
  ];
  for (const text of good) {
    assert.doesNotThrow(() => refuseWeak(new Secret(text), ['acme-gmbh']), `${text}: ${guessBits(text, [])}`);
  }
  for (let n = 0; n < 200; n += 1) refuseWeak(new Secret(randomBytes(16).toString('hex')), ['acme']);
});
