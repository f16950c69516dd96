import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../test/fixtures/cache-bench.ts';
import { Budget, Reorder } from './reorder.ts';

const make = (budget: Budget, windowBytes = 64, start = 0): Reorder => new Reorder({ budget }, { start, windowBytes });

test('whatever order the pieces come in, the bytes come out in order and no memory stays taken', () => {
  const shuffled = fc
    .array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 })
    .chain((lengths) =>
      fc.shuffledSubarray([...lengths.keys()], { minLength: lengths.length }).map((order) => ({ lengths, order })),
    );
  fc.assert(
    fc.property(shuffled, ({ lengths, order }) => {
      const whole = Buffer.from(Array.from({ length: lengths.reduce((a, b) => a + b) }, (_, n) => n));
      const starts = lengths.map((_, n) => lengths.slice(0, n).reduce((a, b) => a + b, 0));
      const budget = new Budget(1000);
      const reorder = make(budget, 1000);
      const out = order.flatMap((n) => {
        const start = starts[n] ?? 0;
        return reorder.put(start, whole.subarray(start, start + (lengths[n] ?? 0))).map((bytes) => Buffer.from(bytes));
      });
      assert.deepEqual(Buffer.concat(out), whole);
      assert.equal(reorder.next, whole.length);
      assert.equal(reorder.hasHoles, false);
      assert.equal(budget.left, 1000);
    }),
  );
});

test('any writes at all: what is accepted equals a plain file, byte for byte, up to the first hole', () => {
  const write = fc.record({
    offset: fc.integer({ min: 0, max: 80 }),
    length: fc.integer({ min: 1, max: 20 }),
    fill: fc.nat(255),
  });
  fc.assert(
    fc.property(fc.array(write, { maxLength: 40 }), (writes) => {
      const budget = new Budget(50);
      const reorder = make(budget, 40);
      const model = new Map<number, number>();
      const out: Buffer[] = [];
      for (const { offset, length, fill } of writes) {
        const rewrites = Array.from({ length }, (_, n) => offset + n).some((at) => model.has(at));
        let accepted = true;
        try {
          for (const bytes of reorder.put(offset, Buffer.alloc(length, fill))) out.push(Buffer.from(bytes));
        } catch (error) {
          assert.ok(hasCode('write-out-of-window')(error));
          accepted = false;
        }
        assert.ok(!(accepted && rewrites), 'a byte was accepted twice');
        if (accepted) for (let n = 0; n < length; n += 1) model.set(offset + n, fill);
        let contiguous = 0;
        while (model.has(contiguous)) contiguous += 1;
        assert.equal(reorder.next, contiguous);
        assert.equal(reorder.hasHoles, model.size > contiguous);
        assert.equal(budget.left, 50 - (model.size - contiguous));
      }
      const bytes = Buffer.concat(out);
      assert.deepEqual(
        [...bytes],
        Array.from({ length: bytes.length }, (_, n) => model.get(n)),
      );
      reorder.reset(0);
      assert.equal(budget.left, 50);
    }),
  );
});

test('the window and the shared budget bound what is kept', () => {
  const budget = new Budget(30);
  const [one, two] = [make(budget, 40), make(budget, 40)];
  assert.throws(() => one.put(21, Buffer.alloc(20)), hasCode('write-out-of-window'));
  assert.deepEqual(one.put(20, Buffer.alloc(20)), []);
  assert.throws(() => two.put(20, Buffer.alloc(20)), hasCode('write-out-of-window'));
  one.reset(0);
  assert.deepEqual(two.put(20, Buffer.alloc(20)), []);
});

test('a partner never holds more than is left for the others, and gives it all back', () => {
  const budget = new Budget(1000);
  const hold = (partner: string): number => {
    const share = budget.of(partner);
    let held = 0;
    while (share.take(10)) held += 10;
    return held;
  };
  assert.equal(hold('greedy'), 500);
  assert.equal(hold('greedy'), 0, 'another upload of the same partner has no share of its own');
  assert.equal(hold('as greedy'), 250);
  const reorder = new Reorder({ budget: budget.of('honest') }, { start: 0, windowBytes: 1000 });
  assert.deepEqual(reorder.put(10, Buffer.alloc(60, 1)), []);
  assert.equal(Buffer.concat(reorder.put(0, Buffer.alloc(10, 2))).length, 70);
  assert.equal(budget.left, 250);
  budget.of('greedy').give(500);
  assert.equal(budget.left, 750);
  assert.equal(hold('honest'), 370);
});
