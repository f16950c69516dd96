import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { silentLogger } from '../../shared/log.ts';
import { newToken, Secret } from '../../shared/secret.ts';
import type { AuthCheck, Verdict } from '../../shared/tunnel/messages.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { everything } from '../../test/fixtures/permissions.ts';
import { RecordedEvents } from '../../test/fixtures/recorded-events.ts';
import type { LoginAttempt, PartnerSession, Visitor } from '../partner-view.ts';
import { Authenticator, authenticatorDefaults } from './authenticator.ts';
import { Throttle, throttleDefaults } from './throttle.ts';

const grant = {
  partner: 'acme',
  permissions: everything,
  quotaBytes: 1,
  quotaFiles: 1,
  maxFileBytes: 1,
  maxPartials: 1,
  onExisting: 'refuse',
} as const;
const token = newToken();
const accepted: Verdict = { verdict: 'accepted', token, lifeMs: 3_600_000, grant };
const password = (text = 'secret'): LoginAttempt => ({ method: 'password', user: 'acme', password: new Secret(text) });
const probe: LoginAttempt = { method: 'key-probe', user: 'acme', algorithm: 'ssh-ed25519', key: Buffer.from('key') };
const signedKey: LoginAttempt = {
  ...probe,
  method: 'key',
  signed: Buffer.from('signed'),
  signature: Buffer.from('signature'),
  transcript: Buffer.from('transcript'),
};
const visitor = (peer = '192.0.2.1'): Visitor => ({ session: newSessionId(), trace: newTraceId(), protocol: 'sftp', peer });
const never = new AbortController().signal;

function bench(answer: (check: AuthCheck) => Promise<Verdict> | Verdict, open?: () => PartnerSession) {
  const clock = new ManualClock();
  const events = new RecordedEvents();
  const asked: AuthCheck[] = [];
  const notes: unknown[] = [];
  const bans: unknown[] = [];
  const throttle = new Throttle(
    { clock, onBanned: (peer, seconds, reason) => bans.push({ peer, seconds, reason }) },
    throttleDefaults,
  );
  const desk = new Authenticator(
    {
      asking: {
        request: (async (_method: string, params: AuthCheck) => {
          asked.push(params);
          return answer(params);
        }) as never,
        note: (name, params) => notes.push([name, params]),
      },
      sessions: { open: open ?? ((who) => ({ ...who, partner: 'acme' }) as PartnerSession) },
      throttle,
      events,
      clock,
      log: silentLogger,
    },
    authenticatorDefaults,
  );
  return { clock, events, bans, asked, notes, throttle, desk };
}
/** Lets the desk work while its clock moves. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
  clock.advance(ms);
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

test('an accepted login is a session, recorded without its secrets', async () => {
  const { desk, events, asked } = bench(() => accepted);
  const outcome = await desk.login(visitor(), password(), never);
  assert.equal(outcome.outcome, 'accepted');
  assert.equal(asked[0]?.method === 'password' && asked[0].password, 'secret');
  assert.deepEqual(
    events.all.map((e) => e.name),
    ['session.opened'],
  );
  assert.doesNotMatch(JSON.stringify(events.all), new RegExp(`secret|${token}`));
});

test('carries a signed key inside as it came', async () => {
  const { desk, asked } = bench(() => accepted);
  await desk.login(visitor(), signedKey, never);
  const [check] = asked;
  assert.ok(check?.method === 'key');
  assert.equal(Buffer.from(check.signed, 'base64').toString(), 'signed');
  assert.equal(Buffer.from(check.transcript, 'base64').toString(), 'transcript');
  assert.equal(Buffer.from(check.signature, 'base64').toString(), 'signature');
});

test('is unavailable when the inside does not answer for 15 s, and gives a late token back', async () => {
  let late: (verdict: Verdict) => void = () => undefined;
  const { desk, clock, notes, events } = bench(() => new Promise((done) => (late = done)));
  const login = desk.login(visitor(), password(), never);
  await pass(clock, 15_000);
  assert.deepEqual(await login, { outcome: 'unavailable' });
  late(accepted);
  await pass(clock, 0);
  assert.deepEqual(notes, [['session.end', { token }]]);
  assert.deepEqual(events.all, []);
});

test('is unavailable at once without a tunnel, and blames nobody', async () => {
  const { desk } = bench(() => Promise.reject(new SallyportError('tunnel-down', 'no link')));
  for (let i = 0; i < 20; i++) assert.deepEqual(await desk.login(visitor(), password(), never), { outcome: 'unavailable' });
  assert.equal(desk.admits('192.0.2.1'), true);
});

test('a failure delays the next password of that source for that account, and the third connection bans', async () => {
  const { desk, clock, events, bans } = bench(() => ({ verdict: 'rejected' }));
  assert.deepEqual(await desk.login(visitor(), password(), never), { outcome: 'rejected' });
  const second = desk.login(visitor(), password(), never);
  await pass(clock, 250);
  assert.deepEqual(await second, { outcome: 'rejected' });
  const third = desk.login(visitor(), password(), never);
  await pass(clock, 500);
  await third;
  assert.equal(desk.admits('192.0.2.1'), true);
  const fourth = desk.login(visitor(), password(), never);
  await pass(clock, 1000);
  await fourth;
  assert.equal(desk.admits('192.0.2.1'), false);
  assert.equal(events.of('login.failed').length, 4);
  assert.deepEqual(bans, [{ peer: '192.0.2.1', seconds: 19, reason: 'login-failed' }]);
});

test('failures within one connection count once against its source, and not at all after success', async () => {
  const verdicts: Verdict[] = [{ verdict: 'rejected' }, { verdict: 'rejected' }, accepted];
  const { desk, clock, throttle, bans } = bench(() => verdicts.shift() ?? accepted);
  const who = visitor();
  for (const wait of [0, 250, 500]) {
    const login = desk.login(who, password(), never);
    await pass(clock, wait);
    await login;
  }
  for (let i = 0; i < 3; i++) throttle.failed(visitor(), password());
  assert.deepEqual(bans, [{ peer: '192.0.2.1', seconds: 15, reason: 'login-failed' }], 'nothing is left of the first');
});

test('connections without a login ban a stranger, but not the address from which a partner has logged in', async () => {
  const { desk, throttle } = bench(() => accepted);
  await desk.login(visitor(), password(), never);
  for (const peer of ['192.0.2.1', '192.0.2.2']) {
    for (let i = 0; i < 100; i++) throttle.left(visitor(peer), 'grace-exceeded');
  }
  assert.equal(desk.admits('192.0.2.1'), true);
  assert.equal(desk.admits('192.0.2.2'), false);
});

test('probing keys costs nothing and is not recorded', async () => {
  const { desk, events } = bench(() => ({ verdict: 'rejected' }));
  for (let i = 0; i < 10; i++) assert.deepEqual(await desk.login(visitor(), probe, never), { outcome: 'rejected' });
  assert.equal(desk.admits('192.0.2.1'), true);
  assert.deepEqual(events.all, []);
});

test('a verdict that does not fit the attempt lets nobody in, and its token is given back', async () => {
  for (const [attempt, verdict] of [
    [probe, accepted],
    [probe, { verdict: 'continue', methods: ['password'] }],
    [password(), { verdict: 'key-acceptable' }],
  ] as const) {
    const { desk, notes } = bench(() => verdict as Verdict);
    assert.deepEqual(await desk.login(visitor(), attempt, never), { outcome: 'unavailable' });
    assert.equal(notes.length, verdict.verdict === 'accepted' ? 1 : 0);
  }
});

test('a limit on sessions refuses, gives the token back and is recorded', async () => {
  const { desk, notes, events } = bench(
    () => accepted,
    () => {
      throw new SallyportError('limit-reached', 'limits.maxSessions of the policy is reached');
    },
  );
  assert.deepEqual(await desk.login(visitor(), password(), never), { outcome: 'unavailable' });
  assert.deepEqual(notes, [['session.end', { token }]]);
  assert.equal(events.of('login.failed').length, 1);
});

test('AC-19: what is too large to be asked is refused without asking, and counts', async () => {
  const { desk, asked, events } = bench(() => accepted);
  const [big, long] = ['x'.repeat(5000), 'x'.repeat(151)];
  assert.deepEqual(await desk.login(visitor(), password(big), never), { outcome: 'rejected' });
  assert.deepEqual(await desk.login(visitor(), { ...password(), user: long }, never), { outcome: 'rejected' });
  assert.deepEqual(await desk.login(visitor(), { ...probe, key: Buffer.alloc(30_000) }, never), { outcome: 'rejected' });
  assert.deepEqual(asked, []);
  assert.equal(events.of('login.failed').length, 2);
});

test('stops waiting when the client leaves', async () => {
  const { desk, notes } = bench(() => new Promise(() => undefined));
  const leaving = new AbortController();
  const login = desk.login(visitor(), password(), leaving.signal);
  leaving.abort();
  assert.deepEqual(await login, { outcome: 'unavailable' });
  assert.deepEqual(notes, []);
});

test('a session lasts no longer than its token, which began to age while the inside answered', async () => {
  let answer: (verdict: Verdict) => void = () => undefined;
  const lives: number[] = [];
  const { desk, clock } = bench(() => new Promise((done) => (answer = done)), ((
    who: Visitor,
    _grant: unknown,
    _token: string,
    lifeMs: number,
  ) => {
    lives.push(lifeMs);
    return { ...who, partner: 'acme' };
  }) as never);
  const login = desk.login(visitor(), password(), never);
  await pass(clock, 2000);
  answer(accepted);
  assert.equal((await login).outcome, 'accepted');
  assert.deepEqual(lives, [3_600_000 - 2000]);
});

test('BA-09: nobody is asked about a source that was banned meanwhile', async () => {
  const { desk, asked, throttle } = bench(() => accepted);
  for (let i = 0; i < 3; i++) throttle.failed(visitor(), password());
  assert.equal(desk.admits('192.0.2.1'), false);
  assert.deepEqual(await desk.login(visitor(), password(), never), { outcome: 'unavailable' });
  assert.deepEqual(asked, []);
});
