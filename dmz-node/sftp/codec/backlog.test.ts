import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backlog } from './backlog.ts';

test('gives back what was added, in its order, in large pieces', () => {
  const backlog = new Backlog();
  const all = Buffer.from(Array.from({ length: 100_000 }, (_, n) => n % 251));
  for (let at = 0; at < 70_000; at += 7) backlog.add(all.subarray(at, at + 7));
  const taken = [backlog.take() ?? Buffer.alloc(0)];
  backlog.add(all.subarray(70_000));
  for (let next = backlog.take(); next; next = backlog.take()) taken.push(next);
  assert.deepEqual(Buffer.concat(taken), all);
  assert.ok(taken.length <= 5, `${taken.length} pieces`);
  assert.ok(backlog.empty);
});
