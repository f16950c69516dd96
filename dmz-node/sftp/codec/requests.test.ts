import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { request as framedRequest } from '../../../test/fixtures/raw-sftp.ts';
import { packetType } from './protocol.ts';
import { readRequest } from './requests.ts';

const request = (type: number, ...fields: Parameters<typeof framedRequest>[2][]): Buffer =>
  framedRequest(type, 7, ...fields).subarray(4);

test('any bytes are a request or an error, and no name or data reaches beyond the packet', () => {
  const types = fc.constantFrom(...Object.values(packetType));
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 200 }), (type, rest) => {
      const packet = Buffer.concat([Buffer.from([type]), rest]);
      let read: ReturnType<typeof readRequest>;
      try {
        read = readRequest(packet);
      } catch (error) {
        assert.equal(error?.constructor, Error);
        return;
      }
      for (const value of Object.values(read)) {
        if (!Buffer.isBuffer(value)) continue;
        assert.ok(value.byteOffset >= packet.byteOffset);
        assert.ok(value.byteOffset + value.length <= packet.byteOffset + packet.length);
      }
    }),
    { numRuns: 5000 },
  );
});

test('numbers are exact up to 2^53 and infinite beyond', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (offset) => {
      const read = readRequest(request(packetType.read, 'h', offset, 10));
      assert.ok(read.type === 'read');
      assert.equal(read.offset, offset <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(offset) : Number.POSITIVE_INFINITY);
    }),
  );
});

test('reads the attributes that a relay keeps and reads over the others', () => {
  const read = readRequest(request(packetType.setstat, '/a', 0x8000_000f, 5n, 1, 2, 0o644, 3, 1_600_000_000, 1, 'x', 'y'));
  assert.deepEqual(read.type === 'setstat' && read.attributes, { size: 5, modifiedAtMs: 1_600_000_000_000 });
});

test('names stay bytes, also when they are no UTF-8', () => {
  const name = Buffer.from([0x2f, 0xff, 0x00, 0x80]);
  const read = readRequest(request(packetType.stat, name));
  assert.deepEqual(read.type === 'stat' && read.path, name);
});

test('what is not offered is known as such, with its id', () => {
  for (const packet of [
    request(packetType.symlink, '/a', '/b'),
    request(packetType.readlink, '/a'),
    request(200, 'hardlink@openssh.com', '/a', '/b'),
    request(200, 'copy-data', 'h', 0n, 0n, 'i', 0n),
    request(200, 'md5-hash', '/a', 0n, 0n, ''),
    request(200, 'constructor'),
  ]) {
    assert.deepEqual(readRequest(packet), { type: 'unsupported', id: 7 });
  }
  const rename = readRequest(request(200, 'posix-rename@openssh.com', '/a', '/b'));
  assert.equal(rename.type === 'rename' && rename.overwrite, true);
});

test('a question for names by number is bounded and must be whole', () => {
  const ids = (count: number): Buffer => Buffer.alloc(4 * count, 1);
  const read = readRequest(request(200, 'users-groups-by-id@openssh.com', ids(2), ids(0)));
  assert.deepEqual(read, { type: 'names-by-id', id: 7, users: [0x01010101, 0x01010101], groups: [] });
  assert.throws(() => readRequest(request(200, 'users-groups-by-id@openssh.com', ids(1025), ids(0))));
  assert.throws(() => readRequest(request(200, 'users-groups-by-id@openssh.com', Buffer.alloc(5), ids(0))));
});
