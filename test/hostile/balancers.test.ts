/** Load balancers and those who pretend to be one: a PROXY header counts only from the listed, and must be whole and in time. */
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import type { SftpListenerOptions } from '../../dmz-node/sftp/listener.ts';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { op, RawSftp } from '../fixtures/raw-sftp.ts';
import { knock } from '../fixtures/raw-ssh.ts';
import { openDoor } from '../fixtures/sftp-door.ts';

const balancer = '127.0.0.8';
const client = '203.0.113.9';
const header = `PROXY TCP4 ${client} 192.0.2.1 40000 22\r\n`;
const binaryHeader = Buffer.concat([
  Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
  Buffer.from([0x21, 0x11, 0, 12, 203, 0, 113, 9, 192, 0, 2, 1, 0x9c, 0x40, 0, 22]),
]);

function behindBalancer(options: Partial<SftpListenerOptions> = {}, admits: (peer: string) => boolean = () => true) {
  const peers: string[] = [];
  const seen = (peer: string): boolean => {
    peers.push(peer);
    return admits(peer);
  };
  const open = openDoor({ view: new MemoryView(), options: { proxyFrom: [`${balancer}/32`], ...options }, admits: seen });
  return open.then((door) => ({ door, peers }));
}

/** A port that adds `first` to each connection and passes the rest on from the balancer's address. */
async function relay(port: number, first: string | Buffer): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((near) => {
    const far = connect({ port, host: '127.0.0.1', localAddress: balancer });
    far.write(first);
    near.pipe(far);
    far.pipe(near);
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port: own } = server.address() as { port: number };
  return { port: own, [Symbol.asyncDispose]: async () => void server.close() };
}

for (const [version, first] of [
  [1, header],
  [2, binaryHeader],
] as const) {
  test(`a listed balancer names the client in version ${version}, and everything counts against that client`, async () => {
    const { door, peers } = await behindBalancer();
    await using _door = door;
    await using through = await relay(door.port, first);
    await using sftp = await RawSftp.connect(through.port);
    assert.equal((await sftp.ask(op.stat, '/Inbox')).type, 105);
    assert.deepEqual(peers, [client]);
    const accepted = door.events.find(({ name }) => name === 'session.connected');
    assert.equal(accepted?.fields.peer, client);
  });
}

test('the limit on connections of one source is that of the client, not of the balancer', async () => {
  const { door } = await behindBalancer({ maxConnectionsPerSource: 1 });
  await using _door = door;
  await using one = await relay(door.port, header);
  await using other = await relay(door.port, 'PROXY TCP4 203.0.113.10 192.0.2.1 40000 22\r\n');
  await using _first = await RawSftp.connect(one.port);
  await using _second = await RawSftp.connect(other.port);
  await assert.rejects(RawSftp.connect(one.port));
  assert.equal(door.listener.connections, 2);
});

test('a banned client is refused behind a balancer, and the balancer goes on', async () => {
  const { door } = await behindBalancer({}, (peer) => peer !== client);
  await using _door = door;
  await using banned = await relay(door.port, header);
  await assert.rejects(RawSftp.connect(banned.port));
  await using other = await relay(door.port, 'PROXY TCP4 203.0.113.10 192.0.2.1 40000 22\r\n');
  await using _sftp = await RawSftp.connect(other.port);
});

test('the balancer itself is served when it only looks whether the node is alive', async () => {
  const { door, peers } = await behindBalancer();
  await using _door = door;
  const probe = knock(door.port, 'PROXY UNKNOWN\r\n', balancer);
  await eventually('the greeting', () => probe.received.startsWith('SSH-2.0-Sallyport'));
  assert.deepEqual(peers, [balancer]);
  probe.socket.destroy();
});

const wrong: Readonly<Record<string, string | Buffer>> = {
  'no header': 'SSH-2.0-OpenSSH_9.2\r\n',
  'a malformed header': 'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n',
  'a header without end': `PROXY UNKNOWN ${'x'.repeat(200)}`,
  'a binary header of 64 KiB': Buffer.concat([binaryHeader.subarray(0, 14), Buffer.from([0xff, 0xff]), Buffer.alloc(4096)]),
};
for (const [name, bytes] of Object.entries(wrong)) {
  test(`a listed balancer that sends ${name} is cut without a word, and not punished`, async () => {
    const { door, peers } = await behindBalancer();
    await using _door = door;
    const stranger = knock(door.port, bytes, balancer);
    await eventually('the cut', () => stranger.closed);
    assert.equal(stranger.received, '');
    assert.deepEqual([peers, door.left, door.listener.connections], [[], [], 0]);
    const refused = door.events.filter((e) => e.name === 'connection.refused');
    assert.deepEqual(
      refused.map(({ fields }) => [fields.peer, fields.reason]),
      [[balancer, 'malformed PROXY header']],
    );
  });
}

test('a header that does not come in time ends the connection', async () => {
  const { door } = await behindBalancer({ proxyHeaderMs: 100 });
  await using _door = door;
  const silent = knock(door.port, 'PROXY TC', balancer);
  await eventually('the cut', () => silent.closed);
  assert.equal(silent.received, '');
  assert.deepEqual(
    door.events.map(({ fields }) => fields.reason),
    ['no PROXY header'],
  );
});

test('only so many may wait for their header: the oldest gives way', async () => {
  const { door } = await behindBalancer({ maxAwaitingHeader: 3 });
  await using _door = door;
  const waiting: ReturnType<typeof knock>[] = [];
  for (let i = 0; i < 5; i++) {
    const stranger = knock(door.port, 'PROXY', balancer);
    await new Promise((connected) => stranger.socket.once('connect', connected));
    waiting.push(stranger);
  }
  await eventually('two are cut', () => waiting.filter(({ closed }) => closed).length === 2);
  assert.deepEqual(
    waiting.map(({ closed }) => closed),
    [true, true, false, false, false],
  );
  for (const { socket } of waiting) socket.destroy();
});

for (const [version, bytes] of [
  [1, header],
  [2, binaryHeader],
] as const) {
  test(`a header of version ${version} from anybody else is a broken protocol`, async () => {
    const { door, peers } = await behindBalancer();
    await using _door = door;
    const stranger = knock(door.port, bytes, '127.0.0.9');
    await eventually('the cut', () => stranger.closed);
    await eventually('the penalty', () => door.left.length === 1);
    assert.deepEqual([door.left, peers], [['broken-protocol'], ['127.0.0.9']]);
    await using sftp = await RawSftp.connect(door.port, { localAddress: '127.0.0.9' });
    assert.equal((await sftp.ask(op.stat, '/Inbox')).type, 105);
  });
}

test('a second header from a balancer is a broken protocol of the client that the first named', async () => {
  const { door } = await behindBalancer();
  await using _door = door;
  const stranger = knock(door.port, header + header, balancer);
  await eventually('the cut', () => stranger.closed);
  await eventually('the penalty', () => door.left.length === 1);
  assert.deepEqual(door.left, ['broken-protocol']);
});
