/** The inbound half of the hand-over as a whole: honest walks and a DMZ that lies. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { newItemId, newTraceId } from '../../shared/ids.ts';
import type { Decision, Rule } from '../../shared/policy.ts';
import { sha256 } from '../../test/fixtures/dmz-double.ts';
import { readTraceOf } from '../../test/fixtures/inside-events.ts';
import { deliverAll, Run, Site } from '../../test/fixtures/inside-hand-over.ts';
import type { DoubleItem } from '../redteam/sealed-item.ts';

const never = new AbortController().signal;
const text = (content: string): Buffer => Buffer.from(content);
const rule = (name: string, glob: string, route: Rule['route']): Rule => ({
  name,
  source: 'rules.yaml:1',
  path: glob,
  route,
});

test('delivers an item once, confirms it, and does nothing when it is listed again', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const item = await site.upload({ path: '/Inbox/orders/a.csv', contents: [text('one;two')] });
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/orders/a.csv': 'one;two' });
  assert.deepEqual(site.dmz.confirmed, [
    { id: item.description.id, epoch: 1, sha256: sha256(text('one;two')), outcome: 'delivered' },
  ]);
  assert.deepEqual(await site.drafts(), []);
  site.dmz.items.set(item.description.id, item); // D7: the DMZ presents it again
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/orders/a.csv': 'one;two' });
  assert.ok(site.dmz.confirmed.length > 1);
  assert.equal(site.dmz.reads, 1);
  assert.deepEqual(await readTraceOf(site, run, item), [
    'item.registered',
    'item.routed',
    'item.leased',
    'item.staged',
    'item.delivered',
    'item.confirmed',
  ]);
});

const filesAs = (path: string, as: string): Rule => ({
  ...rule('as', path, { action: 'deliver', destination: 'files' }),
  plan: { action: 'deliver', targets: [{ destination: 'files', as }] },
});

test('FD-18, FD-20: a rule gives files a path of its own inside, and the DMZ does not hear of it', async () => {
  await using site = await Site.make({ rules: [filesAs('m/^(\\w+)\\/(\\w+)_/', 'teams/{2_lower}/{account.name}-{1}/')] });
  await using run = await Run.open(site);
  const { description } = await site.upload({ path: '/Inbox/in/SRV_1.PDF', contents: [text('one')] });
  assert.deepEqual(await run.registrar.ready(description, never), {
    decision: { route: { action: 'deliver', destination: 'files' }, rule: 'as (rules.yaml:1)' },
  });
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'teams/srv/acme-in/SRV_1.PDF': 'one' });
  await site.upload({ path: '/Inbox/in/SRV_1.PDF', contents: [text('again')] });
  await run.settle();
  assert.deepEqual((await site.delivered())['teams/srv/acme-in/SRV_1 (2).PDF'], 'again');
});

test('FD-38: names that look like ways out end up below the destination', async () => {
  await using site = await Site.make({ rules: [filesAs('m/^(.*)$/', '{1}/../{data.directory_name}/{data.file_name}')] });
  await using run = await Run.open(site);
  const names = ['..\\..\\etc', '...', '-rf', 'CON', 'a:b', '.hidden', 'caf\u00e9', 'x.', '$(id)'];
  for (const name of names) await site.upload({ path: `/Inbox/d/${name}`, contents: [text(name)] });
  await run.settle();
  const delivered = await site.delivered();
  assert.deepEqual(Object.values(delivered).sort(), [...names].sort());
  for (const file of Object.keys(delivered)) assert.match(file, /^d\/[^/]+\/_\/d\/[^/]+$/);
  assert.deepEqual((await readdir(join(site.folder, 'delivered'))).sort(), ['.sallyport-staging', 'd']);
});

test('a path that a rule makes too deep leaves the file waiting for staff, and is no difference between the nodes', async () => {
  await using site = await Site.make({ rules: [filesAs('*', '{data.directory_name}/'.repeat(20))] });
  await using run = await Run.open(site);
  const item = await site.upload({ path: '/Inbox/a/b/c.csv', contents: [text('x')] });
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  assert.deepEqual(await readTraceOf(site, run, item), ['item.registered', 'item.held']);
});

test('joins the segments of a resumed upload and delivers empty files', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const big = Buffer.alloc(200_000, 'x');
  await site.upload({ path: '/Inbox/big', contents: [big, text(''), text('end')] });
  await site.upload({ path: '/Inbox/empty', contents: [text('')] });
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/big': `${big.toString()}end`, 'acme/empty': '' });
});

test('keeps both files when a name comes twice', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  await site.upload({ contents: [text('first')] });
  await run.settle();
  await site.upload({ contents: [text('second')] });
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'first', 'acme/report (2).csv': 'second' });
});

test('the hint answers the decision that counts, as often as it comes', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const { description } = await site.upload({ contents: [text('x')] });
  const expected: Decision = { route: { action: 'deliver', destination: 'files' }, rule: 'all (rules.yaml:1)' };
  const first = await run.registrar.ready(description, never);
  assert.deepEqual(first.decision.route, expected.route);
  assert.deepEqual(await run.registrar.ready(description, never), first);
  assert.deepEqual(
    (await Promise.all([run.registrar.ready(description, never), run.registrar.ready(description, never)])).map(
      (a) => a.decision,
    ),
    [first.decision, first.decision],
  );
});

test('D4: a hostile name is set aside and nothing is written', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const names = [
    '/Inbox/../../etc/x',
    '/Inbox/..',
    '/Inbox',
    '/etc/passwd',
    '/Inbox/a\0b',
    '/Inbox/a/../b',
    '/Inbox/\u202ex',
    '/Outbox/x',
  ];
  const items = await Promise.all(names.map((path) => site.upload({ path, contents: [text('evil')] })));
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  assert.equal(site.dmz.leased.length, 0);
  for (const item of items) {
    assert.equal(await run.state(item.description.id), 'quarantined');
    assert.deepEqual(await readTraceOf(site, run, item), ['item.forged']);
  }
});

test('D5: the rules of the inside decide, and a different decision of the DMZ is an alarm', async () => {
  await using site = await Site.make({
    rules: [rule('hold', 'secret*', { action: 'hold' }), ...deliverAll],
  });
  await using run = await Run.open(site);
  const item = await site.upload({ path: '/Inbox/secret.txt', contents: [text('x')] });
  await run.settle();
  assert.deepEqual(await site.delivered(), {});
  assert.deepEqual(await readTraceOf(site, run, item), ['item.registered', 'item.held', 'item.route-mismatch']);
  const older = await site.upload({ path: '/Inbox/secret.old', contents: [text('x')], policyNumber: 0 });
  await run.settle();
  assert.deepEqual(await readTraceOf(site, run, older), ['item.registered', 'item.held']);
});

test('D6: an item that no valid session sent is never delivered and never readable', async () => {
  await using site = await Site.make({ rules: [{ name: 'x', source: '', route: { action: 'outbox', partner: 'globex' } }] });
  await using run = await Run.open(site);
  const forged = await site.upload({ contents: [text('x')], sessionProof: 'f'.repeat(64) });
  const stranger = await site.upload({ partner: 'nobody', contents: [text('x')] });
  const { decision } = await run.registrar.ready(forged.description, never);
  assert.equal(decision.route.action, 'hold');
  await run.settle();
  for (const item of [forged, stranger]) {
    assert.equal(await run.state(item.description.id), 'quarantined');
    assert.deepEqual(await readTraceOf(site, run, item), ['item.forged']);
    assert.equal(await run.database.call('ledger.readable', { id: item.description.id, partner: 'globex' }), undefined);
  }
  assert.deepEqual(site.dmz.confirmed, []);
});

test('D7, D15: another content under a known id is refused, once alarmed, and the first stands', async () => {
  await using site = await Site.make({ rules: [{ name: 'h', source: '', route: { action: 'hold' } }] });
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [text('one')] });
  await run.registrar.ready(item.description, never);
  for (const lie of [
    { ...item.description, partner: 'globex' },
    { ...item.description, size: 4, segments: item.description.segments.map((s) => ({ ...s, plainBytes: 4 })) },
    { ...item.description, sha256: 'a'.repeat(64) },
  ]) {
    await assert.rejects(run.registrar.ready(lie, never), { code: 'protocol-violation' });
  }
  assert.deepEqual(await readTraceOf(site, run, item), ['item.registered', 'item.held', 'item.route-mismatch', 'item.forged']);
  assert.equal((await run.database.call('ledger.find', { id: item.description.id }))?.size, 3);
});

test('D7: bytes that an item had before are neither delivered again nor readable by others under another id', async () => {
  await using site = await Site.make({
    rules: [rule('swap', 'swap/*', { action: 'outbox', partner: 'globex' }), ...deliverAll],
  });
  await using run = await Run.open(site);
  const first = await site.upload({ path: '/Inbox/orders.csv', contents: [text('pay once')] });
  await run.settle();
  const again = (path: string, segments = first.description.segments): DoubleItem => {
    const description = { ...first.description, id: newItemId(), path, segments };
    return site.dmz.add({ ...first, description });
  };
  const offered = 'd'.repeat(64);
  await run.database.call('outgoing.pushed', {
    ...{ id: newItemId(), trace: newTraceId(), partner: 'initech', path: '/Outbox/secret', size: 8, expiresAtMs: 9e15, nowMs: 1 },
    ...{ sha256: sha256(text('secret')), headerSha256: offered, sealedBytes: 500 },
  });
  const stolen = first.description.segments.map((one) => ({ ...one, headerSha256: offered }));
  const copies = [again('/Inbox/more.csv'), again('/Inbox/swap/orders.csv'), again('/Inbox/swap/secret', stolen)];
  for (const { description } of copies) {
    assert.equal((await run.registrar.ready(description, never)).decision.route.action, 'hold');
    assert.equal(await run.database.call('ledger.readable', { id: description.id, partner: 'globex' }), undefined);
  }
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/orders.csv': 'pay once' });
  for (const item of copies) {
    assert.equal(await run.state(item.description.id), 'quarantined');
    assert.ok((await readTraceOf(site, run, item)).includes('item.forged'));
  }
});

test('D7: a file that is renamed before it is taken goes on under its new item, and only there', async () => {
  await using site = await Site.make({ rules: [] });
  await using run = await Run.open(site);
  const first = await site.upload({ path: '/Inbox/a.csv', contents: [text('once')] });
  await run.settle();
  site.dmz.items.delete(first.description.id);
  const renamed = site.dmz.add({ ...first, description: { ...first.description, id: newItemId(), path: '/Inbox/b.csv' } });
  await run.settle();
  assert.equal(await run.state(first.description.id), 'gone');
  assert.equal(await run.state(renamed.description.id), 'registered');
  site.dmz.items.set(first.description.id, first);
  run.rules = deliverAll;
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/b.csv': 'once' });
  assert.equal(await run.state(first.description.id), 'gone');
  const again = site.dmz.add({ ...first, description: { ...first.description, id: newItemId(), path: '/Inbox/c.csv' } });
  await run.settle();
  assert.equal(await run.state(again.description.id), 'quarantined');
  assert.deepEqual(await site.delivered(), { 'acme/b.csv': 'once' });
});

test('D15: sizes that do not add up are set aside', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [text('one'), text('two')] });
  item.description = { ...item.description, size: 7 };
  const short = await site.upload({ contents: [text('one')] });
  short.description = { ...short.description, segments: short.description.segments.map((s) => ({ ...s, sealedBytes: 3 })) };
  await run.settle();
  assert.equal(await run.state(item.description.id), 'quarantined');
  assert.equal(await run.state(short.description.id), 'quarantined');
  assert.deepEqual(await site.delivered(), {});
});

for (const [lie, tamper] of [
  ['a changed byte', (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])])],
  ['a shorter file', (bytes: Buffer) => bytes.subarray(0, -1)],
  ['a longer file', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)])],
  ['another file', (bytes: Buffer) => Buffer.alloc(bytes.length, 'a')],
] as const) {
  test(`D15: ${lie} is quarantined after one more try, and never visible`, async () => {
    await using site = await Site.make();
    await using run = await Run.open(site);
    const item = await site.upload({ contents: [text('content')] });
    site.dmz.tamper = tamper;
    await run.settle();
    assert.equal(await run.state(item.description.id), 'quarantined');
    assert.equal(site.dmz.reads, 2);
    assert.deepEqual(await site.delivered(), {});
    assert.deepEqual(await site.drafts(), []);
    assert.deepEqual(site.dmz.confirmed, []);
    assert.ok((await readTraceOf(site, run, item)).includes('item.quarantined'));
  });
}

test('one damaged transfer is repeated and then delivered', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  await site.upload({ contents: [text('content')] });
  let first = true;
  site.dmz.tamper = (bytes) => {
    const sent = first ? bytes.subarray(0, -1) : bytes;
    first = false;
    return sent;
  };
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'content' });
});

test('D17: at the floor of free space nothing is leased', async () => {
  await using site = await Site.make({ staging: { floor: { percent: 100 } } });
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [text('x')] });
  await run.settle();
  assert.equal(site.dmz.leased.length, 0);
  assert.equal(await run.state(item.description.id), 'registered');
  assert.ok((await readTraceOf(site, run, item)).includes('item.delivery-failed'));
});

test('D16: one partner cannot fill the ledger for the others', async () => {
  await using site = await Site.make({ registrar: { maxWaitingPerPartner: 2 }, rules: [] });
  await using run = await Run.open(site);
  const flood = await Promise.all([1, 2, 3].map((n) => site.upload({ path: `/Inbox/${n}`, contents: [text('x')] })));
  const honest = await site.upload({ partner: 'globex', contents: [text('x')] });
  await run.settle();
  const states = await Promise.all(flood.map((item) => run.state(item.description.id)));
  assert.deepEqual(states.sort(), ['registered', 'registered', undefined]);
  assert.equal(await run.state(honest.description.id), 'registered');
});

test('what a partner may have waiting by his quota is never refused as too much: no session might answer for it later', async () => {
  await using site = await Site.make({ registrar: { maxWaitingPerPartner: 2 }, quotaFiles: 3, rules: [] });
  await using run = await Run.open(site);
  const all = await Promise.all([1, 2, 3].map((n) => site.upload({ path: `/Inbox/${n}`, contents: [text('x')] })));
  await run.settle();
  for (const item of all) assert.equal(await run.state(item.description.id), 'registered');
});

test("D16: forged items are bounded and do not take an honest partner's places", async () => {
  await using site = await Site.make({ registrar: { maxWaitingPerPartner: 1, maxSetAside: 2 }, rules: [] });
  await using run = await Run.open(site);
  for (let n = 0; n < 4; n += 1) await site.upload({ contents: [text('x')], sessionProof: 'f'.repeat(64) });
  const honest = await site.upload({ contents: [text('x')] });
  await run.settle();
  assert.equal(await run.state(honest.description.id), 'registered');
  assert.equal((await run.database.call('ledger.counts', null)).quarantined, 2);
});

test('a rule that deletes confirms without reading, one that is missing waits and is asked again', async () => {
  await using site = await Site.make({ rules: [rule('junk', '*.tmp', { action: 'delete' })] });
  await using run = await Run.open(site);
  await site.upload({ path: '/Inbox/a.tmp', contents: [text('x')] });
  const waiting = await site.upload({ path: '/Inbox/b.csv', contents: [text('y')] });
  await run.settle();
  assert.deepEqual(
    site.dmz.confirmed.map(({ outcome }) => outcome),
    ['deleted'],
  );
  assert.equal(site.dmz.reads, 0);
  assert.deepEqual(await readTraceOf(site, run, waiting), ['item.registered', 'item.unrouted', 'item.route-mismatch']);
  run.rules = deliverAll;
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/b.csv': 'y' });
});

test('an item for an outbox can be read by its reader alone', async () => {
  await using site = await Site.make({ rules: [{ name: 'x', source: '', route: { action: 'outbox', partner: 'globex' } }] });
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [text('x')] });
  const { id, segments } = item.description;
  await run.settle();
  assert.equal(await run.state(id), 'moved');
  assert.deepEqual(await run.database.call('ledger.readable', { id, partner: 'globex' }), {
    headers: segments.map(({ headerSha256 }) => headerSha256),
    path: '/Inbox/report.csv',
  });
  assert.equal(await run.database.call('ledger.readable', { id, partner: 'acme' }), undefined);
  assert.equal(await run.database.call('ledger.fetched', { id, partner: 'acme', nowMs: 1 }), false);
  assert.equal(await run.database.call('ledger.fetched', { id, partner: 'globex', nowMs: 1 }), true);
});

test('a rename needs a valid session', async () => {
  await using site = await Site.make({ rules: [rule('txt', '*.txt', { action: 'hold' })] });
  await using run = await Run.open(site);
  const item = await site.upload({ path: '/Inbox/a.csv', contents: [text('x')] });
  await run.settle();
  const renamed = { ...item.description, path: '/Inbox/a.txt' };
  await run.registrar.ready({ ...renamed, sessionProof: 'e'.repeat(64) }, never);
  assert.equal((await run.database.call('ledger.find', { id: renamed.id }))?.path, '/Inbox/a.csv');
  assert.equal((await run.registrar.ready(renamed, never)).decision.route.action, 'hold');
  assert.equal((await run.database.call('ledger.find', { id: renamed.id }))?.path, '/Inbox/a.txt');
});

test('what vanishes from the DMZ is taken down as gone, and comes back when it is listed again', async () => {
  await using site = await Site.make({ rules: [] });
  await using run = await Run.open(site);
  const item = await site.upload({ contents: [text('x')] });
  const { id } = item.description;
  await run.settle();
  site.dmz.items.delete(id);
  await run.settle();
  assert.equal(await run.state(id), 'gone');
  assert.ok((await readTraceOf(site, run, item)).includes('item.gone'));
  site.dmz.items.set(id, item);
  run.rules = deliverAll;
  await run.settle();
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'x' });
});

test('what is gone is forgotten in time, what came back is not', async () => {
  await using site = await Site.make({ rules: [] });
  await using run = await Run.open(site);
  const [away, back] = [
    await site.upload({ path: '/Inbox/away', contents: [text('x')] }),
    await site.upload({ path: '/Inbox/back', contents: [text('y')] }),
  ];
  await run.settle();
  for (const { description } of [away, back]) site.dmz.items.delete(description.id);
  await run.settle();
  site.dmz.items.set(back.description.id, back);
  await run.settle();
  assert.equal(await run.database.call('ledger.forget', { beforeMs: 0 }), 0);
  assert.equal(await run.state(away.description.id), 'gone');
  assert.equal(await run.database.call('ledger.forget', { beforeMs: Date.now() + 1 }), 1);
  assert.equal(await run.database.call('ledger.find', { id: away.description.id }), undefined);
  assert.equal(await run.state(back.description.id), 'registered');
});

test('without a link nothing is tried, and a list that does not rise ends the link', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  await site.upload({ contents: [text('x')] });
  site.dmz.linkEpoch = undefined;
  await assert.rejects(run.puller.pass(), { code: 'tunnel-down' });
  site.dmz.linkEpoch = 2;
  const double = await site.upload({ contents: [text('y')] });
  double.description = { ...double.description, seq: 1 };
  await assert.rejects(run.puller.pass(), { code: 'protocol-violation' });
  assert.deepEqual(run.violations, ['the list of the DMZ does not rise']);
});

test('the service delivers by itself after a hint and stops', async () => {
  await using site = await Site.make();
  await using run = await Run.open(site);
  await run.puller.start();
  const { description } = await site.upload({ contents: [text('x')] });
  await run.registrar.ready(description, never);
  while ((await run.database.call('ledger.find', { id: description.id }))?.confirmedAtMs === null)
    await new Promise(setImmediate);
  await run.puller.stop(AbortSignal.timeout(5000));
  assert.deepEqual(await site.delivered(), { 'acme/report.csv': 'x' });
});
