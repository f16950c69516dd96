import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { accountsFrom } from '../../test/fixtures/accounts.ts';
import { AuthBench, hashFor } from '../../test/fixtures/auth-bench.ts';
import { makeKey } from '../../test/fixtures/ssh-login.ts';
import type { LoginMethod, StepAnswer } from './login-method.ts';

const key = makeKey('ed25519');
const partners = { acme: { password: hashFor('correct'), keys: [key.publicLine] } };
const rejected = { verdict: 'rejected' };
const unavailable = { verdict: 'unavailable' };

/** A method that answers always the same, and counts. */
class Fixed implements LoginMethod {
  stopped = false;
  failing = false;
  asked = 0;
  answer: StepAnswer | Error;

  constructor(answer: StepAnswer | Error) {
    this.answer = answer;
  }

  async check(): Promise<StepAnswer> {
    this.asked += 1;
    if (this.answer instanceof Error) throw this.answer;
    return this.answer;
  }
}
const account = accountsFrom({ guest7: { directory: 'corporate' } }).get('guest7');
assert.ok(account);
const accepting = (): Fixed => new Fixed({ outcome: 'accept', partner: 'guest7', account, detail: 'known' });
const rejecting = (): Fixed => new Fixed({ outcome: 'reject', reason: 'wrong password', detail: 'no' });
const unknowing = (): Fixed => new Fixed({ outcome: 'unknown', detail: 'who?' });

async function benchWith(methods: Readonly<Record<string, Fixed>>, sftp: readonly string[], ftps = sftp): Promise<AuthBench> {
  const bench = await AuthBench.make(partners);
  for (const [name, method] of Object.entries(methods)) bench.methods.set(name, method);
  bench.orderOf = { sftp, ftps };
  return bench;
}
const steps = (bench: AuthBench) => bench.events.of('auth.step').map(({ fields }) => `${fields.method} ${fields.outcome}`);

test('AU-01: the first method that accepts ends the chain, under the name it gives', async () => {
  const [one, two] = [accepting(), accepting()];
  await using bench = await benchWith({ one, two }, ['one', 'two']);
  const verdict = await bench.password('G7', 'x');
  assert.equal(verdict.verdict === 'accepted' && verdict.grant.partner, 'guest7');
  assert.equal(two.asked, 0);
  assert.deepEqual(steps(bench), ['one accept']);
});

test('a thousand right logins in a minute raise no alarm, and each step of them is told', async () => {
  await using bench = await AuthBench.make(partners, { passwordChecksPerMinute: 5000 });
  bench.methods.set('one', accepting());
  bench.orderOf = { sftp: ['one'], ftps: ['one'] };
  for (let i = 0; i < 1000; i += 1) {
    const verdict = await bench.password(`G${i % 100}`, 'x');
    if (verdict.verdict === 'accepted') await bench.sessions.endSession(verdict.token);
  }
  assert.deepEqual(bench.events.of('auth.limited'), []);
  assert.equal(steps(bench).length, 1000);
});

test('AU-02: a rejection ends the chain', async () => {
  const [one, two] = [rejecting(), accepting()];
  await using bench = await benchWith({ one, two }, ['one', 'two']);
  assert.deepEqual(await bench.password('G7', 'x'), rejected);
  assert.equal(two.asked, 0);
});

test('AU-03, AU-08: who is unknown to one method is asked for at the next, and each step is told', async () => {
  const two = accepting();
  await using bench = await benchWith({ one: unknowing(), two }, ['own', 'one', 'two']);
  assert.equal((await bench.password('G7', 'x')).verdict, 'accepted');
  assert.deepEqual(steps(bench), ['own unknown', 'one unknown', 'two accept']);
  for (const { fields } of bench.events.of('auth.step')) assert.equal(typeof fields.ms, 'number');
  assert.equal((await bench.password('acme', 'correct')).verdict, 'accepted');
  assert.equal(two.asked, 1);
});

test('AU-04: who is unknown to all hears, and waits, as with a wrong password', async () => {
  await using bench = await benchWith({ one: unknowing() }, ['own', 'one']);
  const told = async (user: string) => {
    const startedMs = bench.clock.monotonicMs();
    const verdict = JSON.stringify(await bench.password(user, 'wrong'));
    return `${verdict} after ${bench.clock.monotonicMs() - startedMs} ms`;
  };
  assert.equal(await told('stranger'), await told('acme'));
  assert.equal(bench.events.of('auth.rejected')[0]?.fields.reason, 'unknown user');
  assert.equal(bench.events.of('auth.rejected')[1]?.fields.reason, 'wrong password');
});

test('AU-05: a stopped method is passed over, with one step that says so', async () => {
  const one = rejecting();
  one.stopped = true;
  await using bench = await benchWith({ one, two: accepting() }, ['one', 'two']);
  assert.equal((await bench.password('G7', 'x')).verdict, 'accepted');
  assert.equal(one.asked, 0);
  assert.deepEqual(steps(bench), ['one stopped', 'two accept']);
});

test('AU-06: a method that fails lets nobody in, whoever knows the user after it', async () => {
  for (const answer of [new Error('boom'), { outcome: 'failed', detail: 'no server' } as const]) {
    await using bench = await benchWith({ one: new Fixed(answer) }, ['one', 'own']);
    assert.deepEqual(await bench.password('acme', 'correct'), unavailable);
    assert.deepEqual(steps(bench), ['one failed']);
    assert.equal((await bench.key('acme', key)).verdict, 'accepted', 'keys are of the own accounts');
  }
});

test('a login that nobody could decide about, or whose link was lost, is no failure of its account', async () => {
  const one = new Fixed({ outcome: 'failed', detail: 'no server' });
  await using bench = await benchWith({ one }, ['own', 'one']);
  for (let i = 0; i < 30; i += 1) assert.deepEqual(await bench.password('stranger', 'x'), unavailable);
  const check = { method: 'password', user: 'acme', password: 'correct', peer: '', protocol: 'sftp' } as const;
  for (let i = 0; i < 30; i += 1) {
    const gone = new AbortController();
    bench.onHash = () => gone.abort(new Error('link closed'));
    const ids = { session: newSessionId(), trace: newTraceId() };
    await assert.rejects(bench.check({ ...check, ...ids }, gone.signal), /link closed/);
  }
  bench.onHash = () => undefined;
  one.answer = { outcome: 'unknown', detail: 'back' };
  assert.equal((await bench.password('acme', 'correct')).verdict, 'accepted');
  assert.deepEqual(await bench.password('stranger', 'x'), rejected);
  assert.equal(bench.lastReason, 'unknown user');
});

test('while a method fails, all refusals sound alike and take alike', async () => {
  const one = new Fixed({ outcome: 'failed', detail: 'no server' });
  one.failing = true;
  await using bench = await benchWith({ one }, ['own', 'one']);
  const told = async (user: string) => {
    const startedMs = bench.clock.monotonicMs();
    const verdict = JSON.stringify(await bench.password(user, 'wrong'));
    return `${verdict} after ${bench.clock.monotonicMs() - startedMs} ms`;
  };
  assert.equal(await told('stranger'), await told('acme'));
  assert.equal((await bench.password('acme', 'correct')).verdict, 'accepted');
});

test('AU-07: each service has its own chain, for keys too', async () => {
  await using bench = await benchWith({ one: accepting() }, ['own'], ['one']);
  assert.equal((await bench.password('acme', 'correct')).verdict, 'accepted');
  const verdict = await bench.password('acme', 'correct', { protocol: 'ftps' });
  assert.equal(verdict.verdict === 'accepted' && verdict.grant.partner, 'guest7');
  bench.orderOf = { sftp: ['one'], ftps: ['own'] };
  assert.deepEqual(await bench.key('acme', key), rejected);
  assert.equal(bench.lastReason, 'service not allowed');
});

test('BA-05: a denied name is refused before any method is asked, whatever its case', async () => {
  const one = accepting();
  await using bench = await benchWith({ one }, ['one', 'own']);
  bench.denied = new Set(['root', 'acme']);
  for (const name of ['root', 'ROOT', 'Root ', 'acme']) assert.deepEqual(await bench.password(name, 'correct'), rejected);
  assert.deepEqual(await bench.key('acme', key), rejected);
  assert.equal(bench.lastReason, 'denied user name');
  assert.equal(one.asked + bench.hashes, 0);
});

test('a rehearsal says what would come of it and opens nothing', async () => {
  await using bench = await benchWith({ one: unknowing() }, ['one', 'own']);
  const ask = (password: string) =>
    bench.desk.rehearse({ user: 'acme', password, protocol: 'sftp', peer: '192.0.2.1' }, new AbortController().signal);
  const good = await ask('correct');
  assert.equal(good.accepted, 'acme');
  assert.deepEqual(
    good.steps.map(({ method, outcome }) => `${method} ${outcome}`),
    ['one unknown', 'own accept'],
  );
  assert.equal((await ask('wrong')).refused, 'wrong password');
  assert.deepEqual(bench.events.all, []);
});
