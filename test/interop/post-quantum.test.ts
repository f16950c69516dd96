/**
 * The post-quantum key exchange against an implementation that shares no line with ours: `russh`, written in Rust with its own
 * ML-KEM. And against clients that send what is no key.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { test } from 'node:test';
import russh from 'russh';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { op, RawSftp } from '../fixtures/raw-sftp.ts';
import { ident, kexDhInit, kexInit, knock } from '../fixtures/raw-ssh.ts';
import { openDoor, password, user } from '../fixtures/sftp-door.ts';

const exchange = 'mlkem768x25519-sha256';

test('serves an independent client that knows no other key exchange', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const transport = await russh.SshTransport.newSocket(`127.0.0.1:${door.port}`);
  const client = await russh.SSHClient.connect(transport, async () => true, { preferred: { kex: [exchange] } });
  const session = await client.authenticateWithPassword(user, password);
  assert.ok(session instanceof russh.AuthenticatedSSHClient);
  const sftp = await session.activateSFTP(await session.openSessionChannel());
  const bytes = randomBytes(500_000);
  const file = await sftp.open('/Inbox/big', russh.OPEN_WRITE | russh.OPEN_CREATE | russh.OPEN_TRUNCATE);
  await file.writeAll(bytes);
  await file.shutdown();
  assert.ok(door.view.files.get('/Inbox/big')?.bytes.equals(bytes));
  await session.disconnect();
});

test('is offered first, and keys are changed with it in the middle of a session', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const stranger = knock(door.port, ident);
  await eventually('the offer', () => stranger.received.includes('curve25519'));
  assert.match(stranger.received, new RegExp(`${exchange},curve25519-sha256,`));
  stranger.socket.destroy();
  await using client = await RawSftp.connect(door.port, { algorithms: { kex: [exchange as never] } });
  for (let i = 0; i < 3; i++) {
    const changed = new Promise((done) => (client.client as EventEmitter).once('handshake', done));
    client.inside._protocol.rekey();
    await changed;
    assert.equal((await client.ask(op.stat, '/Inbox')).type, 105);
  }
});

const rawKey = (type: 'ml-kem-768' | 'x25519', bytes: number): Buffer =>
  generateKeyPairSync(type as 'x25519')
    .publicKey.export({ type: 'spki', format: 'der' })
    .subarray(-bytes);
const kem = rawKey('ml-kem-768', 1184);
const curve = rawKey('x25519', 32);
const noKeys: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'an X25519 key alone': curve,
  'an ML-KEM key alone': kem,
  'one byte too few': Buffer.concat([kem, curve]).subarray(1),
  'one byte too many': Buffer.concat([kem, curve, Buffer.alloc(1)]),
  'the right length of ones, out of the range of ML-KEM': Buffer.alloc(1216, 0xff),
  'an ML-KEM key with one coefficient out of range': Buffer.concat([Buffer.from([0xff, 0xff]), kem.subarray(2), curve]),
  'an X25519 key of small order': Buffer.concat([kem, Buffer.alloc(32)]),
};
for (const [name, publicKey] of Object.entries(noKeys)) {
  test(`ends only that connection when a client sends ${name}`, async () => {
    await using door = await openDoor({ view: new MemoryView() });
    const stranger = knock(door.port, Buffer.concat([ident, kexInit(exchange), kexDhInit(publicKey)]));
    await eventually('the cut', () => stranger.closed);
    await eventually('nothing is left', () => door.listener.connections === 0);
    assert.deepEqual(door.attempts, []);
    await using honest = await RawSftp.connect(door.port, { algorithms: { kex: [exchange as never] } });
    assert.equal((await honest.ask(op.stat, '/Inbox')).type, 105);
  });
}

test('answers a right key of the same client', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const right = Buffer.concat([kem, curve]);
  const stranger = knock(door.port, Buffer.concat([ident, kexInit(exchange), kexDhInit(right)]));
  const replyLength = 4 + 1 + 1 + 4 + 51 + 4 + 1088 + 32 + 4 + 83;
  await eventually('reply and NEWKEYS', () => stranger.received.length > replyLength + 500);
  assert.equal(stranger.closed, false);
  stranger.socket.destroy();
});
