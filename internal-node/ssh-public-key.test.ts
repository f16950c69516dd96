import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { SallyportError } from '../shared/errors.ts';
import { type KeyKind, makeKey } from '../test/fixtures/ssh-login.ts';
import { parseSshPublicKeyBlob, parseSshPublicKeyLine } from './ssh-public-key.ts';

const kinds: readonly KeyKind[] = ['ed25519', 'ecdsa256', 'ecdsa384', 'ecdsa521', 'rsa2048'];
const refuses = (act: () => unknown, pattern: RegExp): void =>
  assert.throws(
    act,
    (error) => error instanceof SallyportError && error.code === 'config-invalid' && pattern.test(error.message),
  );

for (const kind of kinds) {
  test(`reads an OpenSSH line of ${kind}`, () => {
    const made = makeKey(kind);
    const key = parseSshPublicKeyLine(`  ${made.publicLine.trim()}\n`);
    assert.deepEqual(key.blob, made.blob);
    assert.equal(key.comment, 'client');
    const digest = createHash('sha256').update(made.blob).digest('base64').replace(/=+$/, '');
    assert.equal(key.fingerprint, `SHA256:${digest}`);
    const pem = key.key.export({ type: 'spki', format: 'pem' }).toString().trim();
    assert.equal(pem, made.parsed.getPublicPEM().trim());
  });

  test(`refuses a blob of ${kind} with a byte too many or too few`, () => {
    const { blob } = makeKey(kind);
    refuses(() => parseSshPublicKeyBlob(Buffer.concat([blob, Buffer.alloc(1)])), /damaged/);
    refuses(() => parseSshPublicKeyBlob(blob.subarray(0, -1)), /damaged|32 bytes|curve point/);
  });
}

test('refuses private keys of every kind, without quoting them', () => {
  const openSsh = makeKey('ed25519').privateKey;
  const texts = [
    openSsh,
    '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----',
    '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----',
    'PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none',
    openSsh.split('\n').slice(1, -2).join(''),
  ];
  for (const text of texts) {
    refuses(() => parseSshPublicKeyLine(text), /^this is a private key; it was not stored; make a new one$/);
  }
});

test('refuses weak, unknown and disguised keys', () => {
  refuses(() => parseSshPublicKeyLine(makeKey('rsa1024').publicLine), /1024 bits/);
  refuses(() => parseSshPublicKeyLine('ssh-dss AAAAB3NzaC1kc3MAAAAB'), /not accepted/);
  const [, body = ''] = makeKey('ed25519').publicLine.split(' ');
  refuses(() => parseSshPublicKeyLine(`ssh-rsa ${body}`), /the line says "ssh-rsa"/);
  refuses(() => parseSshPublicKeyLine(`from="10.0.0.0/8" ssh-ed25519 ${body}`), /expected an OpenSSH public key line/);
  refuses(() => parseSshPublicKeyLine(`ssh-ed25519 ${body}\nssh-ed25519 ${body}`), /several/);
  refuses(() => parseSshPublicKeyLine(''), /expected/);
});

test('refuses a curve point that is not on the curve', () => {
  const { blob } = makeKey('ecdsa256');
  const moved = Buffer.from(blob);
  moved[moved.length - 1] = (moved.at(-1) ?? 0) ^ 1;
  refuses(() => parseSshPublicKeyBlob(moved), /damaged/);
});

test('refuses any truncation without another kind of error', () => {
  for (const kind of kinds) {
    const { blob } = makeKey(kind);
    for (let end = 0; end < blob.length; end += 7) refuses(() => parseSshPublicKeyBlob(blob.subarray(0, end)), /./);
  }
});
