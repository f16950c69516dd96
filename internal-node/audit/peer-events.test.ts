/** The events of a DMZ node in the records of the inside: none twice, none passed over, also when its record store was replaced. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Database } from '../../shared/durable/database.ts';
import { type EventRecord, event } from '../../shared/events/event.ts';
import { silentLogger } from '../../shared/log.ts';
import type { InsideLink } from '../../shared/tunnel/handlers.ts';
import type { WireEvent } from '../../shared/tunnel/messages.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import type { AuditOperations } from './audit-operations.ts';
import { PeerEvents } from './peer-events.ts';

/** Events of one run of a DMZ node; each run has times of its own. */
const told = (run: number, from: number, to: number): WireEvent[] =>
  Array.from({ length: to - from + 1 }, (_, n) => ({
    seq: from + n,
    name: 'folder.made',
    atMs: run * 1000 + from + n,
    fields: { path: `/Inbox/${run}-${from + n}` },
  }));

class Inside implements AsyncDisposable {
  readonly alarms: EventRecord[] = [];
  readonly #folder: string;
  readonly #database: Database<AuditOperations>;

  private constructor(folder: string, database: Database<AuditOperations>) {
    this.#folder = folder;
    this.#database = database;
  }

  static async open(): Promise<Inside> {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-peer-events-'));
    const database = await Database.open<AuditOperations>({
      file: join(folder, 'records.db'),
      operations: new URL('./audit-operations.ts', import.meta.url),
      audit: { folder: join(folder, 'audit'), node: 'inner1' },
    });
    return new Inside(folder, database);
  }

  /** One link to a DMZ node that has these events: reads all of them. */
  async read(events: readonly WireEvent[]): Promise<void> {
    const link = new AbortController();
    const stream = async function* (after: number): AsyncGenerator<Buffer> {
      yield Buffer.from(
        events
          .filter(({ seq }) => seq > after)
          .map((one) => `${JSON.stringify(one)}\n`)
          .join(''),
      );
      // Asked for more: everything before is stored.
      if (after < (events.at(-1)?.seq ?? 0)) link.abort();
    };
    const peer: Partial<InsideLink> = {
      request: async () => ({ lastEvent: events.at(-1)?.seq ?? 0 }) as never,
      openStream: async (_method, params) => stream((params as { after: number }).after),
    };
    const sink = { emit: async (records: readonly EventRecord[]) => void this.alarms.push(...records) };
    const deps = { link: peer as InsideLink, records: this.#database, events: sink, clock: new ManualClock(), log: silentLogger };
    await new PeerEvents(deps).follow('edge1', link.signal);
  }

  /** `node:number` of every event of the audit trail. */
  async audited(): Promise<string[]> {
    await this.#database.auditWritten();
    const folder = join(this.#folder, 'audit');
    const days = await Promise.all((await readdir(folder)).sort().map((day) => readFile(join(folder, day), 'utf8')));
    const lines = days.join('').trimEnd().split('\n');
    return lines
      .map((line) => JSON.parse(line) as { node: string; originSeq: number })
      .map((line) => `${line.node}:${line.originSeq}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const replaced = (last: number) => event('store.replaced', 1_800_000_000_000, {}, { peer: 'edge1', last });

test('goes on where the last link ended', async () => {
  await using inside = await Inside.open();
  await inside.read(told(1, 1, 3));
  await inside.read(told(1, 1, 5));
  assert.deepEqual(await inside.audited(), ['edge1:1', 'edge1:2', 'edge1:3', 'edge1:4', 'edge1:5']);
  assert.deepEqual(inside.alarms, []);
});

test('reads a record store that was begun anew from its beginning, although its numbers were there before', async () => {
  await using inside = await Inside.open();
  await inside.read(told(1, 1, 4));
  await inside.read(told(2, 1, 2));
  await inside.read(told(2, 1, 6));
  assert.deepEqual((await inside.audited()).slice(4), [
    'edge1#2:1',
    'edge1#2:2',
    'edge1#2:3',
    'edge1#2:4',
    'edge1#2:5',
    'edge1#2:6',
  ]);
  assert.deepEqual(inside.alarms, [replaced(4)]);
});

test('notices a store that was begun anew also when it has told more than the one before', async () => {
  await using inside = await Inside.open();
  await inside.read(told(1, 1, 2));
  await inside.read(told(2, 1, 3));
  assert.deepEqual((await inside.audited()).slice(2), ['edge1#2:1', 'edge1#2:2', 'edge1#2:3']);
  assert.deepEqual(inside.alarms, [replaced(2)]);
});

test('a restored store is followed from its backup on, and what it tells a second time is passed over', async () => {
  await using inside = await Inside.open();
  await inside.read(told(1, 1, 5));
  await inside.read([...told(1, 1, 3), ...told(2, 4, 6)]);
  await inside.read([...told(1, 1, 3), ...told(2, 4, 7)]);
  await inside.read([...told(1, 1, 3), ...told(3, 4, 4)]);
  assert.deepEqual((await inside.audited()).slice(5), ['edge1#2:4', 'edge1#2:5', 'edge1#2:6', 'edge1#2:7', 'edge1#3:4']);
  assert.deepEqual(inside.alarms, [replaced(5), replaced(7)]);
});

test('numbers that are missing, as when the records are younger than the audit trail, are no other store', async () => {
  await using inside = await Inside.open();
  await inside.read(told(1, 1, 5));
  await inside.read([...told(1, 1, 2), ...told(2, 6, 7)]);
  assert.deepEqual((await inside.audited()).slice(5), ['edge1:6', 'edge1:7']);
  assert.deepEqual(inside.alarms, []);
});
