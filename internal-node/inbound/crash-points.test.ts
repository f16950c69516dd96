/** Dies at every step S13–S21 of the hand-over, starts again, and looks for exactly one delivered file. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync } from 'node:fs';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTraceOf } from '../../test/fixtures/inside-events.ts';
import { type DeathPoint, Run, Site } from '../../test/fixtures/inside-hand-over.ts';

const points: readonly DeathPoint[] = [
  { when: 'after', call: 'ledger.register' },
  { when: 'before', call: 'link.inbox.collect' },
  { when: 'after', call: 'ledger.begin' }, // S13
  { when: 'after', call: 'destination.stage' },
  { when: 'before', call: 'destination.keep' }, // S14, S15
  { when: 'after', call: 'destination.keep' },
  { when: 'after', call: 'destination.plan' }, // S16
  { when: 'before', call: 'ledger.staged' },
  { when: 'after', call: 'ledger.staged' }, // S17
  { when: 'before', call: 'destination.publish' }, // S18
  { when: 'after', call: 'destination.publish' }, // S19
  { when: 'before', call: 'ledger.delivered' },
  { when: 'after', call: 'ledger.delivered' }, // S20
  { when: 'before', call: 'link.inbox.confirm' },
  { when: 'before', call: 'ledger.confirmed' }, // S21, the answer was lost
  { when: 'after', call: 'ledger.confirmed' },
];

for (const onExisting of ['number', 'replace'] as const) {
  for (const death of points) {
    test(`delivers once when it dies ${death.when} ${death.call} (${onExisting})`, async () => {
      await using site = await Site.make({ destination: { onExisting } });
      const item = await site.upload({ contents: [Buffer.from('content')] });
      await using run = await site.dieAndRecover(death);
      assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
      assert.deepEqual(await site.drafts(), []);
      assert.equal(site.dmz.items.size, 0);
      assert.equal(await run.state(item.description.id), 'delivered');
      const events = await readTraceOf(site, run, item);
      assert.equal(events.filter((name) => name === 'item.delivered').length, 1);
      assert.equal(events.filter((name) => name === 'item.confirmed').length, 1);
    });
  }
}

for (const death of [
  { when: 'before', call: 'link.inbox.lease' },
  { when: 'before', call: 'link.inbox.read' },
  { when: 'after', call: 'ledger.staged' },
] as const) {
  test(`delivers once when it dies ${death.when} ${death.call} of an item that is read by itself`, async () => {
    await using site = await Site.make();
    site.dmz.collects = false;
    const item = await site.upload({ contents: [Buffer.from('con'), Buffer.from('tent')] });
    {
      await using run = await Run.open(site, death);
      await run.settle().catch(() => undefined);
    }
    await using run = await Run.open(site);
    await run.recoverNow();
    await run.settle();
    assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
    assert.equal(await run.state(item.description.id), 'delivered');
  });
}

async function diesStaged(site: Site, call: DeathPoint): Promise<string> {
  const item = await site.upload({ contents: [Buffer.from('content')] });
  await using run = await Run.open(site, call);
  await run.settle().catch(() => undefined);
  return item.description.id;
}

test('S19 (b): a draft that has its final name already is not published again, not even when its taker moved it', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  const folder = join(site.folder, 'delivered');
  mkdirSync(join(folder, 'acme'), { recursive: true });
  linkSync(join(folder, '.sallyport-staging', id), join(folder, 'acme', 'taken.csv'));
  await using run = await Run.open(site);
  await run.recoverNow();
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/taken.csv': 'content' });
  assert.deepEqual(await site.drafts(), []);
});

test('S19 (c): a delivered file that a consumer took is not delivered again', async () => {
  await using site = await Site.make();
  await diesStaged(site, { when: 'before', call: 'ledger.delivered' });
  await rm(join(site.folder, 'delivered', 'acme', 'report.csv'));
  await using run = await Run.open(site);
  await run.recoverNow();
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  assert.equal(site.dmz.confirmed.length, 1);
});

test('a destination that is not mounted after a crash does not count as delivered', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  const staging = join(site.folder, 'delivered', '.sallyport-staging');
  const kept = join(site.folder, 'unmounted');
  await rename(staging, kept);
  await using run = await Run.open(site);
  await run.recoverNow();
  await run.settle();
  assert.equal(await run.state(id), 'staged');
  assert.deepEqual(site.dmz.confirmed, []);
  await rm(staging, { recursive: true, force: true });
  await rename(kept, staging);
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
});

test('a staged draft that was damaged meanwhile is fetched anew', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  await writeFile(join(site.folder, 'delivered', '.sallyport-staging', id), 'damaged');
  await using run = await Run.open(site);
  await run.recoverNow();
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
  assert.equal(site.dmz.reads, 2);
});

test('drafts without a record are removed at start', async () => {
  await using site = await Site.make();
  await diesStaged(site, { when: 'before', call: 'destination.keep' });
  assert.equal((await site.drafts()).length, 1);
  await using run = await Run.open(site);
  await run.recoverNow();
  assert.deepEqual(await site.drafts(), []);
});

test('nothing is published on a lease that ran out', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [Buffer.from('content')] });
  // The link goes while the bytes flow: the lease is worth nothing from then on.
  site.dmz.tamper = (bytes) => {
    site.dmz.linkEpoch = undefined;
    return bytes;
  };
  await run.puller.pass();
  assert.deepEqual(await site.delivered(), {});
  assert.equal(await run.state(item.description.id), 'staged');
  site.dmz.linkEpoch = 2;
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
  assert.deepEqual(await readdir(join(site.folder, 'delivered', 'acme')), ['report.csv']);
});

test('a staged draft that somebody removed does not count as delivered; it is fetched anew', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  await rm(join(site.folder, 'delivered', '.sallyport-staging', id));
  await using run = await Run.open(site);
  await run.recoverNow();
  assert.equal(await run.state(id), 'staged');
  assert.deepEqual(site.dmz.confirmed, []);
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
  assert.deepEqual(await site.drafts(), []);
  assert.equal(site.dmz.reads, 2);
});

test('an item that the DMZ lost after it was staged is delivered: the draft is the only copy', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  site.dmz.items.delete(id);
  await using run = await Run.open(site);
  await run.recoverNow();
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
  assert.equal(await run.state(id), 'delivered');
  assert.deepEqual(await site.drafts(), []);
});

test('an item that was removed in the DMZ after it was staged is neither delivered nor kept', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  site.dmz.items.delete(id);
  site.dmz.removed.add(id);
  await using run = await Run.open(site);
  await run.recoverNow();
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  assert.equal(await run.state(id), 'gone');
  assert.deepEqual(await site.drafts(), []);
});

test('an item that was put off while the clock was far ahead does not wait until that date', async () => {
  await using site = await Site.make();
  const id = await diesStaged(site, { when: 'before', call: 'destination.publish' });
  await using run = await Run.open(site);
  const nowMs = Date.now();
  const putOff = { id, nextAttemptMs: nowMs + 400 * 86_400_000, nowMs, failure: null, mismatch: false };
  await run.database.call('ledger.retry', putOff);
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  await run.database.call('ledger.unpark', { nowMs });
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
});
