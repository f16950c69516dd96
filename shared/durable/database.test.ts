/** The record store: one commit for many calls, a failing call alone is undone, events stand and fall with their change. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { NotebookOperations } from '../../test/fixtures/notebook-operations.ts';
import { SallyportError } from '../errors.ts';
import { firstBrokenLine } from '../events/audit-trail.ts';
import { event } from '../events/event.ts';
import { Database } from './database.ts';

const operations = new URL('../../test/fixtures/notebook-operations.ts', import.meta.url);
const writer = fileURLToPath(new URL('../../test/fixtures/notebook-writer.ts', import.meta.url));

function tempFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'records-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function open(t: TestContext, folder: string): Promise<Database<NotebookOperations>> {
  const audit = { folder: join(folder, 'audit'), node: 'test' };
  const database = await Database.open<NotebookOperations>({ file: join(folder, 'records.db'), operations, audit });
  t.after(() => database.close()); // a test that fails must not leave a thread behind
  return database;
}

function auditLines(folder: string): string[] {
  const audit = join(folder, 'audit');
  return readdirSync(audit)
    .sort()
    .flatMap((name) => readFileSync(join(audit, name), 'utf8').split('\n').slice(0, -1));
}

const isCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof SallyportError && error.code === code;

/** Rows, events and audit lines tell the same story, and the chain holds. @returns the notes. */
async function assertOneStory(t: TestContext, folder: string): Promise<string[]> {
  const database = await open(t, folder);
  const notes = await database.call('notes.all', null);
  const events = await database.call('events.paths', null);
  await database.close();
  const lines = auditLines(folder);
  const audited = lines.map((line) => JSON.parse(line) as { seq: number; path: string });
  assert.deepEqual(events.map(({ path }) => path).sort(), [...notes].sort(), 'events and rows differ');
  assert.deepEqual(
    audited.map(({ seq, path }) => ({ seq, path })),
    events.map(({ seq, path }) => ({ seq, path })),
    'audit and events differ',
  );
  assert.equal(firstBrokenLine(lines), undefined);
  return notes;
}

test('calls that arrive together share commits', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const wal = (): number => statSync(join(folder, 'records.db-wal')).size;
  const before = wal();
  await Promise.all(Array.from({ length: 400 }, (_, n) => database.call('notes.add', `n${n}`)));
  const frames = (wal() - before) / (4096 + 24);
  // A commit of its own for each call writes at least one page each: 400 frames and more.
  assert.ok(frames < 200, `${frames} pages written for 400 calls`);
  await database.close();
  assert.equal((await assertOneStory(t, folder)).length, 400);
});

test('a call that fails is undone alone, with its events; the others of its batch stand', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const settled = await Promise.allSettled([
    database.call('notes.add', 'a'),
    database.call('notes.fail', 'bad'),
    database.call('notes.add', 'a'),
    database.call('notes.add', 'b'),
  ]);
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
  );
  const [, told, unique] = settled;
  assert.ok(told?.status === 'rejected' && isCode('quota-exceeded')(told.reason) && told.reason.fields.text === 'bad');
  assert.ok(unique?.status === 'rejected' && isCode('database-failed')(unique.reason));
  await database.close();
  assert.deepEqual(await assertOneStory(t, folder), ['a', 'b']);
});

test('an operation that does not exist and a closed store are said so', async (t) => {
  const database = await open(t, tempFolder(t));
  // @ts-expect-error no such operation
  await assert.rejects(database.call('notes.none', null), isCode('internal'));
  await database.close();
  await assert.rejects(database.call('notes.all', null), isCode('database-failed'));
  await database.close();
});

test('calls under way when the store is closed are committed', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const calls = Promise.all(['a', 'b', 'c'].map((text) => database.call('notes.add', text)));
  await database.close();
  await calls;
  assert.deepEqual(await assertOneStory(t, folder), ['a', 'b', 'c']);
});

test('events without a change are durable, numbered and announced', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const announced: number[] = [];
  database.onEvents((lastSeq) => announced.push(lastSeq));
  await database.emit([event('node.started', 1, {}, { version: '1' }), event('node.stopping', 2, {}, { reason: 'test' })]);
  await database.close();
  assert.equal(announced.at(-1), 2);
  assert.deepEqual(
    auditLines(folder).map((line) => (JSON.parse(line) as { name: string }).name),
    ['node.started', 'node.stopping'],
  );
});

test('a commit is in the audit trail when it is announced, while the store stays open', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const announced = new Promise<number>((resolve) => database.onEvents(resolve));
  await database.call('notes.add', 'a');
  assert.equal(await announced, 1);
  assert.equal(auditLines(folder).length, 1);
});

test('an event of the other node that is read twice is recorded once', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const foreign = { ...event('folder.made', 1, {}, { path: 'x' }), origin: { node: 'dmz1', seq: 5 } };
  await database.emit([foreign]);
  await database.emit([foreign, { ...foreign, origin: { node: 'dmz1', seq: 6 } }]);
  await database.close();
  assert.equal(auditLines(folder).length, 2);
});

test('a second opener of the same state folder is refused, at any time, and harms nothing', async (t) => {
  const folder = tempFolder(t);
  const fresh = await open(t, folder);
  await assert.rejects(open(t, folder), isCode('already-running'));
  await fresh.call('notes.add', 'a');
  await fresh.close();
  const quiet = await open(t, folder);
  await assert.rejects(open(t, folder), isCode('already-running'));
  await quiet.close();
  assert.deepEqual(await assertOneStory(t, folder), ['a']);
});

test('a second process on the same state folder is refused', async (t) => {
  const folder = tempFolder(t);
  const database = await open(t, folder);
  const child = spawn(execPath, [writer, folder, 'second'], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const said: Buffer[] = [];
  child.stderr.on('data', (bytes: Buffer) => said.push(bytes));
  const [code] = (await once(child, 'close')) as [number];
  assert.notEqual(code, 0);
  assert.match(Buffer.concat(said).toString(), /already-running/);
  await database.call('notes.add', 'mine');
  await database.close();
  assert.deepEqual(await assertOneStory(t, folder), ['mine']);
});

test('a file of a newer version is refused and left as it is', async (t) => {
  const folder = tempFolder(t);
  await (await open(t, folder)).close();
  const { DatabaseSync } = await import('node:sqlite');
  const file = new DatabaseSync(join(folder, 'records.db'));
  file.exec('PRAGMA user_version=99');
  file.close();
  await assert.rejects(open(t, folder), (error) => isCode('database-failed')(error) && /newer version/.test(String(error)));
});

test('a store begun anew beside an old trail goes on behind its last number', async (t) => {
  const folder = tempFolder(t);
  const first = await open(t, folder);
  for (const text of ['a', 'b', 'c']) await first.call('notes.add', text);
  await first.close();
  for (const name of readdirSync(folder).filter((n) => n.startsWith('records.db'))) rmSync(join(folder, name));
  const second = await open(t, folder);
  await second.call('notes.add', 'd');
  await second.close();
  const audited = auditLines(folder).map((line) => JSON.parse(line) as { seq: number; path: string });
  assert.deepEqual(
    audited.map(({ seq, path }) => `${seq}${path}`),
    ['1a', '2b', '3c', '4d'],
  );
  assert.equal(firstBrokenLine(auditLines(folder)), undefined);
});

test('killed at any moment: what was acknowledged is there, and rows, events and audit agree', async (t) => {
  const folder = tempFolder(t);
  const acknowledged: string[] = [];
  for (let round = 0; round < 6; round += 1) {
    const child = spawn(execPath, [writer, folder, `r${round}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    let said = '';
    const least = 20 + round * 37;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.split('\n').length > least) child.kill('SIGKILL');
    });
    const [, signal] = (await once(child, 'close')) as [number | null, string | null];
    assert.equal(signal, 'SIGKILL', 'the writer ended by itself');
    const [ready, ...texts] = said.split('\n').slice(0, -1);
    assert.equal(ready, 'ready');
    acknowledged.push(...texts);
    const notes = new Set(await assertOneStory(t, folder));
    assert.deepEqual(
      acknowledged.filter((text) => !notes.has(text)),
      [],
    );
  }
  assert.ok(acknowledged.length >= 120);
});

test('after a failed flush nothing more is accepted until a restart, and what was acknowledged is there', async (t) => {
  const folder = tempFolder(t);
  await (await open(t, folder)).close();
  const inject = ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=fsync,fdatasync:error=EIO:when=12'];
  const child = spawn('strace', [...inject, execPath, writer, folder, 'w'], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  let complained = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complained += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 3, complained);
  assert.match(complained, /refused store-suspect then store-suspect/);
  const [, ...acknowledged] = said.split('\n').slice(0, -1);
  assert.ok(acknowledged.length > 0);
  const notes = new Set(await assertOneStory(t, folder));
  assert.deepEqual(
    acknowledged.filter((text) => !notes.has(text)),
    [],
  );
});
