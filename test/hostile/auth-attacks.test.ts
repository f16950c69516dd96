/** What a DMZ host that was taken over can try with `auth.check` (rows D6 to D11 of the threat model). */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { cookieDefaults } from '../../internal-node/auth/handshake-cookies.ts';
import { sshFingerprint } from '../../internal-node/ssh-public-key.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { tokenHash } from '../../shared/secret.ts';
import { AuthBench, hashFor } from '../fixtures/auth-bench.ts';
import { handshakeWith, keyLogin, type MadeHandshake, makeKey } from '../fixtures/ssh-login.ts';

const key = makeKey('ed25519');
const other = makeKey('ed25519');
const partners = {
  acme: { password: hashFor('correct horse'), keys: [key.publicLine] },
  globex: { password: hashFor('battery staple'), keys: [other.publicLine] },
};

test('D6: proofs that no session of the partner has are unknown', async () => {
  await using bench = await AuthBench.make(partners);
  const verdict = await bench.key('acme', key);
  assert.ok(verdict.verdict === 'accepted');
  assert.equal(await bench.sessions.prove(tokenHash(verdict.token), 'acme'), 'live');
  assert.equal(await bench.sessions.prove(tokenHash(verdict.token), 'globex'), 'unknown');
  assert.equal(await bench.sessions.prove(tokenHash(randomBytes(32).toString('base64url')), 'acme'), 'unknown');
});

test('D6: a partner cannot be impersonated with the signature or the key of another', async () => {
  await using bench = await AuthBench.make(partners);
  const honest = keyLogin(other, { user: 'globex', session: newSessionId(), trace: newTraceId(), handshake: bench.handshake() });
  for (const forged of [
    { ...honest, user: 'acme' },
    { ...honest, user: 'acme', key: key.blob.toString('base64') },
    { ...honest, key: key.blob.toString('base64') },
  ]) {
    assert.deepEqual(await bench.check(forged), { verdict: 'rejected' });
  }
  assert.equal((await bench.check(honest)).verdict, 'accepted');
});

test('D7: a recorded key login opens no second session, whatever session id and address come with it', async () => {
  await using bench = await AuthBench.make(partners);
  const handshake = bench.handshake();
  const recorded = keyLogin(key, { user: 'acme', session: newSessionId(), trace: newTraceId(), handshake });
  assert.equal((await bench.check(recorded)).verdict, 'accepted');
  for (let i = 0; i < 5; i += 1) {
    const replay = { ...recorded, session: newSessionId(), trace: newTraceId(), peer: `203.0.113.${i}` };
    assert.deepEqual(await bench.check(replay), { verdict: 'rejected' });
  }
  assert.equal(bench.events.of('auth.rejected').length, 5);
  bench.clock.advance(86_400_000);
  assert.deepEqual(await bench.check({ ...recorded, session: newSessionId() }), { verdict: 'unavailable' });
  assert.equal(bench.lastReason, 'handshake is not fresh');
});

test('D6: a login that was kept from the inside and shown later is no login any more, and neither is one that nobody asked for', async () => {
  await using bench = await AuthBench.make(partners);
  const login = (handshake: MadeHandshake) =>
    keyLogin(key, { user: 'acme', session: newSessionId(), trace: newTraceId(), handshake });
  const harvested = login(bench.handshake());
  bench.clock.advance(cookieDefaults.lifeMs);
  assert.deepEqual(await bench.check(harvested), { verdict: 'unavailable' });
  assert.equal(bench.lastReason, 'handshake is not fresh');
  // A handshake with a cookie that the inside did not make.
  assert.deepEqual(await bench.check(login(handshakeWith(randomBytes(16)))), { verdict: 'unavailable' });
  assert.equal(bench.lastReason, 'handshake is not fresh');
  // The cookie is known already to belong to another handshake.
  const [cookie = ''] = bench.cookies.make(1).cookies;
  assert.equal((await bench.check(login(handshakeWith(Buffer.from(cookie, 'base64'))))).verdict, 'accepted');
  assert.deepEqual(await bench.check(login(handshakeWith(Buffer.from(cookie, 'base64')))), { verdict: 'unavailable' });
});

test('D6: an invented session identifier, or a handshake that is not what makes it, is refused', async () => {
  await using bench = await AuthBench.make(partners);
  const { transcript, identifier } = bench.handshake();
  const other = bench.handshake();
  const changed = Buffer.from(transcript);
  changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
  const invented: readonly MadeHandshake[] = [
    { transcript, identifier: randomBytes(32) },
    { transcript: other.transcript, identifier },
    { transcript: changed, identifier },
    { transcript: Buffer.alloc(0), identifier },
    { transcript: transcript.subarray(0, 200), identifier },
    // Whatever hash it is said to be of.
    { transcript, identifier: createHash('sha1').update(transcript).digest() },
    { transcript: Buffer.from('x'), identifier: createHash('sha256').update('x').digest() },
  ];
  for (const [index, handshake] of invented.entries()) {
    assert.deepEqual(await bench.key('acme', key, { handshake }), { verdict: 'rejected' }, String(index));
    assert.equal(bench.lastReason, 'handshake does not make the SSH session identifier');
  }
  assert.equal((await bench.key('acme', key, { handshake: { transcript, identifier } })).verdict, 'accepted');
});

test('D6: a login that was signed for another server is refused where the host keys are named', async () => {
  await using bench = await AuthBench.make(partners);
  const hostKey = randomBytes(51);
  bench.trust = { ...bench.trust, hostKeys: [sshFingerprint(hostKey)] };
  const [ours = '', theirs = ''] = bench.cookies.make(2).cookies;
  const elsewhere = handshakeWith(Buffer.from(theirs, 'base64'));
  assert.deepEqual(await bench.key('acme', key, { handshake: elsewhere }), { verdict: 'rejected' });
  assert.equal(bench.lastReason, 'handshake with an unknown host key');
  const here = handshakeWith(Buffer.from(ours, 'base64'), hostKey);
  assert.equal((await bench.key('acme', key, { handshake: here })).verdict, 'accepted');
});

test('a host key that the inside has not seen before is told once', async () => {
  await using bench = await AuthBench.make(partners);
  const heard: unknown[] = [];
  const hostKey = randomBytes(51);
  for (let i = 0; i < 3; i += 1) {
    const [cookie = ''] = bench.cookies.make(1).cookies;
    const handshake = handshakeWith(Buffer.from(cookie, 'base64'), hostKey);
    assert.equal((await bench.key('acme', key, { handshake })).verdict, 'accepted');
  }
  for (const { name, hostKey: print } of await bench.audited()) if (name === 'auth.host-key') heard.push(print);
  assert.deepEqual(heard, [sshFingerprint(hostKey)]);
});

test('D8: ten thousand guesses on one account, each from a new address, get the budget of hashes and not one more', async () => {
  await using bench = await AuthBench.make(partners);
  const startedMs = bench.clock.monotonicMs();
  const verdicts = new Set<string>();
  for (let i = 0; i < 10_000; i += 100) {
    const guesses = Array.from({ length: 100 }, (_, j) =>
      bench.password('acme', `guess ${i + j}`, { peer: `10.0.${i % 250}.${j}` }),
    );
    for (const { verdict } of await Promise.all(guesses)) verdicts.add(verdict);
  }
  const minutes = (bench.clock.monotonicMs() - startedMs) / 60_000;
  assert.ok(bench.hashes <= 10 + 10 * minutes, `${bench.hashes} hashes in ${minutes} minutes`);
  assert.equal(verdicts.has('accepted'), false);
  assert.ok(bench.events.of('auth.limited').length > 0);
  assert.ok(bench.events.all.length < 2000 + 600 * minutes, `${bench.events.all.length} events`);
});

test('D8: ten thousand names get the budget of the link and no more', async () => {
  await using bench = await AuthBench.make(partners, { passwordChecksPerMinute: 60 });
  const startedMs = bench.clock.monotonicMs();
  for (let i = 0; i < 10_000; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, j) => bench.password(`name${i + j}`, 'Summer2030!')));
  }
  const minutes = (bench.clock.monotonicMs() - startedMs) / 60_000;
  assert.ok(bench.hashes <= 60 + 60 * minutes, `${bench.hashes} hashes in ${minutes} minutes`);
  const budgets = new Set(bench.events.of('auth.limited').map(({ fields }) => fields.budget));
  assert.ok(budgets.has('link') && budgets.has('distinct-accounts'), [...budgets].join());
  assert.ok(bench.budgets.remembered <= 60 + 60 * minutes);
});

test('D9: answers for unknown names and wrong passwords are equal, byte for byte, also beyond the budget', async () => {
  await using bench = await AuthBench.make(partners);
  const answers = async (user: string): Promise<string[]> => {
    const heard: string[] = [];
    for (let i = 0; i < 15; i += 1) {
      const [hashesBefore, startedMs] = [bench.hashes, bench.clock.monotonicMs()];
      const verdict = JSON.stringify(await bench.password(user, `guess ${i}`));
      heard.push(`${verdict} ${bench.hashes - hashesBefore} hashes ${bench.clock.monotonicMs() - startedMs} ms`);
    }
    return heard;
  };
  assert.deepEqual(await answers('acme'), await answers('nobody'));
  const wrongKey = makeKey('ed25519');
  assert.equal(JSON.stringify(await bench.probe('acme', wrongKey)), JSON.stringify(await bench.probe('nobody', wrongKey)));
});

test('D9: an accepted login tells nothing but token, its life and grant', async () => {
  await using bench = await AuthBench.make(partners);
  const verdict = await bench.password('acme', 'correct horse');
  assert.ok(verdict.verdict === 'accepted');
  assert.deepEqual(Object.keys(verdict).sort(), ['grant', 'lifeMs', 'token', 'verdict']);
  assert.equal(JSON.stringify(verdict).includes('argon2'), false);
});

test('D11: a key login works in the middle of a spray that has used up every password budget', async () => {
  await using bench = await AuthBench.make(partners, { passwordChecksPerMinute: 20 });
  const held: (() => void)[] = [];
  bench.onHash = () => new Promise<void>((resolve) => held.push(resolve));
  const spray = Array.from({ length: 300 }, (_, i) => bench.password(i % 2 ? 'acme' : `name${i}`, 'guess'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await bench.key('acme', key)).verdict, 'accepted');
  bench.onHash = () => undefined;
  for (const release of held) release();
  const verdicts = new Set((await Promise.all(spray)).map(({ verdict }) => verdict));
  assert.equal(verdicts.has('accepted'), false);
  assert.ok(verdicts.has('unavailable'));
  assert.equal((await bench.key('acme', key)).verdict, 'accepted');
});

test('D11: the password of a sprayed account works again when the budget has refilled', async () => {
  await using bench = await AuthBench.make(partners);
  for (let i = 0; i < 30; i += 1) await bench.password('acme', `guess ${i}`);
  bench.clock.advance(60_000);
  assert.equal((await bench.password('acme', 'correct horse')).verdict, 'accepted');
});
