import assert from 'node:assert/strict';
import test from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import type { EventRecord } from '../events/event.ts';
import { silentLogger } from '../log.ts';
import { howToMend, Refusals, refusalChecks } from './refusals.ts';

test('records each kind of refusal once a minute, with the number of those left out', () => {
  const clock = new ManualClock();
  const records: EventRecord[] = [];
  const emit = async (events: readonly EventRecord[]) => void records.push(...events);
  const refusals = new Refusals({ clock, events: { emit }, log: silentLogger });
  for (let n = 0; n < 1000; n++) refusals.report('pin', 'x\u001b[31m');
  refusals.report('ca', 'y');
  assert.equal(records.length, 2);
  clock.advance(60_000);
  refusals.report('pin', 'again');
  assert.equal(records.length, 3);
  assert.match(String(records[2]?.fields.detail), /again \(and 999 more/);
  assert.ok(!String(records[0]?.fields.detail).includes('\u001b'));
});

test('tells for every check and either judge what to do', () => {
  for (const check of refusalChecks) {
    for (const side of ['inside', 'dmz'] as const) assert.ok(howToMend(check, side).length > 10, check);
  }
});
