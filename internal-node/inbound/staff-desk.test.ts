/** Looking at items and taking them by hand. */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTraceOf } from '../../test/fixtures/inside-events.ts';
import { Run, Site } from '../../test/fixtures/inside-hand-over.ts';

const never = new AbortController().signal;
const hold = [{ name: 'hold', source: '', route: { action: 'hold' as const } }];

async function textOf(source: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts).toString();
}

test('hands over a held item, and confirms it only after the taker has it', async () => {
  await using site = await Site.make({ rules: hold });
  await using run = await Run.open(site);
  await run.staff.start();
  const item = await site.upload({ path: '/Inbox/a.csv', contents: [Buffer.from('held'), Buffer.from(' back')] });
  await run.settle();
  {
    await using taken = await run.staff.takeByHand({ partner: 'acme', path: '/Inbox/a.csv' }, never);
    assert.equal(await textOf(taken.read()), 'held back');
    assert.deepEqual(site.dmz.confirmed, []);
    await assert.rejects(run.staff.takeByHand({ item: item.description.id }, never), { code: 'upload-in-progress' });
    await taken.commit(never);
    await taken.commit(never);
  }
  assert.equal(await run.state(item.description.id), 'pulled');
  assert.deepEqual(
    site.dmz.confirmed.map(({ outcome }) => outcome),
    ['pulled'],
  );
  assert.deepEqual(await readdir(join(site.folder, 'state', 'by-hand')), []);
  assert.deepEqual((await readTraceOf(site, run, item)).slice(-2), ['item.pulled', 'item.confirmed']);
  await assert.rejects(run.staff.takeByHand({ item: item.description.id }, never), { code: 'already-collected' });
});

test('a taker may take longer than the lease, unless the item is gone from the DMZ then', async () => {
  await using site = await Site.make({ rules: hold });
  await using run = await Run.open(site);
  await run.staff.start();
  const [slow, removed] = [
    await site.upload({ contents: [Buffer.from('x')] }),
    await site.upload({ contents: [Buffer.from('y')] }),
  ];
  await run.settle();
  // A lease that is over as soon as it was given.
  site.dmz.leaseMs = 0;
  await using taken = await run.staff.takeByHand({ item: slow.description.id }, never);
  await using late = await run.staff.takeByHand({ item: removed.description.id }, never);
  site.dmz.leaseMs = 60_000;
  site.dmz.removed.add(removed.description.id);
  await taken.commit(never);
  await assert.rejects(late.commit(never), { code: 'already-collected' });
  assert.equal(await run.state(slow.description.id), 'pulled');
  assert.equal(await run.state(removed.description.id), 'pulling');
  assert.deepEqual(
    site.dmz.confirmed.map(({ id }) => id),
    [slow.description.id],
  );
});

test('an item that the taker gives up stays where it was', async () => {
  await using site = await Site.make({ rules: hold });
  await using run = await Run.open(site);
  await run.staff.start();
  const item = await site.upload({ contents: [Buffer.from('x')] });
  await run.settle();
  await (await run.staff.takeByHand({ item: item.description.id }, never))[Symbol.asyncDispose]();
  assert.equal(await run.state(item.description.id), 'registered');
  assert.deepEqual(await readdir(join(site.folder, 'state', 'by-hand')), []);
  await using again = await run.staff.takeByHand({ item: item.description.id }, never);
  assert.equal(await textOf(again.read()), 'x');
});

test('does not hand over changed bytes', async () => {
  await using site = await Site.make({ rules: hold });
  await using run = await Run.open(site);
  await run.staff.start();
  const item = await site.upload({ contents: [Buffer.from('x')] });
  await run.settle();
  site.dmz.tamper = (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]);
  await assert.rejects(run.staff.takeByHand({ item: item.description.id }, never), { code: 'content-mismatch' });
  assert.equal(await run.state(item.description.id), 'registered');
  assert.deepEqual(await readdir(join(site.folder, 'state', 'by-hand')), []);
});

test('opens a delivered item, unless somebody changed it', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [Buffer.from('delivered')] });
  await run.settle();
  {
    await using taken = await run.staff.takeByHand({ item: item.description.id }, never);
    assert.equal(await textOf(taken.read()), 'delivered');
    await taken.commit(never);
  }
  await writeFile(join(site.folder, 'delivered', 'acme', 'report.csv'), 'other');
  await assert.rejects(run.staff.takeByHand({ item: item.description.id }, never), { code: 'content-mismatch' });
  await assert.rejects(run.staff.takeByHand({ item: 'a'.repeat(26) }, never), { code: 'item-unknown' });
});

test('asks for the id when several items of the name wait', async () => {
  await using site = await Site.make({ rules: hold });
  await using run = await Run.open(site);
  for (const content of ['1', '2']) await site.upload({ contents: [Buffer.from(content)] });
  await run.settle();
  await assert.rejects(run.staff.takeByHand({ partner: 'acme', path: '/Inbox/report.csv' }, never), { code: 'usage' });
});

test('lists newest first, page by page, by partner and folder', async () => {
  await using site = await Site.make({ rules: hold });
  await using run = await Run.open(site);
  for (const path of ['/Inbox/a/1', '/Inbox/a/2', '/Inbox/ab', '/Inbox/a/3'])
    await site.upload({ path, contents: [Buffer.from('x')] });
  await site.upload({ partner: 'globex', path: '/Inbox/a/4', contents: [Buffer.from('x')] });
  await run.settle();
  const first = await run.staff.list({ partner: 'acme', folder: '/Inbox/a/', limit: 2 });
  assert.deepEqual(
    first.rows.map(({ path }) => path),
    ['/Inbox/a/3', '/Inbox/a/2'],
  );
  const second = await run.staff.list({ partner: 'acme', folder: '/Inbox/a', limit: 2, after: first.next });
  assert.deepEqual([second.rows.map(({ path }) => path), second.next], [['/Inbox/a/1'], undefined]);
  assert.equal((await run.staff.list({ limit: 100, onlyWaiting: true })).rows.length, 5);
  await assert.rejects(run.staff.list({ limit: 1, after: '../' }), { code: 'usage' });
});
