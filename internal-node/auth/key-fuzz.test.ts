/**
 * Whatever a DMZ host that was taken over sends as a key, a certificate, a signature or a handshake: it is refused, in little time,
 * and nothing throws. The same choices each time; `SALLYPORT_FUZZ_SEED` makes others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { AuthBench } from '../../test/fixtures/auth-bench.ts';
import { Choices } from '../../test/fixtures/seeded-random.ts';
import { certificateLogin, makeCertificate, optionText } from '../../test/fixtures/ssh-certificates.ts';
import { keyLogin, makeKey, string } from '../../test/fixtures/ssh-login.ts';
import { readHandshake } from './handshake-proof.ts';
import { KeyRevocationList } from './key-revocation-list.ts';
import { readCertificate } from './ssh-certificate.ts';

const seed = Number(process.env.SALLYPORT_FUZZ_SEED ?? 20_261_122);

/** Another length at a place that may hold one, bytes changed, cut, doubled or put in. */
function mutated(bytes: Buffer, choices: Choices): Buffer {
  const other = Buffer.from(bytes);
  const at = choices.below(Math.max(1, other.length));
  switch (choices.of(['flip', 'length', 'cut', 'insert', 'double', 'zero'] as const)) {
    case 'flip':
      for (let i = 0; i <= choices.below(4); i += 1) other[choices.below(other.length)] = choices.below(256);
      return other;
    case 'length':
      if (other.length >= at + 4)
        other.writeUInt32BE(choices.of([0, 1, 0x7fff_ffff, 0xffff_ffff, other.length, 31, 33] as const), at);
      return other;
    case 'cut':
      return other.subarray(0, at);
    case 'insert':
      return Buffer.concat([other.subarray(0, at), choices.bytes(choices.below(64)), other.subarray(at)]);
    case 'double':
      return Buffer.concat([other.subarray(0, at), other.subarray(Math.floor(at / 2))]);
    case 'zero':
      return other.fill(0, at, Math.min(other.length, at + choices.below(16)));
  }
}

test('keys, certificates, signatures and handshakes that were changed in any way let nobody in', async () => {
  const choices = new Choices(seed);
  const authority = makeKey('ed25519');
  const key = makeKey('ecdsa256');
  await using bench = await AuthBench.make({ acme: { keys: [key.publicLine], authorities: [authority.publicLine] } });
  const ids = () => ({ user: 'acme', session: newSessionId(), trace: newTraceId(), handshake: bench.handshake() });
  const blob = makeCertificate(key, authority, { criticalOptions: [['source-address', optionText('192.0.2.0/24')]] });
  for (let i = 0; i < 800; i += 1) {
    const honest = choices.chance(0.5) ? certificateLogin(key, blob, ids()) : keyLogin(key, ids());
    const field = choices.of(['key', 'signed', 'signature', 'transcript'] as const);
    const before = Buffer.from(honest[field], 'base64');
    const after = mutated(before, choices);
    if (after.equals(before) || after.length > 6000) continue;
    const { verdict } = await bench.check({ ...honest, [field]: after.toString('base64') });
    assert.ok(
      verdict === 'rejected' || verdict === 'unavailable',
      `${verdict} with another ${field} in round ${i} of seed ${seed}`,
    );
  }
  assert.equal(bench.events.of('auth.accepted').length, 0);
  assert.equal((await bench.check(keyLogin(key, ids()))).verdict, 'accepted', 'the honest one still is');
});

test('readers of certificates, handshakes and revocation lists never throw anything but their refusal', () => {
  const choices = new Choices(seed);
  const list = Buffer.concat([
    Buffer.from('SSHKRL\n\0'),
    Buffer.from([0, 0, 0, 1]),
    Buffer.alloc(24),
    ...[string(''), string('comment'), Buffer.from([1])],
    string(Buffer.concat([string(''), string(''), Buffer.from([0x20]), string(Buffer.alloc(16, 1))])),
  ]);
  assert.ok(KeyRevocationList.parse(list));
  for (let i = 0; i < 2000; i += 1) {
    const noise = choices.chance(0.5) ? choices.bytes(choices.below(300)) : mutated(list, choices);
    readCertificate(noise);
    readHandshake(noise, choices.bytes(choices.of([0, 16, 20, 32, 48, 64] as const)));
    try {
      KeyRevocationList.parse(noise);
    } catch (error) {
      assert.ok(error instanceof SallyportError && error.code === 'config-invalid', String(error));
    }
  }
});
