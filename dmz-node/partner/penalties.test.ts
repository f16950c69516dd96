import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Penalties, type PenaltyOptions, penaltyDefaults } from './penalties.ts';

function bench(options: Partial<PenaltyOptions> = {}) {
  const clock = new ManualClock();
  const bans: string[] = [];
  const penalties = new Penalties(
    { clock, onBanned: (peer, seconds, offence) => bans.push(`${peer} ${seconds} ${offence}`) },
    { ...penaltyDefaults, ...options },
  );
  return { clock, bans, penalties };
}

test('a source is refused once its penalties reach the minimum, until they have run off', () => {
  const { clock, bans, penalties } = bench();
  penalties.add('192.0.2.1', 'login-failed');
  penalties.add('192.0.2.1', 'login-failed');
  assert.equal(penalties.refuses('192.0.2.1'), false);
  penalties.add('192.0.2.1', 'login-failed');
  assert.equal(penalties.refuses('192.0.2.1'), true);
  assert.deepEqual(bans, ['192.0.2.1 15 login-failed']);
  assert.equal(penalties.refuses('192.0.2.2'), false);
  clock.advance(14_999);
  assert.equal(penalties.refuses('192.0.2.1'), true);
  clock.advance(1);
  assert.equal(penalties.refuses('192.0.2.1'), false);
  penalties.add('192.0.2.1', 'no-attempt');
  assert.equal(penalties.refuses('192.0.2.1'), false, 'a new count begins');
});

test('penalties that come slowly never add up', () => {
  const { clock, penalties } = bench();
  for (let i = 0; i < 100; i++) {
    penalties.add('192.0.2.1', 'no-attempt');
    clock.advance(1000);
    assert.equal(penalties.refuses('192.0.2.1'), false);
  }
});

test('a ban lasts at most the maximum', () => {
  const { clock, penalties } = bench();
  for (let i = 0; i < 1000; i++) penalties.add('192.0.2.1', 'grace-exceeded');
  clock.advance(599_999);
  assert.equal(penalties.refuses('192.0.2.1'), true);
  clock.advance(1);
  assert.equal(penalties.refuses('192.0.2.1'), false);
});

test('all addresses of one IPv6 /64 are one source, and the loopback is like any other', () => {
  const { penalties } = bench();
  for (let i = 0; i < 3; i++) penalties.add(`2001:db8::${i + 1}`, 'login-failed');
  assert.equal(penalties.refuses('2001:db8::ffff'), true);
  assert.equal(penalties.refuses('2001:db8:0:1::1'), false);
  for (let i = 0; i < 3; i++) penalties.add('127.0.0.1', 'login-failed');
  assert.equal(penalties.refuses('127.0.0.1'), true);
});

test('configured networks are never refused, and the scale multiplies', () => {
  const { penalties } = bench({ exempt: ['10.0.0.0/8', '192.0.2.9', '2001:db8::/32'], scale: 3 });
  for (const peer of ['10.1.2.3', '192.0.2.9', '2001:db8::1', '192.0.2.8']) penalties.add(peer, 'login-failed');
  assert.deepEqual(
    ['10.1.2.3', '192.0.2.9', '2001:db8::1', '192.0.2.8'].map((peer) => penalties.refuses(peer)),
    [false, false, false, true],
  );
});

test('nothing is refused when it is switched off', () => {
  const { penalties } = bench({ enabled: false });
  for (let i = 0; i < 100; i++) penalties.add('192.0.2.1', 'login-failed');
  assert.equal(penalties.refuses('192.0.2.1'), false);
  assert.equal(penalties.sources, 0);
});

test('the table never grows beyond its limit, keeps its bans, and makes room when penalties have run off', () => {
  const { clock, penalties } = bench({ maxSources: 100 });
  for (let i = 0; i < 3; i++) penalties.add('192.0.2.1', 'login-failed');
  for (let i = 0; i < 1000; i++) penalties.add(`10.0.${i >> 8}.${i & 255}`, 'login-failed');
  assert.equal(penalties.sources, 100);
  assert.equal(penalties.refuses('192.0.2.1'), true);
  clock.advance(6000);
  for (let i = 0; i < 3; i++) penalties.add('198.51.100.1', 'login-failed');
  assert.equal(penalties.refuses('198.51.100.1'), true);
  assert.equal(penalties.refuses('192.0.2.1'), true);
});

test('a login that succeeds after all takes its offence back, but lifts no ban', () => {
  const { penalties } = bench();
  penalties.add('192.0.2.1', 'login-failed');
  penalties.add('192.0.2.1', 'login-failed');
  penalties.forgive('192.0.2.1', 'login-failed');
  penalties.add('192.0.2.1', 'login-failed');
  assert.equal(penalties.refuses('192.0.2.1'), false);
  penalties.add('192.0.2.1', 'login-failed');
  penalties.forgive('192.0.2.1', 'login-failed');
  assert.equal(penalties.refuses('192.0.2.1'), true);
});

test('connections that come to nothing ban no source from which a partner logged in lately; failed logins do', () => {
  const { clock, penalties } = bench({ trustSeconds: 3600, maxSources: 10 });
  const flood = (peer: string): boolean => {
    for (let i = 0; i < 100; i++) penalties.add(peer, i % 2 ? 'grace-exceeded' : 'broken-protocol');
    return penalties.refuses(peer);
  };
  penalties.trust('192.0.2.1');
  assert.equal(flood('192.0.2.1'), false);
  assert.equal(flood('192.0.2.2'), true);
  clock.advance(3_600_000);
  assert.equal(flood('192.0.2.1'), true, 'trust runs off');
  penalties.trust('192.0.2.3');
  for (let i = 0; i < 3; i++) penalties.add('192.0.2.3', 'login-failed');
  assert.equal(penalties.refuses('192.0.2.3'), true);
  for (let i = 0; i <= 10; i++) penalties.trust(`198.51.100.${i}`);
  assert.equal(flood('198.51.100.0'), true, 'only so many sources are remembered');
  assert.equal(flood('198.51.100.10'), false);
});

test('BA-01, BA-02: so many failures in a row ban for the set time, a success in between begins anew', () => {
  const { clock, bans, penalties } = bench({ banAfter: 5, banSeconds: 3600 });
  const fail = (count: number) => {
    for (let i = 0; i < count; i++) penalties.failedLogin('192.0.2.1');
  };
  fail(4);
  penalties.trust('192.0.2.1');
  fail(4);
  assert.equal(penalties.refuses('192.0.2.1'), false);
  fail(1);
  assert.equal(penalties.refuses('192.0.2.1'), true);
  assert.deepEqual(bans, ['192.0.2.1 3600 login-failed']);
  penalties.add('192.0.2.1', 'login-failed');
  clock.advance(3_599_999);
  assert.equal(penalties.refuses('192.0.2.1'), true);
  clock.advance(5001);
  assert.equal(penalties.refuses('192.0.2.1'), false);
  fail(4);
  assert.equal(penalties.refuses('192.0.2.1'), false);
});

test('BA-03: the addresses of one IPv6 /64 are counted as one', () => {
  const { penalties } = bench({ banAfter: 3 });
  for (let i = 0; i < 3; i++) penalties.failedLogin(`2001:db8::${i + 1}`);
  assert.equal(penalties.refuses('2001:db8::ffff'), true);
  assert.equal(penalties.refuses('2001:db8:0:1::1'), false);
});

test('BA-06: the first network that holds an address decides: never banned, or never admitted', () => {
  const sources = [
    { allow: true, network: '10.0.0.1' },
    { allow: false, network: '10.0.0.0/8' },
  ];
  const { penalties } = bench({ banAfter: 5, sources });
  for (let i = 0; i < 20; i++) penalties.failedLogin('10.0.0.1');
  for (let i = 0; i < 5; i++) penalties.failedLogin('192.0.2.1');
  assert.equal(penalties.refuses('10.0.0.1'), false);
  assert.equal(penalties.refuses('10.0.0.2'), true);
  assert.equal(penalties.refuses('192.0.2.1'), true);
  assert.deepEqual(
    penalties.bans().map(({ source }) => source),
    ['192.0.2.1'],
  );
});

test('BA-07: what is exempt is never banned', () => {
  const { penalties } = bench({ banAfter: 1, exempt: ['192.0.2.0/24'] });
  for (let i = 0; i < 100; i++) {
    penalties.failedLogin('192.0.2.9');
    penalties.add('192.0.2.9', 'grace-exceeded');
  }
  assert.equal(penalties.refuses('192.0.2.9'), false);
});

test('BA-08: bans are told with the time they have left, and end when they are lifted', () => {
  const { clock, penalties } = bench({ banAfter: 1, banSeconds: 60 });
  penalties.failedLogin('192.0.2.1');
  clock.advance(10_000);
  penalties.failedLogin('2001:db8::1');
  assert.deepEqual(penalties.bans(), [
    { source: '2001:db8:0:0::/64', secondsLeft: 60, reason: 'login-failed' },
    { source: '192.0.2.1', secondsLeft: 50, reason: 'login-failed' },
  ]);
  assert.equal(penalties.lift('2001:db8:0:0::/64'), true);
  assert.equal(penalties.lift('2001:db8::2'), false);
  assert.equal(penalties.refuses('2001:db8::1'), false);
  assert.equal(penalties.lift('192.0.2.1'), true);
  assert.deepEqual(penalties.bans(), []);
});
