/** The chain of the audit trail: what breaks it, what survives a torn line, a new day and fields that lie. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SallyportError } from '../errors.ts';
import { AuditTrail, auditLine, firstBrokenLine } from './audit-trail.ts';
import { eventCatalogue } from './catalogue.ts';
import type { NumberedEvent } from './event.ts';

function tempFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'audit-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

const made = (seq: number, fields: NumberedEvent['fields'] = { path: `/Inbox/${seq}` }): NumberedEvent => ({
  seq,
  name: 'folder.made',
  atMs: Date.UTC(2026, 0, 2) + seq,
  trace: 't',
  partner: 'acme',
  fields,
});
const range = (from: number, to: number): NumberedEvent[] => Array.from({ length: to - from + 1 }, (_, n) => made(from + n));
const files = (folder: string): string[] => readdirSync(folder).sort();
const lines = (folder: string): string[] =>
  files(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean));
const numbers = (folder: string): number[] => lines(folder).map((line) => (JSON.parse(line) as { seq: number }).seq);

function opened(folder: string, now?: () => Date): { trail: AuditTrail; last: number } {
  const trail = new AuditTrail({ folder, node: 'dmz1' }, (error) => assert.fail(String(error)), now);
  return { trail, last: trail.open() };
}

test('every line follows from the one before, over batches and restarts', (t) => {
  const folder = tempFolder(t);
  const first = opened(folder);
  assert.equal(first.last, 0);
  assert.equal(first.trail.append(range(1, 3)), 3);
  assert.equal(first.trail.append(range(4, 4)), 4);
  first.trail.close();
  const second = opened(folder);
  assert.equal(second.last, 4);
  second.trail.append(range(5, 6));
  second.trail.close();
  assert.deepEqual(numbers(folder), [1, 2, 3, 4, 5, 6]);
  assert.equal(firstBrokenLine(lines(folder)), undefined);
  assert.match(lines(folder)[0] ?? '', /"prev":"0{64}"/);
});

test('a changed, removed, inserted or swapped line is found', (t) => {
  const folder = tempFolder(t);
  const { trail } = opened(folder);
  trail.append(range(1, 5));
  trail.close();
  const good = lines(folder);
  const changed = good.map((line, index) => (index === 2 ? line.replace('/Inbox/3', '/Inbox/9') : line));
  assert.equal(firstBrokenLine(changed), 4);
  assert.equal(firstBrokenLine(good.toSpliced(2, 1)), 3);
  assert.equal(firstBrokenLine(good.toSpliced(2, 0, good[1] ?? '')), 3);
  assert.equal(firstBrokenLine(good.toSpliced(1, 2, good[2] ?? '', good[1] ?? '')), 2);
});

test('a torn last line is cut off and its event is written again', (t) => {
  const folder = tempFolder(t);
  const first = opened(folder);
  first.trail.append(range(1, 3));
  first.trail.close();
  const path = join(folder, files(folder)[0] ?? '');
  truncateSync(path, statSync(path).size - 10);
  const second = opened(folder);
  assert.equal(second.last, 2);
  assert.ok(readFileSync(path, 'utf8').endsWith('\n'));
  second.trail.append(range(3, 4));
  second.trail.close();
  assert.deepEqual(numbers(folder), [1, 2, 3, 4]);
  assert.equal(firstBrokenLine(lines(folder)), undefined);
});

test('a tail of zero bytes after a power cut is cut off, even when it is longer than what is read first', (t) => {
  const folder = tempFolder(t);
  const first = opened(folder);
  first.trail.append(range(1, 2));
  first.trail.close();
  appendFileSync(join(folder, files(folder)[0] ?? ''), Buffer.alloc(300_000));
  const second = opened(folder);
  assert.equal(second.last, 2);
  second.trail.append(range(3, 3));
  second.trail.close();
  assert.equal(firstBrokenLine(lines(folder)), undefined);
  assert.deepEqual(numbers(folder), [1, 2, 3]);
});

test('a last line longer than what is read first is found whole', (t) => {
  const folder = tempFolder(t);
  const first = opened(folder);
  first.trail.append([made(1), made(2, { path: 'x'.repeat(200_000) })]);
  first.trail.close();
  const second = opened(folder);
  assert.equal(second.last, 2);
  second.trail.append(range(3, 3));
  second.trail.close();
  assert.equal(firstBrokenLine(lines(folder)), undefined);
});

test('a file with nothing but a torn line hands over to the day before', (t) => {
  const folder = tempFolder(t);
  const first = opened(folder);
  first.trail.append(range(1, 2));
  first.trail.close();
  writeFileSync(join(folder, '9999-12-31.jsonl'), '{"seq":3');
  assert.equal(opened(folder).last, 2);
});

test('a whole last line that is damaged stops the start and stays as evidence', (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, '2026-01-02.jsonl'), '{"seq":"7"}\n');
  assert.throws(
    () => opened(folder),
    (error) => error instanceof SallyportError && error.code === 'database-failed' && error.message.includes('2026-01-02.jsonl'),
  );
  assert.equal(readFileSync(join(folder, '2026-01-02.jsonl'), 'utf8'), '{"seq":"7"}\n');
});

test('a new UTC day begins a new file and the chain goes on', (t) => {
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.UTC(2026, 4, 6, 23, 59, 59) });
  const folder = tempFolder(t);
  const { trail } = opened(folder);
  trail.append(range(1, 2));
  t.mock.timers.setTime(Date.UTC(2026, 4, 7, 0, 0, 1));
  trail.append(range(3, 4));
  trail.close();
  assert.deepEqual(files(folder), ['2026-05-06.jsonl', '2026-05-07.jsonl']);
  assert.deepEqual(numbers(folder), [1, 2, 3, 4]);
  assert.equal(firstBrokenLine(lines(folder)), undefined);
  assert.equal(opened(folder).last, 4);
});

test('no field of an event can speak for the trail', () => {
  const lies = JSON.parse(
    '{"seq":99,"prev":"no","name":"node.started","event":"SP-1","time":"never","node":"inside","item":"i","__proto__":"p","toJSON":"x","path":"a"}',
  ) as NumberedEvent['fields'];
  const line = JSON.parse(auditLine(made(7, lies), 'dmz1', 'f'.repeat(64))) as Record<string, unknown>;
  assert.equal(line.seq, 7);
  assert.equal(line.prev, 'f'.repeat(64));
  assert.equal(line.name, 'folder.made');
  assert.equal(line.event, 'SP-1414');
  assert.equal(line.node, 'dmz1');
  assert.equal(line.time, '2026-01-02T00:00:00.007Z');
  assert.equal(line.item, undefined);
  assert.equal(line.path, 'a');
});

test('a hostile value stays within its line', (t) => {
  const folder = tempFolder(t);
  const { trail } = opened(folder);
  trail.append([made(1, { path: 'a\n{"seq":2}\r\u2028\u0000' }), made(2)]);
  trail.close();
  assert.deepEqual(numbers(folder), [1, 2]);
});

test('an event of the other node keeps who recorded it and its number there', () => {
  const line = JSON.parse(auditLine({ ...made(8), origin: { node: 'dmz1', seq: 3 } }, 'inside1', '')) as Record<string, unknown>;
  assert.deepEqual([line.seq, line.node, line.originSeq], [8, 'dmz1', 3]);
});

test('no event of the catalogue has a field that the trail keeps for itself', () => {
  const own = Object.keys(
    JSON.parse(auditLine({ ...made(1, {}), item: 'i', session: 's', origin: { node: 'n', seq: 1 } }, 'n', '')),
  );
  assert.ok(own.includes('originSeq') && own.includes('prev'));
  for (const [name, { fields }] of Object.entries(eventCatalogue)) {
    assert.deepEqual(
      Object.keys(fields).filter((field) => own.includes(field)),
      [],
      name,
    );
  }
});

test('every event has its own number', () => {
  const ids = Object.values(eventCatalogue).map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});

test('a line holds no character that drives a terminal, and tells the same text', () => {
  const path = '/Inbox/\u001b[2J\u009b2J\r\n\u2028\u202efdp';
  const line = auditLine(made(1, { path }), 'dmz1', '0'.repeat(64));
  assert.doesNotMatch(line, /[\p{Cc}\u2028\u202e]/u);
  assert.equal((JSON.parse(line) as { path: string }).path, path);
});

test('a clock that goes back over midnight breaks no chain and repeats no event', (t) => {
  const folder = tempFolder(t);
  let today = '2026-03-02';
  const now = (): Date => new Date(`${today}T12:00:00Z`);
  const first = opened(folder, now);
  first.trail.append(range(1, 2));
  today = '2026-03-01';
  first.trail.append(range(3, 4));
  first.trail.close();
  const second = opened(folder, now);
  assert.equal(second.last, 4);
  second.trail.append(range(5, 5));
  today = '2026-03-03';
  second.trail.append(range(6, 6));
  second.trail.close();
  assert.deepEqual(files(folder), ['2026-03-02.jsonl', '2026-03-03.jsonl']);
  assert.deepEqual(numbers(folder), [1, 2, 3, 4, 5, 6]);
  assert.equal(firstBrokenLine(lines(folder)), undefined);
});
