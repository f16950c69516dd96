/** A short, seeded slice of `scripts/fuzz handshakes`, in front of a door in this process. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { op, RawSftp } from '../fixtures/raw-sftp.ts';
import { openDoor } from '../fixtures/sftp-door.ts';
import { HandshakeFuzz } from './handshake-fuzz.ts';
import { handshakeAt } from './handshake-mutations.ts';

test('a handshake of a seed is always the same, and no two are', () => {
  assert.deepEqual(handshakeAt(7, 123), handshakeAt(7, 123));
  const texts = Array.from({ length: 500 }, (_, n) => Buffer.concat(handshakeAt(7, n).segments).toString('latin1'));
  assert.ok(new Set(texts).size > 480);
});

test('F52, F54: 400 mutated handshakes end their own connections; no fault of ours, others are served', async () => {
  const errors: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => void errors.push(line) });
  await using door = await openDoor({ view: new MemoryView(), log });
  await using other = await RawSftp.connect(door.port);
  const fuzz = new HandshakeFuzz({
    seed: 20_261_122,
    from: 0,
    count: 400,
    lanes: 16,
    silenceMs: 500,
    port: door.port,
    localAddress: '127.0.0.66',
    onProgress: async () => assert.equal((await other.ask(op.stat, '/Inbox')).type, 105),
  });
  const { faults, handshakes } = await fuzz.run();
  assert.deepEqual(faults, []);
  assert.equal(handshakes, 400);
  assert.deepEqual(errors, []);
  await eventually('every connection is over', () => door.listener.connections === 1);
  await using late = await RawSftp.connect(door.port, { localAddress: '127.0.0.66' });
  assert.equal((await late.ask(op.stat, '/Inbox')).type, 105);
});
