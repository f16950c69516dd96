import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockPool } from './block-pool.ts';
import { maxPacketBytes, PacketReader } from './packet-reader.ts';

const framed = (packet: Uint8Array): Buffer => {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(packet.length);
  return Buffer.concat([head, packet]);
};

function collect(chunks: readonly Buffer[]): string[] {
  const seen: string[] = [];
  const reader = new PacketReader(new BlockPool(1 << 20), (packet) => {
    seen.push(packet.bytes.toString('hex'));
    packet.release();
  });
  for (const chunk of chunks) reader.feed(chunk);
  return seen;
}

function cut(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((at) => at % (stream.length + 1)))].sort((a, b) => a - b);
  return [...places, stream.length].map((end, i) => stream.subarray(places[i - 1] ?? 0, end));
}

test('finds the same packets however the stream is cut', () => {
  const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20_000 }), { maxLength: 12 });
  fc.assert(
    fc.property(packets, fc.array(fc.nat(), { maxLength: 30 }), (all, cuts) => {
      const stream = Buffer.concat(all.map(framed));
      assert.deepEqual(
        collect(cut(stream, cuts)),
        all.map((packet) => Buffer.from(packet).toString('hex')),
      );
    }),
    { numRuns: 200 },
  );
});

test('keeps no part of a chunk: its memory is used again', () => {
  for (const length of [3, 20_000]) {
    const chunk = framed(Buffer.alloc(length, 7));
    let given: Buffer | undefined;
    new PacketReader(new BlockPool(0), ({ bytes }) => (given = bytes)).feed(chunk);
    chunk.fill(0);
    assert.deepEqual(given, Buffer.alloc(length, 7));
  }
});

test('refuses lengths that no request can have before it allocates', () => {
  for (const length of [0, maxPacketBytes + 1, 0xffff_ffff]) {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length);
    assert.throws(() => collect([head]));
    assert.throws(() => collect([head.subarray(0, 1), head.subarray(1)]));
  }
  assert.equal(collect([framed(Buffer.alloc(maxPacketBytes, 7))]).length, 1);
});

test('a block is not given out twice before it is released, nor after a second release', () => {
  const pool = new BlockPool(1 << 20);
  const [a, b] = [pool.take(30_000), pool.take(30_000)];
  assert.notEqual(a.bytes.buffer, b.bytes.buffer);
  a.release();
  a.release();
  const [c, d] = [pool.take(30_000), pool.take(30_000)];
  assert.equal(c.bytes.buffer, a.bytes.buffer);
  assert.notEqual(d.bytes.buffer, c.bytes.buffer);
});
