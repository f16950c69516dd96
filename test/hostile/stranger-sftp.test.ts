/** Logged-in clients that break the SFTP protocol or press against memory: only their own session suffers (F57, F58, F60, F61). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OpenForWriting, ReadHandle, VirtualPath, WriteHandle } from '../../dmz-node/partner-view.ts';
import { stallRule } from '../../dmz-node/progress.ts';
import { SallyportError } from '../../shared/errors.ts';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { connectClient, op, openFlags, RawSftp, request } from '../fixtures/raw-sftp.ts';
import { openDoor } from '../fixtures/sftp-door.ts';

const mib = 1024 * 1024;
const writing = openFlags.write | openFlags.create | openFlags.truncate;

/** Writes that are never done, as when the disk hangs. */
class StuckView extends MemoryView {
  heldBytes = 0;
  override async openForWriting(path: VirtualPath, options: OpenForWriting): Promise<WriteHandle> {
    const real = await super.openForWriting(path, options);
    return {
      path,
      size: 0,
      stat: () => real.stat(),
      write: (_offset, bytes) => {
        this.heldBytes += bytes.length;
        return new Promise(() => undefined);
      },
      setAttributes: (attributes) => real.setAttributes(attributes),
      flush: () => real.flush(),
      close: () => real.close(),
      keepEmpty: () => real.keepEmpty(),
      abandon: (reason) => real.abandon(reason),
    };
  }
}

/** A file of any size that costs no memory until it is read. */
class EndlessView extends MemoryView {
  servedBytes = 0;
  override async openForReading(path: VirtualPath): Promise<ReadHandle> {
    const entry = { name: 'big', kind: 'file', size: 2 ** 40, modifiedAtMs: 0, ghost: false, writable: false } as const;
    return {
      path,
      size: entry.size,
      sha256: null,
      stat: () => entry,
      read: async (_offset, length) => {
        this.servedBytes += length;
        return Buffer.alloc(length);
      },
      close: async () => undefined,
      abandon: async () => undefined,
    };
  }
}

const rss = (): number => process.memoryUsage.rss();

test('F60: holds a few MiB of a client that writes 192 MB and hears no answer', async () => {
  await using door = await openDoor({ view: new StuckView() });
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Inbox/a', writing);
  const before = rss();
  const block = request(op.write, 7, handle, 0n, Buffer.alloc(32_768));
  for (let i = 0; i < 6000; i++) client.channel.write(block);
  await eventually('the stop', () => door.view.heldBytes >= 4 * mib);
  await new Promise((go) => setTimeout(go, 300));
  // What one session may have in work, and what its window may have grown to meanwhile.
  assert.ok(door.view.heldBytes <= (4 + 8 + 1) * mib, `${door.view.heldBytes} bytes were taken`);
  assert.ok(rss() - before < 64 * mib, `grew by ${Math.round((rss() - before) / mib)} MiB`);
  await using other = await RawSftp.connect(door.port);
  assert.equal((await other.ask(op.stat, '/')).type, 105);
});

test('F60: reads no more for a client that asks for 3 GB and never reads, and cuts it in the end', async () => {
  await using door = await openDoor({ view: new EndlessView(), options: { stall: stallRule(1500, 0) } });
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Outbox/big', openFlags.read);
  const before = rss();
  client.inside._sock.pause();
  for (let i = 0; i < 12_000; i++) client.channel.write(request(op.read, i, handle, BigInt(i) * 262_144n, 262_144));
  await eventually('the stop', () => door.view.servedBytes > 4 * mib);
  await new Promise((go) => setTimeout(go, 300));
  assert.ok(door.view.servedBytes < 32 * mib, `${door.view.servedBytes} bytes were read`);
  assert.ok(rss() - before < 64 * mib, `grew by ${Math.round((rss() - before) / mib)} MiB`);
  await eventually('the cut', () => door.listener.connections === 0);
  assert.ok(door.events.some((e) => e.name === 'session.ended' && e.fields.reason === 'the client stopped reading'));
});

test('a client that reads nothing while it asks for signs of life costs bounded memory', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using client = await RawSftp.connect(door.port);
  const before = rss();
  client.inside._sock.pause();
  for (let i = 0; i < 200_000; i++) client.inside._protocol.ping();
  await new Promise((go) => setTimeout(go, 500));
  assert.ok(rss() - before < 160 * mib, `grew by ${Math.round((rss() - before) / mib)} MiB, the client's own queue included`);
  await using other = await RawSftp.connect(door.port);
  assert.equal((await other.ask(op.stat, '/')).type, 105);
});

for (const packetSize of [0, 1, 1023]) {
  test(`a maximum packet size of ${packetSize} ends that connection and freezes nobody`, () => endsThatConnection(packetSize));
}

test('a maximum packet size of 1024 is served', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const client = await connectClient(door.port);
  const confirmed = new Promise((done) => {
    const { _handlers } = (client as unknown as { _protocol: { _handlers: Record<string, unknown> } })._protocol;
    _handlers.CHANNEL_OPEN_CONFIRMATION = done;
  });
  (client as unknown as RawSftp['inside'])._protocol.session(7, 2 * mib, 1024);
  await confirmed;
  client.destroy();
});

async function endsThatConnection(packetSize: number): Promise<void> {
  await using door = await openDoor({ view: new MemoryView() });
  await using other = await RawSftp.connect(door.port);
  const client = await connectClient(door.port);
  let closed = false;
  client.on('error', () => undefined);
  client.on('close', () => {
    closed = true;
  });
  (client as unknown as RawSftp['inside'])._protocol.session(7, 2 * mib, packetSize);
  await eventually('the cut', () => closed);
  assert.equal((await other.ask(op.stat, '/')).type, 105);
  assert.equal(door.listener.connections, 1);
}

test('F61: data beyond the window ends that connection', async () => {
  await using door = await openDoor({ view: new StuckView() });
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Inbox/a', writing);
  const { id } = (client.channel as unknown as { outgoing: { id: number } }).outgoing;
  const block = request(op.write, 7, handle, 0n, Buffer.alloc(32_000));
  client.client.on('error', () => undefined);
  for (let i = 0; i < 600 && !client.closed; i++) client.inside._protocol.channelData(id, block);
  await eventually('the cut', () => client.closed);
  assert.match(door.view.log.join(), /^abandon \/Inbox\/a/);
});

test('F58: an eleventh channel is refused, and a closed one makes room', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const ssh = await connectClient(door.port);
  ssh.setMaxListeners(50);
  const channels: RawSftp[] = [];
  for (let i = 0; i < 10; i++) channels.push(await RawSftp.on(ssh));
  await assert.rejects(RawSftp.on(ssh));
  channels[0]?.channel.end();
  await eventually('the close', () => channels[0]?.closed === true);
  await RawSftp.on(ssh);
  ssh.destroy();
});

test('F57: commands are told what is offered instead, and each gives its place back', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const ssh = await connectClient(door.port);
  for (let n = 0; n < 15; n++) {
    const [code, said] = await new Promise<[number, string]>((done, failed) => {
      ssh.exec('scp -t /Inbox', (error, channel) => {
        if (error) return failed(error);
        let text = '';
        channel.stderr.on('data', (part: Buffer) => {
          text += part.toString();
        });
        channel.write(Buffer.alloc(100_000)); // heard by nobody
        channel.on('close', (exit: number) => done([exit, text])).resume();
      });
    });
    assert.equal(code, 1);
    assert.match(said, /SFTP only/);
  }
  await using client = await RawSftp.on(ssh);
  assert.equal((await client.ask(op.stat, '/')).type, 105);
});

test('every refusal has a status of version 3 and a text that names no reason of ours', async () => {
  const view = new MemoryView();
  await using door = await openDoor({ view });
  await using client = await RawSftp.connect(door.port);
  for (const [code, status, text] of [
    ['no-such-file', 2, 'No such file'],
    ['permission-denied', 3, 'Permission denied'],
    ['quota-exceeded', 4, 'Quota exceeded'],
    ['already-collected', 4, 'Already collected'],
    ['upload-in-progress', 4, 'Upload in progress'],
    ['store-suspect', 4, 'Temporarily unavailable, try again later'],
    ['not-a-folder', 2, 'Not a folder'],
    ['is-a-folder', 4, 'Is a folder'],
    ['write-out-of-window', 4, 'Bytes must be sent in order and once; random access is not supported'],
    ['upload-has-holes', 4, 'Bytes are missing, send the rest'],
    ['resume-mismatch', 4, 'Cannot be resumed, send it anew'],
    ['internal', 4, 'Failure'],
  ] as const) {
    view.stat = () => Promise.reject(new SallyportError(code, 'secret detail of /srv/cache'));
    const answer = await client.ask(op.stat, '/Inbox/x');
    assert.equal(answer.status, status);
    assert.equal(answer.body.subarray(8, 8 + answer.body.readUInt32BE(4)).toString(), text);
  }
  view.stat = () => Promise.reject(new Error('secret'));
  assert.equal((await client.ask(op.stat, '/Inbox/x')).body.toString('latin1').includes('secret'), false);
});

test('SF-19: ends an idle session, but not one with a transfer under way', async () => {
  await using door = await openDoor({ view: new StuckView(), options: { idleMs: 200 } });
  await using busy = await RawSftp.connect(door.port);
  const handle = await busy.open('/Inbox/a', writing);
  busy.send(op.write, handle, 0n, 'x');
  await using idle = await RawSftp.connect(door.port);
  assert.equal(await idle.next(), undefined);
  assert.equal(busy.closed, false);
  await eventually('the event', () =>
    door.events.some(({ name, fields }) => name === 'session.ended' && fields.reason === 'idle for too long'),
  );
});

test('cuts a client that gives no sign of life', async () => {
  await using door = await openDoor({ view: new MemoryView(), options: { keepAliveMs: 40, keepAliveMisses: 2 } });
  await using alive = await RawSftp.connect(door.port);
  await using dead = await RawSftp.connect(door.port);
  dead.inside._sock.pause();
  await eventually('the cut', () => door.listener.connections === 1);
  assert.equal((await alive.ask(op.stat, '/')).type, 105);
  assert.ok(door.events.some((e) => e.name === 'session.ended' && e.fields.reason === 'no sign of life'));
});

test('cuts a client that begins a change of keys and floods instead of finishing it', async () => {
  await using door = await openDoor({ view: new MemoryView(), options: { rekeyMs: 100 } });
  await using client = await RawSftp.connect(door.port);
  client.client.on('error', () => undefined);
  // Our KEXINIT is never read, so it is never answered.
  client.inside._sock.pause();
  await new Promise((go) => setTimeout(go, 200));
  for (let i = 0; i < 5000; i++) client.inside._protocol.ping();
  await eventually('the cut', () => door.listener.connections === 0);
});

test('cuts a client that does not finish a change of keys in time', async () => {
  await using door = await openDoor({ view: new MemoryView(), options: { rekeyMs: 100, loginGraceMs: 2500 } });
  await using client = await RawSftp.connect(door.port);
  client.client.on('error', () => undefined);
  client.inside._sock.pause();
  await eventually('the cut', () => door.listener.connections === 0);
  assert.ok(door.events.some((e) => e.name === 'session.ended' && e.fields.reason === 'new keys were not agreed in time'));
});

test('a revoked partner is cut at once and his uploads are kept', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Inbox/a', writing);
  await client.ask(op.write, handle, 0n, 'half');
  assert.equal(door.sessions.revoke('acme'), 1);
  assert.equal(await client.next(), undefined);
  await eventually('the partial', () => door.view.partials.has('/Inbox/a'));
  await eventually('the end', () => door.sessions.count() === 0);
  const ended = door.events.find((e) => e.name === 'session.ended');
  assert.equal(ended?.fields.reason, 'revoked by the inside');
});

test('a stopping listener lets a transfer finish and begins none', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using idle = await RawSftp.connect(door.port);
  await using client = await RawSftp.connect(door.port);
  const handle = await client.open('/Inbox/a', writing);
  const stopped = door.listener.stop(AbortSignal.timeout(10_000));
  assert.equal(await idle.next(), undefined);
  assert.equal((await client.ask(op.open, '/Inbox/b', writing, 0)).status, 4);
  assert.equal((await client.ask(op.write, handle, 0n, 'all')).status, 0);
  assert.equal((await client.ask(op.close, handle)).status, 0);
  await stopped;
  assert.equal(door.view.files.get('/Inbox/a')?.bytes.toString(), 'all');
});

test('F57: one connection hears no to everything that is not SFTP, and goes on with SFTP', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using sftp = await RawSftp.connect(door.port);
  const { client } = sftp;
  const refusal = (ask: (answer: (error?: Error | null) => void) => unknown): Promise<void> =>
    assert.rejects(new Promise<void>((done, failed) => void ask((error) => (error ? failed(error) : done()))));
  await refusal((answer) => client.exec('id', { pty: true }, answer));
  await refusal((answer) => client.exec('id', { x11: true }, answer));
  await refusal((answer) => client.subsys('netconf', answer));
  await refusal((answer) => client.forwardOut('127.0.0.1', 1, '127.0.0.1', door.port, answer));
  await refusal((answer) => client.forwardIn('127.0.0.1', 0, answer));
  await refusal((answer) => client.openssh_forwardOutStreamLocal('/tmp/x', answer));
  await refusal((answer) => client.openssh_forwardInStreamLocal('/tmp/x', answer));
  assert.equal((await sftp.ask(op.stat, '/Inbox')).type, 105);
  await using _another = await RawSftp.on(client);
  assert.equal(door.listener.connections, 1);
});
