import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openFtpsDoor, password, user } from '../../test/fixtures/ftps-door.ts';
import { MemoryView } from '../../test/fixtures/memory-view.ts';
import { RawFtp, readAll } from '../../test/fixtures/raw-ftp.ts';

test('FT-04: nobody is asked for a name or a password without TLS', async () => {
  await using door = await openFtpsDoor({ view: new MemoryView() });
  const ftp = await RawFtp.connect(door.port);
  assert.equal((await ftp.reply()).code, 220);
  assert.equal((await ftp.ask(`USER ${user}`)).code, 530);
  assert.equal((await ftp.ask(`PASS ${password}`)).code, 530);
  assert.deepEqual(door.attempts, []);
  await ftp.authTls();
  assert.equal((await ftp.logIn(user, password)).code, 230);
  ftp.close();
});

test('F72: what is sent behind AUTH TLS in clear ends the session and is carried out by nobody', async () => {
  await using door = await openFtpsDoor({ view: new MemoryView() });
  const ftp = await RawFtp.connect(door.port);
  await ftp.reply();
  ftp.send(`AUTH TLS\r\nUSER ${user}\r\nPASS ${password}\r\n`);
  assert.equal((await ftp.reply()).code, 0);
  assert.deepEqual(door.attempts, []);
  assert.deepEqual(door.left, ['broken-protocol']);
  assert.equal(door.events.filter(({ name }) => name === 'connection.refused').length, 1);
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: an upload is complete when its sender said so, and a partial when it was cut`, async () => {
    await using door = await openFtpsDoor({ view: new MemoryView() });
    const ftp = await RawFtp.loggedIn(door.port, user, password, { minVersion: version, maxVersion: version });
    const bytes = Buffer.alloc(300_000, 7);
    for (const end of ['told', 'cut'] as const) {
      const port = await ftp.passive();
      ftp.send(`STOR /Inbox/${end}.bin\r\n`);
      const data = await ftp.data(port);
      assert.equal((await ftp.reply()).code, 150);
      await new Promise<void>((go) => data.write(bytes, () => go()));
      if (end === 'told') data.end();
      else cut(data);
      assert.equal((await ftp.reply()).code, end === 'told' ? 226 : 426);
    }
    assert.deepEqual(door.view.files.get('/Inbox/told.bin')?.bytes, bytes);
    assert.equal(door.view.files.has('/Inbox/cut.bin'), false);
    assert.equal(door.view.partials.get('/Inbox/cut.bin')?.length, bytes.length);
    ftp.close();
  });
}

test('ABOR is heard while an upload runs, and the session goes on', async () => {
  await using door = await openFtpsDoor({ view: new MemoryView() });
  const ftp = await RawFtp.loggedIn(door.port, user, password);
  const port = await ftp.passive();
  ftp.send('STOR /Inbox/a.bin\r\n');
  const data = await ftp.data(port);
  assert.equal((await ftp.reply()).code, 150);
  data.write('some bytes');
  assert.equal((await ftp.ask('ABOR')).code, 426);
  assert.equal((await ftp.reply()).code, 226);
  assert.equal(door.view.openWriters, 0);
  assert.equal(door.view.files.size, 0);
  const next = await ftp.passive();
  ftp.send('LIST /\r\n');
  assert.match((await readAll(await ftp.data(next))).toString(), /Inbox\r\n.*Outbox\r\n$/s);
  assert.equal((await ftp.reply()).code, 150);
  assert.equal((await ftp.reply()).code, 226);
  ftp.close();
});

test('F76: a stranger on the port for data is dropped, and the right client is served there', async () => {
  await using door = await openFtpsDoor({ view: new MemoryView() });
  const ftp = await RawFtp.loggedIn(door.port, user, password);
  const port = await ftp.passive();
  const stranger = await ftp.data(port, { plain: true, localAddress: '127.0.0.2' });
  await new Promise<void>((gone) => stranger.once('close', () => gone()));
  ftp.send('STOR /Inbox/mine.txt\r\n');
  const data = await ftp.data(port);
  data.end('mine');
  assert.equal((await ftp.reply()).code, 150);
  assert.equal((await ftp.reply()).code, 226);
  assert.equal(door.view.files.get('/Inbox/mine.txt')?.bytes.toString(), 'mine');
  ftp.close();
});

function cut(data: object): void {
  // Below TLS: the connection ends without its end being said.
  (data as { _handle: { close(): void } })._handle.close();
}

test('a download counts only when all of it was sent; one that was given up was not', async () => {
  await using door = await openFtpsDoor({ view: new MemoryView() });
  door.view.files.set('/Outbox/a.bin', { bytes: Buffer.alloc(64 * 1024 * 1024, 1), modifiedAtMs: 0 });
  const ftp = await RawFtp.loggedIn(door.port, user, password);
  const port = await ftp.passive();
  ftp.send('RETR /Outbox/a.bin\r\n');
  const data = await ftp.data(port);
  data.pause();
  assert.equal((await ftp.reply()).code, 150);
  ftp.send('ABOR\r\n');
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [426, 226]);
  assert.deepEqual(door.view.log, ['left /Outbox/a.bin']);
  const next = await ftp.passive();
  ftp.send('RETR /Outbox/a.bin\r\n');
  assert.equal((await readAll(await ftp.data(next))).length, 64 * 1024 * 1024);
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [150, 226]);
  assert.deepEqual(door.view.log, ['left /Outbox/a.bin', 'read /Outbox/a.bin']);
  ftp.close();
});
