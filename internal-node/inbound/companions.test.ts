/** Triggers and second sendings inside (reliability.md §2.9): what is delivered, in which order, and what is not. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Run, Site } from '../../test/fixtures/inside-hand-over.ts';
import type { DoubleItem } from '../redteam/sealed-item.ts';

const digest = (algorithm: string, text: string): string => createHash(algorithm).update(text).digest('hex');

async function send(site: Site, name: string, content: string): Promise<DoubleItem> {
  return await site.upload({ path: `/Inbox/${name}`, contents: [Buffer.from(content)] });
}

/** The DMZ says that the last of them completed the others. */
function pair(files: readonly DoubleItem[], trigger: DoubleItem): void {
  for (const file of files) file.description = { ...file.description, trigger: trigger.description.id };
  trigger.description = { ...trigger.description, releases: files.length };
}

async function delivered(run: Run): Promise<string[]> {
  const events = await run.database.call('ledger.list', { onlyWaiting: false, limit: 100 });
  const files = events.filter(({ state }) => state === 'delivered');
  return files.sort((a, b) => (a.settledAtMs ?? 0) - (b.settledAtMs ?? 0)).map(({ path }) => path.slice('/Inbox/'.length));
}

for (const [algorithm, suffix] of [
  ['sha256', '.sha256'],
  ['md5', '.md5'],
] as const) {
  test(`2.9 trigger: a file whose ${algorithm} is the one its trigger names is delivered, then the trigger`, async () => {
    await using site = await Site.make();
    await using run = await Run.open(site);
    const file = await send(site, 'x.csv', 'data');
    const trigger = await send(site, `x.csv${suffix}`, `${digest(algorithm, 'data')}  x.csv\n`);
    pair([file], trigger);
    await run.settle();
    assert.deepEqual(await delivered(run), ['x.csv', `x.csv${suffix}`]);
    assert.deepEqual(Object.keys(await site.delivered()).sort(), ['acme/x.csv', `acme/x.csv${suffix}`]);
    assert.equal(site.dmz.confirmed.length, 2);
  });

  test(`2.9 trigger: a file whose ${algorithm} is another is set aside, and so is its trigger`, async () => {
    await using site = await Site.make();
    await using run = await Run.open(site);
    const file = await send(site, 'x.csv', 'half of the da');
    const trigger = await send(site, `x.csv${suffix}`, `${digest(algorithm, 'half of the data')}`);
    pair([file], trigger);
    await run.settle();
    assert.deepEqual(await site.delivered(), {});
    for (const { description } of [file, trigger]) assert.equal(await run.state(description.id), 'quarantined');
    assert.deepEqual(await site.drafts(), []);
    assert.deepEqual(site.dmz.confirmed, []);
  });
}

test('2.9 trigger: it waits for every file that it completes, also for one that is not known yet', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const [one, two] = [await send(site, 'a', 'A'), await send(site, 'b', 'B')];
  const trigger = await send(site, 'ALL.done', 'count=2');
  pair([one, two], trigger);
  site.dmz.items.delete(two.description.id);
  await run.settle();
  assert.deepEqual(await delivered(run), ['a']);
  assert.equal(await run.state(trigger.description.id), 'staged');
  two.description = { ...two.description, seq: 99 };
  site.dmz.items.set(two.description.id, two);
  await run.settle();
  assert.deepEqual(await delivered(run), ['a', 'b', 'ALL.done']);
});

test('2.9 trigger: files of which more were counted than came are set aside', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const files = [await send(site, 'a', 'A'), await send(site, 'b', 'B')];
  const trigger = await send(site, 'ALL.done', 'count=3');
  pair(files, trigger);
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  for (const { description } of [...files, trigger]) assert.equal(await run.state(description.id), 'quarantined');
});

test('2.9 trigger: by setting it is not delivered at all, or not looked into', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  run.uploads = { ...run.uploads, trigger: { ...run.uploads.trigger, deliver: 'no', verify: false } };
  const file = await send(site, 'x.csv', 'data');
  const trigger = await send(site, 'x.csv.sha256', 'f'.repeat(64));
  pair([file], trigger);
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/x.csv': 'data' });
  assert.equal(await run.state(trigger.description.id), 'dropped');
  assert.deepEqual(site.dmz.confirmed.map(({ outcome }) => outcome).sort(), ['delivered', 'ignored']);
  assert.deepEqual(await site.drafts(), []);
});

test('2.9 trigger: what the DMZ node calls a trigger is delivered when its name is none that triggers have', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  run.uploads = { ...run.uploads, trigger: { ...run.uploads.trigger, deliver: 'no', verify: false } };
  const [file, called] = [await send(site, 'x.csv', 'data'), await send(site, 'orders.csv', 'orders')];
  pair([file], called);
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/x.csv': 'data', 'acme/orders.csv': 'orders' });
  assert.equal(await run.state(called.description.id), 'delivered');
});

test('2.9 trigger: one that a rule drops, or that is of another partner, delays nothing', async () => {
  const rules = [
    { name: 'no flags', source: '', path: '*.done', route: { action: 'delete' as const } },
    { name: 'all', source: '', route: { action: 'deliver' as const, destination: 'files' } },
  ];
  await using site = await Site.make({ rules });
  await using run = await Run.open(site);
  const file = await send(site, 'x.csv', 'data');
  pair([file], await send(site, 'x.csv.done', ''));
  const other = await send(site, 'y.csv', 'data');
  pair([other], await site.upload({ partner: 'globex', path: '/Inbox/y.csv.sha256', contents: [Buffer.from('0'.repeat(64))] }));
  await run.settle();
  assert.deepEqual((await delivered(run)).filter((name) => name.endsWith('.csv')).sort(), ['x.csv', 'y.csv']);
});

test('2.8 reply to CLOSE lost, 2.9 duplicate: by default it is delivered, and marked as sent again', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const first = await send(site, 'x.csv', 'data');
  await run.settle();
  const second = await send(site, 'x.csv', 'data');
  const [other, name] = [await send(site, 'x.csv', 'atad'), await send(site, 'y.csv', 'data')];
  await run.settle();
  assert.deepEqual(Object.keys(await site.delivered()).length, 4);
  const found = await Promise.all(
    [second, other, name].map(({ description: { id } }) => run.database.call('ledger.find', { id })),
  );
  assert.deepEqual(
    found.map((item) => item?.duplicateOf),
    [first.description.id, null, null],
  );
  const trace = run.database.call('ledger.list', { onlyWaiting: false, limit: 10 });
  assert.equal((await trace).length, 4);
});

test('2.9 duplicate: suppressed, it is fetched, compared and confirmed, but not delivered', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  run.uploads = { ...run.uploads, duplicates: { action: 'suppress', windowMs: 3_600_000 } };
  const both = [await send(site, 'x.csv', 'data'), await send(site, 'x.csv', 'data')]; // at the same time
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/x.csv': 'data' });
  assert.deepEqual(await Promise.all(both.map(({ description }) => run.state(description.id))), ['delivered', 'dropped']);
  assert.deepEqual(site.dmz.confirmed.map(({ outcome }) => outcome).sort(), ['delivered', 'ignored']);
  assert.deepEqual(await site.drafts(), []);
  run.uploads = { ...run.uploads, duplicates: { action: 'suppress', windowMs: -1 } }; // longer ago than the window
  await send(site, 'x.csv', 'data');
  await run.settle();
  assert.equal(Object.keys(await site.delivered()).length, 2);
});

test('2.9 trigger, 2.9 duplicate: an empty flag goes the way of its file, though it is the same each time', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  run.uploads = { ...run.uploads, duplicates: { action: 'suppress', windowMs: 3_600_000 } };
  const states: (string | undefined)[] = [];
  for (const content of ['one', 'two', 'two']) {
    const trigger = await send(site, 'x.csv.done', '');
    pair([await send(site, 'x.csv', content)], trigger);
    await run.settle();
    states.push(await run.state(trigger.description.id));
  }
  assert.deepEqual(states, ['delivered', 'delivered', 'dropped']);
  assert.equal(Object.keys(await site.delivered()).length, 4);
  assert.equal(site.dmz.items.size, 0);
});

test('2.9 duplicate: quarantined, it waits for staff in the DMZ', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  run.uploads = { ...run.uploads, duplicates: { action: 'quarantine', windowMs: 3_600_000 } };
  await send(site, 'x.csv', 'data');
  await run.settle();
  const again = await send(site, 'x.csv', 'data');
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/x.csv': 'data' });
  assert.equal(await run.state(again.description.id), 'quarantined');
  assert.equal(site.dmz.confirmed.length, 1);
  assert.deepEqual(await site.drafts(), []);
});

for (const call of [
  'ledger.register',
  'ledger.twinUnderWay',
  'ledger.triggerOf',
  'ledger.begin',
  'destination.keep',
  'ledger.staged',
  'ledger.filesOf',
  'destination.publish',
  'ledger.delivered',
  'ledger.dropTrigger',
  'destination.discard',
  'link.inbox.confirm',
  'ledger.confirmed',
]) {
  test(`2.9 trigger, 2.9 duplicate: dying after ${call} neither loses nor repeats anything`, async () => {
    await using site = await Site.make();
    const uploads = {
      duplicates: { action: 'suppress' as const, windowMs: 3_600_000 },
      trigger: { verify: true, deliver: 'no' as const, suffixes: ['.sha256'], batch: [] },
    };
    const file = await send(site, 'x.csv', 'data');
    const trigger = await send(site, 'x.csv.sha256', digest('sha256', 'data'));
    pair([file], trigger);
    const again = await send(site, 'x.csv', 'data');
    {
      await using run = await Run.open(site, { when: 'after', call });
      run.uploads = uploads;
      await run.settle().catch(() => undefined);
    }
    site.dmz.linkEpoch = 2;
    await using run = await Run.open(site);
    run.uploads = uploads;
    await run.recoverNow();
    await run.settle();
    await run.settle();
    assert.deepEqual(await site.delivered(), { 'acme/x.csv': 'data' });
    const states = await Promise.all([file, trigger, again].map(({ description }) => run.state(description.id)));
    assert.deepEqual(states, ['delivered', 'dropped', 'dropped']);
    assert.equal(site.dmz.items.size, 0);
    assert.deepEqual(await site.drafts(), []);
  });
}
