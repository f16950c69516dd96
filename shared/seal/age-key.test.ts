import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { failsWith } from '../../test/fixtures/seal-lab.ts';
import { generateIdentity, recipientKey, recipientOf } from './age-key.ts';
import { decodeBech32, encodeBech32 } from './bech32.ts';

test('an identity names its own recipient', () => {
  const { identity, recipient } = generateIdentity();
  assert.match(identity, /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/);
  assert.match(recipient, /^age1[02-9ac-hj-np-z]{58}$/);
  assert.equal(recipientOf(identity), recipient);
});

test('two identities differ', () => {
  assert.notEqual(generateIdentity().identity, generateIdentity().identity);
});

test('every text of bytes decodes to the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom('age', 'age-secret-key-'), (bytes, prefix) => {
      const text = encodeBech32(prefix, bytes);
      assert.deepEqual(decodeBech32(prefix, text), Buffer.from(bytes));
      assert.deepEqual(decodeBech32(prefix, text.toUpperCase()), Buffer.from(bytes));
    }),
  );
});

test('texts of BIP 173 are accepted and refused as it says', () => {
  for (const [prefix, text] of [
    ['a', 'A12UEL5L'],
    ['abcdef', 'abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw'],
    ['split', 'split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w'],
  ] as const) {
    assert.ok(decodeBech32(prefix, text), text);
  }
  assert.equal(decodeBech32('split', 'split1cheo2y9e2w'), undefined);
  assert.equal(decodeBech32('a', 'a12UEL5L'), undefined, 'mixed case');
  assert.equal(decodeBech32('a', 'A1G7SGD8'), undefined, 'checksum of the upper-case prefix');
});

test('one wrong, swapped, missing or added character in a key text is noticed', () => {
  const { recipient } = generateIdentity();
  fc.assert(
    fc.property(fc.nat(recipient.length - 1), fc.constantFrom(...'qpzry9x8gf2tvdw0s3jn54khce6mua7l'), (at, character) => {
      const wrong = [
        recipient.slice(0, at) + character + recipient.slice(at + 1),
        recipient.slice(0, at) + recipient.slice(at + 1),
        recipient.slice(0, at) + character + recipient.slice(at),
      ];
      for (const text of wrong) if (text !== recipient) assert.throws(() => recipientKey(text), failsWith('key-file'));
    }),
  );
});

test('keys in the other letter case, of another kind or with blanks are refused', () => {
  const { identity, recipient } = generateIdentity();
  for (const text of [identity.toLowerCase(), ` ${identity}`, `${identity}\n`, recipient, ''])
    assert.throws(() => recipientOf(text), failsWith('key-file'));
  for (const text of [recipient.toUpperCase(), `${recipient} `, identity, encodeBech32('age', Buffer.alloc(31))])
    assert.throws(() => recipientKey(text), failsWith('key-file'));
});
