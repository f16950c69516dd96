import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { AuthBench, hashFor } from '../../test/fixtures/auth-bench.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import { TestCertificates } from '../../test/fixtures/test-certificates.ts';

const key = makeKey('ed25519');
const rsa = makeKey('rsa2048');
const strange = makeKey('ed25519');
const partners = {
  acme: { password: hashFor('correct'), keys: [key.publicLine, rsa.publicLine] },
  keyonly: { keys: [key.publicLine] },
  off: { password: hashFor('correct'), keys: [key.publicLine], disabled: true },
  near: { password: hashFor('correct'), keys: [key.publicLine], from: ['198.51.100.0/24', '2001:db8::/32'] },
  both: { password: hashFor('correct'), keys: [key.publicLine], require: 'key+password' },
};
const rejected = { verdict: 'rejected' };

test('accepts the right password and hands out a token that the session book knows', async () => {
  await using bench = await AuthBench.make(partners);
  const verdict = await bench.password('acme', 'correct');
  assert.equal(verdict.verdict, 'accepted');
  if (verdict.verdict !== 'accepted') return;
  assert.equal(verdict.grant.partner, 'acme');
  assert.equal((await bench.sessions.byToken(verdict.token))?.partner, 'acme');
  bench.clock.advance(verdict.lifeMs - 1);
  assert.ok(await bench.sessions.byToken(verdict.token));
  bench.clock.advance(1);
  assert.equal(await bench.sessions.byToken(verdict.token), undefined, 'it was told how long the token lives');
});

test('AC-14: a session lives no longer than its account', async () => {
  await using bench = await AuthBench.make({});
  const expires = new Date(bench.clock.nowMs() + 600_000).toISOString().replace('.000', '');
  await using soon = await AuthBench.make({ acme: { password: hashFor('correct'), expires } });
  const verdict = await soon.password('acme', 'correct');
  assert.ok(verdict.verdict === 'accepted');
  assert.equal(verdict.lifeMs, 600_000);
  soon.clock.advance(600_000);
  assert.equal(await soon.sessions.byToken(verdict.token), undefined);
  assert.deepEqual(await soon.password('acme', 'correct'), rejected);
});

test('refuses everything else with the same answer, the same number of hashes and the least time', async () => {
  await using bench = await AuthBench.make(partners);
  const attempts: readonly (readonly [string, string, string])[] = [
    ['acme', 'wrong', 'wrong password'],
    ['nobody', 'correct', 'unknown user'],
    ['__proto__', 'correct', 'unknown user'],
    ['ACME', 'correct', 'unknown user'],
    ['keyonly', 'correct', 'no password set'],
    ['off', 'correct', 'disabled'],
    ['near', 'correct', 'source address not allowed'],
    ['both', 'correct', 'password before key'],
  ];
  for (const [user, password, reason] of attempts) {
    const hashesBefore = bench.hashes;
    const startedMs = bench.clock.monotonicMs();
    assert.deepEqual(await bench.password(user, password), rejected);
    assert.equal(bench.lastReason, reason);
    assert.equal(bench.hashes - hashesBefore, 1, `${reason}: one hash`);
    assert.equal(bench.clock.monotonicMs() - startedMs, 100, `${reason}: least time`);
  }
  assert.equal(bench.events.of('auth.rejected').length, attempts.length);
});

test('refuses an empty password without a hash', async () => {
  await using bench = await AuthBench.make(partners);
  assert.deepEqual(await bench.password('acme', ''), rejected);
  assert.equal(bench.hashes, 0);
});

test('allows a source inside the range of the partner, for IPv4 and IPv6', async () => {
  await using bench = await AuthBench.make(partners);
  assert.equal((await bench.password('near', 'correct', { peer: '198.51.100.9' })).verdict, 'accepted');
  assert.equal((await bench.password('near', 'correct', { peer: '2001:db8::1' })).verdict, 'accepted');
  assert.deepEqual(await bench.password('near', 'correct', { peer: '' }), rejected);
});

test('accepts a signed key and records the method', async () => {
  await using bench = await AuthBench.make(partners);
  assert.equal((await bench.key('acme', key)).verdict, 'accepted');
  assert.equal((await bench.key('acme', rsa, { algorithm: 'rsa-sha2-512' })).verdict, 'accepted');
});

test('refuses keys that are not registered, not fitting, of others, or disabled', async () => {
  await using bench = await AuthBench.make(partners);
  assert.deepEqual(await bench.key('acme', strange), rejected);
  assert.equal(bench.lastReason, 'key not registered');
  assert.deepEqual(await bench.key('nobody', key), rejected);
  assert.equal(bench.lastReason, 'unknown user');
  assert.deepEqual(await bench.key('keyonly', rsa, { algorithm: 'rsa-sha2-256' }), rejected);
  assert.deepEqual(await bench.key('off', key), rejected);
  assert.equal(bench.lastReason, 'disabled');
  assert.deepEqual(await bench.key('near', key), rejected);
});

test('a key probe says yes only for a registered key with a fitting algorithm', async () => {
  await using bench = await AuthBench.make(partners);
  assert.deepEqual(await bench.probe('acme', key), { verdict: 'key-acceptable' });
  assert.deepEqual(await bench.probe('acme', rsa, 'rsa-sha2-256'), { verdict: 'key-acceptable' });
  assert.deepEqual(await bench.probe('acme', rsa, 'ssh-rsa'), rejected);
  assert.deepEqual(await bench.probe('acme', strange), rejected);
  assert.deepEqual(await bench.probe('nobody', key), rejected);
  assert.deepEqual(await bench.probe('off', key), rejected);
});

test('AC-12: key+password: the key first, then the password, in the same session', async () => {
  await using bench = await AuthBench.make(partners);
  const session = newSessionId();
  assert.deepEqual(await bench.key('both', key, { session }), { verdict: 'continue', methods: ['password'] });
  assert.deepEqual(await bench.password('both', 'wrong', { session }), rejected);
  assert.deepEqual(await bench.password('both', 'correct'), rejected, 'another session has shown no key');
  assert.deepEqual(await bench.password('acme', 'wrong', { session }), rejected);
  const verdict = await bench.password('both', 'correct', { session });
  assert.equal(verdict.verdict, 'accepted');
  assert.deepEqual(await bench.password('both', 'correct', { session }), rejected, 'the key counted for one login');
});

test('key+password: a good key is forgotten after two minutes and its proof cannot be shown again', async () => {
  await using bench = await AuthBench.make(partners);
  const session = newSessionId();
  const handshake = bench.handshake();
  assert.equal((await bench.key('both', key, { session, handshake })).verdict, 'continue');
  bench.clock.advance(120_000);
  assert.deepEqual(await bench.password('both', 'correct', { session }), rejected);
  assert.deepEqual(await bench.key('both', key, { session, handshake }), rejected);
  assert.equal(bench.lastReason, 'SSH session identifier used before');
});

test('answers unavailable, not rejected, when the records fail', async () => {
  const bench = await AuthBench.make(partners);
  await bench.database.close();
  assert.deepEqual(await bench.password('acme', 'correct'), { verdict: 'unavailable' });
  assert.deepEqual(await bench.key('acme', key), { verdict: 'unavailable' });
  await bench[Symbol.asyncDispose]();
});

test('opens no session when the link is gone before the password was checked', async () => {
  await using bench = await AuthBench.make(partners);
  const gone = new AbortController();
  bench.onHash = () => gone.abort(new Error('link closed'));
  const check = { method: 'password', user: 'acme', password: 'correct', peer: '', protocol: 'sftp' } as const;
  const session = newSessionId();
  await assert.rejects(bench.check({ ...check, session, trace: session }, gone.signal), /link closed/);
  bench.onHash = () => undefined;
  assert.equal((await bench.password('acme', 'correct', { session })).verdict, 'accepted', 'the session id is still unused');
});

test('lets a burst of twenty right logins of one partner through without a failure', async () => {
  await using bench = await AuthBench.make(partners);
  bench.onHash = () => new Promise((resolve) => setImmediate(resolve));
  const verdicts = await Promise.all(Array.from({ length: 20 }, () => bench.password('acme', 'correct')));
  assert.deepEqual(new Set(verdicts.map(({ verdict }) => verdict)), new Set(['accepted']));
});

test('escapes what strangers type in user names before it is recorded', async () => {
  await using bench = await AuthBench.make(partners);
  await bench.password('evil\u001b[2J\nname\u202e', 'x');
  assert.equal(bench.events.of('auth.rejected')[0]?.fields.user, 'evil\\u001b[2J\\u000aname\\u202e');
  assert.equal(bench.events.of('auth.rejected')[0]?.partner, undefined);
});

test('FT-10: a certificate that is registered lets its partner in; any other is no failure, only no login', async () => {
  await using certificates = await TestCertificates.make(['card', 'other']);
  const [mine, another] = ['card', 'other'].map((name) => new X509Certificate(certificates.clients[name]?.cert ?? ''));
  assert.ok(mine && another);
  const shown = mine.fingerprint256;
  await using bench = await AuthBench.make({
    ...partners,
    card: { certificates: [shown] },
    offcard: { certificates: [shown], disabled: true },
    bothcard: { ...partners.both, certificates: [shown] },
  });
  bench.clock.advance(Date.now() - bench.clock.nowMs());
  const check = (user: string, certificate: X509Certificate, session = newSessionId()) =>
    bench.check({
      method: 'certificate',
      user,
      chain: [certificate.raw.toString('base64')],
      session,
      trace: newTraceId(),
      peer: '192.0.2.1',
      protocol: 'ftps',
    });
  const verdict = await check('card', mine);
  assert.equal(verdict.verdict === 'accepted' && verdict.grant.partner, 'card');
  const others: readonly (readonly [string, X509Certificate])[] = [
    ['card', another],
    ['acme', mine],
    ['nobody', mine],
    ['CARD', mine],
    ['offcard', mine],
    ['bothcard', mine],
  ];
  for (const [user, certificate] of others) {
    assert.deepEqual(await check(user, certificate), { verdict: 'continue', methods: ['password'] }, user);
  }
  assert.equal(bench.events.of('auth.rejected').length, 0);
  assert.deepEqual(await bench.password('card', 'anything'), rejected);
});

test('a key that is taken away while its login is looked at opens no session', async () => {
  await using bench = await AuthBench.make(partners);
  bench.revoked = () => {
    bench.reconfigure({ ...partners, acme: { password: hashFor('correct') } });
    return undefined;
  };
  assert.deepEqual(await bench.key('acme', key), rejected);
  assert.equal(bench.lastReason, 'disabled');
});
