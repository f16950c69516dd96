/** The watcher as a service: a real notice of the file system leads to a claim long before the next full look. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../shared/clock.ts';
import { silentLogger } from '../../shared/log.ts';
import { OutgoingFolder } from './outgoing-folder.ts';
import { type FinishedFile, OutgoingWatcher, watcherDefaults } from './watcher.ts';

test('makes the folders of partners, notices a new file by itself, and stops', async () => {
  const path = await mkdtemp(join(tmpdir(), 'sallyport-watch-'));
  try {
    const claimed = Promise.withResolvers<FinishedFile>();
    const sender = { hasRoom: async () => true, claim: async (file: FinishedFile) => claimed.resolve(file) };
    const events = { emit: async () => undefined };
    const partners = { names: () => ['acme'] };
    const deps = { folder: new OutgoingFolder(path), partners, sender, events, clock: systemClock, log: silentLogger };
    const watcher = new OutgoingWatcher(deps, {
      ...watcherDefaults,
      path,
      settleMs: 50,
      rescanMs: 3_600_000,
      ignored: () => false,
    });
    await watcher.start();
    await new Promise((resolve) => setTimeout(resolve, 700)); // the first look is over: only a notice can lead to the next
    await writeFile(join(path, 'acme', 'a.csv'), 'content');
    const { partner, path: shown, size } = await claimed.promise;
    await watcher.stop(AbortSignal.timeout(1000));
    assert.deepEqual([partner, shown, size], ['acme', '/Outbox/a.csv', 7]);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
});
