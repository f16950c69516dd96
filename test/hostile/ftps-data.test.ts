/**
 * What hostile and clumsy clients do with data connections of the FTPS door (reliability.md §2.8, §3.5), in front of a whole
 * cache: the answer, and what disk, records and audit trail say afterwards.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../fixtures/eventually.ts';
import { FtpsCacheDoor, fetch, send, sha256 } from '../fixtures/ftps-cache-door.ts';
import { password, user } from '../fixtures/ftps-door.ts';
import type { RawFtp } from '../fixtures/raw-ftp.ts';

let stage: FtpsCacheDoor;
before(async () => {
  stage = await FtpsCacheDoor.open({ options: { connectMs: 400, handshakeMs: 400 } });
});
after(async () => {
  await stage?.[Symbol.asyncDispose]();
});

const gone = (socket: Socket): Promise<void> =>
  new Promise((done) => {
    if (socket.closed) return done();
    socket.once('close', () => done());
    socket.resume();
  });

const itemsOf = async (path: string): Promise<readonly string[]> =>
  (await stage.remains()).items.filter((item) => item.startsWith(`${path} `));

/** The session is as good as new. */
async function works(ftp: RawFtp): Promise<void> {
  const { reply, bytes } = await fetch(ftp, 'LIST /');
  assert.equal(reply.code, 226);
  assert.match(bytes.toString(), /Inbox\r\n/);
}

/** An upload under way, of which something has come. */
async function uploading(ftp: RawFtp, path: string, bytes = Buffer.alloc(1000, 1)) {
  const data = await ftp.data(await ftp.passive());
  assert.equal((await ftp.ask(`STOR ${path}`)).code, 150);
  const received = stage.receivedBytes;
  data.write(bytes);
  await eventually('some bytes have come', () => stage.receivedBytes > received);
  return data;
}

describe('F76: a stranger at the port for data', () => {
  it('is dropped, before and during the transfer, and the file is the right one', async () => {
    const ftp = await stage.logIn();
    const port = await ftp.passive();
    const stranger = async (): Promise<void> =>
      gone((await ftp.data(port, { plain: true, localAddress: '127.0.0.2' })) as Socket);
    for (let n = 0; n < 20; n++) await stranger();
    ftp.send('STOR /Inbox/f76.bin\r\n');
    assert.equal((await ftp.reply()).code, 150);
    await stranger();
    const data = await ftp.data(port);
    await stranger();
    const bytes = randomBytes(100_000);
    data.end(bytes);
    assert.equal((await ftp.reply()).code, 226);
    assert.equal(await stage.digestOf('/Inbox/f76.bin'), sha256(bytes));
    assert.ok(stage.door.events.some(({ name, fields }) => name === 'connection.refused' && fields.peer === '127.0.0.2'));
    ftp.close();
  });
});

describe('F77: a stranger from the same address who comes first', () => {
  it('without TLS does not take the place', async () => {
    const ftp = await stage.logIn();
    const port = await ftp.passive();
    const strangers = [await ftp.data(port, { plain: true }), await ftp.data(port, { plain: true })];
    strangers[1]?.write('USER or whatever\r\n');
    const data = await ftp.data(port);
    assert.equal((await ftp.ask('STOR /Inbox/f77-plain.bin')).code, 150);
    data.end('the right one');
    assert.equal((await ftp.reply()).code, 226);
    for (const stranger of strangers) await gone(stranger);
    assert.equal(await stage.digestOf('/Inbox/f77-plain.bin'), sha256(Buffer.from('the right one')));
    ftp.close();
  });

  it('with a TLS session of somebody else, or none, is refused where binding is required', async () => {
    await using strict = await FtpsCacheDoor.open({ options: { requireBinding: true } });
    const [ftp, other] = [await strict.logIn(), await strict.logIn()];
    const port = await ftp.passive();
    const fresh = await ftp.data(port, { resume: false });
    await gone(fresh);
    const replayed = await ftp.data(port, other.session ? { tls: { session: other.session } } : {}).catch(() => undefined);
    if (replayed) await gone(replayed);
    const data = await ftp.data(port);
    assert.equal((await ftp.ask('STOR /Inbox/a')).code, 150);
    data.end('mine');
    assert.equal((await ftp.reply()).code, 226);
    assert.equal(await strict.digestOf('/Inbox/a'), sha256(Buffer.from('mine')));
    ftp.close();
    other.close();
  });

  it('with TLS takes the place of the only one, never beside him', async () => {
    const ftp = await stage.logIn();
    const port = await ftp.passive();
    const first = await ftp.data(port, { resume: false });
    const second = await ftp.data(port).catch(() => undefined);
    assert.equal((await ftp.ask('STOR /Inbox/f77-two.bin')).code, 150);
    second?.end('second');
    first.end('first');
    assert.equal((await ftp.reply()).code, 226);
    assert.equal(await stage.digestOf('/Inbox/f77-two.bin'), sha256(Buffer.from('first')));
    await works(ftp);
    ftp.close();
  });
});

describe('F78: PORT and EPRT', () => {
  const commands = ['PORT 127,0,0,1,200,10', 'EPRT |1|127.0.0.1|51210|'];

  it('are refused unless they are switched on', async () => {
    const ftp = await stage.logIn();
    for (const command of commands) assert.ok((await ftp.ask(command)).code >= 500, command);
    assert.equal((await ftp.ask('STOR /Inbox/f78')).code, 425);
    ftp.close();
  });

  it('lead to the address of the control connection only, and to no port of the system', async () => {
    await using active = await FtpsCacheDoor.open({ options: { activeMode: true, connectMs: 1000 } });
    const ftp = await active.logIn();
    const met: string[] = [];
    const elsewhere = createServer((socket) => {
      met.push(socket.remoteAddress ?? '');
      socket.destroy();
    });
    await new Promise<void>((listening) => elsewhere.listen(0, '127.0.0.2', listening));
    const { port } = elsewhere.address() as { port: number };
    const refused = [
      `PORT 127,0,0,2,${port >> 8},${port & 255}`,
      `EPRT |1|127.0.0.2|${port}|`,
      'PORT 127,0,0,1,0,22',
      'EPRT |1|127.0.0.1|1023|',
      'EPRT |1|127.0.0.1|0|',
      'EPRT |1|127.0.0.1|65536|',
      'EPRT |2|::1|5000|',
      'EPRT |1|localhost|5000|',
      'EPRT |1|127.0.0.1|5000',
      'PORT 127,0,0,1,300,1',
      'PORT 127,0,0,1,5',
      'PORT 2130706433,200,10',
    ];
    for (const command of refused) {
      const { code } = await ftp.ask(command);
      assert.ok(code >= 500 && code < 560, `${command}: ${code}`);
      assert.equal((await ftp.ask('STOR /Inbox/a')).code, 425, command);
    }
    assert.deepEqual(met, []);
    assert.deepEqual(await active.remains(), { items: [], partials: [], files: 0 });
    elsewhere.close();
    ftp.close();
  });
});

describe('F80: ABOR', () => {
  const telnet = Buffer.from([0xff, 0xf4, 0xff, 0xf2, ...Buffer.from('ABOR\r\n')]);

  it('before any transfer, and between EPSV and the command, says 226 and leaves the session usable', async () => {
    const ftp = await stage.logIn();
    assert.equal((await ftp.ask('ABOR')).code, 226);
    await works(ftp);
    const port = await ftp.passive();
    assert.equal((await ftp.ask('ABOR')).code, 226);
    await assert.rejects(ftp.data(port), 'its port is closed');
    await works(ftp);
    ftp.close();
  });

  it('while the data connection is awaited ends the command with 426 and then 226', async () => {
    const ftp = await stage.logIn();
    for (const command of ['STOR /Inbox/f80-early.bin', 'LIST /']) {
      await ftp.passive();
      assert.equal((await ftp.ask(command)).code, 150);
      assert.equal((await ftp.ask('ABOR')).code, 426, command);
      assert.equal((await ftp.reply()).code, 226);
      await works(ftp);
    }
    assert.deepEqual(await itemsOf('/Inbox/f80-early.bin'), []);
    ftp.close();
  });

  for (const [how, bytes] of [
    ['plain', Buffer.from('ABOR\r\n')],
    ['behind Telnet IP and Synch', telnet],
  ] as const) {
    it(`during an upload, ${how}: 426, then 226, and the partial is kept`, async () => {
      const ftp = await stage.logIn();
      const path = `/Inbox/f80-${how.replaceAll(' ', '-')}.bin`;
      const data = await uploading(ftp, path);
      ftp.send(bytes);
      assert.equal((await ftp.reply()).code, 426);
      assert.equal((await ftp.reply()).code, 226);
      await gone(data);
      assert.equal(await stage.keptPartial(path), 1000);
      assert.deepEqual(await itemsOf(path), []);
      await works(ftp);
      assert.equal((await ftp.ask('REST 1000')).code, 350);
      assert.equal((await send(ftp, `STOR ${path}`, Buffer.alloc(7, 2))).code, 226);
      assert.deepEqual(await itemsOf(path), [`${path} 1007`]);
      ftp.close();
    });
  }

  it('after the end of the data changes nothing about a file that was taken', async () => {
    const ftp = await stage.logIn();
    for (let n = 0; n < 10; n++) {
      const path = `/Inbox/f80-after-${n}.bin`;
      const data = await uploading(ftp, path);
      data.end();
      ftp.send('ABOR\r\n');
      const [first, second] = [await ftp.reply(), await ftp.reply()];
      assert.ok([226, 426].includes(first.code), `${first.code}`);
      assert.equal(second.code, 226);
      assert.equal((await itemsOf(path)).length, first.code === 226 ? 1 : 0, 'what was said is what is true');
      await works(ftp);
    }
    ftp.close();
  });

  it('twice during a listing and a download that nobody reads is answered twice', async () => {
    const ftp = await stage.logIn();
    const data = await ftp.data(await ftp.passive());
    data.pause();
    assert.equal((await ftp.ask('LIST /Inbox')).code, 150);
    ftp.send('ABOR\r\nABOR\r\n');
    const codes = [await ftp.reply(), await ftp.reply(), await ftp.reply()].map(({ code }) => code);
    assert.ok([226, 426].includes(codes[0] ?? 0));
    assert.deepEqual(codes.slice(1), [226, 226]);
    data.destroy();
    await works(ftp);
    ftp.close();
  });
});

describe('F81: REST and APPE', () => {
  it('take whole numbers that a file can have, and no others', async () => {
    const ftp = await stage.logIn();
    for (const text of ['-1', '', 'x', '1e3', '0x10', '9223372036854775808', '18446744073709551616', '1 2', '١']) {
      assert.equal((await ftp.ask(`REST ${text}`)).code, 501, text);
    }
    for (const text of ['0', '2147483648', '4294967296', '1099511627776']) {
      assert.equal((await ftp.ask(`REST ${text}`)).code, 350, text);
    }
    ftp.close();
  });

  it('never begin behind the end of what is kept, and an attempt changes nothing of it', async () => {
    const ftp = await stage.logIn();
    const data = await uploading(ftp, '/Inbox/f81.bin', Buffer.alloc(5000, 1));
    assert.equal((await ftp.ask('ABOR')).code, 426);
    await ftp.reply();
    data.destroy();
    for (const offset of [5001, 2 ** 31, 2 ** 32, 2 ** 40]) {
      assert.equal((await ftp.ask(`REST ${offset}`)).code, 350);
      assert.equal((await send(ftp, 'STOR /Inbox/f81.bin', 'x')).code, 554, `${offset}`);
      assert.match((await ftp.ask('SIZE /Inbox/f81.bin')).text, /^213 5000\r/);
    }
    for (const command of ['TYPE A', 'REST 4000']) assert.ok((await ftp.ask(command)).code < 400);
    const rest = Buffer.from('\r\nthe\nrest\r');
    assert.equal((await send(ftp, 'STOR /Inbox/f81.bin', rest)).code, 226);
    const whole = Buffer.concat([Buffer.alloc(4000, 1), rest]);
    assert.equal(await stage.digestOf('/Inbox/f81.bin'), sha256(whole), 'TYPE A changes no byte either');
    ftp.close();
  });

  it('REST is for the next transfer only', async () => {
    const ftp = await stage.logIn();
    await ftp.ask('REST 100');
    assert.equal((await send(ftp, 'STOR /Inbox/f81-new.bin', 'x')).code, 554);
    assert.equal((await send(ftp, 'STOR /Inbox/f81-new.bin', 'whole')).code, 226);
    assert.equal(await stage.digestOf('/Inbox/f81-new.bin'), sha256(Buffer.from('whole')));
    ftp.close();
  });

  it('APPE of a new name is an upload, of an interrupted one its end, of a whole one refused', async () => {
    const ftp = await stage.logIn();
    assert.equal((await send(ftp, 'APPE /Inbox/f81-appe.bin', 'first')).code, 226);
    assert.equal((await send(ftp, 'APPE /Inbox/f81-appe.bin', ' second')).code, 553);
    assert.deepEqual(await itemsOf('/Inbox/f81-appe.bin'), ['/Inbox/f81-appe.bin 5']);
    const data = await uploading(ftp, '/Inbox/f81-cut.bin', Buffer.from('first'));
    await ftp.ask('ABOR');
    await ftp.reply();
    data.destroy();
    assert.equal((await send(ftp, 'APPE /Inbox/f81-cut.bin', ' second')).code, 226);
    assert.equal(await stage.digestOf('/Inbox/f81-cut.bin'), sha256(Buffer.from('first second')));
    ftp.close();
  });
});

describe('F85: when every port for data is taken', () => {
  it('who asks next hears 425, and gets one when somebody leaves', async () => {
    await using narrow = await FtpsCacheDoor.open({ options: { passivePorts: { first: 11_200, last: 11_201 } } });
    const holders = [await narrow.logIn(), await narrow.logIn()];
    for (const holder of holders) await holder.passive();
    const late = await narrow.logIn();
    for (const command of ['EPSV', 'PASV']) assert.equal((await late.ask(command)).code, 425);
    holders[0]?.close();
    await eventually('a port is free', async () => (await late.ask('EPSV')).code === 229);
    assert.deepEqual(await narrow.remains(), { items: [], partials: [], files: 0 });
    for (const ftp of [...holders, late]) ftp.close();
  });
});

describe('a data connection', () => {
  it('that never comes is 425, and its port is free again', async () => {
    const ftp = await stage.logIn();
    const port = await ftp.passive();
    assert.equal((await ftp.ask('STOR /Inbox/never.bin')).code, 150);
    assert.equal((await ftp.reply()).code, 425);
    await assert.rejects(ftp.data(port, { plain: true }));
    assert.deepEqual(await itemsOf('/Inbox/never.bin'), []);
    await works(ftp);
    ftp.close();
  });

  it('that is cut before its first byte leaves an empty partial, which is continued; one that never came leaves nothing', async () => {
    const ftp = await stage.logIn();
    await ftp.passive();
    assert.equal((await ftp.ask('STOR /Inbox/nobody-came.bin')).code, 150);
    assert.equal((await ftp.reply()).code, 425);
    const { below } = await ftp.cuttableData(await ftp.passive());
    assert.equal((await ftp.ask('STOR /Inbox/cut-at-once.bin')).code, 150);
    below.reset();
    assert.equal((await ftp.reply()).code, 426);
    assert.equal(await stage.keptPartial('/Inbox/cut-at-once.bin'), 0);
    assert.match((await ftp.ask('SIZE /Inbox/cut-at-once.bin')).text, /^213 0\r/);
    assert.equal((await ftp.ask('SIZE /Inbox/nobody-came.bin')).code, 550);
    assert.equal((await send(ftp, 'APPE /Inbox/cut-at-once.bin', 'all of it')).code, 226);
    assert.deepEqual(await itemsOf('/Inbox/cut-at-once.bin'), ['/Inbox/cut-at-once.bin 9']);
    ftp.close();
  });

  it('that was made and then not used is closed when another is asked for, and at the end', async () => {
    const ftp = await stage.logIn();
    const made: Socket[] = [];
    for (let n = 0; n < 20; n++) made.push(await ftp.data(await ftp.passive()));
    for (const unused of made.slice(0, -1)) await gone(unused);
    assert.equal((await ftp.ask('QUIT')).code, 221);
    for (const unused of made) await gone(unused);
  });

  it('that says nothing, or speaks in clear, is 425 and stores nothing of it', async () => {
    const ftp = await stage.logIn();
    for (const said of ['', 'my file in clear', `GET / HTTP/1.0\r\n\r\n`]) {
      const data = await ftp.data(await ftp.passive(), { plain: true });
      data.write(said);
      assert.equal((await ftp.ask('STOR /Inbox/clear.bin')).code, 150);
      assert.ok([425, 522].includes((await ftp.reply()).code), said);
      await gone(data as Socket);
    }
    assert.deepEqual(await itemsOf('/Inbox/clear.bin'), []);
    await works(ftp);
    ftp.close();
  });

  it('must be protected: STOR before PROT P is 521, PROT C is 534', async () => {
    const ftp = await stage.logIn();
    assert.equal((await ftp.ask('PROT C')).code, 534);
    await ftp.ask('REIN');
    assert.equal((await ftp.logIn(user, password)).code, 230);
    await ftp.passive();
    for (const command of ['STOR /Inbox/a', 'LIST', 'RETR /Inbox/a']) assert.equal((await ftp.ask(command)).code, 521, command);
    ftp.close();
  });

  it('of a transfer under way is not touched by a second STOR, PASV or RETR', async () => {
    const ftp = await stage.logIn();
    const data = await uploading(ftp, '/Inbox/one.bin');
    for (const command of ['STOR /Inbox/two.bin', 'EPSV', 'PASV', 'LIST', 'RETR /Inbox/one.bin', 'DELE /Inbox/one.bin', 'REIN']) {
      assert.ok([425, 450].includes((await ftp.ask(command)).code), command);
    }
    data.end('the end');
    assert.equal((await ftp.reply()).code, 226);
    assert.deepEqual(await itemsOf('/Inbox/one.bin'), ['/Inbox/one.bin 1007']);
    assert.deepEqual(await itemsOf('/Inbox/two.bin'), []);
    ftp.close();
  });

  it('is waited for by QUIT: the transfer is finished and answered first', async () => {
    const ftp = await stage.logIn();
    const data = await uploading(ftp, '/Inbox/quit.bin');
    ftp.send('QUIT\r\n');
    data.end('the end');
    assert.equal((await ftp.reply()).code, 226);
    assert.equal((await ftp.reply()).code, 221);
    assert.deepEqual(await itemsOf('/Inbox/quit.bin'), ['/Inbox/quit.bin 1007']);
  });

  it('may end well while ALLO had announced something else; STOU names what it made', async () => {
    const ftp = await stage.logIn();
    assert.equal((await ftp.ask('ALLO 5000')).code, 202);
    assert.equal((await send(ftp, 'STOR /Inbox/allo.bin', 'less')).code, 226);
    assert.deepEqual(await itemsOf('/Inbox/allo.bin'), ['/Inbox/allo.bin 4']);
    await ftp.ask('CWD /Inbox');
    const names: string[] = [];
    for (let n = 0; n < 3; n++) {
      const data = await ftp.data(await ftp.passive());
      const begun = await ftp.ask('STOU');
      names.push(/FILE: (\S+)\r/.exec(begun.text)?.[1] ?? '');
      data.end('unique');
      assert.equal((await ftp.reply()).code, 226);
    }
    assert.equal(new Set(names).size, 3);
    for (const name of names) assert.deepEqual(await itemsOf(name), [`${name} 6`]);
    ftp.close();
  });
});
