/**
 * What hostile clients do on the control connection of the FTPS door (reliability.md §3.5), in front of a whole cache: the
 * answer, and what disk, records and audit trail say afterwards.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { eventually } from '../fixtures/eventually.ts';
import { FtpsCacheDoor, fetch, send } from '../fixtures/ftps-cache-door.ts';
import { password, user } from '../fixtures/ftps-door.ts';
import { RawFtp } from '../fixtures/raw-ftp.ts';

const nothing = { items: [], partials: [], files: 0 };

/** Connected, greeted, and not yet secured. */
async function greeted({ door }: FtpsCacheDoor): Promise<RawFtp> {
  const ftp = await RawFtp.connect(door.port);
  assert.equal((await ftp.reply()).code, 220);
  return ftp;
}

async function secured(stage: FtpsCacheDoor): Promise<RawFtp> {
  const ftp = await greeted(stage);
  await ftp.authTls();
  return ftp;
}

test('F72: nothing that is sent in clear with AUTH TLS is carried out, whole or in part; it ends that session alone', async () => {
  await using stage = await FtpsCacheDoor.open();
  const other = await stage.logIn();
  for (const behind of [`USER ${user}\r\nPASS ${password}\r\n`, `USER ${user}`, '\r\n\r\nNOOP\r\n', '\xff', 'X']) {
    const ftp = await greeted(stage);
    ftp.send(Buffer.from(`AUTH TLS\r\n${behind}`, 'latin1'));
    assert.equal((await ftp.reply()).code, 0, JSON.stringify(behind));
  }
  assert.deepEqual(stage.door.attempts.length, 1, 'only the other has tried to log in');
  assert.ok(stage.door.events.some(({ name }) => name === 'connection.refused'));
  assert.equal((await other.ask('NOOP')).code, 200);
  other.close();
});

test('F72: what is sent in clear between AUTH TLS and its answer is no TLS, and no command either', async () => {
  await using stage = await FtpsCacheDoor.open();
  const ftp = await greeted(stage);
  assert.equal((await ftp.ask('AUTH TLS')).code, 234);
  ftp.send(`USER ${user}\r\nPASS ${password}\r\n`);
  assert.equal((await ftp.reply()).code, 0);
  assert.deepEqual(stage.door.attempts, []);
});

test('F73: without TLS and without a login nothing is done; a password is not even read', async () => {
  await using stage = await FtpsCacheDoor.open();
  const clear = await greeted(stage);
  for (const command of ['USER acme', `PASS ${password}`, 'LIST', 'STOR /Inbox/a', 'PASV', 'EPSV', 'SIZE /Inbox/a', 'CWD /']) {
    assert.equal((await clear.ask(command)).code, 530, command);
  }
  assert.equal((await clear.ask('PROT P')).code, 503);
  clear.close();
  const early = await secured(stage);
  assert.equal((await early.ask(`PASS ${password}`)).code, 503, 'a name comes first');
  for (const command of ['LIST', 'STOR /Inbox/a', 'PASV', 'REIN', 'SITE CHMOD 777 a', 'MFMT 20260101000000 a', 'RNFR a']) {
    assert.equal((await early.ask(command)).code, 530, command);
  }
  early.close();
  assert.deepEqual(stage.door.attempts, []);
  assert.deepEqual(await stage.remains(), nothing);
});

test('F74: lines are found however they are cut; what is none ends that session', async () => {
  await using stage = await FtpsCacheDoor.open();
  const ftp = await stage.logIn();
  for (const byte of Buffer.from('MKD /Inbox/März\r\n')) ftp.send(Buffer.from([byte]));
  assert.equal((await ftp.reply()).code, 257);
  assert.equal((await ftp.ask('CWD /Inbox/März')).code, 250);
  ftp.send('NOOP\n');
  assert.equal((await ftp.reply()).code, 200, 'LF alone ends a line');
  ftp.send('NOOP\rNOOP\r\n');
  assert.ok((await ftp.reply()).code >= 500, 'CR alone does not');
  ftp.send(Buffer.from([0xff, 0xf4, 0xff, 0xf2, ...Buffer.from('NOOP\r\n')]));
  assert.equal((await ftp.reply()).code, 200, 'Telnet commands are taken out');
  for (const name of ['a\0b', 'a\rb', 'a\x1b[2J']) {
    assert.equal((await ftp.ask(`MKD /Inbox/${name}`)).code, 553, JSON.stringify(name));
    assert.equal((await send(ftp, `STOR /Inbox/${name}`, 'x')).code, 553, JSON.stringify(name));
  }
  ftp.send(Buffer.concat([Buffer.from('MKD /Inbox/'), Buffer.from([0xc3, 0x28]), Buffer.from('\r\n')]));
  assert.equal((await ftp.reply()).code, 553, 'no UTF-8');
  ftp.send(Buffer.alloc(1024 * 1024, 'A'));
  assert.equal((await ftp.reply()).code, 500);
  assert.equal((await ftp.reply()).code, 0);
  assert.deepEqual(await stage.remains(), nothing);
});

test('F75: a thousand commands sent at once are answered one after the other', async () => {
  await using stage = await FtpsCacheDoor.open();
  const ftp = await stage.logIn();
  const commands = Array.from({ length: 1000 }, (_, n) => (n % 2 === 0 ? 'NOOP' : `CWD /nowhere-${n}`));
  ftp.send(commands.map((command) => `${command}\r\n`).join(''));
  for (const [n, command] of commands.entries()) {
    assert.equal((await ftp.reply()).code, n % 2 === 0 ? 200 : 550, `${n} ${command}`);
  }
  ftp.close();
});

test('F75: a thousand PASV in a row leave one listener, and none when the session is over', async () => {
  const passivePorts = { first: 11_100, last: 11_107 };
  await using stage = await FtpsCacheDoor.open({ options: { passivePorts } });
  const ftp = await stage.logIn();
  ftp.send('PASV\r\n'.repeat(1000));
  const ports: number[] = [];
  for (let n = 0; n < 1000; n++) {
    const { code, text } = await ftp.reply();
    assert.equal(code, 227);
    const [, high = '', low = ''] = /,(\d+),(\d+)\)/.exec(text) ?? [];
    ports.push(Number(high) * 256 + Number(low));
  }
  const open = (): Promise<number[]> => listeningPorts(passivePorts);
  assert.deepEqual(await open(), [ports.at(-1)]);
  assert.equal((await ftp.ask('QUIT')).code, 221);
  await ftp.closed();
  await eventually('no port is open', async () => (await open()).length === 0);
});

test('F88: verbs that nobody offers, and settings that mean nothing here, are refused and change nothing', async () => {
  await using stage = await FtpsCacheDoor.open();
  const ftp = await stage.logIn();
  assert.equal((await send(ftp, 'STOR /Inbox/a.txt', 'abc')).code, 226);
  const before = await stage.remains();
  const refused = {
    XYZZY: [500, 502],
    'SITE EXEC ls': [500, 501, 502, 504],
    'SITE CPFR /Inbox/a.txt': [500, 501, 502, 504],
    'SITE CPTO /Inbox/b.txt': [500, 501, 502, 504],
    'SITE SYMLINK /etc/passwd x': [500, 501, 502, 504],
    'CHMOD 777 /Inbox/a.txt': [500, 502],
    'MFCT 20200101000000 /Inbox/a.txt': [500, 502],
    'MFF Perm=rwx; /Inbox/a.txt': [500, 502],
    'SMNT /': [500, 502],
    'MODE B': [504],
    'MODE Z': [504],
    'STRU R': [504],
    'TYPE E': [504],
    'OPTS UTF8 OFF': [501, 504],
    'PROT C': [534],
    CCC: [534],
    'AUTH TLS': [503],
    'RNTO /Inbox/b.txt': [503],
    'MFMT yesterday /Inbox/a.txt': [501],
    'MFMT 20200101000000': [501],
  } as const;
  for (const [command, codes] of Object.entries(refused)) {
    const { code } = await ftp.ask(command);
    assert.ok((codes as readonly number[]).includes(code), `${command}: ${code}`);
  }
  for (const command of ['SITE', 'OPTS', 'PORT', 'EPRT', 'MKD', 'RNFR', 'DELE', 'SIZE', 'MDTM', 'REST', 'TYPE', 'STOR', 'RETR']) {
    const { code } = await ftp.ask(command);
    assert.ok(code >= 400 && code < 560, `${command} without an argument: ${code}`);
  }
  assert.deepEqual(await stage.remains(), before);
  assert.match((await fetch(ftp, 'NLST /Inbox')).bytes.toString(), /^a\.txt\r\n$/);
  ftp.close();
});

test('F89: a login is given up after some attempts, also across REIN, and never gives more than its own', async () => {
  await using stage = await FtpsCacheDoor.open({ options: { maxLoginAttempts: 4 } });
  const loop = await secured(stage);
  for (let attempt = 1; attempt < 4; attempt++) assert.equal((await loop.logIn(user, 'wrong')).code, 530);
  assert.equal((await loop.ask(`PASS ${password}`)).code, 503, 'each needs a name');
  assert.equal((await loop.logIn(user, 'wrong')).code, 421);
  assert.equal((await loop.reply()).code, 0);

  const ftp = await stage.logIn();
  assert.equal((await ftp.ask('USER root')).code, 503);
  assert.equal((await ftp.ask(`PASS ${password}`)).code, 503);
  assert.equal((await ftp.ask('CWD /Inbox')).code, 250);
  assert.equal((await ftp.ask('REIN')).code, 220);
  for (const command of ['PWD', 'LIST', 'EPSV', 'STOR a']) assert.equal((await ftp.ask(command)).code, 530, command);
  for (let attempt = 2; attempt < 4; attempt++) assert.equal((await ftp.logIn(user, 'wrong')).code, 530);
  assert.equal((await ftp.logIn(user, 'wrong')).code, 421);
  assert.equal((await ftp.reply()).code, 0);
  await eventually('both sessions have ended', () => stage.door.sessions.count() === 0);
  assert.deepEqual(await stage.remains(), nothing);
});

test('F89: after REIN and a new login nothing of the first session is left', async () => {
  await using stage = await FtpsCacheDoor.open();
  const ftp = await stage.logIn();
  await ftp.ask('CWD /Inbox');
  await ftp.ask('REST 5');
  const port = await ftp.passive();
  assert.equal((await ftp.ask('REIN')).code, 220);
  await assert.rejects(ftp.data(port), 'its port is closed');
  assert.equal((await ftp.logIn(user, password)).code, 230);
  assert.match((await ftp.ask('PWD')).text, /"\/"/);
  assert.equal((await ftp.ask('STOR /Inbox/a')).code, 521, 'protection is asked for anew');
  for (const command of ['PBSZ 0', 'PROT P']) assert.equal((await ftp.ask(command)).code, 200, command);
  assert.equal((await send(ftp, 'STOR /Inbox/a', 'new')).code, 226);
  assert.deepEqual((await stage.remains()).items, ['/Inbox/a 3']);
  ftp.close();
});

async function listeningPorts({ first, last }: { readonly first: number; readonly last: number }): Promise<number[]> {
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  const listening = lines.flatMap((line) => {
    const [, local = '', , state] = line.trim().split(/\s+/);
    return state === '0A' ? [Number.parseInt(local.split(':')[1] ?? '', 16)] : [];
  });
  return listening.filter((port) => port >= first && port <= last);
}

test('F82: a name made to stall a pattern of many stars is listed, or not, like any other', async () => {
  await using stage = await FtpsCacheDoor.open();
  const ftp = await stage.logIn();
  const name = '_'.repeat(200);
  assert.equal((await send(ftp, `STOR /Inbox/${name}`, 'x')).code, 226);
  // One step for each way to share the name among the stars would outlast the tests.
  const stars = '*_'.repeat(40);
  const { bytes: hit } = await fetch(ftp, `NLST /Inbox/${stars}*`);
  const { bytes: miss } = await fetch(ftp, `NLST /Inbox/${stars}*x`);
  assert.deepEqual([String(hit).includes(name), String(miss).includes(name)], [true, false]);
  ftp.close();
});

test('F84: a name with a line end is refused where files are made, whatever the protocol, so that no listing can be forged', async () => {
  await using stage = await FtpsCacheDoor.open();
  const view = stage.bench.view();
  for (const name of ['a\r\nb', 'a\nb', 'a\rb', 'a\u0085b', 'a\u2028b']) {
    assert.throws(() => view.resolve(Buffer.from(`/Inbox/${name}`)), { code: 'bad-name' }, JSON.stringify(name));
  }
  const ftp = await stage.logIn();
  for (const command of ['LIST /Inbox', 'NLST /Inbox', 'MLSD /Inbox']) {
    const { bytes } = await fetch(ftp, command);
    assert.doesNotMatch(String(bytes), /\bb\b/, command);
  }
  ftp.close();
});
