import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Chunker } from './chunker.ts';

const blocks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 });

test('the pieces are the stream, all of one size but the last, which is empty only in an empty stream', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), blocks, fc.uint8Array({ maxLength: 40 }), (size, before, end) => {
      const chunker = new Chunker(size);
      const pieces: Buffer[] = [];
      const each = (piece: Buffer): void => void pieces.push(Buffer.from(piece));
      for (const block of before) {
        const bytes = Buffer.from(block);
        chunker.push(bytes, each);
        bytes.fill(0xff); // the block is given back at once
      }
      const last = Buffer.from(chunker.end(Buffer.from(end), each));
      const whole = Buffer.concat([...before, end]);
      assert.deepEqual(Buffer.concat([...pieces, last]), whole);
      assert.ok(pieces.every((piece) => piece.length === size));
      assert.ok(last.length <= size);
      assert.equal(last.length === 0, whole.length === 0);
    }),
  );
});
