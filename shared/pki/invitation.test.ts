import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oddKeys } from '../../test/hostile/odd-keys.ts';
import { spkiOf } from './certificates.ts';
import { invitationId, newInvitation, readInvitation } from './invitation.ts';

test('a token carries the fingerprint and a secret, and only the public half of the secret is left behind', () => {
  const dmz = oddKeys('dmz').fingerprint;
  const { token, publicKey } = newInvitation(dmz);
  const read = readInvitation(` ${token}\n`);
  assert.equal(read.dmz, dmz);
  assert.deepEqual(spkiOf(read.key), publicKey);
  assert.match(invitationId(publicKey), /^[0-9a-f]{64}$/);
  const secret = Buffer.from(token.split('.')[2] ?? '', 'base64url');
  assert.equal(secret.length, 32);
  assert.ok(!publicKey.includes(secret));
  assert.notEqual(newInvitation(dmz).token, token);
});

test('a mistyped or cut token is refused without being repeated', () => {
  const { token } = newInvitation(oddKeys('dmz').fingerprint);
  const swapped = `${token.slice(0, 7)}${token[7] === 'A' ? 'B' : 'A'}${token.slice(8)}`;
  for (const wrong of ['', 'SPT', token.slice(0, -1), `${token}x`, token.toLowerCase(), swapped]) {
    assert.throws(
      () => readInvitation(wrong),
      (error: Error & { code?: string }) => error.code === 'usage' && !error.message.includes(token.split('.')[2] ?? ''),
      wrong,
    );
  }
});
