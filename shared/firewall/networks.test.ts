import assert from 'node:assert/strict';
import { test } from 'node:test';
import { intervalOf, outermost, overlap, rangeText } from './networks.ts';

test('addresses and networks of both families are ranges, and are written back as they were', () => {
  for (const text of [
    '0.0.0.0/0',
    '10.0.0.0/8',
    '198.51.100.7',
    '::/0',
    'fd00::/8',
    '2001:db8:1::10',
    '::1',
    '2001:db8::ffff:0:0/96',
    '::',
  ]) {
    const family = text.includes(':') ? 'ipv6' : 'ipv4';
    assert.equal(rangeText(intervalOf(text), family), text);
  }
  assert.equal(rangeText({ first: 1n, last: 2n }, 'ipv4'), '0.0.0.1-0.0.0.2');
  assert.deepEqual(intervalOf('::ffff:192.0.2.1'), { first: 0xffff_c000_0201n, last: 0xffff_c000_0201n });
  assert.deepEqual(intervalOf('192.0.2.77/24'), intervalOf('192.0.2.0/24'));
});

test('what is no address is refused', () => {
  for (const text of ['', '10.0.0.0/33', 'fd00::/129', 'example.com', '10.0.0.0/8/8', '10.0.0.0/x'])
    assert.throws(() => intervalOf(text), RangeError, text);
});

test('a network that lies in another one is left out', () => {
  assert.deepEqual(outermost(['10.1.2.3', '10.0.0.0/8', 'fd00::3', '10.0.0.0/8', 'fd00:1::/32']), [
    '10.0.0.0/8',
    'fd00::3',
    'fd00:1::/32',
  ]);
  assert.ok(overlap('10.0.0.0/8', '10.200.0.0/16') && !overlap('10.0.0.0/8', '11.0.0.1') && !overlap('0.0.0.0/0', '::/0'));
});
