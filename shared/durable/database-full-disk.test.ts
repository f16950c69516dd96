/**
 * The record store on a file system that runs full: calls are refused and not a single one that was acknowledged is missing;
 * when space returns the store goes on and the audit trail is whole. Mounts a small tmpfs, which needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { NotebookOperations } from '../../test/fixtures/notebook-operations.ts';
import { SallyportError } from '../errors.ts';
import { firstBrokenLine } from '../events/audit-trail.ts';
import { Database } from './database.ts';

interface SmallDisk {
  readonly folder: string;
  open(records: string, audit: string): Promise<Database<NotebookOperations>>;
}

/** A tmpfs of 2 MiB that is gone after the test, after the stores that were opened through it. */
function smallDisk(t: TestContext): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'small-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'sallyport-test', folder]);
  const opened: Database<NotebookOperations>[] = [];
  t.after(async () => {
    for (const database of opened) await database.close();
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  });
  return {
    folder,
    open: async (records, audit) => {
      const database = await Database.open<NotebookOperations>({
        file: join(records, 'records.db'),
        operations: new URL('../../test/fixtures/notebook-operations.ts', import.meta.url),
        audit: { folder: audit, node: 'test' },
      });
      opened.push(database);
      return database;
    },
  };
}

/** Takes the space that is left but for about `leaveBytes`. */
function fill(path: string, leaveBytes: number): void {
  const fd = openSync(path, 'a');
  const block = Buffer.alloc(4096);
  let written = 0;
  try {
    for (;;) written += writeSync(fd, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
  closeSync(fd);
  if (leaveBytes > 0) execFileSync('truncate', ['-s', String(Math.max(0, written - leaveBytes)), path]);
}

const audited = (folder: string): string[] =>
  readdirSync(folder)
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1));

async function addUntilRefused(
  database: Database<NotebookOperations>,
  prefix: string,
  acknowledged: string[],
): Promise<SallyportError> {
  for (let n = 0; n < 5000; n += 1) {
    const text = `${prefix}${n}-${'x'.repeat(300)}`;
    try {
      await database.call('notes.add', text);
      acknowledged.push(text);
    } catch (error) {
      assert.ok(error instanceof SallyportError, String(error));
      return error;
    }
  }
  return assert.fail('the disk never ran full');
}

for (const leaveBytes of [0, 9_000, 40_000, 150_000]) {
  test(`a disk with ${leaveBytes} bytes left: refusals, no lie, and everything again when space returns`, async (t) => {
    const disk = smallDisk(t);
    const audit = join(disk.folder, 'audit');
    const acknowledged: string[] = [];
    let database = await disk.open(disk.folder, audit);
    await database.call('notes.add', 'first');
    acknowledged.push('first');
    fill(join(disk.folder, 'filler'), leaveBytes);
    const refusal = await addUntilRefused(database, 'a', acknowledged);
    assert.ok(refusal.code === 'database-failed' || refusal.code === 'no-space', refusal.code);
    assert.deepEqual(await database.call('notes.all', null), acknowledged, 'what is read is what was acknowledged');
    await assert.rejects(database.call('notes.add', `still full ${'y'.repeat(5000)}`));

    rmSync(join(disk.folder, 'filler'));
    await database.call('notes.add', 'after');
    acknowledged.push('after');
    await database.close();

    database = await disk.open(disk.folder, audit);
    assert.deepEqual(await database.call('notes.all', null), acknowledged);
    const events = await database.call('events.paths', null);
    await database.close();
    const lines = audited(audit);
    assert.deepEqual(
      events.map(({ path }) => path),
      acknowledged,
    );
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { path: string }).path),
      acknowledged,
    );
    assert.equal(firstBrokenLine(lines), undefined);
  });
}

test('an audit folder on a full disk does not stop the records, and is completed later', async (t) => {
  const disk = smallDisk(t);
  const records = mkdtempSync(join(tmpdir(), 'records-'));
  t.after(() => rmSync(records, { recursive: true }));
  const audit = join(disk.folder, 'audit');
  const database = await disk.open(records, audit);
  await database.call('notes.add', 'first');
  fill(join(disk.folder, 'filler'), 0);
  const texts = Array.from({ length: 60 }, (_, n) => `n${n}-${'x'.repeat(300)}`);
  for (const text of texts) await database.call('notes.add', text);
  assert.ok(audited(audit).length < 61, 'the disk was not full');
  rmSync(join(disk.folder, 'filler'));
  await database.close();
  const lines = audited(audit);
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { path: string }).path),
    ['first', ...texts],
  );
  assert.equal(firstBrokenLine(lines), undefined);
});
