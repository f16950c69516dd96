import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { publicKeyLines } from './key-texts.ts';

const key = makeKey('ed25519');
const other = makeKey('ecdsa256');
const lineOf = ({ parsed, blob }: typeof key, name: string): string => `${parsed.type} ${blob.toString('base64')} ${name}`;
const wrapped = (blob: Buffer, width: number): string =>
  blob
    .toString('base64')
    .replace(new RegExp(`.{1,${width}}`, 'g'), (part) => `${part}\n`)
    .trimEnd();
const rfc4716 = (blob: Buffer, headers: string): string =>
  `---- BEGIN SSH2 PUBLIC KEY ----\n${headers}${wrapped(blob, 64)}\n---- END SSH2 PUBLIC KEY ----\n`;

test('lines of OpenSSH stay as they are, without what is between them', () => {
  const lines = [lineOf(key, 'laptop of Jürgen'), lineOf(other, 'server')];
  assert.deepEqual(publicKeyLines(`\uFEFF# our keys\r\n${lines[0]}\r\n\r\n  ${lines[1]}\r\n`), lines);
});

test('keys of RFC 4716 become lines with their comment, several in one file too, with headers that are longer than a line', () => {
  const long = 'Comment: "a name that is so long that the program \\\nbreaks it"\nSubject: somebody\nx-private: \\\nmore\n';
  const text = rfc4716(key.blob, long) + rfc4716(other.blob, 'comment: plain\n');
  const expected = [lineOf(key, 'a name that is so long that the program breaks it'), lineOf(other, 'plain')];
  assert.deepEqual(publicKeyLines(text), expected);
  assert.deepEqual(publicKeyLines(text.replaceAll('\n', '\r\n')), expected);
  assert.deepEqual(publicKeyLines(rfc4716(key.blob, '')), [lineOf(key, '').trim()]);
});

test('the public part of a PuTTY key is a key, the whole file is not', () => {
  const lines = wrapped(key.blob, 64).split('\n');
  const head = `PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: from WinSCP\nPublic-Lines: ${lines.length}\n`;
  const text = `${head}${lines.join('\n')}\n`;
  assert.deepEqual(publicKeyLines(text), [lineOf(key, 'from WinSCP')]);
  const secret = `${text}Private-Lines: 1\nAAAAsecretsecret\n`;
  assert.throws(
    () => publicKeyLines(secret),
    (error: Error) => /holds the private key too/.test(error.message) && !error.message.includes('secretsecret'),
  );
});

test('what is no public key is refused for what it is, and never quoted', () => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n', /this is a private key; it was not stored/],
    ['hunter2', /expected an OpenSSH public key line/],
    [rfc4716(Buffer.from('hunter2 hunter2 hunter2'), ''), /the key is damaged/],
    [rfc4716(key.blob, '').replace('---- END', 'hunter2'), /the file has no line "---- END/],
    [rfc4716(makeKey('rsa1024').blob, 'Comment: hunter2\n'), /an RSA key of 1024 bits/],
    ['PuTTY-User-Key-File-3: ssh-ed25519\nComment: hunter2\n', /the key is damaged/],
  ];
  for (const [text, message] of refusals) {
    assert.throws(
      () => publicKeyLines(text),
      (error: Error & { code?: string }) => {
        assert.match(error.message, message);
        assert.equal(error.code, 'usage');
        return !error.message.includes('hunter2');
      },
    );
  }
});
