import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { SallyportError } from '../../shared/errors.ts';
import { newItemId, newTraceId } from '../../shared/ids.ts';
import type { StreamParams } from '../../shared/tunnel/messages.ts';
import { CacheBench, hasCode, names, path, put, rule } from '../../test/fixtures/cache-bench.ts';
import { granted } from '../../test/fixtures/permissions.ts';

const signal = new AbortController().signal;

async function* pieces(bytes: Buffer, size = 50_000): AsyncGenerator<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += size) yield bytes.subarray(offset, offset + size);
}

/** Seals as the inside does. */
async function sealed(bench: CacheBench, content: Buffer, partner: string, name: string) {
  const file = join(bench.folder, newItemId());
  const writer = bench.seal.createWriter({ path: file, recipients: [bench.inside.identity.recipient] });
  await writer.write(content);
  const segment = await writer.finish();
  const bytes = await readFile(file);
  await rm(file);
  const offer: StreamParams<'outbox.offer'> = {
    id: newItemId(),
    partner,
    path: name,
    size: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
    headerSha256: segment.headerSha256,
    sealedBytes: bytes.length,
    modifiedAtMs: 1_600_000_000_000,
    expiresAtMs: bench.clock.nowMs() + 86_400_000,
    trace: newTraceId(),
  };
  return { offer, bytes };
}

async function offered(bench: CacheBench, content: Buffer, partner = 'acme', name = '/Outbox/x.bin') {
  const { offer, bytes } = await sealed(bench, content, partner, name);
  assert.deepEqual(await bench.handOver.streams['outbox.offer'](offer, pieces(bytes), signal), { stored: true });
  return { offer, bytes };
}

async function download(bench: CacheBench, name: string, partner = 'acme'): Promise<Buffer> {
  const handle = await bench.view(partner).openForReading(path(name));
  const parts: Buffer[] = [];
  for (let offset = 0; offset < handle.size; ) {
    const part = await handle.read(offset, 32_768);
    parts.push(Buffer.from(part));
    offset += part.length;
  }
  assert.equal((await handle.read(handle.size, 10)).length, 0);
  await handle.close();
  return Buffer.concat(parts);
}

test('an offered item is seen, read with keys from inside, told as fetched, and stays', async () => {
  await using bench = await CacheBench.open();
  const content = randomBytes(300_000);
  const { offer } = await offered(bench, content);
  const stat = await bench.view().stat(path('/Outbox/x.bin'));
  assert.deepEqual([stat.size, stat.modifiedAtMs, stat.writable], [content.length, 1_600_000_000_000, false]);
  assert.deepEqual(await download(bench, '/Outbox/x.bin'), content);
  assert.equal((await bench.events('item.downloaded'))[0]?.item, offer.id);
  assert.deepEqual(
    bench.inside.notes.map(({ item, partner }) => [item, partner]),
    [[offer.id, 'acme']],
  );
  assert.deepEqual(await download(bench, '/Outbox/x.bin'), content);
});

test('reading a part, or the whole without close, is no download', async () => {
  await using bench = await CacheBench.open();
  await offered(bench, randomBytes(100_000));
  const view = bench.view();
  const part = await view.openForReading(path('/Outbox/x.bin'));
  await part.read(0, 65_536);
  await part.close();
  const cut = await view.openForReading(path('/Outbox/x.bin'));
  await cut.read(50_000, 50_000);
  await cut.read(0, 50_000);
  await view.end('connection lost');
  assert.deepEqual(
    (await bench.events('item.download-partial')).map(({ fields }) => fields.size),
    [65_536, 100_000],
  );
  assert.deepEqual(bench.inside.notes, []);
});

test('without the inside nothing can be read, and a refused key says so', async () => {
  await using bench = await CacheBench.open();
  await offered(bench, Buffer.from('secret'));
  bench.inside.down = true;
  await assert.rejects(bench.view().openForReading(path('/Outbox/x.bin')), hasCode('tunnel-down'));
  bench.inside.down = false;
  bench.inside.release = () => {
    throw new SallyportError('key-refused', 'no');
  };
  await assert.rejects(bench.view().openForReading(path('/Outbox/x.bin')), hasCode('key-refused'));
  bench.inside.release = () => [];
  await assert.rejects(bench.view().openForReading(path('/Outbox/x.bin')), hasCode('key-refused'));
  bench.inside.release = () => [randomBytes(16).toString('base64')];
  await assert.rejects(bench.view().openForReading(path('/Outbox/x.bin')), hasCode('sealed-damaged'));
});

test('an offer is idempotent by id, also after the item is gone', async () => {
  await using bench = await CacheBench.open();
  const { offer, bytes } = await offered(bench, Buffer.from('content'));
  const unread = (async function* (): AsyncGenerator<Buffer> {
    yield await Promise.reject(new Error('the body must not be read'));
  })();
  const receive = bench.handOver.streams['outbox.offer'];
  assert.deepEqual(await receive(offer, unread, signal), { stored: true });
  await assert.rejects(receive({ ...offer, sha256: '0'.repeat(64) }, pieces(bytes), signal), hasCode('content-mismatch'));
  await bench.view().removeFile(path('/Outbox/x.bin'));
  assert.deepEqual(await receive(offer, unread, signal), { stored: true });
  assert.deepEqual(await names(bench.view(), '/Outbox'), []);
  assert.deepEqual(await bench.objectFiles(), []);
});

test('an offer whose bytes are not the announced ones leaves nothing', async () => {
  await using bench = await CacheBench.open();
  const { offer, bytes } = await sealed(bench, randomBytes(1000), 'acme', '/Outbox/x');
  const receive = (change: Partial<typeof offer>, body: Buffer) =>
    bench.handOver.streams['outbox.offer']({ ...offer, ...change }, pieces(body), signal);
  await assert.rejects(receive({}, bytes.subarray(0, -1)), hasCode('content-mismatch'));
  await assert.rejects(receive({}, Buffer.concat([bytes, Buffer.from('x')])), hasCode('content-mismatch'));
  await assert.rejects(receive({ headerSha256: 'a'.repeat(64) }, bytes), hasCode('content-mismatch'));
  await assert.rejects(receive({}, randomBytes(bytes.length)), hasCode('sealed-damaged'));
  await assert.rejects(receive({ path: '/Inbox/x' }, bytes), hasCode('bad-name'));
  await assert.rejects(receive({ path: '/Outbox/../x' }, bytes), hasCode('bad-name'));
  assert.deepEqual(await bench.objectFiles(), []);
  assert.deepEqual(await names(bench.view(), '/Outbox'), []);
  assert.deepEqual(await receive({}, bytes), { stored: true });
});

test('offers of the same name are both kept, and folders are made for them', async () => {
  await using bench = await CacheBench.open();
  await offered(bench, Buffer.from('one'), 'acme', '/Outbox/a/x.pdf');
  const { offer, bytes } = await sealed(bench, Buffer.from('three'), 'acme', '/Outbox/a/x.pdf');
  const receive = bench.handOver.streams['outbox.offer'];
  // The inside hears the name, also when it asks again.
  for (let time = 0; time < 2; time += 1) {
    assert.deepEqual(await receive(offer, pieces(bytes), signal), { stored: true, path: '/Outbox/a/x (2).pdf' });
  }
  assert.deepEqual(await names(bench.view(), '/Outbox/a'), ['x (2).pdf', 'x.pdf']);
  assert.equal((await download(bench, '/Outbox/a/x (2).pdf')).toString(), 'three');
});

test('withdrawing takes an item away; who reads it already reads on', async () => {
  await using bench = await CacheBench.open();
  const content = randomBytes(500_000);
  const { offer } = await offered(bench, content);
  const handle = await bench.view().openForReading(path('/Outbox/x.bin'));
  const withdraw = bench.handOver.requests['outbox.withdraw'];
  assert.deepEqual(await withdraw({ id: offer.id }, signal), { removed: true });
  assert.deepEqual(await withdraw({ id: offer.id }, signal), { removed: true });
  assert.deepEqual(await withdraw({ id: newItemId() }, signal), { removed: false });
  assert.deepEqual(await bench.objectFiles(), []);
  await assert.rejects(bench.view().stat(path('/Outbox/x.bin')), hasCode('no-such-file'));
  assert.deepEqual(await handle.read(400_000, 100_000), content.subarray(400_000));
  await handle.close();
});

test('an expired item cannot be read any more and is removed', async () => {
  await using bench = await CacheBench.open();
  await offered(bench, Buffer.from('old'));
  bench.clock.advance(86_400_001);
  await assert.rejects(bench.view().openForReading(path('/Outbox/x.bin')), hasCode('no-such-file'));
  await bench.cache.sweep();
  assert.deepEqual(await names(bench.view(), '/Outbox'), []);
  assert.deepEqual(await bench.objectFiles(), []);
  assert.equal((await bench.events('item.expired')).length, 1);
});

test('what the grant does not allow in the Outbox is refused', async () => {
  await using bench = await CacheBench.open();
  await offered(bench, Buffer.from('x'));
  const view = bench.view('acme', { permissions: granted('allow-list', 'allow-write') });
  await assert.rejects(view.openForReading(path('/Outbox/x.bin')), hasCode('permission-denied'));
  await assert.rejects(view.removeFile(path('/Outbox/x.bin')), hasCode('permission-denied'));
  const wide = bench.view();
  await assert.rejects(put(wide, '/Outbox/y', 'x'), hasCode('permission-denied'));
  await assert.rejects(wide.makeFolder(path('/Outbox/f')), hasCode('permission-denied'));
  await assert.rejects(wide.rename(path('/Outbox/x.bin'), path('/Inbox/x'), false), hasCode('permission-denied'));
  await assert.rejects(bench.view('globex').openForReading(path('/Outbox/x.bin')), hasCode('no-such-file'));
});

test('FD-01: dispatch to another Outbox moves the record: hidden until registered, then readable there, a ghost here', async () => {
  await using bench = await CacheBench.open({ rules: [rule('*.pdf', { action: 'outbox', partner: 'globex' })] });
  const content = randomBytes(200_000);
  const acme = bench.view('acme');
  await put(acme, '/Inbox/plan.pdf', content);
  const files = await bench.objectFiles();
  assert.equal((await acme.stat(path('/Inbox/plan.pdf'))).ghost, true);
  await assert.rejects(acme.rename(path('/Inbox/plan.pdf'), path('/Inbox/mine.pdf'), false), hasCode('already-collected'));
  await acme.removeFile(path('/Inbox/plan.pdf')); // only from his own view
  assert.deepEqual(await names(bench.view('globex'), '/Outbox'), []);
  assert.deepEqual(await bench.list(), []);
  bench.announcer.linkUp();
  await bench.announcer.idle();
  assert.equal(bench.inside.announced[0]?.state, 'offered');
  assert.deepEqual(await names(bench.view('globex'), '/Outbox'), ['plan.pdf']);
  assert.deepEqual(await download(bench, '/Outbox/plan.pdf', 'globex'), content);
  assert.deepEqual(await bench.objectFiles(), files);
  await bench.view('globex').removeFile(path('/Outbox/plan.pdf'));
  assert.deepEqual(await bench.objectFiles(), []);
});

test('an offer that a crash cut leaves nothing, however large it was', async () => {
  await using bench = await CacheBench.open();
  const content = randomBytes(12_000_000);
  const { offer, bytes } = await sealed(bench, content, 'acme', '/Outbox/large.bin');
  const dead = Promise.withResolvers<void>();
  const cut = async function* (): AsyncGenerator<Buffer> {
    yield bytes.subarray(0, 11_000_000);
    await dead.promise;
  };
  const attempt = bench.handOver.streams['outbox.offer'](offer, cut(), signal);
  const written = async (): Promise<number> => {
    const [file] = await bench.objectFiles();
    return file === undefined ? 0 : (await stat(bench.cache.core.files.path(file))).size;
  };
  while ((await written()) < 11_000_000) await new Promise((resolve) => setTimeout(resolve, 5));
  await bench.crash();
  await bench.start();
  assert.deepEqual(await bench.objectFiles(), []);
  assert.deepEqual(await readdir(join(bench.folder, 'quarantine')), []);
  assert.deepEqual(await bench.handOver.streams['outbox.offer'](offer, pieces(bytes), signal), { stored: true });
  await bench.crash();
  await bench.start();
  assert.deepEqual(await download(bench, '/Outbox/large.bin'), content);
  dead.resolve();
  await assert.rejects(attempt);
});

test('an offer whose bytes were damaged here is not taken for stored when it comes again', async () => {
  await using bench = await CacheBench.open();
  const content = randomBytes(1000);
  const { offer, bytes } = await offered(bench, content);
  const [file = ''] = await bench.objectFiles();
  await truncate(bench.cache.core.files.path(file), 10);
  await bench.crash();
  await bench.start();
  assert.deepEqual(await names(bench.view(), '/Outbox'), []);
  assert.deepEqual(await bench.handOver.streams['outbox.offer'](offer, pieces(bytes), signal), { stored: true });
  assert.deepEqual(await download(bench, '/Outbox/x.bin'), content);
  await bench.crash();
  await bench.start();
  assert.equal((await bench.objectFiles()).length, 1);
});

for (const code of ['store-suspect', 'database-failed'] as const) {
  test(`an offer of whose commit nobody knows (${code}) keeps its file: the next start compares`, async () => {
    await using bench = await CacheBench.open();
    const content = randomBytes(1000);
    const { offer, bytes } = await sealed(bench, content, 'acme', '/Outbox/x.bin');
    const { database } = bench;
    const call = database.call.bind(database);
    database.call = (async (name: never, args: never) => {
      const result = await call(name, args);
      if (name === 'outbox.store') throw new SallyportError(code, 'the disk failed after the commit');
      return result;
    }) as typeof database.call;
    await assert.rejects(bench.handOver.streams['outbox.offer'](offer, pieces(bytes), signal), hasCode(code));
    await bench.crash();
    await bench.start();
    assert.deepEqual(await bench.handOver.streams['outbox.offer'](offer, pieces(bytes), signal), { stored: true });
    assert.deepEqual(await download(bench, '/Outbox/x.bin'), content);
  });
}
