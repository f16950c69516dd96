/**
 * Logged-in clients that send what no client should, in front of a whole cache (reliability.md §3.4, F59–F68): the answer, and
 * what disk, records and audit trail say afterwards.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { put } from '../fixtures/cache-bench.ts';
import { type CacheDoor, openCacheDoor } from '../fixtures/cache-door.ts';
import { eventually } from '../fixtures/eventually.ts';
import { ObservedRecords } from '../fixtures/observed-records.ts';
import { type Answer, connectClient, init, op, openFlags, RawSftp, request } from '../fixtures/raw-sftp.ts';

const writing = openFlags.write | openFlags.create | openFlags.truncate;
const [attributesAnswer, nameAnswer] = [105, 104];
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** What is left: complete items and partials by path and size, files on disk, and the events that tell of uploads. */
async function remains({ bench }: CacheDoor) {
  const events = await bench.events();
  const told = events.filter(({ name }) => /^(item\.completed|upload\.(partial|refused))$/.test(name));
  return {
    items: (await bench.list()).map((item) => `${item.path} ${item.size}`),
    partials: told.filter(({ name }) => name === 'upload.partial').map(({ fields }) => `${fields.path} ${fields.size}`),
    completed: told.filter(({ name }) => name === 'item.completed').map(({ fields }) => `${fields.path} ${fields.size}`),
    files: (await bench.objectFiles()).length,
  };
}

/** Waits until an upload that ended without CLOSE is recorded. */
const keptPartial = ({ bench }: CacheDoor, name: string, size: number): Promise<void> =>
  eventually(
    `${name} is kept`,
    async () => (await bench.events('upload.partial')).some(({ fields }) => fields.path === name && fields.size === size),
    60_000,
  );

const sizeOf = async (client: RawSftp, name: string): Promise<number> => {
  const answer = await client.ask(op.stat, name);
  assert.equal(answer.type, attributesAnswer, `${name}: status ${answer.status}`);
  return Number(answer.body.readBigUInt64BE(4));
};

const broken: Readonly<Record<string, Buffer>> = {
  'a packet of length 0': Buffer.from([0, 0, 0, 0, 0, 0, 0, 0]),
  'a packet of length 2^32-1': Buffer.from([255, 255, 255, 255, 5]),
  'a packet of 256 KiB and one byte': Buffer.from([0, 4, 0, 1, 5]),
  'an unknown request': request(99, 1),
  'a second INIT': init,
  'a request that ends too early': Buffer.from([0, 0, 0, 9, 3, 0, 0, 0, 1, 0, 0, 255, 255]),
  'a name longer than its packet': request(op.stat, 1, 2 ** 31),
  'an answer instead of a request': request(101, 1, 0, '', ''),
  'an extended request without a name': request(op.extended, 1),
};

test('F59: bytes that are no request end that session alone; what it had sent is a partial, never an item', async () => {
  await using door = await openCacheDoor();
  await using other = await RawSftp.connect(door.port);
  for (const [n, [what, bytes]] of Object.entries(broken).entries()) {
    await using client = await RawSftp.connect(door.port);
    const handle = await client.open(`/Inbox/a${n}`, writing);
    assert.equal((await client.ask(op.write, handle, 0n, 'kept')).status, 0);
    client.channel.write(bytes);
    assert.equal(await client.next(), undefined, what);
    await keptPartial(door, `/Inbox/a${n}`, 4);
    assert.equal(await sizeOf(other, `/Inbox/a${n}`), 4, what);
  }
  const count = Object.keys(broken).length;
  const left = await remains(door);
  assert.deepEqual([left.items, left.completed, left.files], [[], [], count]);
  const ended = door.events.filter(({ name }) => name === 'session.ended');
  assert.equal(ended.length, count);
});

test('F59: a request before INIT ends that session', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.channelOn(await connectClient(door.port));
  client.channel.write(request(op.open, 1, '/Inbox/a', writing, 0));
  assert.equal(await client.next(), undefined);
  await eventually('the end', () => door.listener.connections === 0);
  assert.deepEqual(await remains(door), { items: [], partials: [], completed: [], files: 0 });
});

test('F62: reads beyond the end, at 2^63 and of 2^31 bytes are answered without memory for them', async () => {
  await using door = await openCacheDoor();
  const { bench } = door;
  const content = randomBytes(300_000);
  const route = { action: 'outbox', partner: 'acme' } as const;
  if (bench.policy) bench.policy = { ...bench.policy, rules: [{ name: 'to acme', source: 'rules.yaml:1', route }] };
  await put(bench.view('globex'), '/Inbox/a', content);
  await bench.announcer.linkUp();
  await using client = await RawSftp.connect(door.port);
  const reading = await client.open('/Outbox/a', openFlags.read);
  for (const offset of [300_000n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    assert.equal((await client.ask(op.read, reading, offset, 10)).status, 1, String(offset));
  }
  assert.equal((await client.ask(op.read, reading, 0n, 0)).status, 1);
  const most = await client.ask(op.read, reading, 0n, 2 ** 31);
  assert.deepEqual(most.body.subarray(4), content.subarray(0, 261_120));
  const last = await client.ask(op.read, reading, 299_999n, 2 ** 32 - 1);
  assert.deepEqual(last.body.subarray(4), content.subarray(299_999));
  await client.ask(op.close, reading);
  // Not read from the first byte to the last: no download is claimed.
  assert.deepEqual(bench.inside.notes, []);
});

test('F63: a write at 2^53+1, an overlapping one and one backwards are refused, and no wrong byte is ever complete', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  for (const [name, offset] of [
    ['far', 2n ** 53n + 1n],
    ['farther', 2n ** 64n - 1n],
    ['ahead', 9n * 1024n * 1024n],
    ['overlapping', 2n],
    ['backwards', 0n],
  ] as const) {
    const handle = await client.open(`/Inbox/${name}`, writing);
    assert.equal((await client.ask(op.write, handle, 0n, 'abcd')).status, 0);
    assert.equal((await client.ask(op.write, handle, offset, 'wxyz')).status, 4, name);
    assert.equal((await client.ask(op.close, handle)).status, 4, name);
    assert.equal(await sizeOf(client, `/Inbox/${name}`), 4, name);
  }
  const left = await remains(door);
  assert.deepEqual([left.items, left.completed, left.partials.length], [[], [], 5]);
});

test('F63, SF-16: writes in any order within the window are the exact bytes', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  const content = randomBytes(64 * 32_768);
  const handle = await client.open('/Inbox/a', writing);
  for (let n = 63; n >= 0; n -= 1) {
    const at = (n * 37) % 64;
    client.send(op.write, handle, BigInt(at * 32_768), content.subarray(at * 32_768, (at + 1) * 32_768));
  }
  client.send(op.close, handle);
  for (let n = 0; n < 65; n += 1) assert.equal((await client.next())?.status, 0);
  const [item] = await door.bench.list();
  assert.equal(item?.sha256, sha256(content));
  assert.equal(sha256(await door.bench.content(item?.id ?? '')), sha256(content));
});

test('F64: 10,000 opens stop at the limit; forged, foreign and closed handles reach nothing', async () => {
  await using door = await openCacheDoor({ options: { maxHandles: 20 } });
  await using client = await RawSftp.connect(door.port);
  await using second = await RawSftp.on(client.client);
  await using stranger = await RawSftp.connect(door.port);
  for (let n = 0; n < 10_000; n += 1) client.send(op.open, `/Inbox/f${n}`, writing, 0);
  const handles: Buffer[] = [];
  let refused = 0;
  for (let n = 0; n < 10_000; n += 1) {
    const answer = await client.next();
    if (answer?.type === 102) handles.push(answer.body.subarray(4));
    else if (answer?.status === 4) refused += 1;
  }
  assert.deepEqual([handles.length, refused], [20, 9980]);
  assert.equal((await second.ask(op.opendir, '/')).status, 4, 'one limit for all channels');
  const [first = Buffer.alloc(0)] = handles;
  for (const forged of [Buffer.alloc(0), Buffer.alloc(4), Buffer.from([255, 0, 0, 1]), Buffer.alloc(256, 1), Buffer.alloc(5)]) {
    assert.equal((await client.ask(op.write, forged, 0n, 'x')).status, 4);
  }
  for (const thief of [second, stranger]) {
    assert.equal((await thief.ask(op.write, first, 0n, 'stolen')).status, 4);
    assert.equal((await thief.ask(op.close, first)).status, 4);
  }
  assert.equal((await client.ask(op.close, first)).status, 0);
  for (const type of [op.close, op.fstat, op.readdir]) assert.equal((await client.ask(type, first)).status, 4);
  assert.equal((await client.ask(op.write, first, 0n, 'x')).status, 4);
  await second.open('/Inbox/again', writing);
  assert.deepEqual((await remains(door)).items, ['/Inbox/f0 0']);
});

const escapes: readonly (readonly [raw: string, stays: string | undefined])[] = [
  ['/../../etc/passwd', '/etc/passwd'],
  ['/Inbox/../../../../etc/passwd', '/etc/passwd'],
  ['/Inbox/....//....//etc', '/Inbox/..../..../etc'],
  ['/Inbox/%2e%2e/%2e%2e/etc', '/Inbox/%2e%2e/%2e%2e/etc'],
  ['/Inbox/\u2025/etc', '/Inbox/\u2025/etc'],
  ['//etc//passwd', '/etc/passwd'],
  ['../'.repeat(1000), '/'],
  ['a/../'.repeat(500), '/'],
  [`/Inbox${'/d'.repeat(10_000)}`, undefined],
  [`/Inbox${'/d'.repeat(40)}`, undefined],
  ['/Inbox/a\0/../../etc', undefined],
  ['/Inbox/\xff\xfe', undefined],
];

test('F67: no path leaves the virtual root, and none is made beside the Inbox', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  for (const [raw, stays] of escapes) {
    const bytes = Buffer.from(raw, raw.includes('\xff') ? 'latin1' : 'utf8');
    const real = await client.ask(op.realpath, bytes);
    assert.equal(real.type === nameAnswer ? pathIn(real) : undefined, stays, raw.slice(0, 40));
    const opened = await client.ask(op.open, bytes, writing, 0);
    assert.ok([2, 3, 4].includes(opened.status ?? -1), `${raw.slice(0, 40)}: ${opened.status}`);
    assert.notEqual((await client.ask(op.mkdir, bytes, 0)).status, 0, raw.slice(0, 40));
    assert.notEqual((await client.ask(op.opendir, stays === '/' ? '/etc' : bytes)).type, 102, raw.slice(0, 40));
  }
  assert.deepEqual(await remains(door), { items: [], partials: [], completed: [], files: 0 });
  assert.deepEqual(await door.bench.events('folder.made'), []);
});

const pathIn = ({ body }: Answer): string => body.subarray(8, 8 + body.readUInt32BE(4)).toString();

test('F68, SF-15, 2.8 end without CLOSE: without CLOSE nothing is complete: connection lost, channel ended, polite goodbye', async () => {
  await using door = await openCacheDoor();
  const ways = {
    lost: (c: RawSftp) => c.inside._sock.destroy(),
    channel: (c: RawSftp) => c.channel.end(),
    polite: (c: RawSftp) => c.client.end(),
  };
  for (const [name, leave] of Object.entries(ways)) {
    await using client = await RawSftp.connect(door.port);
    const handle = await client.open(`/Inbox/${name}`, writing);
    assert.equal((await client.ask(op.write, handle, 0n, 'half')).status, 0);
    leave(client);
    await keptPartial(door, `/Inbox/${name}`, 4);
  }
  const left = await remains(door);
  assert.deepEqual(left.items, []);
  assert.deepEqual(left.partials.toSorted(), ['/Inbox/channel 4', '/Inbox/lost 4', '/Inbox/polite 4']);
});

test('F68: CLOSE completes what was written whole, also nothing, and also when its answer is never heard', async () => {
  await using door = await openCacheDoor();
  {
    await using client = await RawSftp.connect(door.port);
    assert.equal((await client.ask(op.close, await client.open('/Inbox/empty', writing))).status, 0);
    const handle = await client.open('/Inbox/unheard', writing);
    for (let n = 0; n < 50; n += 1) client.send(op.write, handle, BigInt(n * 10_000), Buffer.alloc(10_000, n));
    client.send(op.close, handle);
    // A rename that follows at once finds the file complete.
    client.send(op.rename, '/Inbox/unheard', '/Inbox/final');
    for (let n = 0; n < 52; n += 1) assert.equal((await client.next())?.status, 0, `answer ${n}`);
    const last = await client.open('/Inbox/last', writing);
    client.send(op.write, last, 0n, 'all of it');
    client.send(op.close, last);
    await eventually('the commit', () => door.bench.cache.core.live.all().length === 0);
  }
  assert.deepEqual((await remains(door)).items, ['/Inbox/empty 0', '/Inbox/final 500000', '/Inbox/last 9']);
});

test('F68: CLOSE fails when bytes are missing or a WRITE failed; what is contiguous is kept', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  for (const [name, offset, status] of [
    ['holes', 5n, 0],
    ['failed', 2n ** 39n, 4],
  ] as const) {
    const handle = await client.open(`/Inbox/${name}`, writing);
    client.send(op.write, handle, 0n, 'abc');
    client.send(op.write, handle, offset, 'fgh');
    client.send(op.close, handle);
    const answers = [await client.next(), await client.next(), await client.next()];
    assert.deepEqual(
      answers.map((answer) => answer?.status),
      [0, status, 4],
      name,
    );
    assert.equal(await sizeOf(client, `/Inbox/${name}`), 3, name);
  }
  const left = await remains(door);
  assert.deepEqual([left.items, left.completed, left.partials], [[], [], ['/Inbox/holes 3', '/Inbox/failed 3']]);
});

test('F68: a second writer of a name is refused while the first lives, and extending an upload needs its bytes', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  await using second = await RawSftp.connect(door.port);
  const handle = await client.open('/Inbox/a', writing);
  assert.equal((await second.ask(op.open, '/Inbox/a', writing, 0)).status, 4);
  assert.equal((await client.ask(op.write, handle, 0n, 'abcdef')).status, 0);
  assert.equal((await client.ask(op.fsetstat, handle, 1, 3n)).status, 0);
  assert.equal((await client.ask(op.fsetstat, handle, 1, 1000n)).status, 8);
  assert.equal(await sizeOf(client, '/Inbox/a'), 3);
  assert.deepEqual((await remains(door)).items, []);
  assert.equal((await client.ask(op.close, handle)).status, 0);
  const [item] = await door.bench.list();
  assert.equal((await door.bench.content(item?.id ?? '')).toString(), 'abc');
  await second.open('/Inbox/a', writing);
});

const refusedNames: Readonly<Record<string, Buffer | string>> = {
  'F91 a right-to-left override': 'invoice\u202efdp.exe',
  'F91 a zero-width space': 'a\u200bb',
  'F91 bytes that are no UTF-8': Buffer.from([0x61, 0xff, 0xfe]),
  'F91 half of a character': Buffer.from([0x61, 0xc3]),
  'F92 a line feed': 'a\nFORGED',
  'F92 a carriage return': 'a\rb',
  'F92 a tab': 'a\tb',
  'F92 256 bytes': 'n'.repeat(256),
  'F92 128 characters of two bytes': 'é'.repeat(128),
};
const acceptedNames = ['-rf', 'trailing.', 'trailing ', ' leading', '😀.csv', '=cmd', 'a\'b"c', 'CON', 'a,b;c'];

test('F91, F92: names that lie or break lines are refused, odd ones are shown as they came, in listings and in the audit trail', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  for (const [what, name] of Object.entries(refusedNames)) {
    const raw = Buffer.concat([Buffer.from('/Inbox/'), Buffer.from(name as string)]);
    assert.equal((await client.ask(op.open, raw, writing, 0)).status, 4, what);
    assert.equal((await client.ask(op.mkdir, raw, 0)).status, 4, what);
    assert.equal((await client.ask(op.stat, raw)).status, 4, what);
  }
  for (const name of acceptedNames) {
    assert.equal((await client.ask(op.close, await client.open(`/Inbox/${name}`, writing))).status, 0, name);
  }
  const folder = (await client.ask(op.opendir, '/Inbox')).body.subarray(4);
  const listing = (await client.ask(op.readdir, folder)).body;
  assert.equal(listing.readUInt32BE(0), acceptedNames.length);
  for (const name of acceptedNames) assert.ok(listing.includes(Buffer.from(name)), name);
  await door.bench.database.auditWritten();
  const told = (await door.bench.events('item.completed')).map(({ fields }) => fields.path);
  assert.deepEqual(
    told,
    acceptedNames.map((name) => `/Inbox/${name}`),
  );
});

test('F91: a name composed and decomposed is one file', async () => {
  await using door = await openCacheDoor({ grant: { onExisting: 'replace' } });
  await using client = await RawSftp.connect(door.port);
  const [composed, decomposed] = ['/Inbox/caf\u00e9', '/Inbox/cafe\u0301'];
  for (const name of [composed, decomposed]) {
    const handle = await client.open(name, writing);
    await client.ask(op.write, handle, 0n, name);
    assert.equal((await client.ask(op.close, handle)).status, 0);
  }
  assert.equal(await sizeOf(client, composed), Buffer.byteLength(decomposed));
  assert.deepEqual((await remains(door)).items, [`${decomposed} ${Buffer.byteLength(decomposed)}`]);
});

test('1,000 READDIRs on one handle, sent without reading an answer, read few pages; then every name comes once', async () => {
  const records = new ObservedRecords();
  await using door = await openCacheDoor({ cache: { database: records.asDatabase } });
  const count = 80_050;
  records.fill(count);
  await using client = await RawSftp.connect(door.port);
  const folder = (await client.ask(op.opendir, '/Inbox')).body.subarray(4);
  records.forget();
  client.inside._sock.pause();
  for (let n = 0; n < 1000; n += 1) client.send(op.readdir, folder);
  let before = -1;
  await eventually(
    'the stop',
    async () => {
      const stopped = records.rows > 0 && records.rows === before;
      before = records.rows;
      await new Promise((go) => setTimeout(go, 200));
      return stopped;
    },
    60_000,
  );
  // What a client's window of 2 MiB and the door's limit of 4 MiB hold; a page takes about 12 KiB.
  assert.ok(records.rows <= 70_000, `${records.rows} rows were read for nobody`);
  client.inside._sock.resume();
  const seen = new Set<string>();
  let ends = 0;
  for (let n = 0; n < 1000; n += 1) {
    const answer = await client.next();
    if (answer?.status === 1) ends += 1;
    else for (const name of namesIn(answer?.body ?? Buffer.alloc(4))) seen.add(name);
  }
  assert.deepEqual([seen.size, ends], [count, 1000 - Math.ceil(count / 100)]);
  assert.equal(records.rows, count);
});

/** The short names of a NAME answer. */
function namesIn(body: Buffer): string[] {
  const found: string[] = [];
  for (let at = 4; at < body.length; at += 32) {
    const end = at + 4 + body.readUInt32BE(at);
    found.push(body.subarray(at + 4, end).toString());
    at = end + 4 + body.readUInt32BE(end);
  }
  return found;
}
