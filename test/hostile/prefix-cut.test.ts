/**
 * F55, the attack called Terrapin (CVE-2023-48795): somebody on the way adds a packet before the keys are agreed and takes one
 * out after, so that the counters agree and nobody misses it. Strict key exchange forbids the first and restarts the counters.
 */
import assert from 'node:assert/strict';
import type { EventEmitter } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../fixtures/eventually.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { connectClient, op, RawSftp, request } from '../fixtures/raw-sftp.ts';
import { ident, kexInit, knock, plainPacket, sshString } from '../fixtures/raw-ssh.ts';
import { openDoor } from '../fixtures/sftp-door.ts';

const ignore = plainPacket(Buffer.from([2, 0, 0, 0, 0]));
const newKeys = 21;
const gcmTagBytes = 16;

/** Somebody on the way: sees the client's packets one by one, says what goes on to the server instead. */
async function middleman(
  port: number,
  change: (packet: Buffer, afterKeys: number) => Buffer,
): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let held = Buffer.alloc(0);
    let greeted = false;
    let afterKeys = -1;
    near.on('data', (chunk: Buffer) => {
      held = Buffer.concat([held, chunk]);
      if (!greeted) {
        const end = held.indexOf('\n') + 1;
        if (end === 0) return;
        far.write(held.subarray(0, end));
        held = held.subarray(end);
        greeted = true;
      }
      while (held.length >= 4) {
        const length = 4 + held.readUInt32BE(0) + (afterKeys >= 0 ? gcmTagBytes : 0);
        if (held.length < length) return;
        const packet = held.subarray(0, length);
        held = held.subarray(length);
        far.write(change(packet, afterKeys));
        if (afterKeys >= 0 || packet[5] === newKeys) afterKeys++;
      }
    });
    far.pipe(near);
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port: own } = server.address() as { port: number };
  return { port: own, [Symbol.asyncDispose]: async () => void server.close() };
}

const gcm = { algorithms: { cipher: ['aes128-gcm@openssh.com'] } } as const;
const attacks: Readonly<Record<string, (packet: Buffer, afterKeys: number) => Buffer>> = {
  'a packet is added before the keys and one is taken out after': (packet, afterKeys) => {
    if (afterKeys === 0) return Buffer.alloc(0);
    return packet[5] === newKeys && afterKeys < 0 ? Buffer.concat([ignore, packet]) : packet;
  },
  'a packet is added before the keys': (packet, afterKeys) =>
    packet[5] === newKeys && afterKeys < 0 ? Buffer.concat([ignore, packet]) : packet,
  'the first packet under the keys is taken out': (packet, afterKeys) => (afterKeys === 0 ? Buffer.alloc(0) : packet),
};
for (const [name, change] of Object.entries(attacks)) {
  test(`F55: a client is cut before it could log in when ${name}`, async () => {
    await using door = await openDoor({ view: new MemoryView() });
    await using between = await middleman(door.port, change);
    await assert.rejects(connectClient(between.port, { ...gcm, algorithms: { cipher: [...gcm.algorithms.cipher] } }));
    await eventually('the end', () => door.listener.connections === 0);
    assert.deepEqual(door.attempts, []);
  });
}

test('the middleman alone disturbs nothing', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using between = await middleman(door.port, (packet) => packet);
  await using _client = await RawSftp.connect(between.port, { algorithms: { cipher: ['aes128-gcm@openssh.com'] } });
});

test('F55: with strict key exchange nothing may come before the first KEXINIT', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  const strict = knock(door.port, Buffer.concat([ident, ignore, kexInit('curve25519-sha256,kex-strict-c-v00@openssh.com')]));
  await eventually('the cut', () => strict.closed);
  const old = knock(door.port, Buffer.concat([ident, ignore, kexInit('curve25519-sha256')]));
  await eventually('our offer', () => old.received.includes('kex-strict-s-v00@openssh.com'));
  assert.equal(old.closed, false);
  old.socket.destroy();
});

/** RFC 4253 §11, and one of a channel that does not exist yet. */
const sayNothing = {
  IGNORE: Buffer.from([2, 0, 0, 0, 0]),
  UNIMPLEMENTED: Buffer.from([3, 0, 0, 0, 0]),
  DEBUG: Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
} as const;
const channelData = (channel: number, data: Buffer): Buffer =>
  Buffer.concat([Buffer.from([94, 0, 0, 0, channel]), sshString(data)]);

for (const [name, payload] of Object.entries({ ...sayNothing, CHANNEL_DATA: channelData(0, Buffer.from('x')) })) {
  test(`F55: with strict key exchange ${name} after the first KEXINIT ends the connection`, async () => {
    await using door = await openDoor({ view: new MemoryView() });
    const offer = kexInit('curve25519-sha256,kex-strict-c-v00@openssh.com');
    const stranger = knock(door.port, Buffer.concat([ident, offer, plainPacket(payload)]));
    await eventually('the cut', () => stranger.closed);
    await eventually('nothing is left', () => door.listener.connections === 0);
    assert.deepEqual(door.attempts, []);
  });
}

/** Begins new keys and sends a packet under the old ones before the exchange goes on. */
function sendWhileRekeying(raw: RawSftp, payload: Buffer): Promise<unknown> {
  const { _protocol: protocol } = raw.client as unknown as { _protocol: RekeyingProtocol };
  const changed = new Promise((done) => (raw.client as EventEmitter).once('handshake', done));
  protocol.rekey();
  const writer = protocol._packetRW.write;
  const packet = writer.alloc(payload.length, true);
  payload.copy(packet, writer.allocStartKEX);
  protocol._cipher.encrypt(writer.finalize(packet, true));
  return changed;
}
interface RekeyingProtocol {
  rekey(): void;
  readonly _packetRW: {
    readonly write: {
      readonly allocStartKEX: number;
      alloc(bytes: number, kex: true): Buffer;
      finalize(p: Buffer, kex: true): Buffer;
    };
  };
  readonly _cipher: { encrypt(packet: Buffer): void };
}

test('while keys are renewed, messages that say nothing and data of open channels are taken, as AsyncSSH sends them', async () => {
  await using door = await openDoor({ view: new MemoryView() });
  await using raw = await RawSftp.connect(door.port);
  for (const payload of Object.values(sayNothing)) {
    await sendWhileRekeying(raw, payload);
    assert.equal((await raw.ask(op.stat, '/Inbox')).type, 105);
  }
  const { id } = (raw.channel as unknown as { outgoing: { id: number } }).outgoing;
  await sendWhileRekeying(raw, channelData(id, request(op.stat, 77, '/Inbox')));
  const answer = await raw.next();
  assert.deepEqual([answer?.type, answer?.id], [105, 77]);
});

const outOfPlace = {
  SERVICE_REQUEST: Buffer.concat([Buffer.from([5]), sshString('ssh-userauth')]),
  USERAUTH_REQUEST: Buffer.concat([Buffer.from([50]), ...['acme', 'ssh-connection', 'none'].map(sshString)]),
  GLOBAL_REQUEST: Buffer.concat([Buffer.from([80]), sshString('keepalive@openssh.com'), Buffer.from([1])]),
  CHANNEL_OPEN: Buffer.concat([Buffer.from([90]), sshString('session'), Buffer.from([0, 0, 0, 9, 0, 1, 0, 0, 0, 0, 128, 0])]),
};
for (const [name, payload] of Object.entries(outOfPlace)) {
  test(`while keys are renewed, ${name} ends the connection`, async () => {
    await using door = await openDoor({ view: new MemoryView() });
    await using raw = await RawSftp.connect(door.port);
    void sendWhileRekeying(raw, payload);
    await eventually('the cut', () => raw.closed && door.listener.connections === 0);
    assert.equal(door.attempts.length, 1);
  });
}
