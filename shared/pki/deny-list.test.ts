import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { oddKeys } from '../../test/hostile/odd-keys.ts';
import { deniedKeys, denyKey } from './deny-list.ts';

let folder: string;
let file: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-denied-'));
  file = join(folder, 'denied-keys');
});
after(() => rm(folder, { recursive: true }));

test('without a file nobody is refused; keys are added once, with a comment that stays on its line', async () => {
  assert.equal(deniedKeys(file).size, 0);
  const { fingerprint } = oddKeys('dmz');
  assert.equal(await denyKey(file, fingerprint.toLowerCase(), 'stolen\nSPI-evil'), true);
  assert.equal(await denyKey(file, fingerprint, 'again'), false);
  assert.deepEqual([...deniedKeys(file)], [fingerprint]);
  assert.match(await readFile(file, 'utf8'), / # stolen\?SPI-evil\n$/);
});

test('a list that somebody edited without a last line feed is continued on a line of its own', async () => {
  await appendFile(file, oddKeys('dmz').fingerprint);
  await denyKey(file, oddKeys('internal').fingerprint, '');
  assert.equal(deniedKeys(file).size, 3);
});

test('a line that cannot be read is an error that names it: nobody is let in because of a typing error', async () => {
  await writeFile(file, '# comment\nSPD-XXXX\n');
  assert.throws(() => deniedKeys(file), /denied-keys:2: .*groups/);
});
