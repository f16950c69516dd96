import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../../shared/log.ts';
import { type Reply, reply } from '../control/replies.ts';
import type { DataConnection } from './data-connection.ts';
import type { DataDoor } from './data-door.ts';
import { TransferSlot } from './transfer-slot.ts';

const connection = { release: () => undefined, destroy: () => undefined } as unknown as DataConnection;
const door: DataDoor = { take: async () => connection, close: () => undefined };

test('the next command is free as soon as the final reply goes out, before it is known to be sent', async () => {
  const said: (readonly [Reply, boolean])[] = [];
  const sent = Promise.withResolvers<void>();
  const final = Promise.withResolvers<void>();
  const slot: TransferSlot = new TransferSlot({
    log: silentLogger,
    onChange: () => undefined,
    send: (answer) => {
      said.push([answer, slot.running]);
      if (answer.code !== 226) return Promise.resolve();
      final.resolve();
      return sent.promise;
    },
  });
  slot.prepare(door);
  slot.begin({ opening: reply(150, 'Go'), move: async () => reply(226, 'Done'), abandon: async () => undefined });
  await final.promise;
  assert.deepEqual(said, [
    [reply(150, 'Go'), true],
    [reply(226, 'Done'), false],
  ]);
  let idle = false;
  const waiting = slot.idle().then(() => {
    idle = true;
  });
  await new Promise(setImmediate);
  assert.equal(idle, false, 'the end of the session waits for the reply');
  sent.resolve();
  await waiting;
});
