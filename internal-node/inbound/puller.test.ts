import assert from 'node:assert/strict';
import test from 'node:test';
import { systemClock } from '../../shared/clock.ts';
import { silentLogger } from '../../shared/log.ts';
import type { DueItem } from './ledger-queries.ts';
import { Puller, type PullerOptions, pullerDefaults } from './puller.ts';

/** Items of acme never end. @returns how many of them are under way when one of globex is due, and whether that is begun. */
async function crowded(size: number, options: Partial<PullerOptions>): Promise<{ acme: number; globex: boolean }> {
  const due: DueItem[] = Array.from({ length: 60 }, (_, n) => ({ id: `acme-${n}`, partner: 'acme', size }));
  const begun: string[] = [];
  const cut = Promise.withResolvers<void>();
  const puller = new Puller(
    {
      ledger: { call: async (name) => (name === 'ledger.due' ? due.filter(({ id }) => !begun.includes(id)) : 0) as never },
      link: { epoch: () => 1 },
      scan: { look: async () => {}, reset: () => {} },
      delivery: {
        attempt: (id) => {
          begun.push(id);
          return cut.promise;
        },
      },
      recover: async () => {},
      clock: systemClock,
      log: silentLogger,
    },
    { ...pullerDefaults, ...options },
  );
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  };
  await puller.start();
  await settled();
  const acme = begun.length;
  due.push({ id: 'globex-1', partner: 'globex', size });
  puller.wake();
  await settled();
  cut.resolve();
  await puller.stop(AbortSignal.abort());
  return { acme, globex: begun.indexOf('globex-1') === acme };
}

test('items of one partner that do not end leave places for the others', async () => {
  assert.deepEqual(await crowded(1_000_000, { concurrency: 4, streams: 64 }), { acme: 8, globex: true });
  assert.deepEqual(await crowded(10, { concurrency: 4, streams: 64 }), { acme: 32, globex: true });
});

test('and streams of the tunnel: who has a place does not wait behind them for one', async () => {
  assert.deepEqual(await crowded(1_000_000, { concurrency: 4, streams: 8 }), { acme: 2, globex: true });
  assert.deepEqual(await crowded(1_000_000, { concurrency: 64, streams: 32 }), { acme: 8, globex: true });
});
