import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { test } from 'node:test';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { type FtpsDoorSettings, openFtpsDoor, password, user } from '../../../test/fixtures/ftps-door.ts';
import { MemoryView } from '../../../test/fixtures/memory-view.ts';
import { RawFtp, readAll } from '../../../test/fixtures/raw-ftp.ts';
import { makeSelfSigned } from '../tls/certificate.ts';

const door = (options: FtpsDoorSettings<MemoryView>['options'] = {}) => openFtpsDoor({ view: new MemoryView(), options });
const loggedIn = (port: number, tls: ConnectionOptions = {}): Promise<RawFtp> => RawFtp.loggedIn(port, user, password, tls);
const plainDoor = { plainFtp: true, plainReason: 'an old machine tool' };

async function store(ftp: RawFtp, command: string, content: string, data: Parameters<RawFtp['data']>[1] = {}): Promise<string> {
  const port = await ftp.passive();
  ftp.send(`${command}\r\n`);
  const socket = await ftp.data(port, data);
  const opening = await ftp.reply();
  assert.equal(opening.code, 150, opening.text);
  socket.end(content);
  const { text } = await ftp.reply();
  return opening.text + text;
}

async function fetch(ftp: RawFtp, command: string): Promise<string> {
  const port = await ftp.passive();
  ftp.send(`${command}\r\n`);
  const text = (await readAll(await ftp.data(port))).toString();
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [150, 226]);
  return text;
}

const codes = async (ftp: RawFtp, commands: readonly string[]): Promise<number[]> => {
  const found: number[] = [];
  for (const command of commands) found.push((await ftp.ask(command)).code);
  return found;
};

test('FT-02: implicit FTPS speaks TLS from the first byte on, and protects data unasked', async () => {
  await using open = await door();
  const ftp = await RawFtp.connect(open.implicitPort, { implicit: true });
  assert.equal((await ftp.reply()).code, 220);
  assert.equal((await ftp.logIn(user, password)).code, 230);
  assert.match(await fetch(ftp, 'LIST'), /Inbox/);
  const clear = await RawFtp.connect(open.implicitPort);
  clear.send('USER acme\r\n');
  assert.equal((await clear.reply()).code, 0);
  ftp.close();
});

test('FT-03: plain FTP works only where it is switched on, says why in the status, and its uploads have an untold end', async () => {
  await using open = await door(plainDoor);
  assert.equal(open.listener.addresses[0]?.remark, 'plain FTP is on: an old machine tool');
  const ftp = await RawFtp.connect(open.port);
  await ftp.reply();
  assert.equal((await ftp.logIn(user, password)).code, 230);
  assert.match(await store(ftp, 'STOR /Inbox/a.txt', 'abc', { plain: true }), /226/);
  assert.deepEqual(open.view.log, ['close /Inbox/a.txt (end untold)']);
  ftp.close();
});

test('FT-05: data that is not protected is refused, before and after PROT', async () => {
  await using open = await door();
  const ftp = await RawFtp.connect(open.port);
  await ftp.reply();
  await ftp.authTls();
  await ftp.logIn(user, password);
  assert.deepEqual(await codes(ftp, ['PROT P', 'PBSZ 0', 'PROT C', 'PROT E', 'CCC']), [503, 200, 534, 536, 534]);
  await ftp.passive();
  assert.deepEqual(await codes(ftp, ['STOR /Inbox/a', 'PROT P']), [521, 200]);
  assert.match(await store(ftp, 'STOR /Inbox/a', 'x'), /226/);
  ftp.close();
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`FT-06, F77: where binding is required, only who resumes the session of the control connection is served (${version})`, async () => {
    await using open = await door({ requireBinding: true });
    const tls = { minVersion: version, maxVersion: version };
    const [ftp, other] = [await loggedIn(open.port, tls), await loggedIn(open.port, tls)];
    const port = await ftp.passive();
    ftp.send('STOR /Inbox/mine.txt\r\n');
    assert.equal((await ftp.reply()).code, 150);
    // A ticket of another session of the same server, and no ticket at all.
    const foreign = await other.data(port);
    foreign.end('theirs');
    const fresh = await ftp.data(port, { resume: false });
    fresh.end('somebody');
    (await ftp.data(port)).end('mine');
    assert.equal((await ftp.reply()).code, 226);
    assert.equal(open.view.files.get('/Inbox/mine.txt')?.bytes.toString(), 'mine');
    for (const each of [ftp, other]) each.close();
  });
}

test('FT-06: a partner of whom the inside says so must resume, whatever the host says', async () => {
  await using open = await openFtpsDoor({ view: new MemoryView(), grant: { ftps: { sessionBinding: 'require' } } });
  const ftp = await loggedIn(open.port);
  const port = await ftp.passive();
  ftp.send('STOR /Inbox/mine.txt\r\n');
  assert.equal((await ftp.reply()).code, 150);
  (await ftp.data(port, { resume: false })).end('somebody');
  (await ftp.data(port)).end('mine');
  assert.equal((await ftp.reply()).code, 226);
  assert.equal(open.view.files.get('/Inbox/mine.txt')?.bytes.toString(), 'mine');
  ftp.close();
});

test('FT-13: only a partner of whom the inside says so may end an upload without a word', async () => {
  for (const [grant, code] of [
    [{}, 426],
    [{ ftps: { requireEndOfData: false } }, 226],
  ] as const) {
    await using open = await openFtpsDoor({ view: new MemoryView(), grant });
    const ftp = await loggedIn(open.port);
    const { data, below } = await ftp.cuttableData(await ftp.passive());
    assert.equal((await ftp.ask('STOR /Inbox/a.txt')).code, 150);
    await new Promise((sent) => data.write('all of it', sent));
    below.endUntold();
    assert.equal((await ftp.reply()).code, code);
    ftp.close();
  }
});

test('FT-07: ports are of the range, PASV tells the announced address and EPSV only the port', async () => {
  await using open = await door({ passiveAddress: '203.0.113.7', passivePorts: { first: 41_000, last: 41_999 } });
  const ftp = await loggedIn(open.port);
  const [, high, low] = /^227 .*\(203,0,113,7,(\d+),(\d+)\)/.exec((await ftp.ask('PASV')).text) ?? [];
  const port = Number(high) * 256 + Number(low);
  assert.ok(port >= 41_000 && port <= 41_999);
  assert.match((await ftp.ask('EPSV')).text, /^229 .*\(\|\|\|41\d{3}\|\)/);
  assert.deepEqual(await codes(ftp, ['EPSV 2', 'EPSV 1', 'EPSV ALL', 'PASV', 'EPSV']), [522, 229, 200, 503, 229]);
  ftp.close();
});

test('FT-08, F78: active mode is off; where it is on, it connects to the client alone, from the configured port', async () => {
  await using closed = await door();
  const refused = await loggedIn(closed.port);
  assert.deepEqual(await codes(refused, ['PORT 127,0,0,1,200,1', 'EPRT |1|127.0.0.1|51201|']), [502, 502]);
  await using open = await door({ ...plainDoor, activeMode: true, activeSourcePort: 9099 });
  const ftp = await RawFtp.connect(open.port);
  await ftp.reply();
  await ftp.logIn(user, password);
  const foreign = ['PORT 127,0,0,2,200,1', 'PORT 127,0,0,1,0,80', 'EPRT |1|192.0.2.1|51201|', 'EPRT |2|::1|51201|', 'PORT 1,2'];
  assert.deepEqual(await codes(ftp, foreign), [504, 504, 504, 504, 501]);
  const from: number[] = [];
  const server = createServer((socket) => {
    from.push(socket.remotePort ?? 0);
    socket.end('sent actively');
  });
  await new Promise<void>((go) => server.listen(0, '127.0.0.1', go));
  const { port } = server.address() as { port: number };
  assert.equal((await ftp.ask(`EPRT |1|127.0.0.1|${port}|`)).code, 200);
  assert.deepEqual([(await ftp.ask('STOR /Inbox/a')).code, (await ftp.reply()).code], [150, 226]);
  assert.equal(open.view.files.get('/Inbox/a')?.bytes.toString(), 'sent actively');
  assert.deepEqual(from, [9099]);
  server.close();
  for (const each of [ftp, refused]) each.close();
});

test('FT-11: folders and files are made, renamed and removed; a rename is two commands side by side', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  await store(ftp, 'STOR /Inbox/a.txt', 'x');
  assert.match((await ftp.ask('MKD /Inbox/in "quotes"')).text, /^257 "\/Inbox\/in ""quotes"""/);
  assert.deepEqual(await codes(ftp, ['RMD /Inbox/in "quotes"', 'RMD /Inbox/none']), [250, 550]);
  assert.deepEqual(await codes(ftp, ['RNFR /Inbox/a.txt', 'NOOP', 'RNTO /Inbox/b.txt']), [350, 200, 503]);
  assert.deepEqual(await codes(ftp, ['RNFR /Inbox/a.txt', 'RNTO /Inbox/b.txt', 'DELE /Inbox/b.txt']), [350, 250, 250]);
  assert.deepEqual(
    await codes(ftp, ['DELE /Inbox/b.txt', 'CWD /Inbox/b', 'CWD /Inbox', 'CDUP', 'XCUP']),
    [550, 550, 250, 250, 250],
  );
  assert.equal(open.view.files.size, 0);
  ftp.close();
});

test('FT-12: MLSD, MLST, MDTM, MFMT, SIZE and REST as programs use them', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  open.view.files.set('/Outbox/b.bin', { bytes: Buffer.from('0123456789'), modifiedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5) });
  assert.equal(await fetch(ftp, 'MLSD /Outbox'), 'type=file;size=10;modify=20260102030405;perm=r; b.bin\r\n');
  assert.equal((await ftp.ask('OPTS MLST size;nonsense;')).text, '200 MLST OPTS size;\r\n');
  assert.match((await ftp.ask('MLST /Outbox/b.bin')).text, /\r\n size=10; \/Outbox\/b\.bin\r\n250 End/);
  assert.match((await ftp.ask('FEAT')).text, / MLST type;size\*;modify;perm;\r\n/);
  assert.equal((await ftp.ask('MDTM /Outbox/b.bin')).text, '213 20260102030405\r\n');
  assert.equal((await ftp.ask('MFMT 20200229120000 /Outbox/b.bin')).text, '213 Modify=20200229120000; /Outbox/b.bin\r\n');
  assert.equal((await ftp.ask('MDTM /Outbox/b.bin')).text, '213 20200229120000\r\n');
  assert.equal((await ftp.ask('MFMT 20210229120000 /Outbox/b.bin')).code, 501, 'no such day');
  assert.equal((await ftp.ask('REST 7')).code, 350);
  assert.equal(await fetch(ftp, 'RETR /Outbox/b.bin'), '789');
  assert.equal(await fetch(ftp, 'RETR /Outbox/b.bin'), '0123456789', 'REST is for one transfer');
  await ftp.passive();
  assert.deepEqual(
    await codes(ftp, ['REST 11', 'RETR /Outbox/b.bin', 'REST -1', 'REST 9223372036854775808']),
    [350, 554, 501, 501],
  );
  ftp.close();
});

test('FT-14: binary is the type from the beginning, and other structures, modes and types are refused', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  assert.deepEqual(await codes(ftp, ['TYPE A', 'TYPE A N', 'TYPE I', 'TYPE L 8', 'TYPE E']), [200, 200, 200, 200, 504]);
  assert.deepEqual(await codes(ftp, ['MODE S', 'MODE B', 'STRU F', 'STRU R', 'SYST']), [200, 504, 200, 504, 215]);
  ftp.close();
});

test('FT-16: STAT tells of a path over the control connection, and of the session without one', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  await store(ftp, 'STOR /Inbox/a.txt', 'abc');
  assert.match((await ftp.ask('STAT /Inbox/a.txt')).text, /^213-Status\r\n -rw-.* 3 .* a\.txt\r\n213 End/);
  assert.match((await ftp.ask('STAT /Inbox')).text, /a\.txt/);
  assert.equal((await ftp.ask('STAT /Inbox/none')).code, 550);
  assert.match(
    (await ftp.ask('STAT')).text,
    /^211-Status\r\n Connected from 127\.0\.0\.1, secured with TLSv1\.3\r\n Logged in as acme/,
  );
  ftp.close();
});

test('F83: LIST knows globs in the last component, switches, and one file; nothing else of a shell', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  for (const name of ['a.csv', 'b.csv', 'c.txt']) await store(ftp, `STOR /Inbox/${name}`, 'x');
  assert.equal(await fetch(ftp, 'NLST /Inbox/*.csv'), 'a.csv\r\nb.csv\r\n');
  assert.equal(await fetch(ftp, 'NLST -la /Inbox/c.txt'), 'c.txt\r\n');
  assert.match(await fetch(ftp, 'LIST -la ../../..'), /Inbox\r\n.*Outbox\r\n/s);
  await ftp.passive();
  assert.deepEqual(await codes(ftp, ['NLST /*/*.csv', 'LIST $(reboot)', 'NLST /Inbox/[']), [550, 550, 550]);
  ftp.close();
});

test('F89: REIN ends the session; the next one needs its own login and begins at the root', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  assert.deepEqual(await codes(ftp, ['CWD /Inbox', `USER ${user}`, 'REIN', 'PWD']), [250, 503, 220, 530]);
  assert.equal(open.sessions.count(), 0);
  assert.equal((await ftp.logIn(user, password)).code, 230);
  assert.match((await ftp.ask('PWD')).text, /"\/"/);
  assert.deepEqual(await codes(ftp, ['EPSV', 'LIST']), [229, 521]);
  const sessions = open.events.filter(({ name }) => name === 'session.connected').map(({ session }) => session);
  assert.equal(new Set(sessions).size, 2);
  ftp.close();
});

test('STOU takes a name that nothing has and tells it; ALLO, ACCT, HOST, CLNT, LANG and SITE are answered', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  await ftp.ask('CWD /Inbox');
  const told = await store(ftp, 'STOU report', 'x');
  const [name] = [...open.view.files.keys()];
  assert.match(name ?? '', /^\/Inbox\/report\.[0-9a-f]{10}$/);
  assert.ok(told.includes(`FILE: ${name}`));
  assert.deepEqual(
    await codes(ftp, ['ALLO 1000', 'ACCT x', 'HOST localhost', 'CLNT a\x07b', 'LANG en-GB', 'LANG fr']),
    [202, 202, 503, 200, 200, 504],
  );
  assert.deepEqual(
    await codes(ftp, [`SITE CHMOD 644 ${name}`, 'SITE CHMOD 644 none', 'SITE EXEC ls', 'SITE HELP']),
    [200, 550, 504, 214],
  );
  assert.equal((await ftp.ask(`SITE UTIME 202001020304 ${name}`)).code, 200);
  assert.equal((await ftp.ask(`MDTM ${name}`)).text, '213 20200102030400\r\n');
  const early = await RawFtp.connect(open.port);
  await early.reply();
  assert.deepEqual(
    await codes(early, ['HOST localhost', 'HOST elsewhere.example', 'HELP STOR', 'HELP', 'FOO']),
    [220, 504, 214, 211, 500],
  );
  for (const each of [ftp, early]) each.close();
});

test('F75: commands sent all at once are answered one by one, and a session has one port at a time', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  ftp.send('EPSV\r\n'.repeat(300));
  const ports = new Set<string>();
  for (let count = 0; count < 300; count++) ports.add((await ftp.reply()).text);
  assert.ok(ports.size > 50, 'chosen at random');
  assert.match(await fetch(ftp, 'LIST'), /Inbox/);
  ftp.send('NOOP\r\n'.repeat(1000));
  for (let count = 0; count < 1000; count++) assert.equal((await ftp.reply()).code, 200);
  ftp.close();
});

test('MKD of a folder that is there says 550, after which clients go on', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  assert.deepEqual(await codes(ftp, ['MKD /Inbox/f', 'MKD /Inbox/f', 'MKD /Inbox']), [257, 550, 550]);
  ftp.close();
});

test('a renewed certificate is shown from the next connection on, and sessions under way go on', async () => {
  await using open = await door();
  const fingerprint = (ftp: RawFtp): string => (ftp.socket as TLSSocket).getPeerCertificate().fingerprint256;
  const before = await loggedIn(open.port);
  const files = { certificate: open.caFile, key: open.caFile.replace(/crt$/, 'key') };
  await Promise.all(Object.values(files).map((file) => rm(file)));
  await makeSelfSigned(files, ['localhost'], Date.now());
  await open.listener.refresh();
  const after = await loggedIn(open.port);
  assert.notEqual(fingerprint(after), fingerprint(before));
  assert.match(await store(before, 'STOR /Inbox/a', 'x'), /226/);
  for (const each of [before, after]) each.close();
});

test('FT-18: a port that is taken is told with its address when the door opens', async () => {
  await using open = await door();
  await assert.rejects(door({ explicit: { host: '127.0.0.1', port: open.port } }), {
    code: 'config-invalid',
    message: new RegExp(`127\\.0\\.0\\.1 port ${open.port}`),
  });
});
