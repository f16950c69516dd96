import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Turns } from './turns.ts';

test('one partner has so many turns at once, in order, and others have their own', async () => {
  const turns = new Turns(2);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (partner: string, name: string): Promise<string> =>
    turns.run(partner, async () => {
      begun.push(name);
      await new Promise<void>((done) => ends.set(name, done));
      return name;
    });
  const all = ['a1', 'a2', 'a3', 'a4'].map((name) => work('acme', name));
  all.push(work('globex', 'g1'));
  await turn();
  assert.deepEqual(begun, ['a1', 'a2', 'g1']);
  ends.get('a2')?.();
  await turn();
  assert.deepEqual(begun, ['a1', 'a2', 'g1', 'a3']);
  for (const name of ['a1', 'a3', 'g1']) ends.get(name)?.();
  await turn();
  ends.get('a4')?.();
  assert.deepEqual(await Promise.all(all), ['a1', 'a2', 'a3', 'a4', 'g1']);
  assert.equal(turns.partners, 0);
});

test('work that fails passes its turn on', async () => {
  const turns = new Turns(1);
  const failing = turns.run('acme', () => Promise.reject(new Error('no')));
  const next = turns.run('acme', async () => 'done');
  await assert.rejects(failing, /no/);
  assert.equal(await next, 'done');
  assert.equal(turns.partners, 0);
});
