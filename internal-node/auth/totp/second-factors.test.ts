import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TOTP, URI } from 'otpauth';
import { AuthBench, hashFor } from '../../../test/fixtures/auth-bench.ts';

const partners = {
  acme: { password: hashFor('correct') },
  globex: { password: hashFor('correct'), totp: 'required' },
};
const rejected = { verdict: 'rejected' };

function codeAt(uri: string, atMs: number): string {
  const totp = URI.parse(uri);
  assert.ok(totp instanceof TOTP);
  return totp.generate({ timestamp: atMs });
}
/** One that is right in none of the steps around. */
function wrongAt(uri: string, atMs: number): string {
  const right = [-30_000, 0, 30_000].map((off) => codeAt(uri, atMs + off));
  return ['111111', '222222', '333333', '444444'].find((code) => !right.includes(code)) ?? '';
}
async function enrolled(bench: AuthBench, partner: string): Promise<{ uri: string; recovery: readonly string[] }> {
  const uri = bench.factors.begin(partner);
  const recovery = await bench.factors.confirm(partner, codeAt(uri, bench.clock.nowMs()));
  bench.clock.advance(60_000);
  return { uri, recovery };
}
const now = (bench: AuthBench, uri: string): string => codeAt(uri, bench.clock.nowMs());
const accepts = async (verdict: Promise<{ verdict: string }>): Promise<boolean> => (await verdict).verdict === 'accepted';

test('TO-08: nothing changes before a code from the app has come back, and then a code is needed', async () => {
  await using bench = await AuthBench.make(partners);
  const uri = bench.factors.begin('acme');
  assert.ok(await accepts(bench.password('acme', 'correct')), 'not valid yet');
  assert.deepEqual(await bench.password('acme', `correct${now(bench, uri)}`), rejected);
  await assert.rejects(bench.factors.confirm('acme', wrongAt(uri, bench.clock.nowMs())), /not right/);
  assert.ok(await accepts(bench.password('acme', 'correct')));
  await bench.factors.confirm('acme', now(bench, uri));
  assert.deepEqual(await bench.password('acme', 'correct'), rejected);
  assert.equal(bench.lastReason, 'code missing');
  assert.deepEqual(await bench.password('acme', `correct${now(bench, uri)}`), rejected, 'the code of the enrolment is used');
  assert.equal(bench.lastReason, 'code used before');
  bench.clock.advance(30_000);
  assert.ok(await accepts(bench.password('acme', `correct${now(bench, uri)}`)));
  bench.clock.advance(30_000);
  assert.ok(await accepts(bench.password('acme', 'correct', { code: now(bench, uri) })));
});

test('an enrolment that is not confirmed in time, or guessed at, is void', async () => {
  await using bench = await AuthBench.make(partners);
  const uri = bench.factors.begin('acme');
  for (let i = 0; i < 5; i += 1)
    await assert.rejects(bench.factors.confirm('acme', wrongAt(uri, bench.clock.nowMs())), /not right/);
  await assert.rejects(bench.factors.confirm('acme', now(bench, uri)), /begin anew/);
  const second = bench.factors.begin('acme');
  bench.clock.advance(15 * 60_000 + 1);
  await assert.rejects(bench.factors.confirm('acme', now(bench, second)), /begin anew/);
  assert.ok(await accepts(bench.password('acme', 'correct')));
});

test('TO-05: a code is good once, over every protocol, and an older one never again', async () => {
  await using bench = await AuthBench.make(partners);
  const { uri } = await enrolled(bench, 'acme');
  const [older, code] = [codeAt(uri, bench.clock.nowMs() - 30_000), now(bench, uri)];
  const both = await Promise.all([
    bench.password('acme', `correct${code}`),
    bench.password('acme', `correct${code}`, { protocol: 'ftps' }),
  ]);
  assert.deepEqual(both.map(({ verdict }) => verdict).sort(), ['accepted', 'rejected']);
  assert.deepEqual(await bench.password('acme', `correct${older}`), rejected);
  assert.deepEqual(await bench.password('acme', `wrong${now(bench, uri)}`), rejected);
});

test('a wrong password uses no code up', async () => {
  await using bench = await AuthBench.make(partners);
  const { uri } = await enrolled(bench, 'acme');
  assert.deepEqual(await bench.password('acme', `wrong${now(bench, uri)}`), rejected);
  assert.equal(bench.lastReason, 'wrong password');
  assert.ok(await accepts(bench.password('acme', `correct${now(bench, uri)}`)));
});

test('TO-10: codes are guessed five times, then hardly any more, also by who changes nothing else', async () => {
  await using bench = await AuthBench.make(partners, { failuresPerAccount: 1000 });
  const { uri } = await enrolled(bench, 'acme');
  const reasons = new Set<unknown>();
  for (let i = 0; i < 12; i += 1) {
    await bench.password('acme', `correct${wrongAt(uri, bench.clock.nowMs())}`);
    reasons.add(bench.lastReason);
  }
  assert.deepEqual([...reasons], ['wrong code', 'too many failures']);
  bench.clock.advance(3_600_000);
  assert.ok(await accepts(bench.password('acme', `correct${now(bench, uri)}`)));
});

test('a recovery code is good once instead of a code, whatever the phone shows', async () => {
  await using bench = await AuthBench.make(partners);
  const { recovery } = await enrolled(bench, 'acme');
  assert.equal(new Set(recovery).size, 10);
  const [first = '', second = ''] = recovery;
  assert.ok(await accepts(bench.password('acme', `correct${first}`)));
  assert.deepEqual(await bench.password('acme', `correct${first}`), rejected);
  assert.ok(await accepts(bench.password('acme', 'correct', { code: second.toUpperCase() })));
  assert.deepEqual(await bench.password('acme', 'correctaaaaa-bbbbb'), rejected);
});

test('AU-16: who must have a second factor and has none does not come in; without it again the password is enough', async () => {
  await using bench = await AuthBench.make(partners);
  assert.deepEqual(await bench.password('globex', 'correct'), rejected);
  assert.equal(bench.lastReason, 'no second factor');
  const { uri } = await enrolled(bench, 'acme');
  assert.equal(await bench.factors.remove('acme'), true);
  assert.ok(await accepts(bench.password('acme', 'correct')));
  assert.deepEqual(await bench.password('acme', `correct${now(bench, uri)}`), rejected);
});

test('TO-09: no event holds a password, a code or a secret', async () => {
  await using bench = await AuthBench.make(partners);
  const { uri, recovery } = await enrolled(bench, 'acme');
  const code = now(bench, uri);
  await bench.password('acme', `correct${code}`);
  await bench.password('acme', `correct${code}`);
  const told = JSON.stringify(bench.events.all);
  const secret = new URL(uri).searchParams.get('secret') ?? 'none';
  for (const canary of ['correct', code, secret, ...recovery]) assert.equal(told.includes(canary), false);
});
