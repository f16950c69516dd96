import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peerAddress, sourceOf } from './peer-address.ts';

test('an IPv4-mapped address is its IPv4 address, and a zone is cut', () => {
  assert.equal(peerAddress('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(peerAddress('fe80::1%eth0'), 'fe80::1');
  assert.equal(peerAddress(undefined), '');
});

test('a source is one IPv4 address or one IPv6 /64, however it is written', () => {
  assert.equal(sourceOf('192.0.2.7'), '192.0.2.7');
  const same = ['2001:db8:0:1::5', '2001:db8:0:1:ffff:ffff:ffff:ffff', '2001:0db8:0000:0001::', '2001:DB8:0:1:0:0:192.0.2.7'];
  assert.deepEqual([...new Set(same.map(sourceOf))], ['2001:db8:0:1::/64']);
  assert.notEqual(sourceOf('2001:db8:0:2::5'), sourceOf('2001:db8:0:1::5'));
  assert.equal(sourceOf('::1'), '0:0:0:0::/64');
});
