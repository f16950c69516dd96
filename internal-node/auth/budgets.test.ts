import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { type AuthBudgetOptions, AuthBudgets, defaultBudgets } from './budgets.ts';

const never = new AbortController().signal;
const make = (options: Partial<AuthBudgetOptions> = {}) => {
  const clock = new ManualClock();
  return { clock, budgets: new AuthBudgets({ clock }, { ...defaultBudgets, ...options }) };
};

async function fail(budgets: AuthBudgets, user: string): Promise<string> {
  using attempt = budgets.enterPassword(user);
  if (!attempt) return 'full';
  await attempt.turn(never);
  return attempt.spend() ?? `after ${attempt.delayMs}`;
}

test('delays grow with failures, end at a maximum, and are forgotten', async () => {
  const { clock, budgets } = make({ failuresPerAccount: 100 });
  const delays: string[] = [];
  for (let i = 0; i < 10; i += 1) delays.push(await fail(budgets, 'acme'));
  assert.deepEqual(
    delays.map((text) => Number(text.slice(6))),
    [0, 0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000],
  );
  assert.equal(await fail(budgets, 'globex'), 'after 0');
  clock.advance(defaultBudgets.forgetMs + 1);
  assert.equal(await fail(budgets, 'acme'), 'after 0');
});

test('a success forgets the failures and costs no budget', async () => {
  const { budgets } = make({ failuresPerAccount: 5 });
  for (let i = 0; i < 4; i += 1) await fail(budgets, 'acme');
  for (let i = 0; i < 50; i += 1) {
    using attempt = budgets.enterPassword('acme');
    assert.ok(attempt);
    await attempt.turn(never);
    assert.equal(attempt.spend(), undefined);
    attempt.succeeded();
  }
  assert.equal(await fail(budgets, 'acme'), 'after 0');
});

test('an account refills: it is never locked for good', async () => {
  const { clock, budgets } = make({ failuresPerAccount: 6, maxDelayMs: 1 });
  for (let i = 0; i < 6; i += 1) assert.match(await fail(budgets, 'acme'), /^after/);
  assert.equal(await fail(budgets, 'acme'), 'account');
  clock.advance(10_000);
  assert.match(await fail(budgets, 'acme'), /^after/);
  assert.equal(await fail(budgets, 'acme'), 'account');
});

test('the budget of the link holds over all names, and only charged names are remembered', async () => {
  const { clock, budgets } = make({ passwordChecksPerMinute: 50 });
  const outcomes: string[] = [];
  for (let i = 0; i < 5000; i += 1) outcomes.push(await fail(budgets, `user${i}`));
  assert.equal(outcomes.filter((text) => text === 'after 0').length, 50);
  assert.equal(outcomes.filter((text) => text === 'link').length, 4950);
  assert.equal(budgets.remembered, 50);
  assert.equal(budgets.manyAccountsFail, true);
  clock.advance(defaultBudgets.forgetMs + 60_001);
  await fail(budgets, 'one');
  assert.equal(budgets.remembered, 1);
  assert.equal(budgets.manyAccountsFail, false);
});

test('attempts of one account are hashed two at a time; the next goes on when one leaves', async () => {
  const { budgets } = make();
  const [a, b, c] = [budgets.enterPassword('acme'), budgets.enterPassword('acme'), budgets.enterPassword('acme')];
  assert.ok(a && b && c);
  await a.turn(never);
  await b.turn(never);
  let third = false;
  const waiting = c.turn(never).then(() => {
    third = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(third, false);
  a[Symbol.dispose]();
  await waiting;
  assert.equal(third, true);
  b[Symbol.dispose]();
  c[Symbol.dispose]();
  assert.equal(budgets.remembered, 0);
});

test('an attempt whose link is gone stops waiting and leaves its place to others', async () => {
  const { budgets } = make({ hashingPerAccount: 1 });
  const [a, b, c] = [budgets.enterPassword('acme'), budgets.enterPassword('acme'), budgets.enterPassword('acme')];
  assert.ok(a && b && c);
  await a.turn(never);
  const gone = new AbortController();
  const lost = b.turn(gone.signal);
  const next = c.turn(never);
  gone.abort(new Error('link closed'));
  await assert.rejects(lost, /link closed/);
  b[Symbol.dispose]();
  a[Symbol.dispose]();
  await next;
  c[Symbol.dispose]();
});

test('so many wait, of all and of one account, and no more', () => {
  const { budgets } = make({ waiting: 5, waitingPerAccount: 3 });
  const inside = Array.from({ length: 3 }, () => budgets.enterPassword('acme'));
  assert.ok(inside.every((attempt) => attempt));
  assert.equal(budgets.enterPassword('acme'), undefined);
  assert.ok(budgets.enterPassword('globex') && budgets.enterPassword('initech'));
  assert.equal(budgets.enterPassword('umbrella'), undefined);
  inside[0]?.[Symbol.dispose]();
  assert.ok(budgets.enterPassword('umbrella'));
});

test('keys have a budget of their own', () => {
  const { clock, budgets } = make({ keyChecksPerMinute: 3, passwordChecksPerMinute: 0 });
  for (let i = 0; i < 3; i += 1) {
    using entered = budgets.enterKey();
    assert.ok(entered);
  }
  assert.equal(budgets.enterKey(), undefined);
  clock.advance(20_000);
  assert.ok(budgets.enterKey());
});
