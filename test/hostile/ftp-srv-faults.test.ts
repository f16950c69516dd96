/**
 * The faults that were found in `ftp-srv` 4.6.3, the frame of the FTPS door, one test each: none of them can be reached through
 * the door. Numbers are those of the list that was made when its source was read.
 */

import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { FrameServer } from '../../dmz-node/ftps/ftp-srv-seam.ts';
import { stallRule } from '../../dmz-node/progress.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type Logger, silentLogger } from '../../shared/log.ts';
import { filesLike } from '../conformance/sources.ts';
import { eventually } from '../fixtures/eventually.ts';
import { type FtpsDoorSettings, openFtpsDoor, password, user } from '../fixtures/ftps-door.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { RawFtp, readAll } from '../fixtures/raw-ftp.ts';

const door = (settings: Partial<FtpsDoorSettings<MemoryView>> = {}) => openFtpsDoor({ view: new MemoryView(), ...settings });
const loggedIn = (port: number): Promise<RawFtp> => RawFtp.loggedIn(port, user, password);

/** Begins an upload and hands over its data connection. */
async function storing(ftp: RawFtp, path: string, verb = 'STOR') {
  const port = await ftp.passive();
  ftp.send(`${verb} ${path}\r\n`);
  const data = await ftp.data(port);
  assert.equal((await ftp.reply()).code, 150);
  return data;
}

async function store(ftp: RawFtp, path: string, content: string, verb = 'STOR'): Promise<number> {
  (await storing(ftp, path, verb)).end(content);
  return (await ftp.reply()).code;
}

async function listing(ftp: RawFtp, command: string): Promise<string> {
  const port = await ftp.passive();
  ftp.send(`${command}\r\n`);
  const text = (await readAll(await ftp.data(port))).toString();
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [150, 226]);
  return text;
}

test('ftp-srv 1: no login is lost to a ClientHello that comes early', async () => {
  await using open = await door();
  for (let attempt = 0; attempt < 60; attempt++) {
    const ftp = await RawFtp.connect(open.port);
    await ftp.reply();
    await ftp.authTls();
    assert.equal((await ftp.logIn(user, password)).code, 230);
    ftp.close();
  }
});

test('ftp-srv 2, 3: neither injected commands nor a login in clear are carried out', async () => {
  await using open = await door();
  const injecting = await RawFtp.connect(open.port);
  await injecting.reply();
  injecting.send(`AUTH TLS\r\nUSER ${user}\r\n`);
  assert.equal((await injecting.reply()).code, 0);
  const clear = await RawFtp.connect(open.port);
  await clear.reply();
  assert.equal((await clear.logIn(user, password)).code, 530);
  assert.deepEqual(open.attempts, []);
  clear.close();
});

test('ftp-srv 4: a required client certificate is asked for after AUTH TLS too, and data connections may have to resume', async () => {
  await using asking = await door({ options: { tls: { minimum: 'TLSv1.2', clientCertificates: 'required' } } });
  const nobody = await RawFtp.connect(asking.port);
  await nobody.reply();
  await nobody.authTls().catch(() => undefined);
  assert.equal((await nobody.reply()).code, 0);

  await using binding = await door({ options: { requireBinding: true } });
  const ftp = await loggedIn(binding.port);
  const port = await ftp.passive();
  ftp.send('STOR /Inbox/mine.txt\r\n');
  const stranger = await ftp.data(port, { resume: false });
  const mine = await ftp.data(port);
  mine.end('mine');
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [150, 226]);
  assert.equal(binding.view.files.get('/Inbox/mine.txt')?.bytes.toString(), 'mine');
  stranger.destroy();
  ftp.close();
});

test('ftp-srv 5: lines are put together from pieces, have a limit, and are answered in their order', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  for (const piece of ['PW', 'D\r', '\n']) {
    ftp.send(piece);
    await new Promise((go) => setImmediate(go));
  }
  assert.equal((await ftp.reply()).code, 257);
  ftp.send('CWD /Inbox\nPWD\r\nCWD /\r\nPWD\r\n');
  const answers = [await ftp.reply(), await ftp.reply(), await ftp.reply(), await ftp.reply()];
  assert.deepEqual(
    answers.map(({ code }) => code),
    [250, 257, 250, 257],
  );
  assert.match(answers[1]?.text ?? '', /"\/Inbox"/);
  assert.match(answers[3]?.text ?? '', /"\/"/);
  ftp.send(Buffer.from([0xff, 0xf4, 0xff, 0xf2]));
  assert.equal((await ftp.ask('NOOP')).code, 200);
  ftp.send('x'.repeat(1_000_000));
  assert.equal((await ftp.reply()).code, 500);
  await ftp.closed();
});

test('ftp-srv 6: passwords and names keep their quotes, blanks and words with a hyphen', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  assert.equal(await store(ftp, '/Inbox/a "b" -c  d', 'x'), 226);
  assert.deepEqual([...open.view.files.keys()], ['/Inbox/a "b" -c  d']);
  assert.match((await ftp.ask('CWD /Inbox')).text, /250/);
  assert.equal((await ftp.ask('SIZE a "b" -c  d')).code, 213);
  ftp.close();
});

test('ftp-srv 7: commands without their arguments are answered, and the session goes on', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  for (const verb of [
    'OPTS',
    'PORT',
    'EPRT',
    'SITE',
    'RNFR',
    'RNTO',
    'STOR',
    'RETR',
    'MFMT',
    'HASH',
    'REST',
    'PROT',
    'ALLO',
    'HOST',
  ]) {
    const { code } = await ftp.ask(verb);
    assert.ok(code >= 400 && code < 600, `${verb} ${code}`);
  }
  assert.equal((await ftp.ask('NOOP')).code, 200);
  ftp.close();
});

test('ftp-srv 8, 9: an upload whose connections are cut is told and kept as a partial, never as a file', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  const data = await storing(ftp, '/Inbox/a.bin');
  await new Promise<void>((go) => data.write('half of it', () => go()));
  ftp.close();
  await eventually('the upload is over', () => open.view.openWriters === 0);
  await eventually('the session is over', () => open.sessions.count() === 0);
  assert.equal(open.view.files.size, 0);
  assert.match(open.view.log.join(), /abandon \/Inbox\/a\.bin/);
});

test('ftp-srv 10, 14: a transfer is not idling, its client may take its time to connect, and one on which nothing moves ends', async () => {
  const clock = new ManualClock();
  await using open = await door({ clock, options: { idleMs: 60_000, stall: stallRule(30_000, 0) } });
  const ftp = await loggedIn(open.port);
  const port = await ftp.passive();
  ftp.send('STOR /Inbox/slow.bin\r\n');
  assert.equal((await ftp.reply()).code, 150);
  clock.advance(20_000);
  const data = await ftp.data(port);
  for (let minute = 0; minute < 10; minute++) {
    await new Promise<void>((go) => data.write('x'.repeat(1000), () => go()));
    await eventually('the bytes are there', () => open.view.receivedBytes === (minute + 1) * 1000);
    clock.advance(25_000);
  }
  clock.advance(60_000);
  assert.equal((await ftp.reply()).code, 426);
  assert.equal((await ftp.ask('NOOP')).code, 200);
  const last = ftp.reply();
  for (let second = 0; second < 90; second++) {
    clock.advance(1000);
    await new Promise((go) => setImmediate(go));
  }
  assert.equal((await last).code, 421);
  await ftp.closed();
});

test('F47: an FTPS upload into which bytes only drip ends', async () => {
  const clock = new ManualClock();
  await using open = await door({ clock, options: { stall: stallRule(30_000, 2) } });
  const ftp = await loggedIn(open.port);
  const data = await storing(ftp, '/Inbox/dripping.bin');
  const last = ftp.reply();
  for (let second = 1; second <= 40; second += 1) {
    if (second < 30) await new Promise<void>((go) => data.write('x', () => go()));
    clock.advance(1000);
  }
  assert.equal((await last).code, 426);
  assert.equal(open.view.files.size, 0);
  ftp.close();
});

test('ftp-srv 11: ABOR ends an upload at once, which is then no file', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  const data = await storing(ftp, '/Inbox/a.bin');
  data.write('x');
  ftp.send('ABOR\r\n');
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [426, 226]);
  assert.equal(open.view.files.size, 0);
  ftp.close();
});

test('ftp-srv 12: taken ports of the range are passed over, none left is told, and a port given back is used again', async () => {
  const range = await freeRange(4);
  const taken = await Promise.all([range.first, range.first + 1].map(listenOn));
  await using open = await door({ options: { passivePorts: range } });
  const [one, two, three] = [await loggedIn(open.port), await loggedIn(open.port), await loggedIn(open.port)];
  const ports = [await one.passive(), await two.passive()];
  assert.deepEqual(ports.toSorted(), [range.first + 2, range.last]);
  assert.equal((await three.ask('EPSV')).code, 425);
  await two.ask('QUIT');
  await two.closed();
  await eventually('the port is free again', async () => (await three.ask('EPSV')).code === 229);
  for (const server of taken) server.close();
  for (const ftp of [one, three]) ftp.close();
});

test('ftp-srv 13: whoever comes to a data port first blocks nobody and ends no session', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  const port = await ftp.passive();
  const strangers = await Promise.all([
    ftp.data(port, { plain: true }),
    ftp.data(port, { plain: true }),
    ftp.data(port, { plain: true, localAddress: '127.0.0.3' }),
  ]);
  ftp.send('STOR /Inbox/a.txt\r\n');
  (await ftp.data(port)).end('mine');
  assert.deepEqual([(await ftp.reply()).code, (await ftp.reply()).code], [150, 226]);
  assert.equal(open.view.files.get('/Inbox/a.txt')?.bytes.toString(), 'mine');
  for (const socket of strangers) socket.destroy();
  ftp.close();
});

test('ftp-srv 15: many transfers in one session leave nothing behind', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  for (let count = 0; count < 260; count++) assert.equal(await store(ftp, `/Inbox/${count}`, 'x'), 226);
  assert.equal(open.view.files.size, 260);
  assert.equal((await ftp.ask('NOOP')).code, 200);
  ftp.close();
});

test('ftp-srv 16: the size of an empty file is 0', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  assert.equal(await store(ftp, '/Inbox/empty', ''), 226);
  assert.equal((await ftp.ask('SIZE /Inbox/empty')).text, '213 0\r\n');
  ftp.close();
});

test('ftp-srv 17: no reply holds a path of the server or the text of an error', async () => {
  class Failing extends MemoryView {
    override stat(): Promise<never> {
      return Promise.reject(new Error('ENOENT /srv/secret/objects/aa'));
    }
    override makeFolder(): Promise<never> {
      return Promise.reject(new SallyportError('permission-denied', 'the grant of acme at /srv/secret says no'));
    }
    override removeFile(): Promise<never> {
      return Promise.reject(new SallyportError('no-such-file', '/srv/secret/x'));
    }
  }
  await using open = await door({ view: new Failing() });
  const ftp = await loggedIn(open.port);
  const replies = [await ftp.ask('SIZE /Inbox/a'), await ftp.ask('MKD /Inbox/f'), await ftp.ask('DELE /Inbox/a')];
  assert.deepEqual(
    replies.map(({ code }) => code),
    [451, 553, 550],
  );
  assert.doesNotMatch(replies.map(({ text }) => text).join(), /srv|secret|ENOENT|grant/);
  ftp.close();
});

test('ftp-srv 18: a folder of 200,000 entries is listed page by page', async () => {
  class Crowded extends MemoryView {
    override async openFolder() {
      let left = 200_000;
      return {
        shown: 'all' as const,
        next: async (max: number) => {
          const count = Math.min(max, left);
          left -= count;
          return Array.from({ length: count }, (_, at) => ({ ...crowd, name: `file-${left + at}` }));
        },
      };
    }
  }
  const crowd = { kind: 'file', size: 1, modifiedAtMs: 0, ghost: false, writable: true } as const;
  await using open = await door({ view: new Crowded() });
  const ftp = await loggedIn(open.port);
  const text = await listing(ftp, 'NLST /Inbox');
  assert.equal(text.split('\r\n').length, 200_001);
  ftp.close();
});

test('ftp-srv 19: LIST -la lists, TYPE A changes no byte, and REST with STOR goes on where the upload stopped', async () => {
  await using open = await door();
  const ftp = await loggedIn(open.port);
  assert.match(await listing(ftp, 'LIST -la'), /Inbox\r\n/);
  await ftp.ask('TYPE A');
  assert.equal(await store(ftp, '/Inbox/text', 'one\ntwo\r\n'), 226);
  assert.equal(open.view.files.get('/Inbox/text')?.bytes.toString(), 'one\ntwo\r\n');
  assert.equal((await ftp.ask('SIZE /Inbox/text')).text, '213 9\r\n');
  open.view.partials.set('/Inbox/half', Buffer.from('0123456789'));
  assert.equal((await ftp.ask('REST 4')).code, 350);
  assert.equal(await store(ftp, '/Inbox/half', 'abc'), 226);
  assert.match(open.view.files.get('/Inbox/half')?.bytes.toString() ?? '', /^0123abc/);
  ftp.close();
});

test('ftp-srv 20: after a wrong password another USER may try, but not without end', async () => {
  await using open = await door({ options: { maxLoginAttempts: 3 } });
  const ftp = await RawFtp.connect(open.port);
  await ftp.reply();
  await ftp.authTls();
  assert.equal((await ftp.logIn('nobody', 'x')).code, 530);
  assert.equal((await ftp.logIn(user, password)).code, 230);
  const guessing = await RawFtp.connect(open.port);
  await guessing.reply();
  await guessing.authTls();
  const codes: number[] = [];
  for (let attempt = 0; attempt < 3; attempt++) codes.push((await guessing.logIn(user, 'x')).code);
  assert.deepEqual(codes, [530, 530, 421]);
  await guessing.closed();
  ftp.close();
});

test('ftp-srv 21: the package leaves the signals of the process alone', () => {
  const signals = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;
  const before = signals.map((signal) => process.listenerCount(signal));
  new FrameServer(silentLogger, () => undefined);
  assert.deepEqual(
    signals.map((signal) => process.listenerCount(signal)),
    before,
  );
});

test('ftp-srv 22: no log line at any level holds a password', async () => {
  const lines: string[] = [];
  const write = (...words: unknown[]): void => void lines.push(JSON.stringify(words));
  const log = { trace: write, debug: write, info: write, warn: write, error: write, fatal: write } as unknown as Logger;
  Object.assign(log, { child: () => log });
  await using open = await door({ log });
  const ftp = await RawFtp.connect(open.port);
  await ftp.reply();
  await ftp.authTls();
  await ftp.logIn(user, 'a wrong secret');
  assert.equal((await ftp.logIn(user, password)).code, 230);
  ftp.send('PASS another secret\r\n');
  await ftp.reply();
  ftp.close();
  await eventually('the session is over', () => open.sessions.count() === 0);
  assert.doesNotMatch(lines.join('\n'), /secret|horse/);
});

test('ftp-srv 23: one file knows the package, and trusts none of its types', () => {
  const naming = filesLike('{dmz-node,shared,internal-node}/**/*.ts').filter(({ text }) => /'ftp-srv/.test(text));
  assert.deepEqual(
    naming.map(({ path }) => path).filter((path) => !path.endsWith('.test.ts')),
    ['dmz-node/ftps/ftp-srv-seam.ts'],
  );
});

function listenOn(port: number) {
  const server = createServer((socket: Socket) => socket.destroy());
  return new Promise<typeof server>((resolve, reject) => {
    server.once('error', reject);
    server.unref().listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

/** Ports side by side that are free now, below those that the system takes for outgoing connections. */
async function freeRange(count: number): Promise<{ first: number; last: number }> {
  for (let first = 20_000 + (process.pid % 5000); first < 32_000; first += count) {
    const ports = Array.from({ length: count }, (_, at) => first + at);
    const servers = await Promise.all(ports.map((port) => listenOn(port).catch(() => undefined)));
    await Promise.all(servers.map((server) => server && new Promise((done) => server.close(done))));
    if (servers.every((server) => server !== undefined)) return { first, last: first + count - 1 };
  }
  throw new Error('no free ports side by side');
}
