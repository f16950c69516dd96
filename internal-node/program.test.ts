import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenToSignals } from '../shared/admin/process.ts';
import { emptyProgram, runCommand, verbFamilies } from './program.ts';

const nowhere = { write: () => true };
const signals = listenToSignals({ on: () => {} });
const surroundings = { out: nowhere, error: nowhere, input: process.stdin, env: {}, signal: signals.signal };
const deps = { signals, own: { node: 'node', flags: [], main: 'main.ts' } };

test('each family of verbs is found by the words that it adds, and no word twice', async () => {
  for (const family of verbFamilies) {
    const program = emptyProgram(surroundings);
    await family.add(program, deps);
    assert.deepEqual([...program.words].sort(), [...family.words].sort());
  }
  const words = verbFamilies.flatMap((family) => family.words);
  assert.equal(new Set(words).size, words.length);
});

test('help names every verb, also those of families that were not asked for', async () => {
  let shown = '';
  const out = { write: (text: string) => (shown += text) };
  assert.equal(await runCommand(['help'], { ...surroundings, out }, deps), 0);
  for (const word of verbFamilies.flatMap((family) => family.words)) assert.match(shown, new RegExp(`^  ${word} `, 'm'));
});
