/** What a DMZ host that was taken over can try with `auth.check` (rows D6 to D11 of the threat model). */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { tokenHash } from '../../shared/secret.ts';
import { AuthBench, hashFor } from '../fixtures/auth-bench.ts';
import { keyLogin, makeKey } from '../fixtures/ssh-login.ts';

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
  const honest = keyLogin(other, { user: 'globex', session: newSessionId(), trace: newTraceId() });
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
  const recorded = keyLogin(key, { user: 'acme', session: newSessionId(), trace: newTraceId() });
  assert.equal((await bench.check(recorded)).verdict, 'accepted');
  bench.clock.advance(86_400_000);
  for (let i = 0; i < 5; i += 1) {
    const replay = { ...recorded, session: newSessionId(), trace: newTraceId(), peer: `203.0.113.${i}` };
    assert.deepEqual(await bench.check(replay), { verdict: 'rejected' });
  }
  assert.equal(bench.events.of('auth.rejected').length, 5);
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
