import assert from 'node:assert/strict';
import test from 'node:test';
import { SallyportError } from '../errors.ts';
import { newTunnelKey, spkiOf } from './certificates.ts';
import { fingerprintOf, parseFingerprint } from './fingerprint.ts';

const typed = fingerprintOf('internal', spkiOf(newTunnelKey()));
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const isUsage = (pattern: RegExp) => (error: unknown) =>
  error instanceof SallyportError && error.code === 'usage' && pattern.test(error.message);

test('holds at least 125 bits of the digest in groups of four', () => {
  assert.match(typed, /^SPI(-[A-Z2-7]{4}){9}$/);
  assert.ok(9 * 3 * 5 >= 125);
  assert.notEqual(typed, fingerprintOf('internal', spkiOf(newTunnelKey())));
});

test('is read in any case, with or without hyphens, and with digits for the letters they resemble', () => {
  const expected = { role: 'internal', canonical: typed };
  assert.deepEqual(parseFingerprint(typed.toLowerCase().replaceAll('-', ' ')), expected);
  assert.deepEqual(parseFingerprint(typed.replaceAll('-', '')), expected);
  assert.deepEqual(
    parseFingerprint(typed.replaceAll('O', '0').replaceAll('B', '8').replaceAll('I', '1').replace(/^SP1/, 'SPI')),
    expected,
  );
  assert.equal(parseFingerprint(fingerprintOf('dmz', spkiOf(newTunnelKey()))).role, 'dmz');
});

test('finds every single wrong character and names its group', () => {
  for (let at = 4; at < typed.length; at++) {
    if (typed[at] === '-') continue;
    const group = Math.floor((at - 4) / 5) + 1;
    for (const character of alphabet) {
      if (character === typed[at]) continue;
      const wrong = typed.slice(0, at) + character + typed.slice(at + 1);
      assert.throws(() => parseFingerprint(wrong), isUsage(new RegExp(`group ${group} `)));
    }
  }
});

test('finds swapped neighbours and swapped groups', () => {
  const groups = typed.split('-');
  for (let group = 1; group < groups.length - 1; group++) {
    const swapped = [...groups];
    [swapped[group], swapped[group + 1]] = [groups[group + 1] ?? '', groups[group] ?? ''];
    if (swapped.join() !== groups.join()) assert.throws(() => parseFingerprint(swapped.join('-')), isUsage(/typing error/));
  }
  for (let at = 4; at < typed.length - 1; at++) {
    const [a = '', b = ''] = [typed[at], typed[at + 1]];
    if (a === b || a === '-' || b === '-') continue;
    assert.throws(() => parseFingerprint(typed.slice(0, at) + b + a + typed.slice(at + 2)), isUsage(/typing error/));
  }
});

test('says what is wrong with a text of another form', () => {
  assert.throws(() => parseFingerprint('SHA256:abc'), isUsage(/begins with SPD- .* or SPI-/));
  assert.throws(() => parseFingerprint(typed.slice(0, -1)), isUsage(/9 groups of 4 .* has 35/));
  assert.throws(() => parseFingerprint(`${typed.slice(0, -1)}9`), isUsage(/none of A-Z and 2-7/));
});
