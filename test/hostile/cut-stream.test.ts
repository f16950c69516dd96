/** However the network cuts the stream, every byte of a file is taken once and whole, also while keys are exchanged anew. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { CipherAlgorithm } from 'ssh2';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { op, openFlags, RawSftp, request } from '../fixtures/raw-sftp.ts';
import { knock } from '../fixtures/raw-ssh.ts';
import { openDoor } from '../fixtures/sftp-door.ts';

/** A relay that sends what comes in pieces of all sizes, each in a turn of its own. */
async function cuttingRelay(targetPort: number): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    for (const socket of [client, target]) sockets.add(socket.on('error', () => undefined));
    target.pipe(client);
    client.on('data', (chunk) => {
      client.pause();
      void cutting(chunk, target).then(() => client.resume());
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

async function cutting(chunk: Buffer, target: Socket): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const size = [randomInt(1, 40), randomInt(50, 800), randomInt(1, 70_000)][randomInt(3)] ?? 1;
    target.write(chunk.subarray(at, at + size));
    at += size;
    await turn();
  }
}

for (const cipher of ['aes128-gcm@openssh.com', 'aes256-ctr', 'chacha20-poly1305@openssh.com'] satisfies CipherAlgorithm[]) {
  test(`takes a file whole in whatever pieces it comes: ${cipher}`, async () => {
    await using door = await openDoor({ view: new MemoryView(), options: { chacha20: true } });
    await using relay = await cuttingRelay(door.port);
    await using client = await RawSftp.connect(relay.port, { algorithms: { cipher: [cipher] } });
    const content = randomBytes(4 * 1024 * 1024);
    const handle = await client.open('/Inbox/a', openFlags.write | openFlags.create);
    let requests = 0;
    for (let at = 0; at < content.length; requests += 1) {
      // Many small packets first, so that cuts fall at every place of one.
      const length = requests < 1500 ? randomInt(1, 80) : ([32_768, randomInt(1, 255 * 1024)][randomInt(2)] ?? 1);
      client.channel.write(request(op.write, 100 + requests, handle, BigInt(at), content.subarray(at, at + length)));
      at += length;
      if (requests % 300 === 150) client.inside._protocol.rekey();
    }
    for (let n = 0; n < requests; n += 1) assert.equal((await client.next())?.status, 0);
    assert.equal((await client.ask(op.close, handle)).status, 0);
    const taken = door.view.files.get('/Inbox/a')?.bytes ?? Buffer.alloc(0);
    assert.equal(createHash('sha256').update(taken).digest('hex'), createHash('sha256').update(content).digest('hex'));
  });
}

test('a first line that comes in pieces is one line', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const slow = knock(door.port, 'SSH-2.0-');
  await eventually('the server has greeted', () => slow.received.startsWith('SSH-2.0-'));
  slow.socket.write('slow\r\n');
  await eventually('its KEXINIT comes', () => slow.received.includes('curve25519-sha256') || slow.closed);
  assert.equal(slow.closed, false);
  slow.socket.destroy();
});
