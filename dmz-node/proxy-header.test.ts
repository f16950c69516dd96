import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseProxyHeader } from './proxy-header.ts';

const start = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
function binary(command: number, family: number, addresses: Buffer, tlvs = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt8(command, 0);
  head.writeUInt8(family, 1);
  head.writeUInt16BE(addresses.length + tlvs.length, 2);
  return Buffer.concat([start, head, addresses, tlvs]);
}
const four = Buffer.from([203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x34, 0, 22]);
const six = Buffer.concat([Buffer.from('20010db8000000000000000000000001', 'hex'), Buffer.alloc(16), Buffer.from([1, 2, 0, 22])]);
const mapped = Buffer.concat([Buffer.from('00000000000000000000ffffcb007109', 'hex'), Buffer.alloc(20)]);

const good: readonly (readonly [string, Buffer, string | undefined])[] = [
  ['TCP4', Buffer.from('PROXY TCP4 203.0.113.9 192.0.2.1 4660 22\r\n'), '203.0.113.9'],
  ['TCP6', Buffer.from('PROXY TCP6 2001:DB8:0::1 2001:db8::2 65535 0\r\n'), '2001:db8::1'],
  ['IPv4 in IPv6', Buffer.from('PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n'), '203.0.113.9'],
  ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), undefined],
  ['UNKNOWN with a rest', Buffer.from('PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n'), undefined],
  ['version 2, IPv4', binary(0x21, 0x11, four), '203.0.113.9'],
  ['version 2, IPv6, with additions', binary(0x21, 0x21, six, Buffer.from([4, 0, 3, 1, 2, 3])), '2001:db8::1'],
  ['version 2, IPv4 in IPv6', binary(0x21, 0x21, mapped), '203.0.113.9'],
  ['version 2, LOCAL', binary(0x20, 0x11, four), undefined],
  ['version 2, unspecified', binary(0x21, 0x00, Buffer.alloc(0)), undefined],
];
for (const [name, header, source] of good) {
  test(`reads ${name} when it is whole, however it is cut`, () => {
    for (let length = 0; length < header.length; length++) assert.equal(parseProxyHeader(header.subarray(0, length)), undefined);
    const expected = { source, length: header.length };
    assert.deepEqual(parseProxyHeader(header), expected);
    assert.deepEqual(parseProxyHeader(Buffer.concat([header, Buffer.from('SSH-2.0-x\r\n')])), expected);
  });
}

const bad: readonly (readonly [string, Buffer])[] = [
  ['SSH', Buffer.from('SSH-2.0-x\r\n')],
  ['an SSH line that begins like it', Buffer.from('PROXYX')],
  ['an IPv6 address as TCP4', Buffer.from('PROXY TCP4 ::1 ::1 1 2\r\n')],
  ['an IPv4 address as TCP6', Buffer.from('PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n')],
  ['four numbers above 255', Buffer.from('PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n')],
  ['a port above 65535', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n')],
  ['a port with a leading zero', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n')],
  ['two blanks', Buffer.from('PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n')],
  ['a missing port', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n')],
  ['UDP', Buffer.from('PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n')],
  ['a line without end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(100)}`)],
  ['a name in place of an address', Buffer.from('PROXY TCP4 localhost 192.0.2.2 1 2\r\n')],
  ['version 1 in the binary form', binary(0x11, 0x11, four)],
  ['an unknown command', binary(0x22, 0x11, four)],
  ['UDP in the binary form', binary(0x21, 0x12, four)],
  ['a Unix socket', binary(0x21, 0x31, Buffer.alloc(216))],
  ['addresses that are cut off', binary(0x21, 0x21, four)],
  ['64 KiB of additions', binary(0x21, 0x11, four, Buffer.alloc(65_000)).subarray(0, 16)],
];
for (const [name, bytes] of bad) {
  test(`refuses ${name}`, () => {
    assert.throws(() => parseProxyHeader(bytes), Error);
  });
}

test('reads or refuses within 2 KiB whatever comes', () => {
  const anything = fc.oneof(
    fc.uint8Array({ minLength: 2048, maxLength: 2100 }).map((rest) => Buffer.concat([start, rest])),
    fc.string({ minLength: 2048, maxLength: 2100 }).map((rest) => Buffer.from(`PROXY ${rest}`)),
    fc.string({ minLength: 100, maxLength: 200 }).map((rest) => Buffer.from(`PROXY TCP4 ${rest}`)),
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      try {
        assert.ok(parseProxyHeader(bytes), 'undecided');
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
      }
    }),
  );
});
