import assert from 'node:assert/strict';
import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { failsWith } from '../../test/fixtures/seal-lab.ts';
import { generateIdentity } from './age-key.ts';
import { encodeBech32 } from './bech32.ts';
import { headerLength, headerSha256, openHeader, sealHeader, verifyHeader } from './header.ts';

const keys = generateIdentity();
const fileKey = randomBytes(16);
const sealed = (): string => sealHeader(fileKey, [keys.recipient]).toString('latin1');

/** The header with other stanzas and the MAC that its maker would have given it. */
function remade(change: (text: string) => string): Buffer {
  const text = sealed();
  const covered = `${change(text.slice(0, text.lastIndexOf('---')))}---`;
  const key = Buffer.from(hkdfSync('sha256', fileKey, '', 'header', 32));
  const mac = createHmac('sha256', key).update(covered, 'latin1').digest('base64').replace(/=+$/, '');
  return Buffer.from(`${covered} ${mac}\n`, 'latin1');
}

const open = (header: Buffer): Buffer => openHeader(header, keys.identity);

test('each of several recipients opens a header, nobody else does', () => {
  const others = [generateIdentity(), generateIdentity()];
  const header = sealHeader(
    fileKey,
    [keys, ...others].map(({ recipient }) => recipient),
  );
  for (const { identity } of [keys, ...others]) assert.deepEqual(openHeader(header, identity), fileKey);
  assert.throws(() => openHeader(header, generateIdentity().identity), failsWith('sealed-damaged'));
});

test('two headers of one key differ in every wrapped byte', () => {
  assert.notEqual(headerSha256(Buffer.from(sealed())), headerSha256(Buffer.from(sealed())));
});

test('a header is made for 1 to 32 valid recipients only', () => {
  for (const recipients of [[], ['age1nonsense'], Array(33).fill(keys.recipient)])
    assert.throws(() => sealHeader(fileKey, recipients), failsWith('key-file'));
  const lowOrder = encodeBech32('age', Buffer.alloc(32));
  assert.throws(() => sealHeader(fileKey, [lowOrder]), failsWith('key-file'));
});

test('the length is known as soon as the header is whole and not before', () => {
  const header = sealHeader(fileKey, [keys.recipient]);
  const followed = Buffer.concat([header, Buffer.from('\n--- and the payload')]);
  for (let cut = 0; cut < header.length; cut += 1) assert.equal(headerLength(header.subarray(0, cut)), undefined);
  assert.equal(headerLength(header), header.length);
  assert.equal(headerLength(followed), header.length);
});

test('what is no age v1 header or longer than 16 KiB is refused before more is read', () => {
  for (const start of ['x', 'age-encryption.org/v2\n', 'age-encryption.org/v1\r\n', 'age-encryption.org/v1 \n'])
    assert.throws(() => headerLength(Buffer.from(start)), failsWith('sealed-damaged'));
  const long = Buffer.from(`age-encryption.org/v1\n${'-> a\n\n'.repeat(3000)}`);
  assert.throws(() => headerLength(long), failsWith('sealed-damaged'));
  assert.throws(() => headerLength(Buffer.concat([long, Buffer.from(`--- ${'A'.repeat(43)}\n`)])), failsWith('sealed-damaged'));
});

test('a change of any byte of a header is refused', () => {
  const header = sealHeader(fileKey, [keys.recipient, generateIdentity().recipient]);
  fc.assert(
    fc.property(fc.nat(header.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(header);
      changed[at] = (changed[at] ?? 0) ^ flip;
      assert.throws(() => open(changed), failsWith('sealed-damaged'));
      assert.throws(() => verifyHeader(changed, fileKey), failsWith('sealed-damaged'));
    }),
    { numRuns: 500 },
  );
});

test('a cut header and one with bytes behind it are refused', () => {
  const header = sealHeader(fileKey, [keys.recipient]);
  assert.throws(() => open(header.subarray(0, -1)), failsWith('sealed-damaged'));
  assert.throws(() => open(Buffer.concat([header, Buffer.from('\n')])), failsWith('sealed-damaged'));
});

test('stanzas of unknown types are skipped', () => {
  const grease = `-> x-grease $'"() 7\n${'A'.repeat(64)}\nAAAA\n-> empty\n\n`;
  assert.deepEqual(open(remade((text) => text.replace('-> X25519', () => `${grease}-> X25519`))), fileKey);
  assert.deepEqual(open(remade((text) => text + grease)), fileKey);
});

test('malformed stanzas are refused even under a right MAC', () => {
  const share = /(?<=X25519 )\S+/;
  const changes: Record<string, (text: string) => string> = {
    'no stanza': (text) => text.slice(0, text.indexOf('->')),
    'no body line': (text) => `${text}-> last\n`,
    'a body line of 64 with no line behind it': (text) => `${text}-> last\n${'A'.repeat(64)}\n`,
    'a long body line': (text) => `${text}-> last\n${'A'.repeat(65)}\n`,
    'a padded body': (text) => `${text}-> last\nAA==\n`,
    'a body with spare bits': (text) => `${text}-> last\nAB\n`,
    'a body in the URL alphabet': (text) => `${text}-> last\nA-_A\n`,
    'no type': (text) => `${text}-> \n\n`,
    'an empty argument': (text) => `${text}-> a  b\n\n`,
    'a control character': (text) => `${text}-> a\tb\n\n`,
    'a carriage return': (text) => text.replaceAll('\n-> X', '\r\n-> X'),
    'a second argument': (text) => text.replace(share, (found) => `${found} more`),
    'a short share': (text) => text.replace(share, (found) => found.slice(0, -2)),
    'a share of low order': (text) => text.replace(share, 'A'.repeat(43)),
    'another share of low order': (text) => text.replace(share, `AQ${'A'.repeat(41)}`),
    'a passphrase beside another stanza': (text) => `${text}-> scrypt c2FsdA 10\nAAAA\n`,
    '33 stanzas': (text) => `${text}${'-> a\n\n'.repeat(32)}`,
  };
  assert.deepEqual(open(remade((text) => text)), fileKey, 'the maker of these headers makes good ones');
  for (const [name, change] of Object.entries(changes))
    assert.throws(() => open(remade(change)), failsWith('sealed-damaged'), name);
});

test('another file key does not verify', () => {
  const header = sealHeader(fileKey, [keys.recipient]);
  verifyHeader(header, fileKey);
  for (const wrong of [randomBytes(16), Buffer.alloc(0), Buffer.concat([fileKey, Buffer.alloc(1)])])
    assert.throws(() => verifyHeader(header, wrong), failsWith('sealed-damaged'));
});
