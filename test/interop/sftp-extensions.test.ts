/** The extensions of the SFTP door: what VERSION offers is answered, what it does not offer is refused, OpenSSH uses them. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { put } from '../fixtures/cache-bench.ts';
import { openCacheDoor } from '../fixtures/cache-door.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { OpenSsh } from '../fixtures/openssh.ts';
import { type Answer, connectClient, init, op, openFlags, RawSftp } from '../fixtures/raw-sftp.ts';
import { openDoor, password } from '../fixtures/sftp-door.ts';

const writing = openFlags.write | openFlags.create | openFlags.truncate;
const [statusAnswer, nameAnswer, extendedAnswer] = [101, 104, 201];
const unsupported = 8;

/** The strings that an answer consists of, from `at`. */
function texts(body: Buffer, at = 0): string[] {
  const found: string[] = [];
  for (let next = at; next < body.length; ) {
    const length = body.readUInt32BE(next);
    found.push(body.subarray(next + 4, next + 4 + length).toString('latin1'));
    next += 4 + length;
  }
  return found;
}

const figures = ({ body }: Answer): number[] =>
  Array.from({ length: body.length / 8 }, (_, n) => Number(body.readBigUInt64BE(8 * n)));

/** The one path of a NAME answer. */
const pathOf = ({ type, body }: Answer): string => {
  assert.equal(type, nameAnswer);
  return body.subarray(8, 8 + body.readUInt32BE(4)).toString();
};

async function versionOf(port: number): Promise<Map<string, string>> {
  const ssh = await connectClient(port);
  const raw = await RawSftp.channelOn(ssh);
  raw.channel.write(init);
  const version = await raw.next();
  ssh.destroy();
  assert.ok(version);
  assert.equal(version.id, 3);
  const pairs = texts(version.body);
  return new Map(pairs.flatMap((name, n) => (n % 2 === 0 ? [[name, pairs[n + 1] ?? ''] as const] : [])));
}

test('F66: VERSION names exactly the extensions that are answered', async () => {
  await using door = await openCacheDoor();
  assert.deepEqual(Object.fromEntries(await versionOf(door.port)), {
    'posix-rename@openssh.com': '1',
    'statvfs@openssh.com': '2',
    'fstatvfs@openssh.com': '2',
    'fsync@openssh.com': '1',
    'lsetstat@openssh.com': '1',
    'limits@openssh.com': '1',
    'expand-path@openssh.com': '1',
    'home-directory': '1',
    'users-groups-by-id@openssh.com': '1',
    'check-file': 'sha256',
  });
});

test('F66: links, copies on the server and other extensions are unsupported, and nothing is made of them', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  await put(door.bench.view(), '/Inbox/a', 'content');
  const handle = await client.open('/Inbox/b', writing);
  const answers = [
    await client.ask(op.symlink, '/Inbox/a', '/Inbox/link'),
    await client.ask(op.readlink, '/Inbox/a'),
    await client.ask(op.extended, 'hardlink@openssh.com', '/Inbox/a', '/Inbox/link'),
    await client.ask(op.extended, 'copy-data', handle, 0n, 0n, handle, 0n),
    await client.ask(op.extended, 'copy-file', '/Inbox/a', '/Inbox/link', 0),
    await client.ask(op.extended, 'md5-hash', '/Inbox/a', 0n, 0n, ''),
    await client.ask(op.extended, 'md5-hash-handle', handle, 0n, 0n, ''),
    await client.ask(op.extended, '__proto__', '/Inbox/a'),
    await client.ask(op.extended, '', '/Inbox/a'),
  ];
  for (const answer of answers) assert.equal(answer.status, unsupported);
  assert.equal((await client.ask(op.lstat, '/Inbox/link')).status, 2);
  assert.equal((await client.ask(op.close, handle)).status, 0);
  assert.deepEqual(
    (await door.bench.list()).map(({ path, size }) => [path, size]),
    [
      ['/Inbox/a', 7],
      ['/Inbox/b', 0],
    ],
  );
});

test('F66: mode and owner are accepted and change nothing, also through lsetstat; the time is kept', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  await put(door.bench.view(), '/Inbox/a', 'content');
  const before = (await client.ask(op.stat, '/Inbox/a')).body;
  assert.equal((await client.ask(op.setstat, '/Inbox/a', 6, 0, 0, 0o4777)).status, 0);
  assert.equal((await client.ask(op.extended, 'lsetstat@openssh.com', '/Inbox/a', 6, 0, 0, 0)).status, 0);
  assert.deepEqual((await client.ask(op.stat, '/Inbox/a')).body, before);
  assert.equal((await client.ask(op.extended, 'lsetstat@openssh.com', '/Inbox/a', 8, 5, 1_600_000_000)).status, 0);
  assert.equal((await client.ask(op.stat, '/Inbox/a')).body.readUInt32BE(28), 1_600_000_000);
  assert.equal((await client.ask(op.extended, 'lsetstat@openssh.com', '/Inbox/none', 4, 0)).status, 2);
});

test('fsync answers OK when what was written outlives a crash, and says so when it cannot', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Inbox/a', writing);
  const content = randomBytes(100_000);
  client.send(op.write, handle, 0n, content.subarray(0, 50_000));
  client.send(op.write, handle, 50_000n, content.subarray(50_000));
  client.send(op.extended, 'fsync@openssh.com', handle);
  for (let n = 0; n < 3; n += 1) assert.equal((await client.next())?.status, 0);
  const [file] = await door.bench.objectFiles();
  assert.ok(file);
  assert.equal((await client.ask(op.write, handle, 100_010n, 'behind a hole')).status, 0);
  assert.equal((await client.ask(op.extended, 'fsync@openssh.com', handle)).status, 4);
  assert.equal((await client.ask(op.extended, 'fsync@openssh.com', Buffer.alloc(4))).status, 4);
  const folder = (await client.ask(op.opendir, '/Inbox')).body.subarray(4);
  assert.equal((await client.ask(op.extended, 'fsync@openssh.com', folder)).status, 4);
  await door.bench.crash();
  await door.bench.start();
  assert.equal((await door.bench.view().stat('/Inbox/a' as never)).size, 100_000);
});

test('statvfs shows the quota as a file system and no figure of the host', async () => {
  await using door = await openCacheDoor({ grant: { quotaBytes: 1_000_000, quotaFiles: 20 } });
  await using client = await RawSftp.connect(door.port);
  await put(door.bench.view(), '/Inbox/a', Buffer.alloc(100_000));
  const space = await client.ask(op.extended, 'statvfs@openssh.com', '/Inbox');
  assert.equal(space.type, extendedAnswer);
  const blocks = [244, 219, 219];
  assert.deepEqual(figures(space), [4096, 4096, ...blocks, 20, 19, 19, 0, 2, 255]);
  assert.deepEqual(figures(await client.ask(op.extended, 'statvfs@openssh.com', '/Outbox')).slice(2, 5), blocks);
  assert.equal(figures(await client.ask(op.extended, 'statvfs@openssh.com', '/Outbox')).at(9), 3);
  const handle = await client.open('/Inbox/b', writing);
  assert.deepEqual(figures(await client.ask(op.extended, 'fstatvfs@openssh.com', handle)).slice(2, 8), [...blocks, 20, 18, 18]);
  assert.equal((await client.ask(op.extended, 'statvfs@openssh.com', '/etc')).status, 2);
  assert.equal((await client.ask(op.extended, 'fstatvfs@openssh.com', Buffer.alloc(4))).status, 4);
});

test('a quota without end is shown as one pebibyte', async () => {
  await using door = await openCacheDoor({ grant: { quotaBytes: Number.MAX_SAFE_INTEGER } });
  await using client = await RawSftp.connect(door.port);
  const [size = 0, , all = 0, free = 0] = figures(await client.ask(op.extended, 'statvfs@openssh.com', '/'));
  assert.deepEqual([size * all, size * free], [2 ** 50, 2 ** 50]);
});

test('limits are those that are kept', async () => {
  await using door = await openCacheDoor({ options: { maxHandles: 7 } });
  await using client = await RawSftp.connect(door.port);
  assert.deepEqual(figures(await client.ask(op.extended, 'limits@openssh.com')), [262_144, 196_608, 261_120, 7]);
  const handle = await client.open('/Inbox/a', writing);
  assert.equal((await client.ask(op.write, handle, 0n, Buffer.alloc(261_120))).status, 0);
});

test('paths are expanded and homes told for the own account alone', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  const expand = (path: string) => client.ask(op.extended, 'expand-path@openssh.com', path);
  assert.equal(pathOf(await expand('~')), '/');
  assert.equal(pathOf(await expand('~/Inbox/x')), '/Inbox/x');
  assert.equal(pathOf(await expand('~acme/Inbox')), '/Inbox');
  assert.equal(pathOf(await expand('Inbox/../~x')), '/~x');
  assert.equal((await expand('~globex/Inbox')).status, 2);
  assert.equal((await expand('~root')).status, 2);
  assert.equal(pathOf(await client.ask(op.extended, 'home-directory', '')), '/');
  assert.equal(pathOf(await client.ask(op.extended, 'home-directory', 'acme')), '/');
  assert.equal((await client.ask(op.extended, 'home-directory', 'root')).status, 2);
});

test('owners and groups have the name that listings show, other numbers none', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  const ids = Buffer.from([0, 0, 0, 0, 0, 0, 3, 232]); // root's and ours
  const { type, body } = await client.ask(op.extended, 'users-groups-by-id@openssh.com', ids, ids.subarray(4));
  assert.equal(type, extendedAnswer);
  const [users = '', groups = ''] = texts(body);
  assert.deepEqual(texts(Buffer.from(users, 'latin1')), ['', 'partner']);
  assert.deepEqual(texts(Buffer.from(groups, 'latin1')), ['partner']);
});

test('check-file is answered for a whole file with the SHA-256 of the record, anything else is unsupported', async () => {
  await using door = await openCacheDoor();
  await using client = await RawSftp.connect(door.port);
  const content = randomBytes(70_000);
  await put(door.bench.view(), '/Inbox/a', content);
  const digest = createHash('sha256').update(content).digest();
  const ask = (algorithms: string, offset = 0n, length = 0n, block = 0, path = '/Inbox/a') =>
    client.ask(op.extended, 'check-file-name', path, algorithms, offset, length, block);
  const framed = (text: string): Buffer => Buffer.concat([Buffer.from([0, 0, 0, text.length]), Buffer.from(text)]);
  const expected = Buffer.concat([framed('sha256'), digest]);
  for (const answer of [await ask('sha256'), await ask('md5,sha256', 0n, 70_000n), await ask('sha256', 0n, 0n, 2 ** 31)]) {
    assert.equal(answer.type, extendedAnswer);
    assert.deepEqual(answer.body, expected);
  }
  for (const answer of [
    await ask('md5,sha1,sha512'),
    await ask('sha256', 1n),
    await ask('sha256', 0n, 69_999n),
    await ask('sha256', 0n, 0n, 65_536),
    await client.ask(op.extended, 'check-file-handle', await client.open('/Inbox/b', writing), 'sha256', 0n, 0n, 0),
  ]) {
    assert.equal(answer.type, statusAnswer);
    assert.equal(answer.status, unsupported);
  }
  assert.equal((await ask('sha256', 0n, 0n, 0, '/Inbox/none')).status, 2);
  assert.equal((await ask('sha256', 0n, 0n, 0, '/Inbox')).status, 4);
});

test('check-file of a file that is open for reading, for new programs and for old ones', async () => {
  await using door = await openCacheDoor();
  const { bench } = door;
  bench.policy &&= {
    ...bench.policy,
    rules: [{ name: 'to globex', source: 'rules.yaml:1', route: { action: 'outbox', partner: 'acme' } }],
  };
  const content = randomBytes(1000);
  await put(bench.view('globex'), '/Inbox/a', content);
  await bench.announcer.linkUp();
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Outbox/a', openFlags.read);
  const digest = createHash('sha256').update(content).digest();
  const answer = await client.ask(op.extended, 'check-file-handle', handle, 'sha256', 0n, 0n, 0);
  assert.deepEqual(answer.body.subarray(10), digest);
  const named = await client.ask(op.extended, 'check-file', handle, 'sha256', 0n, 0n, 0);
  assert.deepEqual(texts(named.body.subarray(0, 24)), ['check-file', 'sha256']);
  assert.deepEqual(named.body.subarray(24), digest);
});

test('OpenSSH flushes an upload before it closes it', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using ssh = await OpenSsh.create(door.port);
  await writeFile(ssh.path('a'), 'content');
  const options = ['PreferredAuthentications=password'];
  const ran = await ssh.sftp(`put -f ${ssh.path('a')} /Inbox/a`, options, await ssh.passwordEnvironment(password));
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual(door.view.log, ['flush /Inbox/a 7', 'close /Inbox/a']);
});

test('OpenSSH shows the quota, and a flushed upload is one whole', async () => {
  await using door = await openCacheDoor({ grant: { quotaBytes: 10 * 1024 * 1024, quotaFiles: 20 } });
  await using ssh = await OpenSsh.create(door.port);
  const content = randomBytes(1024 * 1024);
  await writeFile(ssh.path('a'), content);
  const batch = [`put -f ${ssh.path('a')} /Inbox/a`, 'df -h /Inbox', 'df -i /Inbox', 'chmod 600 /Inbox/a'];
  const ran = await ssh.sftp(batch.join('\n'), ['PreferredAuthentications=password'], await ssh.passwordEnvironment(password));
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /10\.0MB +1\.0MB +9\.0MB +9\.0MB +10%/);
  assert.match(ran.out, / 20 +1 +19 +19 +5%/);
  const [item] = await door.bench.list();
  assert.equal(item?.segments.length, 1);
  assert.equal(item?.sha256, createHash('sha256').update(content).digest('hex'));
});
