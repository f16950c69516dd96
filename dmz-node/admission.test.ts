import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../test/fixtures/manual-clock.ts';
import { Admission, type AdmissionOptions, type Place } from './admission.ts';
import { RefusalReport } from './refusal-report.ts';

const options = {
  maxConnections: 50,
  maxConnectionsPerSource: 5,
  maxUnauthenticated: 20,
  maxUnauthenticatedPerSource: 3,
  maxSilent: 8,
};

/** Admission with places taken by name, and the names of those that had to give way. */
function bench(draw: () => number = () => 0.999, changed: Partial<AdmissionOptions> = {}) {
  const admission = new Admission({ ...options, ...changed }, draw);
  const gaveWay: string[] = [];
  const knock = (peer: string, name = peer): Place => admission.admit(peer, () => gaveWay.push(name));
  const speak = (peer: string): Place => {
    const place = knock(peer);
    assert.equal(place.spoke(), undefined);
    return place;
  };
  const refused = (peer: string): string | undefined => knock(peer).spoke();
  return { admission, gaveWay, knock, speak, refused };
}

test('BA-12: one source holds few places, and fewer without a login', () => {
  const { speak, refused } = bench();
  const places = [1, 2, 3].map(() => speak('192.0.2.1'));
  assert.equal(refused('192.0.2.1'), 'connections without login');
  for (const place of places) place.loggedIn();
  speak('192.0.2.1');
  speak('192.0.2.1');
  assert.equal(refused('192.0.2.1'), 'connections of one source');
  speak('192.0.2.2');
});

test('a place that is left twice is counted once', () => {
  const { admission, speak } = bench();
  const place = speak('192.0.2.1');
  place.loggedIn();
  place.loggedIn();
  place.leave();
  place.leave();
  place.loggedIn();
  assert.equal(place.spoke(), undefined);
  assert.equal(admission.connections, 0);
  for (let i = 0; i < 3; i++) speak('192.0.2.1');
});

test('a place that was refused counts nowhere', () => {
  const { admission, knock } = bench(undefined, { maxConnectionsPerSource: 0 });
  const place = knock('192.0.2.1');
  assert.equal(admission.connections, 1);
  assert.equal(place.spoke(), 'connections of one source');
  assert.equal(admission.connections, 0);
  place.loggedIn();
  place.leave();
  assert.equal(admission.connections, 0);
});

test('the chance of being dropped rises from 30 % to certainty', () => {
  let draw = 0.29;
  const { speak, refused } = bench(() => draw);
  for (let i = 0; i < 10; i++) speak(`192.0.2.${i}`);
  assert.equal(refused('198.51.100.1'), 'connections without login');
  draw = 0.31;
  speak('198.51.100.1');
  draw = 0.999999;
  for (let i = 0; i < 9; i++) speak(`203.0.113.${i}`);
  assert.equal(refused('203.0.113.99'), 'connections without login');
});

test('silent connections take no place from those that speak, and the oldest gives way', () => {
  const { admission, gaveWay, knock, speak } = bench();
  for (let i = 0; i < 20; i++) knock('192.0.2.1', `silent ${i}`);
  assert.equal(admission.connections, 8);
  assert.deepEqual(
    gaveWay,
    Array.from({ length: 12 }, (_, i) => `silent ${i}`),
  );
  for (let i = 0; i < 3; i++) speak('192.0.2.1').loggedIn();
  assert.equal(admission.connections, 10, 'seven are still silent');
});

test('a source with many silent connections makes room for its own newcomers, not others for them', () => {
  const { gaveWay, knock } = bench();
  knock('198.51.100.1');
  for (let i = 0; i < 20; i++) knock('192.0.2.1', 'flood');
  knock('198.51.100.2');
  assert.deepEqual(
    gaveWay.filter((name) => name !== 'flood'),
    ['198.51.100.1'],
    'the oldest of all makes room for a source with few',
  );
});

test('a silent connection that gave way speaks in vain and is counted nowhere', () => {
  const { admission, knock } = bench(undefined, { maxSilent: 1 });
  const first = knock('192.0.2.1');
  const second = knock('192.0.2.2');
  assert.equal(first.spoke(), undefined);
  first.loggedIn();
  first.leave();
  assert.equal(admission.connections, 1);
  second.leave();
  assert.equal(admission.connections, 0);
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
