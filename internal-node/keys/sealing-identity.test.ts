import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import { openHeader, sealHeader } from '../../shared/seal/header.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { loadSealingIdentity, makeSealingIdentity } from './sealing-identity.ts';

async function withFolder(run: (folder: string, file: string) => Promise<void>): Promise<void> {
  const folder = join(await mkdtemp(join(tmpdir(), 'sealing-')), 'keys');
  try {
    await run(folder, join(folder, 'sealing.key'));
  } finally {
    await rm(join(folder, '..'), { recursive: true });
  }
}
const keyFile = (error: unknown): boolean => error instanceof SallyportError && error.code === 'key-file';

test('makes a private age identity file and reads the same key back', () =>
  withFolder(async (folder, file) => {
    const made = await makeSealingIdentity(folder, new ManualClock({ startMs: Date.UTC(2030, 0, 1) }));
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const expected = `# created: 2030-01-01T00:00:00.000Z\n# public key: ${made.recipient}\n${made.identity}\n`;
    assert.equal(await readFile(file, 'utf8'), expected);
    assert.match(made.identity, /^AGE-SECRET-KEY-1[0-9A-Z]+$/);
    const loaded = await loadSealingIdentity(folder);
    assert.deepEqual(loaded, made);
    const fileKey = randomBytes(16);
    assert.deepEqual(openHeader(sealHeader(fileKey, [loaded.recipient]), loaded.identity), fileKey);
  }));

test('never overwrites a key', () =>
  withFolder(async (folder, file) => {
    await makeSealingIdentity(folder, new ManualClock({ startMs: Date.UTC(2030, 0, 1) }));
    const before = await readFile(file, 'utf8');
    await assert.rejects(makeSealingIdentity(folder, new ManualClock({ startMs: Date.UTC(2030, 0, 1) })), keyFile);
    assert.equal(await readFile(file, 'utf8'), before);
  }));

test('refuses a file that others can read, is missing, empty, doubled or damaged', () =>
  withFolder(async (folder, file) => {
    await assert.rejects(loadSealingIdentity(folder), keyFile);
    const { identity } = await makeSealingIdentity(folder, new ManualClock({ startMs: Date.UTC(2030, 0, 1) }));
    await chmod(file, 0o640);
    await assert.rejects(loadSealingIdentity(folder), keyFile);
    await chmod(file, 0o600);
    for (const text of ['', '# nothing\n', `${identity}\n${identity}\n`, `${identity.slice(0, -1)}Q\n`, 'age1xyz\n']) {
      await writeFile(file, text);
      await assert.rejects(loadSealingIdentity(folder), keyFile, JSON.stringify(text.length));
    }
  }));
