import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import ssh2, { type PublicKeyAuthContext } from 'ssh2';
import { type ClientKey, type KeyKind, makeKey, type SignedFields, signedData, signWith } from '../../test/fixtures/ssh-login.ts';
import { parseSshPublicKeyBlob } from '../ssh-public-key.ts';
import { verifySignedLogin } from './ssh-signature.ts';

const cases: readonly (readonly [KeyKind, string])[] = [
  ['ed25519', 'ssh-ed25519'],
  ['ecdsa256', 'ecdsa-sha2-nistp256'],
  ['ecdsa384', 'ecdsa-sha2-nistp384'],
  ['ecdsa521', 'ecdsa-sha2-nistp521'],
  ['rsa2048', 'rsa-sha2-256'],
  ['rsa2048', 'rsa-sha2-512'],
];

function check(key: ClientKey, algorithm: string, changes: Partial<SignedFields> = {}, user = 'acme'): Buffer | undefined {
  const signed = signedData({ identifier: Buffer.alloc(32, 7), user: 'acme', algorithm, blob: key.blob, ...changes });
  const signature = signWith(key, signed, algorithm);
  const login = { user, algorithm, blob: key.blob, signed, signature };
  return verifySignedLogin(login, parseSshPublicKeyBlob(key.blob))?.identifier;
}

for (const [kind, algorithm] of cases) {
  test(`accepts ${algorithm} and returns the session identifier`, () => {
    assert.deepEqual(check(makeKey(kind), algorithm), Buffer.alloc(32, 7));
  });

  test(`refuses ${algorithm} when one bit of the data or of the signature differs`, () => {
    const key = makeKey(kind);
    const signed = signedData({ identifier: randomBytes(32), user: 'acme', algorithm, blob: key.blob });
    const signature = signWith(key, signed, algorithm);
    const flipped = (bytes: Buffer, at: number): Buffer =>
      Buffer.from(bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)));
    const parsed = parseSshPublicKeyBlob(key.blob);
    const login = { user: 'acme', algorithm, blob: key.blob, signed, signature };
    assert.ok(verifySignedLogin(login, parsed));
    assert.equal(verifySignedLogin({ ...login, signed: flipped(signed, 10) }, parsed), undefined);
    assert.equal(verifySignedLogin({ ...login, signature: flipped(signature, signature.length - 1) }, parsed), undefined);
    assert.equal(verifySignedLogin({ ...login, signature: Buffer.alloc(0) }, parsed), undefined);
    assert.equal(verifySignedLogin({ ...login, signed: signed.subarray(0, 20) }, parsed), undefined);
  });
}

test('refuses a validly signed request in which any field is not the one of this login', () => {
  const key = makeKey('ed25519');
  const changes: Readonly<Record<string, Partial<SignedFields>>> = {
    'a short identifier': { identifier: Buffer.alloc(15) },
    'a long identifier': { identifier: Buffer.alloc(65) },
    'another message': { type: 51 },
    'another user': { user: 'globex' },
    'another service': { service: 'ssh-userauth' },
    'another method': { method: 'hostbased' },
    'no signature flag': { hasSignature: 0 },
    'another algorithm': { algorithm: 'ssh-rsa' },
    'another key': { blob: makeKey('ed25519').blob },
    'bytes behind the end': { trailing: Buffer.from([0]) },
  };
  for (const [what, change] of Object.entries(changes)) {
    const signed = signedData({
      identifier: Buffer.alloc(32),
      user: 'acme',
      algorithm: 'ssh-ed25519',
      blob: key.blob,
      ...change,
    });
    const signature = signWith(key, signed, 'ssh-ed25519');
    const login = { user: 'acme', algorithm: 'ssh-ed25519', blob: key.blob, signed, signature };
    assert.equal(verifySignedLogin(login, parseSshPublicKeyBlob(key.blob)), undefined, what);
  }
  assert.equal(check(key, 'ssh-ed25519', {}, 'globex'), undefined, 'the request names another user than the signature');
});

test('never accepts SHA-1, nor an algorithm of another key type', () => {
  const key = makeKey('rsa2048');
  const signed = signedData({ identifier: Buffer.alloc(32), user: 'acme', algorithm: 'ssh-rsa', blob: key.blob });
  const signature = signWith(key, signed, 'ssh-rsa');
  const { blob } = key;
  const parsed = parseSshPublicKeyBlob(key.blob);
  assert.equal(verifySignedLogin({ user: 'acme', algorithm: 'ssh-rsa', blob, signed, signature }, parsed), undefined);
  assert.equal(verifySignedLogin({ user: 'acme', algorithm: 'ssh-ed25519', blob, signed, signature }, parsed), undefined);
  assert.equal(verifySignedLogin({ user: 'acme', algorithm: '__proto__', blob, signed, signature }, parsed), undefined);
});

test('accepts what ssh2 hands over from a real connection, for every key type', async () => {
  const hostKey = makeKey('ed25519').privateKey;
  const heard: PublicKeyAuthContext[] = [];
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (ctx) => {
      if (ctx.method === 'publickey' && ctx.signature) heard.push(ctx);
      if (ctx.method === 'publickey') ctx.accept();
      else ctx.reject(['publickey']);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    for (const kind of ['ed25519', 'ecdsa256', 'ecdsa384', 'ecdsa521', 'rsa2048'] as const) {
      const key = makeKey(kind);
      const client = new ssh2.Client();
      client.connect({ host: '127.0.0.1', port, username: 'acme', privateKey: key.privateKey });
      await once(client, 'ready');
      client.end();
      const ctx = heard.pop();
      assert.ok(ctx?.signature && ctx.blob);
      const { algo: algorithm, data: blob } = ctx.key;
      const login = { user: 'acme', algorithm, blob, signed: ctx.blob, signature: ctx.signature };
      const { identifier } = verifySignedLogin(login, parseSshPublicKeyBlob(blob)) ?? {};
      assert.ok(identifier && identifier.length >= 32, kind);
    }
  } finally {
    server.close();
  }
});
