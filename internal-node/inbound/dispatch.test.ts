/** What rules do inside, on the real records and folders: actions, several destinations, names that are taken, failures. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PlanOfRule, Rule } from '../../shared/policy.ts';
import { eventsOf, readTraceOf } from '../../test/fixtures/inside-events.ts';
import { type DeathPoint, Run, Site } from '../../test/fixtures/inside-hand-over.ts';

const text = (content: string): Buffer => Buffer.from(content);

/** One rule for everything. */
function planned(action: PlanOfRule['action'], destinations: readonly string[], more: Partial<PlanOfRule> = {}): readonly Rule[] {
  const plan = { action, targets: destinations.map((destination) => ({ destination })), ...more };
  const kept = action === 'copy';
  const route: Rule['route'] = kept ? { action: 'hold' } : { action: 'deliver', destination: destinations[0] ?? '' };
  return [{ name: 'all', source: 'rules.yaml:1', route, plan }];
}

const three = { second: {}, third: {} } as const;
const all = ['files', 'second', 'third'];
const rootsOf = (site: Site) => Promise.all(['delivered', 'second', 'third'].map((at) => site.delivered(at)));

/** A destination that cannot be used until it is put back. */
async function away(site: Site, name: string): Promise<{ back(): Promise<void> }> {
  const [folder, kept] = [join(site.folder, name), join(site.folder, `${name}-away`)];
  await rename(folder, kept);
  return { back: () => rename(kept, folder) };
}

test('FD-09: a copy goes to its destinations in their order, stops at the first failure, and the DMZ keeps the file', async () => {
  await using site = await Site.make({ rules: planned('copy', all), more: three });
  await using run = await Run.open(site);
  const item = await site.upload({ path: '/Inbox/in/a.csv', contents: [text('one')] });
  const second = await away(site, 'second');
  await run.settle();
  assert.deepEqual([await site.delivered(), await site.delivered('third')], [{ 'a.csv': 'one' }, {}]);
  assert.ok((await readTraceOf(site, run, item)).includes('item.delivery-failed'));
  await second.back();
  await run.settle();
  assert.deepEqual(await rootsOf(site), [{ 'a.csv': 'one' }, { 'a.csv': 'one' }, { 'a.csv': 'one' }]);
  assert.deepEqual([site.dmz.confirmed.length, site.dmz.items.size], [0, 1], 'the source is kept');
  assert.equal(await run.state(item.description.id), 'registered');
  const reads = site.dmz.reads;
  await run.settle();
  assert.equal(site.dmz.reads, reads, 'and nothing more is done with it');
});

test('FD-10, FD-37: a move ends when the last destination has the file, and the audit names all of them', async () => {
  await using site = await Site.make({ rules: planned('move', all), more: three });
  await using run = await Run.open(site);
  const item = await site.upload({ path: '/Inbox/in/a.csv', contents: [text('one')] });
  const third = await away(site, 'third');
  await run.settle();
  assert.deepEqual([await site.delivered('second'), site.dmz.confirmed.length], [{ 'a.csv': 'one' }, 0]);
  await third.back();
  await run.settle();
  assert.deepEqual(await rootsOf(site), [{ 'a.csv': 'one' }, { 'a.csv': 'one' }, { 'a.csv': 'one' }]);
  assert.equal(site.dmz.confirmed.length, 1);
  assert.equal(site.dmz.reads, 1, 'what one destination has need not come again');
  const events = await eventsOf(site, run, item);
  assert.deepEqual(
    events.filter(({ name }) => name === 'item.delivered').map(({ destination }) => destination),
    all,
  );
  const [done] = events.filter(({ name }) => name === 'item.dispatched');
  assert.equal(done?.partner, 'acme');
  const { path, source, destinations } = done ?? {};
  assert.deepEqual([path, done?.action, source], ['/Inbox/in/a.csv', 'move', 'taken']);
  assert.equal(destinations, 'files: a.csv; second: a.csv; third: a.csv');
});

test('a file that its first destination gave away or changed is fetched again for the second', async () => {
  await using site = await Site.make({ rules: planned('deliver', ['files', 'second']), more: three });
  await using run = await Run.open(site);
  const second = await away(site, 'second');
  await site.upload({ path: '/Inbox/gone', contents: [text('one')] });
  await site.upload({ path: '/Inbox/changed', contents: [text('two')] });
  await run.settle();
  await rm(join(site.folder, 'delivered/acme/gone'));
  await chmod(join(site.folder, 'delivered/acme/changed'), 0o600);
  await writeFile(join(site.folder, 'delivered/acme/changed'), 'TWO');
  await second.back();
  await run.settle();
  assert.deepEqual(await site.delivered('second'), { 'acme/gone': 'one', 'acme/changed': 'two' });
  assert.deepEqual([site.dmz.reads, site.dmz.confirmed.length], [4, 2]);
});

const between: readonly DeathPoint[] = [
  { when: 'before', call: 'ledger.delivered' },
  { when: 'after', call: 'ledger.delivered' },
  { when: 'before', call: 'second.stage' },
  { when: 'after', call: 'second.stage' },
  { when: 'after', call: 'second.keep' },
  { when: 'before', call: 'second.publish' },
  { when: 'after', call: 'second.publish' },
  { when: 'before', call: 'link.inbox.confirm' },
];
for (const action of ['move', 'copy'] as const) {
  // What is kept differs from what is taken only at the end.
  for (const death of action === 'move' ? between : between.slice(-2)) {
    test(`FD-39: ${action} to two destinations gives each the file once when it dies ${death.when} ${death.call}`, async () => {
      await using site = await Site.make({ rules: planned(action, ['files', 'second']), more: three });
      const item = await site.upload({ contents: [text('content')] });
      await using run = await site.dieAndRecover(death);
      assert.deepEqual(await rootsOf(site), [{ 'report.csv': 'content' }, { 'report.csv': 'content' }, {}]);
      assert.deepEqual([await site.drafts(), await site.drafts('second')], [[], []]);
      const names = await readTraceOf(site, run, item);
      assert.equal(names.filter((name) => name === 'item.delivered').length, 2);
      assert.equal(site.dmz.items.size, action === 'move' ? 0 : 1);
    });
  }
}

/** A destination on a file system of its own, of 1 MiB. */
function smallDisk(folder: string): Disposable {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'sallyport-test', folder]);
  return { [Symbol.dispose]: () => void execFileSync('umount', ['-l', folder]) };
}

test('FD-40: a destination on another disk that is full gets nothing and keeps nobody from the others; with room it gets the file', async () => {
  await using site = await Site.make({ rules: planned('move', ['files', 'second']), more: three });
  using _disk = smallDisk(join(site.folder, 'second'));
  await using run = await Run.open(site);
  const filler = join(site.folder, 'second', 'filler');
  await writeFile(filler, Buffer.alloc(900 * 1024));
  const big = Buffer.alloc(300 * 1024, 'x');
  await site.upload({ path: '/Inbox/big', contents: [big] });
  await run.settle();
  assert.deepEqual(Object.keys(await site.delivered()), ['big']);
  assert.deepEqual([Object.keys(await site.delivered('second')), site.dmz.confirmed.length], [['filler'], 0]);
  await rm(filler);
  await run.settle();
  assert.deepEqual(await site.delivered('second'), { big: big.toString() });
  assert.equal(site.dmz.confirmed.length, 1);
});

test('FD-11: move-with-timestamp: a hundred files of one name lie side by side', async () => {
  await using site = await Site.make({ rules: planned('move-with-timestamp', ['files']) });
  await using run = await Run.open(site);
  for (let n = 0; n < 50; n += 1) {
    await site.upload({ path: '/Inbox/a.xml', contents: [text(`${n}`)] });
    await site.upload({ path: '/Inbox/plain', contents: [text(`${n}`)] });
  }
  await run.settle();
  const names = Object.keys(await site.delivered());
  assert.equal(names.length, 100);
  const moment = '\\d{4}-\\d\\d-\\d\\d-\\d\\d-\\d\\d-\\d\\d-\\d{6}-\\d{3}( \\(\\d+\\))?';
  assert.equal(names.filter((name) => new RegExp(`^a\\.${moment}\\.xml$`).test(name)).length, 50);
  assert.equal(names.filter((name) => new RegExp(`^plain\\.${moment}$`).test(name)).length, 50);
});

test('FD-14: rename-prepend-unixtime puts seconds and a fraction before the name', async () => {
  await using site = await Site.make({ rules: planned('rename-prepend-unixtime', ['files']) });
  await using run = await Run.open(site);
  await site.upload({ path: '/Inbox/x/a.xml', contents: [text('a')] });
  await run.settle();
  const [name = ''] = Object.keys(await site.delivered());
  assert.match(name, /^0\.001\d{3}-a\.xml$/); // the double's items are complete at 1 ms
});

test('FD-12, FD-13: rename never replaces and never puts a number: it fails, and both files stay as they are', async () => {
  await using site = await Site.make({ rules: planned('rename', ['files']), destination: { onExisting: 'replace' } });
  await using run = await Run.open(site);
  await writeFile(join(site.folder, 'delivered', 'report.csv'), 'theirs');
  const item = await site.upload({ contents: [text('ours')] });
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'report.csv': 'theirs' });
  assert.deepEqual([site.dmz.confirmed.length, site.dmz.items.size], [0, 1]);
  assert.ok((await readTraceOf(site, run, item)).includes('item.delivery-failed'));
  await rm(join(site.folder, 'delivered', 'report.csv'));
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'report.csv': 'ours' });
});

test('FD-30: a name that is taken gets a number, is replaced, fails, or is skipped, as the rule says', async () => {
  const onto = async (onExisting: PlanOfRule['onExisting'] & string) => {
    await using site = await Site.make({ rules: planned('move', ['files', 'second'], { onExisting }), more: three });
    await using run = await Run.open(site);
    await writeFile(join(site.folder, 'delivered', 'report.csv'), 'old');
    const item = await site.upload({ contents: [text('new')] });
    await run.settle();
    const names = new Set(await readTraceOf(site, run, item));
    const told = (['item.replaced', 'item.skipped', 'item.delivery-failed'] as const).filter((name) => names.has(name));
    const taken = site.dmz.confirmed.length;
    return { files: await site.delivered(), second: await site.delivered('second'), told, taken, drafts: await site.drafts() };
  };
  const second = { 'report.csv': 'new' };
  const rest = { second, taken: 1, drafts: [] };
  const files = { 'report.csv': 'old' };
  assert.deepEqual(await onto('number'), { files: { ...files, 'report (2).csv': 'new' }, told: [], ...rest });
  assert.deepEqual(await onto('replace'), { files: { 'report.csv': 'new' }, told: ['item.replaced'], ...rest });
  const failed = await onto('fail');
  assert.deepEqual(
    { ...failed, drafts: failed.drafts.length },
    { files, second: {}, told: ['item.delivery-failed'], taken: 0, drafts: 1 },
  );
  assert.deepEqual(await onto('skip'), { files, second, told: ['item.skipped'], taken: 0, drafts: [] });
});

test('what was skipped stays in the DMZ until staff pull it', async () => {
  await using site = await Site.make({ rules: planned('deliver', ['files'], { onExisting: 'skip' }) });
  await using run = await Run.open(site);
  await mkdir(join(site.folder, 'state/by-hand'), { recursive: true });
  await mkdir(join(site.folder, 'delivered/acme'));
  await writeFile(join(site.folder, 'delivered/acme/report.csv'), 'theirs');
  const { description } = await site.upload({ contents: [text('ours')] });
  await run.settle();
  const found = await run.database.call('ledger.find', { id: description.id });
  assert.deepEqual([found?.state, found?.todo, found?.reason], ['registered', '', 'a file of its name was at files']);
  await using taken = await run.staff.takeByHand({ item: description.id }, new AbortController().signal);
  const parts: Buffer[] = [];
  for await (const part of taken.read()) parts.push(part);
  await taken.commit(new AbortController().signal);
  assert.equal(Buffer.concat(parts).toString(), 'ours');
  assert.equal(await run.state(description.id), 'pulled');
});

test('FD-31: of the folders above a file all are made, one, or none', async () => {
  const path = '/Inbox/one/two/a.csv';
  for (const [makeFolders, partnerThere, expected] of [
    ['all', false, ['acme/one/two/a.csv']],
    ['parent', false, []],
    ['parent', true, ['acme/one/two/a.csv']],
    ['none', true, []],
  ] as const) {
    await using site = await Site.make({ rules: planned('deliver', ['files']), destination: { makeFolders } });
    await using run = await Run.open(site);
    if (partnerThere) await mkdir(join(site.folder, 'delivered/acme/one'), { recursive: true });
    await site.upload({ path, contents: [text('x')] });
    await run.settle();
    assert.deepEqual(Object.keys(await site.delivered()), expected, `${makeFolders}, ${partnerThere}`);
    const made = await readdir(join(site.folder, 'delivered'));
    assert.equal(made.includes('acme'), partnerThere || makeFolders === 'all');
  }
});

test('FD-32: what fails is tried again, as often as its rule allows; then it waits for staff, who may have it tried again', async () => {
  await using site = await Site.make({ rules: planned('move', ['second'], { retry: { limit: 3, waitMs: 1 } }), more: three });
  await using run = await Run.open(site);
  const second = await away(site, 'second');
  const item = await site.upload({ contents: [text('x')] });
  const { id } = item.description;
  await run.settle();
  const names = await readTraceOf(site, run, item);
  assert.equal(names.filter((name) => name === 'item.delivery-failed').length, 3);
  assert.equal(names.filter((name) => name === 'item.given-up').length, 1);
  await second.back();
  await run.settle();
  assert.deepEqual(await site.delivered('second'), {}, 'it waits for staff');
  assert.match((await run.database.call('ledger.find', { id }))?.reason ?? '', /^given up after 3 failures/);
  assert.equal(await run.database.call('ledger.tryAgain', { id, nowMs: 1 }), true);
  await run.settle();
  assert.deepEqual(await site.delivered('second'), { 'report.csv': 'x' });
  assert.equal(await run.database.call('ledger.tryAgain', { id, nowMs: 1 }), false);
});

test('FD-32: a destination that is mended between two attempts gets the file at the second', async () => {
  const retry = { limit: 3, waitMs: 3_600_000 };
  await using site = await Site.make({ rules: planned('move', ['second'], { retry }), more: three });
  await using run = await Run.open(site);
  const second = await away(site, 'second');
  const item = await site.upload({ contents: [text('x')] });
  const { id } = item.description;
  await run.settle();
  await second.back();
  await run.settle();
  assert.deepEqual(await site.delivered('second'), {}, 'it waits as its rule says');
  await run.database.call('ledger.retry', { id, nextAttemptMs: 0, nowMs: 1, failure: null, mismatch: false });
  await run.settle();
  assert.deepEqual(await site.delivered('second'), { 'report.csv': 'x' });
  const names = await readTraceOf(site, run, item);
  assert.equal(names.filter((name) => name === 'item.delivery-failed').length, 1);
});

test('FD-34: after three failures in a row a destination is left alone, also after a restart, until somebody says so', async () => {
  await using site = await Site.make({ rules: planned('move', ['second']), more: three, stopAfter: 3 });
  const second = await away(site, 'second');
  {
    await using run = await Run.open(site);
    await site.upload({ path: '/Inbox/a', contents: [text('a')] });
    await run.settle();
    const [stop] = await run.database.call('ledger.stops', null);
    assert.deepEqual([stop?.destination, stop?.errors], ['second', 3]);
    assert.ok(stop?.stoppedAtMs);
  }
  await second.back();
  await using run = await Run.open(site);
  await run.recoverNow();
  const later = await site.upload({ path: '/Inbox/b', contents: [text('b')] });
  const reads = site.dmz.reads;
  await run.settle();
  assert.deepEqual([await site.delivered('second'), site.dmz.reads], [{}, reads]);
  assert.ok(!(await readTraceOf(site, run, later)).includes('item.delivery-failed'), 'not even tried');
  assert.equal(await run.database.call('ledger.resume', { destination: 'second', nowMs: 1 }), true);
  await run.settle();
  assert.deepEqual(await site.delivered('second'), { a: 'a', b: 'b' });
  assert.deepEqual(await run.database.call('ledger.stops', null), []);
  assert.equal(await run.database.call('ledger.resume', { destination: 'second', nowMs: 1 }), false);
});

test('FD-34: a success begins the count anew, and without a limit nothing is ever stopped', async () => {
  for (const stopAfter of [2, 0]) {
    await using site = await Site.make({ rules: planned('move', ['second'], { retry: { limit: 1 } }), more: three, stopAfter });
    await using run = await Run.open(site);
    for (let round = 0; round < 3; round += 1) {
      const second = await away(site, 'second');
      await site.upload({ path: `/Inbox/bad${round}`, contents: [text('x')] });
      await run.settle();
      await second.back();
      await site.upload({ path: `/Inbox/good${round}`, contents: [text('x')] });
      await run.settle();
    }
    assert.deepEqual(Object.keys(await site.delivered('second')).sort(), ['good0', 'good1', 'good2']);
    assert.ok((await run.database.call('ledger.stops', null)).every(({ stoppedAtMs }) => stoppedAtMs === null));
  }
});

test('FD-08: a fallback that fails is told, and keeps the source', async () => {
  const [rule] = planned('deliver', ['second']);
  assert.ok(rule);
  await using site = await Site.make({ rules: [{ ...rule, name: 'fallback' }], more: three });
  await using run = await Run.open(site);
  const second = await away(site, 'second');
  const item = await site.upload({ contents: [text('x')] });
  await run.settle();
  const events = await eventsOf(site, run, item);
  assert.equal(events.find(({ name }) => name === 'item.routed')?.rule, 'fallback (rules.yaml:1)');
  assert.ok(events.some(({ name }) => name === 'item.delivery-failed'));
  assert.deepEqual([site.dmz.items.size, site.dmz.confirmed.length], [1, 0]);
  await second.back();
  await run.settle();
  assert.deepEqual(await site.delivered('second'), { 'acme/report.csv': 'x' });
});

test('a destination that left the configuration between two of them keeps the source', async () => {
  await using site = await Site.make({ rules: planned('move', ['files', 'gone']) });
  await using run = await Run.open(site);
  await site.upload({ contents: [text('x')] });
  await run.settle();
  assert.deepEqual([await site.delivered(), site.dmz.confirmed.length], [{ 'report.csv': 'x' }, 0]);
});
