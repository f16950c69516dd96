/** A short, seeded slice of `scripts/fuzz packets`, in front of a whole cache in this process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { openCacheDoor } from '../fixtures/cache-door.ts';
import { eventually } from '../fixtures/eventually.ts';
import { op, RawSftp } from '../fixtures/raw-sftp.ts';
import { PacketFuzz } from './packet-fuzz.ts';
import { mutantAt } from './packet-mutations.ts';

test('a packet of a seed is always the same, and all kinds of them come', () => {
  assert.deepEqual(mutantAt(7, 123), mutantAt(7, 123));
  const kinds = Array.from({ length: 2000 }, (_, n) => mutantAt(7, n).expected.kind);
  for (const kind of ['answered', 'fatal', 'derailed']) assert.ok(kinds.includes(kind as never), kind);
});

test('3,000 mutated packets: each is answered once or ends its own session; no fault of ours, others are served', async () => {
  const errors: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => void errors.push(line) });
  await using door = await openCacheDoor({ log });
  await using other = await RawSftp.connect(door.port);
  const fuzz = new PacketFuzz({
    seed: 20_260_101,
    from: 0,
    count: 3000,
    lanes: 4,
    patienceMs: 60_000,
    connect: () => RawSftp.connect(door.port),
    onBlock: async () => assert.equal((await other.ask(op.stat, '/Inbox')).type, 105),
  });
  const { faults, packets } = await fuzz.run();
  assert.deepEqual(faults, []);
  assert.equal(packets, 3000);
  assert.deepEqual(errors, []);
  await eventually('every session is over', () => door.listener.connections === 1);
  await eventually('and its uploads are closed', () => door.bench.cache.core.live.all().length === 0);
});
