/** From a file in the outgoing folder, or a pushed one, to a stored item in the DMZ. */
import assert from 'node:assert/strict';
import { appendFileSync, linkSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Database, type Records } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';
import { generateIdentity } from '../../shared/seal/age-key.ts';
import { SealWorkers } from '../../shared/seal/seal-workers.ts';
import { filesBelow } from '../../test/conformance/destination.ts';
import { DmzDouble, sha256 } from '../../test/fixtures/dmz-double.ts';
import { readEvents } from '../../test/fixtures/inside-events.ts';
import type { InsideOperations } from '../../test/fixtures/inside-records.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { OutgoingFolder } from './outgoing-folder.ts';
import { OutgoingWork, outgoingWorkDefaults } from './outgoing-work.ts';
import type { Sealer } from './seal-file.ts';
import { Sender, senderDefaults } from './sender.ts';
import { OutgoingWatcher, watcherDefaults } from './watcher.ts';

const never = new AbortController().signal;

/** What outlives a restart. */
class Site implements AsyncDisposable {
  readonly folder: string;
  readonly outgoing: string;
  readonly dmz = new DmzDouble();
  readonly clock = new ManualClock();
  readonly identity = generateIdentity();
  readonly seal = new SealWorkers({ threads: 1 });
  after: 'delete' | 'archive' = 'delete';
  maxBacklog = 64;
  /** Told of each block that is sealed. */
  whileSealing: () => void = () => undefined;

  constructor(folder: string) {
    this.folder = folder;
    this.outgoing = join(folder, 'outgoing');
  }

  static async make(): Promise<Site> {
    const site = new Site(await mkdtemp(join(tmpdir(), 'sallyport-outbound-')));
    await mkdir(join(site.folder, 'state'));
    await mkdir(join(site.outgoing, 'acme'), { recursive: true });
    await site.seal.start();
    return site;
  }

  async put(file: string, content: string): Promise<void> {
    const path = join(this.outgoing, file);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, content);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.seal.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

class Run implements AsyncDisposable {
  readonly database: Database<InsideOperations>;
  readonly sender: Sender;
  readonly watcher: OutgoingWatcher;
  readonly site: Site;
  /** The operation that fails from now on. */
  dieAt: string | undefined;

  private constructor(site: Site, database: Database<InsideOperations>) {
    this.site = site;
    this.database = database;
    const { clock, dmz } = site;
    const spool = join(site.folder, 'state', 'spool');
    const folder = new OutgoingFolder(site.outgoing);
    const createSealer = (path: string): Sealer => {
      const writer = site.seal.createWriter({ path, recipients: [site.identity.recipient] });
      const write = async (bytes: Buffer) => {
        site.whileSealing();
        await writer.write(bytes);
      };
      return { write, finish: () => writer.finish(), destroy: () => writer.destroy() };
    };
    const call = async (name: never, args: never): Promise<unknown> => {
      if (name === this.dieAt) throw new SallyportError('database-failed', 'dead');
      return await database.call(name, args);
    };
    const common = { records: { call } as unknown as Records<InsideOperations>, folder, createSealer, clock, log: silentLogger };
    const work = new OutgoingWork(
      { ...common, link: dmz },
      { ...outgoingWorkDefaults, spool, after: site.after, retry: { firstMs: 1000, maxMs: 1000 } },
    );
    const partners = { has: (name: string) => name === 'acme', names: () => ['acme'] };
    this.sender = new Sender({ ...common, work, partners }, { ...senderDefaults, spool, maxBacklog: site.maxBacklog });
    this.watcher = new OutgoingWatcher(
      { folder, partners, sender: this.sender, events: database, clock, log: silentLogger },
      { ...watcherDefaults, path: site.outgoing, ignored: (name) => /^[.~]|\.(tmp|part)$/.test(name) },
    );
  }

  static async open(site: Site): Promise<Run> {
    const state = join(site.folder, 'state');
    const database = await Database.open<InsideOperations>({
      file: join(state, 'records.db'),
      operations: new URL('../../test/fixtures/inside-records.ts', import.meta.url),
      audit: { folder: join(state, 'audit'), node: 'inside' },
    });
    return new Run(site, database);
  }

  /** Two looks with enough time between them, then all work. */
  async cycle(): Promise<void> {
    await this.watcher.pass();
    this.site.clock.advance(watcherDefaults.settleMs);
    await this.watcher.pass();
    await this.sender.pass();
  }

  async events(): Promise<string[]> {
    return (await readEvents(join(this.site.folder, 'state', 'audit'), this)).map(({ name }) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sender.stop(AbortSignal.timeout(5000));
    await this.database.close();
  }
}

async function start(site: Site): Promise<Run> {
  const run = await Run.open(site);
  await run.sender.start();
  return run;
}

test('offers a settled file, sealed for the inside, and removes it afterwards', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('acme/prices/may.csv', 'content');
  await run.watcher.pass();
  await run.sender.pass();
  assert.equal(site.dmz.offers.length, 0);
  await run.cycle();
  const [offer] = site.dmz.offers;
  assert.ok(offer);
  const { params, bytes } = offer;
  assert.deepEqual([params.partner, params.path, params.size], ['acme', '/Outbox/prices/may.csv', 7]);
  assert.equal(params.sha256, sha256(Buffer.from('content')));
  assert.equal(params.sealedBytes, bytes.length);
  assert.equal(bytes.includes('content'), false);
  assert.deepEqual(await filesBelow(site.outgoing), {});
  assert.deepEqual(await readdir(join(site.folder, 'state', 'spool')), []);
  assert.deepEqual(await readdir(join(site.outgoing, '.sallyport-claimed')), []);
  assert.deepEqual(await run.events(), ['outgoing.found', 'item.offered']);
  assert.deepEqual(await run.sender.readableBy(params.id, 'acme'), {
    headers: [params.headerSha256],
    path: '/Outbox/prices/may.csv',
  });
  assert.equal(await run.sender.readableBy(params.id, 'globex'), undefined);
  assert.equal(await run.sender.fetched(params.id, 'globex'), false);
  assert.equal(await run.sender.fetched(params.id, 'acme'), true);
});

test('archives instead of deleting, and never over an older file', async () => {
  await using site = await Site.make();
  site.after = 'archive';
  await using run = await start(site);
  for (const content of ['first', 'second']) {
    await site.put('acme/a.csv', content);
    await run.cycle();
  }
  const archive = join(site.outgoing, '.sallyport-archive', 'acme');
  assert.equal(await readFile(join(archive, 'a.csv'), 'utf8'), 'first');
  assert.equal(await readFile(join(archive, 'a (2).csv'), 'utf8'), 'second');
});

test('waits while a file grows, is touched or has a temporary name', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('acme/grows.csv', 'a');
  await site.put('acme/up.part', 'a');
  await site.put('acme/.hidden/x', 'a');
  await run.watcher.pass();
  site.clock.advance(watcherDefaults.settleMs);
  await site.put('acme/grows.csv', 'ab');
  assert.equal(await run.watcher.pass(), 1);
  site.clock.advance(watcherDefaults.settleMs);
  await utimes(join(site.outgoing, 'acme/grows.csv'), 1, 1);
  assert.equal(await run.watcher.pass(), 1);
  await run.sender.pass();
  assert.equal(site.dmz.offers.length, 0);
  await rename(join(site.outgoing, 'acme/up.part'), join(site.outgoing, 'acme/up.csv'));
  await run.cycle();
  assert.deepEqual(site.dmz.offers.map(({ params }) => params.path).sort(), ['/Outbox/grows.csv', '/Outbox/up.csv']);
});

test('puts a file back that changed while it was sealed, and offers it when it is finished', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('acme/a.csv', 'first');
  site.whileSealing = () => {
    const [id] = readdirSync(join(site.outgoing, '.sallyport-claimed'));
    appendFileSync(join(site.outgoing, '.sallyport-claimed', id ?? '', 'acme', 'a.csv'), ' second');
    site.whileSealing = () => undefined;
  };
  await run.cycle();
  assert.equal(site.dmz.offers.length, 0);
  assert.deepEqual(await filesBelow(site.outgoing), { 'acme/a.csv': 'first second' });
  assert.deepEqual(await run.events(), ['outgoing.found', 'outgoing.failed']);
  await run.cycle();
  assert.equal(site.dmz.offers[0]?.params.sha256, sha256(Buffer.from('first second')));
});

test('what is written to a file after it was sealed is neither deleted nor archived unseen: the file is offered again', async () => {
  for (const after of ['delete', 'archive'] as const) {
    await using site = await Site.make();
    site.after = after;
    await using run = await start(site);
    await site.put('acme/a.csv', 'first');
    site.dmz.linkEpoch = undefined;
    await run.cycle();
    const [id = ''] = await readdir(join(site.outgoing, '.sallyport-claimed'));
    // Its writer has had it open all the time.
    appendFileSync(join(site.outgoing, '.sallyport-claimed', id, 'acme', 'a.csv'), ' second');
    site.dmz.linkEpoch = 2;
    site.clock.advance(5000);
    await run.sender.pass();
    assert.deepEqual(await filesBelow(site.outgoing), { 'acme/a.csv': 'first second' }, after);
    assert.deepEqual(await run.events(), ['outgoing.found', 'item.offered', 'outgoing.failed']);
    await run.cycle();
    const offered = site.dmz.offers.map(({ params }) => params.sha256);
    assert.deepEqual(offered, [sha256(Buffer.from('first')), sha256(Buffer.from('first second'))]);
    assert.deepEqual(await readdir(join(site.outgoing, '.sallyport-claimed')), []);
  }
});

test('tries again after an outage, also when only the answer was lost', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('acme/a.csv', 'content');
  site.dmz.linkEpoch = undefined;
  await run.cycle();
  assert.equal(site.dmz.offers.length, 0);
  site.dmz.linkEpoch = 2;
  site.dmz.before = (method) => {
    if (method === 'outbox.offer answer') throw new SallyportError('link-closed', 'cut');
  };
  site.clock.advance(1000);
  await run.sender.pass();
  assert.equal(site.dmz.offers.length, 1);
  assert.equal((await run.database.call('outgoing.list', { onlyWaiting: true, limit: 9 }))[0]?.state, 'sealed');
  site.dmz.before = () => undefined;
  site.clock.advance(1000);
  await run.sender.pass();
  assert.equal(site.dmz.offers.length, 1);
  assert.deepEqual(await run.events(), ['outgoing.found', 'item.offered']);
  assert.deepEqual(await filesBelow(site.outgoing), {});
});

test('a refusal is reported and tried again, the file is kept', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('acme/a.csv', 'content');
  site.dmz.before = (method) => {
    if (method === 'outbox.offer') throw new SallyportError('no-space', 'full');
  };
  await run.cycle();
  assert.deepEqual(await run.events(), ['outgoing.found', 'outgoing.failed']);
  site.dmz.before = () => undefined;
  site.clock.advance(5000);
  await run.sender.pass();
  assert.equal(site.dmz.offers.length, 1);
});

test('goes on after a crash at every step, and offers once', async () => {
  for (const op of ['outgoing.sealed', 'outgoing.stored', 'outgoing.done']) {
    await using site = await Site.make();
    {
      await using run = await start(site);
      run.dieAt = op;
      await site.put('acme/a.csv', 'content');
      await run.cycle();
    }
    site.clock.advance(5000);
    await using run = await start(site);
    await run.sender.pass();
    assert.equal(site.dmz.offers.length, 1, op);
    assert.deepEqual(await filesBelow(site.outgoing), {});
    assert.deepEqual(await readdir(join(site.folder, 'state', 'spool')), []);
    assert.equal((await run.events()).filter((name) => name === 'item.offered').length, 1);
  }
});

test('a record whose file was never moved is dropped, a moved file without a record is put back', async () => {
  await using site = await Site.make();
  {
    await using run = await start(site);
    await site.put('acme/a.csv', 'a');
    const row = { trace: 'b'.repeat(26), partner: 'acme', path: '/Outbox/a.csv', file: 'acme/a.csv', size: 1, modifiedAtMs: 1 };
    await run.database.call('outgoing.claim', { ...row, id: 'a'.repeat(26), stamp: 'x', expiresAtMs: 9e15, nowMs: 1 });
  }
  const lost = join(site.outgoing, '.sallyport-claimed', 'c'.repeat(26), 'acme', 'sub');
  await mkdir(lost, { recursive: true });
  writeFileSync(join(lost, 'b.csv'), 'b');
  writeFileSync(join(site.folder, 'state', 'spool', `${'d'.repeat(26)}.age`), 'left over');
  await using run = await start(site);
  assert.deepEqual(await filesBelow(site.outgoing), { 'acme/a.csv': 'a', 'acme/sub/b.csv': 'b' });
  assert.deepEqual(await readdir(join(site.folder, 'state', 'spool')), []);
  assert.deepEqual(await run.database.call('outgoing.unfinished', null), []);
});

test('a crash between the folders of a claim, or between those of the clean-up, leaves nothing stuck', async () => {
  for (const state of ['claimed', 'stored'] as const) {
    await using site = await Site.make();
    const claimed = join(site.outgoing, '.sallyport-claimed');
    {
      await using run = await start(site);
      await site.put('acme/sub/a.csv', 'a');
      run.dieAt = state === 'claimed' ? 'outgoing.sealed' : 'outgoing.done';
      await run.cycle();
      const [id = ''] = (await run.database.call('outgoing.unfinished', null)).map((item) => item.id);
      if (state === 'claimed')
        await rename(join(claimed, id, 'acme', 'sub', 'a.csv'), join(site.outgoing, 'acme', 'sub', 'a.csv'));
      await rm(join(claimed, id), { recursive: true, force: true });
      await mkdir(join(claimed, id, state === 'claimed' ? 'acme' : ''), { recursive: true });
    }
    site.clock.advance(5000);
    await using run = await start(site);
    await run.sender.pass();
    assert.deepEqual(await run.database.call('outgoing.unfinished', null), []);
    assert.deepEqual(await readdir(claimed), []);
    await run.cycle();
    assert.equal(site.dmz.offers.length, 1);
    assert.deepEqual(await filesBelow(site.outgoing), {});
  }
});

test('a crash while a changed file is put back does not make two of it', async () => {
  await using site = await Site.make();
  const claimed = join(site.outgoing, '.sallyport-claimed');
  {
    await using run = await start(site);
    await site.put('acme/a.csv', 'first');
    run.dieAt = 'outgoing.giveBack';
    site.whileSealing = () => {
      const [id = ''] = readdirSync(claimed);
      appendFileSync(join(claimed, id, 'acme', 'a.csv'), ' second');
      // As a crash leaves it: the new name is there, the old one not yet gone.
      linkSync(join(claimed, id, 'acme', 'a.csv'), join(site.outgoing, 'acme', 'a.csv'));
      site.whileSealing = () => undefined;
    };
    await run.cycle();
  }
  site.clock.advance(5000);
  await using run = await start(site);
  await run.sender.pass();
  assert.deepEqual(await filesBelow(site.outgoing), { 'acme/a.csv': 'first second' });
  await run.cycle();
  assert.equal(site.dmz.offers.length, 1);
});

test('a clock that was far ahead does not park what waits', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('acme/a.csv', 'content');
  site.dmz.linkEpoch = undefined;
  site.clock.advance(400 * 86_400_000);
  await run.cycle();
  site.clock.advance(-400 * 86_400_000);
  site.dmz.linkEpoch = 2;
  await run.sender.pass();
  assert.equal(site.dmz.offers.length, 1);
});

test('says once what cannot be offered, and leaves it where it is', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  await site.put('nobody/a.csv', 'x');
  await site.put('acme/bad\u202ename', 'x');
  await symlink('/etc/passwd', join(site.outgoing, 'acme', 'link'));
  await writeFile(Buffer.concat([Buffer.from(`${site.outgoing}/acme/`), Buffer.from([0xff, 0xfe])]), 'x');
  await run.cycle();
  await run.cycle();
  assert.equal(site.dmz.offers.length, 0);
  assert.deepEqual(await run.events(), Array(4).fill('outgoing.failed'));
  assert.equal((await readdir(join(site.outgoing, 'acme'), { encoding: 'buffer' })).length, 3);
});

test('takes no more files than the backlog allows while the tunnel is down', async () => {
  await using site = await Site.make();
  site.maxBacklog = 2;
  site.dmz.linkEpoch = undefined;
  await using run = await start(site);
  for (const name of ['1', '2', '3', '4']) await site.put(`acme/${name}`, name);
  await run.cycle();
  assert.equal(Object.keys(await filesBelow(site.outgoing)).length, 2);
});

test('pushes a stream, takes down how the DMZ named it, and withdraws it when it cannot be offered', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  async function* content() {
    yield Buffer.from('pushed ');
    yield Buffer.from('content');
  }
  const item = await run.sender.pushFile('acme', 'a/b.csv', content(), never);
  assert.deepEqual([item.path, item.size, item.sha256], ['/Outbox/a/b.csv', 14, sha256(Buffer.from('pushed content'))]);
  assert.equal(site.dmz.offers.length, 1);
  site.dmz.namedAs = '/Outbox/a/b (2).csv';
  assert.equal((await run.sender.pushFile('acme', 'a/b.csv', content(), never)).path, '/Outbox/a/b (2).csv');
  for (const nonsense of ['/Inbox/a', '/Outbox/../x', 'x']) {
    site.dmz.namedAs = nonsense;
    assert.equal((await run.sender.pushFile('acme', 'c.csv', content(), never)).path, '/Outbox/c.csv', nonsense);
  }
  await assert.rejects(run.sender.pushFile('nobody', 'x', content(), never), { code: 'no-such-file' });
  await assert.rejects(run.sender.pushFile('acme', '../x', content(), never), { code: 'bad-name' });
  site.dmz.linkEpoch = undefined;
  await assert.rejects(run.sender.pushFile('acme', 'c.csv', content(), never), { code: 'tunnel-down' });
  site.dmz.linkEpoch = 2;
  site.clock.advance(5000);
  await run.sender.pass();
  assert.equal(site.dmz.withdrawn.length, 1);
  assert.deepEqual(await readdir(join(site.folder, 'state', 'spool')), []);
});

test('withdraws and lets expire: no key from then on, and the DMZ is told', async () => {
  await using site = await Site.make();
  await using run = await start(site);
  const offer = async (name: string): Promise<string> => {
    const source = [Buffer.from(name)].values().toArray();
    return (
      await run.sender.pushFile(
        'acme',
        name,
        (async function* () {
          yield* source;
        })(),
        never,
      )
    ).id;
  };
  const [one, two] = [await offer('one'), await offer('two')];
  assert.equal(await run.sender.withdraw(one, 'staff'), true);
  assert.equal(await run.sender.withdraw(one, 'staff'), false);
  await run.sender.pass();
  assert.equal(await run.sender.readableBy(one, 'acme'), undefined);
  assert.deepEqual(site.dmz.withdrawn, [one]);
  assert.ok(await run.sender.readableBy(two, 'acme'));
  site.clock.advance(senderDefaults.expiresMs);
  assert.equal(await run.sender.readableBy(two, 'acme'), undefined);
  await run.sender.pass();
  assert.deepEqual(site.dmz.withdrawn, [one, two]);
  assert.ok((await run.events()).includes('item.expired'));
});
