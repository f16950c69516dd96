import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Admission, type Place } from './admission.ts';
import { RefusalReport } from './refusal-report.ts';

const options = { maxConnections: 50, maxConnectionsPerSource: 5, maxUnauthenticated: 30, maxUnauthenticatedPerSource: 3 };

function taken(place: Place | string): Place {
  assert.ok(typeof place !== 'string', `refused: ${place}`);
  return place;
}

test('one source holds few places, and fewer without a login', () => {
  const admission = new Admission(options, () => 0.999);
  const places = [1, 2, 3].map(() => taken(admission.admit('192.0.2.1')));
  assert.equal(admission.admit('192.0.2.1'), 'connections without login');
  for (const place of places) place.loggedIn();
  taken(admission.admit('192.0.2.1'));
  taken(admission.admit('192.0.2.1'));
  assert.equal(admission.admit('192.0.2.1'), 'connections of one source');
  taken(admission.admit('192.0.2.2'));
});

test('a place that is left twice is counted once', () => {
  const admission = new Admission(options, () => 0.999);
  const place = taken(admission.admit('192.0.2.1'));
  place.loggedIn();
  place.loggedIn();
  place.leave();
  place.leave();
  place.loggedIn();
  assert.equal(admission.connections, 0);
  for (let i = 0; i < 3; i++) taken(admission.admit('192.0.2.1'));
});

test('the chance of being dropped rises from 30 % to certainty', () => {
  let draw = 0.29;
  const admission = new Admission(options, () => draw);
  for (let i = 0; i < 10; i++) taken(admission.admit(`192.0.2.${i}`));
  assert.equal(admission.admit('198.51.100.1'), 'connections without login');
  draw = 0.31;
  taken(admission.admit('198.51.100.1'));
  draw = 0.999999;
  for (let i = 0; i < 19; i++) taken(admission.admit(`203.0.113.${i}`));
  assert.equal(admission.admit('203.0.113.99'), 'connections without login');
});

test('a flood of refusals is one record, then one with a number each interval, then silence', () => {
  const clock = new ManualClock();
  const records: string[] = [];
  const report = new RefusalReport(clock, (peer, reason) => records.push(`${peer}: ${reason}`));
  for (let i = 0; i < 500; i++) report.add('192.0.2.1', 'connections');
  assert.deepEqual(records, ['192.0.2.1: connections']);
  clock.advance(10_000);
  assert.deepEqual(records.slice(1), ['192.0.2.1: connections (499 in 10 s, the last from this address)']);
  clock.advance(60_000);
  assert.equal(records.length, 2);
  report.add('192.0.2.2', 'connections');
  assert.equal(records.length, 3);
});
