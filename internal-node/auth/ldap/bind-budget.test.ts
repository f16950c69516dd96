import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../../test/fixtures/manual-clock.ts';
import { BindBudget } from './bind-budget.ts';

const options = { failuresPerUser: 4, failureWindow: 900_000, bindsPerMinute: 60 };

test('D8: ten thousand guesses in ten seconds at one user go four times to the directory, at many users as often as is set', () => {
  const clock = new ManualClock();
  const budget = new BindBudget({ clock }, options);
  const asked = { one: 0, many: 0 };
  for (let i = 0; i < 10_000; i += 1) {
    if (budget.take('john') === undefined) asked.one += 1;
    if (budget.take(`user ${i}`) === undefined) asked.many += 1;
    clock.advance(1);
  }
  assert.equal(asked.one, 4);
  assert.ok(asked.many <= 66, `${asked.many}`);
  assert.ok(budget.remembered <= 70);
});

test('failures run off, a success forgets them, and what never got there does not count', () => {
  const clock = new ManualClock();
  const budget = new BindBudget({ clock }, options);
  const left = (): number => {
    let count = 0;
    while (budget.take('john') === undefined) count += 1;
    return count;
  };
  assert.equal(left(), 4);
  clock.advance(225_000);
  assert.equal(left(), 1);
  budget.giveBack('john');
  assert.equal(left(), 1);
  budget.succeeded('john');
  assert.equal(left(), 4);
  clock.advance(3_600_000);
  budget.take('other');
  assert.equal(budget.remembered, 1);
});
