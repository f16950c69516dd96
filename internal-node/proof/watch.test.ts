import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claim } from '../../shared/proof/claim.ts';
import { watch } from './watch.ts';

const claim = (id: string, holds: Claim['holds']): Claim => ({
  ...{ id, kind: 'observed', statement: '', command: '', holds, evidence: [] },
  offending: holds === 'yes' ? [] : [`${id} is broken`],
});

/** Each check sees the next of these; the watch ends after the last. */
async function watched(states: readonly (readonly Claim[])[], record: (failing: readonly string[]) => void): Promise<string[]> {
  const stop = new AbortController();
  const said: string[] = [];
  let next = 0;
  const node = {
    post: async <T>(_path: readonly string[], body: unknown): Promise<T> => {
      record((body as { failing: readonly string[] }).failing);
      return {} as T;
    },
  };
  const check = async () => states[next++] ?? [];
  const clock = {
    sleep: async () => {
      if (next >= states.length) stop.abort();
    },
  };
  await watch({ check, node, clock, say: (line) => said.push(line) }, 1000, stop.signal);
  return said;
}

test('only a change is recorded: what fails, and that all holds again', async () => {
  const good = [claim('dmz.listeners', 'yes'), claim('dmz.sealed', 'yes')];
  const bad = [claim('dmz.listeners', 'no'), claim('dmz.sealed', 'yes')];
  const worse = [claim('dmz.listeners', 'no'), claim('dmz.sealed', 'unknown')];
  const recorded: string[] = [];
  const said = await watched([good, good, bad, bad, worse, good], (failing) => recorded.push(failing.join(' ')));
  assert.deepEqual(recorded, ['', 'dmz.listeners', 'dmz.listeners dmz.sealed', '']);
  assert.ok(said.includes('  dmz.listeners: dmz.listeners is broken'));
});

test('what the node could not record is told it again', async () => {
  const bad = [claim('dmz.sealed', 'no')];
  let calls = 0;
  const said = await watched([bad, bad, bad], () => {
    calls += 1;
    if (calls === 1) throw new Error('the node is away');
  });
  assert.equal(calls, 2);
  assert.ok(said.some((line) => line.includes('the node is away')));
});
