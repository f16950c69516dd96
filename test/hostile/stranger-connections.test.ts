/** Strangers at the SFTP door before login: they may only ever cost themselves (F52–F54, F56 of the fault catalogue). */
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import type { LoginOutcome } from '../../dmz-node/partner-view.ts';
import { sftpDefaults } from '../../dmz-node/sftp/listener.ts';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { connectClient, op, RawSftp } from '../fixtures/raw-sftp.ts';
import { ident, kexDhInit, kexInit, knock, plainPacket, sshString } from '../fixtures/raw-ssh.ts';
import { openDoor } from '../fixtures/sftp-door.ts';
import { makeKey } from '../fixtures/ssh-login.ts';

const serviceRequest = plainPacket(Buffer.concat([Buffer.from([5]), sshString('ssh-userauth')]));

/** The door still serves: a whole login and one answer. */
async function honestClientIsServed(port: number, localAddress = '127.0.0.1'): Promise<void> {
  await using client = await RawSftp.connect(port, { localAddress });
  assert.equal((await client.ask(op.stat, '/Inbox')).type, 105);
}

test('F53: cuts a silent connection when the grace time is over, and counts it against its source', async () => {
  await using door = await openDoor({ view: new MemoryView(), options: { loginGraceMs: 150 } });
  const silent = knock(door.port);
  await eventually('the cut', () => silent.closed);
  assert.match(silent.received, /^SSH-2\.0-Sallyport\r\n/);
  await eventually('the penalty', () => door.left.length === 1);
  assert.deepEqual(door.left, ['grace-exceeded']);
  assert.equal(door.listener.connections, 0);
});

test('F52: cuts a connection that sends half of its first line', async () => {
  await using door = await openDoor({ view: new MemoryView(), options: { loginGraceMs: 150 } });
  const half = knock(door.port, 'SSH-2.0-Half');
  await eventually('the cut', () => half.closed);
  assert.equal(door.listener.connections, 0);
});

test('takes a first line in single bytes', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const proxy = createServer((near) => {
    const far = connect(door.port, '127.0.0.1');
    far.setNoDelay(true);
    let line = true;
    near.on('data', (chunk) => {
      if (!line) return void far.write(chunk);
      line = false;
      for (const byte of chunk) far.write(Buffer.from([byte]));
    });
    far.pipe(near);
    for (const socket of [near, far]) socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
  const { port } = proxy.address() as { port: number };
  await honestClientIsServed(port);
  proxy.close();
});

const firstLines: Readonly<Record<string, Buffer>> = {
  '64 KiB without a line end': Buffer.alloc(65_536, 'S'),
  'a line of 64 KiB': Buffer.concat([Buffer.alloc(65_536, 'S'), Buffer.from('\r\n')]),
  'SSH version 1.5': Buffer.from('SSH-1.5-old\r\n'),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  'a TLS greeting': Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 10, 10]),
};
for (const [name, bytes] of Object.entries(firstLines)) {
  test(`F52: cuts at once who begins with ${name}`, async () => {
    await using door = await openDoor({ view: new MemoryView() });
    const stranger = knock(door.port, bytes);
    await eventually('the cut', () => stranger.closed);
    await eventually('the penalty', () => door.left.length === 1);
    assert.deepEqual(door.left, ['broken-protocol']);
    assert.equal(door.listener.connections, 0);
  });
}

test('F54: cuts who sends a flood of IGNOREs before a login', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const stranger = knock(door.port, 'SSH-2.0-Flood\r\n');
  const ignore = Buffer.concat([Buffer.from([0, 0, 0x04, 0x04, 4, 2, 0, 0, 0x03, 0xfa]), Buffer.alloc(0x3fe)]);
  assert.equal(ignore.length % 8, 0);
  const many = Buffer.concat(Array<Buffer>(1024).fill(ignore));
  stranger.socket.write(many);
  await eventually('the cut', () => stranger.closed);
  assert.equal(door.listener.connections, 0);
  await honestClientIsServed(door.port);
});

for (const [name, flood] of [
  ['10,000 KEXINITs', Buffer.concat(Array<Buffer>(10_000).fill(kexInit('curve25519-sha256')))],
  ['10,000 first messages of an exchange', Buffer.concat(Array<Buffer>(10_000).fill(kexDhInit(Buffer.alloc(32, 9))))],
  ['10,000 requests for the login service', Buffer.concat(Array<Buffer>(10_000).fill(serviceRequest))],
] as const) {
  test(`F54: cuts who sends ${name} in the clear, at the second at the latest`, async () => {
    await using door = await openDoor({ view: new MemoryView() });
    const flooder = knock(door.port, Buffer.concat([ident, kexInit('curve25519-sha256'), flood]));
    await eventually('the cut', () => flooder.closed);
    await eventually('the end', () => door.left.length === 1);
    // The answer to one exchange, not to thousands.
    assert.ok(flooder.received.length < 4096, `${flooder.received.length} bytes were answered`);
    assert.deepEqual([door.attempts, door.listener.connections], [[], 0]);
    await honestClientIsServed(door.port);
  });
}

test('F54: cuts who changes keys again and again instead of logging in', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const client = new ssh2.Client();
  let exchanges = 0;
  client.on('error', () => undefined);
  client.on('handshake', () => {
    exchanges++;
    setImmediate(() => (client as unknown as RawSftp['inside'])._protocol.rekey());
  });
  client.connect({ host: '127.0.0.1', port: door.port, username: 'acme', authHandler: (() => undefined) as never });
  await eventually('the penalty', () => door.left.length === 1);
  assert.deepEqual(door.left, ['broken-protocol']);
  assert.ok(exchanges <= 3, `${exchanges} exchanges`);
  assert.equal(door.listener.connections, 0);
  client.destroy();
  await honestClientIsServed(door.port);
});

test('F56: a client that goes on under another name is cut, and the second name is not asked about', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const names = ['acme', 'globex'];
  const refused = connectClient(door.port, {
    authHandler: () => ({ type: 'password', username: names.shift() ?? 'acme', password: 'wrong' }),
  });
  await assert.rejects(refused);
  await eventually('the end', () => door.listener.connections === 0);
  assert.deepEqual(
    door.attempts.map(({ user }) => user),
    ['acme'],
  );
  await honestClientIsServed(door.port);
});

test('serves honest clients from the same and from another address while 1,000 strangers connect and say nothing', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const strangers = Array.from({ length: 1000 }, () => knock(door.port));
  await honestClientIsServed(door.port);
  await honestClientIsServed(door.port, '127.0.0.2');
  await eventually('the oldest give way', () => strangers.filter(({ closed }) => closed).length >= 400);
  await honestClientIsServed(door.port);
  assert.ok(door.listener.connections <= sftpDefaults.maxSilent + 3, `${door.listener.connections} are held`);
  const refused = door.events.filter((e) => e.name === 'connection.refused');
  assert.equal(refused.length, 1, 'a flood of strangers is not a flood of records');
  for (const { socket } of strangers) socket.destroy();
  assert.deepEqual(door.left, [], 'who had to give way is not blamed');
});

test('serves an honest client from another address while 1,000 strangers of one address say one line and stop', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const strangers = Array.from({ length: 1000 }, () => knock(door.port, 'SSH-2.0-Stranger\r\n'));
  await eventually('refusals', () => strangers.filter(({ closed }) => closed).length > 500);
  for (let i = 0; i < 5; i++) await honestClientIsServed(door.port, '127.0.0.2');
  const most = sftpDefaults.maxUnauthenticatedPerSource;
  await eventually(
    'all but the few that one source may hold are refused',
    () => strangers.filter((s) => !s.closed).length <= most,
  );
  const refused = door.events.filter((e) => e.name === 'connection.refused');
  assert.ok(refused.length <= 2, 'a flood of strangers is not a flood of records');
  for (const { socket } of strangers) socket.destroy();
});

test('refuses none of 30 honest clients behind one address that connect at once', async () => {
  await using door = await openDoor({ view: new MemoryView(), random: () => 0 });
  await Promise.all(Array.from({ length: 30 }, () => honestClientIsServed(door.port)));
  assert.deepEqual(
    door.events.filter((e) => e.name === 'connection.refused'),
    [],
  );
});

test('refuses a banned source before a byte is sent', async () => {
  await using door = await openDoor({ view: new MemoryView(), admits: (peer) => peer !== '127.0.0.3' });
  const banned = knock(door.port, '', '127.0.0.3');
  await eventually('the refusal', () => banned.closed);
  assert.equal(banned.received, '');
  await honestClientIsServed(door.port);
});

test('drops newcomers at random as connections without login fill up, and all when full', async () => {
  const draws: number[] = [];
  await using door = await openDoor({
    view: new MemoryView(),
    options: { maxUnauthenticated: 20, maxUnauthenticatedPerSource: 100 },
    random: () => {
      draws.push(1);
      return 0.99;
    },
  });
  const strangers = Array.from({ length: 30 }, () => knock(door.port, 'SSH-2.0-Stranger\r\n'));
  await eventually('refusals', () => strangers.filter((stranger) => stranger.closed).length === 10);
  assert.equal(draws.length, 10);
  for (const { socket } of strangers) socket.destroy();
});

test('F56: ends a connection after the last attempt that it may make, with one question at a time', async () => {
  let running = 0;
  let most = 0;
  await using door = await openDoor({
    view: new MemoryView(),
    options: { maxLoginAttempts: 3 },
    login: async (): Promise<LoginOutcome> => {
      most = Math.max(most, ++running);
      await new Promise((go) => setTimeout(go, 5));
      running--;
      return { outcome: 'rejected' };
    },
  });
  let asked = 0;
  const refused = connectClient(door.port, {
    authHandler: () => {
      asked++;
      return { type: 'password', username: 'acme', password: `guess ${asked}` };
    },
  });
  await assert.rejects(refused);
  await eventually('the end', () => door.listener.connections === 0);
  assert.equal(door.attempts.length, 3);
  assert.equal(most, 1);
});

test('answers the request at hand when a client drops its question for another request', async () => {
  await using door = await openDoor({
    view: new MemoryView(),
    login: (attempt) => (attempt.method === 'key-probe' ? { outcome: 'key-acceptable' } : 'accepted'),
  });
  const client = new ssh2.Client();
  const { parsed } = makeKey('ed25519');
  const inside = client as unknown as { _protocol: { authPK(user: string, key: object, algorithm?: string): void } };
  const attempt: ssh2.KeyboardInteractiveAuthMethod = {
    type: 'keyboard-interactive',
    username: 'acme',
    prompt: () => inside._protocol.authPK('acme', parsed),
  };
  client.on('error', () => undefined);
  const methods: unknown[] = ['none', attempt, false];
  client.connect({ host: '127.0.0.1', port: door.port, username: 'acme', authHandler: (() => methods.shift()) as never });
  await eventually('the probe', () => door.attempts.some(({ method }) => method === 'key-probe'));
  // ssh2's client does not understand the right answer to what it sent here, and leaves.
  await eventually('the end', () => door.left.length === 1);
  assert.deepEqual(door.left, ['no-attempt'], 'not taken for a broken protocol');
  client.destroy();
  await honestClientIsServed(door.port);
});

test('ends a session that was accepted after its client had left', async () => {
  let answer: (verdict: 'accepted') => void = () => undefined;
  await using door = await openDoor({
    view: new MemoryView(),
    login: () => new Promise<'accepted'>((done) => (answer = done)),
  });
  const pending = connectClient(door.port);
  pending.catch(() => undefined);
  await eventually('the question', () => door.attempts.length === 1);
  const closing = door.listener.stop(AbortSignal.abort());
  answer('accepted');
  await closing;
  await eventually('the end of the session', () => door.events.some((e) => e.name === 'session.ended'));
  assert.equal(door.sessions.count(), 0);
});
