import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Program } from '../../shared/admin/cli.ts';
import { oddKeys } from '../../test/hostile/odd-keys.ts';
import { tryScript } from './run.ts';
import type { RedteamResult } from './session.ts';
import { Breach, type Stage } from './stage.ts';
import { addRedteamVerb } from './verb.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-redteam-verb-'));
  const dmz = `dmz: {address: "127.0.0.1:1", fingerprint: ${oddKeys('dmz').fingerprint}}`;
  await writeFile(join(folder, 'sallyport.yaml'), `version: 1\nname: staging\npurpose: staging\n${dmz}\ninclude: []\n`);
});
after(() => rm(folder, { recursive: true }));

async function run(result: RedteamResult, ...more: string[]): Promise<{ readonly code: number; readonly text: string }> {
  let text = '';
  const target = { write: (piece: string) => (text += piece) };
  const { signal } = new AbortController();
  const program = new Program(
    { out: target, error: target, input: process.stdin, env: {}, signal },
    { name: 'sallyport', summary: '', findConfig: () => join(folder, 'sallyport.yaml') },
  );
  const play = async ({ report }: { readonly report: (tried: RedteamResult['all'][number]) => void }): Promise<RedteamResult> => {
    for (const tried of result.all) report(tried);
    return result;
  };
  addRedteamVerb(program, { read: async () => 'secret\n', run: play });
  const code = await program.run(['redteam', '--dmz-keys', 'keys', '--partner', 'acme', '--password-file', 'x', ...more]);
  return { code, text };
}

const stopped = { row: 'D1', tries: 'one', outcome: 'stopped', detail: 'the link was cut' } as const;

test('exits with 0 when all was stopped, and with 5 when something got through or could not be told', async () => {
  const fine = await run({ all: [stopped], notTried: { D10: 'why' } });
  assert.equal(fine.code, 0);
  assert.match(fine.text, /D1 +stopped {2}one\n +the link was cut\nD10 +not tried: why\n1 of 1 stopped\.\n/);
  for (const outcome of ['got through', 'unclear'] as const) {
    const { code, text } = await run({ all: [stopped, { ...stopped, row: 'D6', outcome }], notTried: {} });
    assert.equal(code, 5);
    assert.match(text, /1 of 2 stopped/);
  }
  assert.equal((await run({ all: [{ ...stopped, outcome: 'unclear' }], notTried: {} }, '--json')).code, 5);
});

test('a breach, another failure, and a node that does no honest work any more are told apart', async () => {
  const stage = (sound: () => Promise<void>): Stage => ({ assertSound: sound }) as unknown as Stage;
  const script = (work: () => string) => ({ row: 'D1', tries: 'x', run: async () => work() }) as const;
  const fail = (error: Error) => () => {
    throw error;
  };
  const fine = stage(async () => {});
  assert.equal(
    (
      await tryScript(
        script(() => 'held'),
        fine,
      )
    ).outcome,
    'stopped',
  );
  assert.equal((await tryScript(script(fail(new Breach('in'))), fine)).outcome, 'got through');
  assert.equal((await tryScript(script(fail(new Error('late'))), fine)).outcome, 'unclear');
  assert.equal(
    (
      await tryScript(
        script(() => 'held'),
        stage(async () => Promise.reject(new Breach('delivered'))),
      )
    ).outcome,
    'got through',
  );
});
