import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Lanes } from './lanes.ts';

function bench() {
  const lanes = new Lanes();
  const begun: string[] = [];
  const finish = new Map<string, (failure?: Error) => void>();
  const work = (name: string) => () => {
    begun.push(name);
    return new Promise<string>((done, failed) => finish.set(name, (failure) => (failure ? failed(failure) : done(name))));
  };
  const end = async (name: string, failure?: Error): Promise<void> => {
    finish.get(name)?.(failure);
    await turn();
  };
  return { lanes, begun, work, end };
}

test('work on one path runs in order, work on others beside it', async () => {
  const { lanes, begun, work, end } = bench();
  void lanes.onPaths(['/a'], work('close a'));
  void lanes.onPaths(['/a'], work('stat a'));
  void lanes.onPaths(['/b'], work('stat b'));
  assert.deepEqual(begun, ['close a', 'stat b']);
  await end('close a');
  assert.deepEqual(begun, ['close a', 'stat b', 'stat a']);
});

test('work that runs alone waits for all before it and holds back all after it', async () => {
  const { lanes, begun, work, end } = bench();
  void lanes.onPaths(['/a'], work('close a'));
  void lanes.alone(work('rename'));
  void lanes.onPaths(['/c'], work('stat c'));
  void lanes.alone(work('mkdir'));
  assert.deepEqual(begun, ['close a']);
  await end('close a');
  assert.deepEqual(begun, ['close a', 'rename']);
  await end('rename');
  assert.deepEqual(begun, ['close a', 'rename', 'stat c']);
  await end('stat c');
  assert.deepEqual(begun, ['close a', 'rename', 'stat c', 'mkdir']);
});

test('a failure reaches its own caller and lets the next one run', async () => {
  const { lanes, begun, work, end } = bench();
  const failing = lanes.onPaths(['/a'], work('first'));
  void lanes.onPaths(['/a'], work('second'));
  const seen = assert.rejects(failing, /disk/);
  await end('first', new Error('disk'));
  await seen;
  assert.deepEqual(begun, ['first', 'second']);
});
