/**
 * Strangers and floods against a real pair of nodes: the DMZ process stays up, within its memory and its descriptors, and
 * honest partners are served meanwhile, behind the same address as the stranger and from another one. "Served" is
 * a whole session with an upload and a download, without a second try, while the others are there.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProcessWatch } from '../../scripts/site/process-watch.ts';
import { ask, eventually, offer, sftp } from '../../scripts/site/walk.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { connectClient, op, openFlags, RawSftp, request } from '../fixtures/raw-sftp.ts';
import { HonestPartner, whileServing } from './honest-partners.ts';

const mib = 1024 * 1024;
const writing = openFlags.write | openFlags.create | openFlags.truncate;
/** The whole DMZ process, whatever happens to it. At rest it is at about 160 MiB, most of it Node and the program itself. */
const mostMiB = 320;

let pair: Pair;
let dmz: ProcessWatch;
let honest: HonestPartner[];
let descriptorsBefore: number;
let pidBefore: number;

const mallory = () => {
  const partner = pair.site.partners.mallory;
  if (!partner) throw new Error('no partner mallory');
  return partner;
};

/** A partner who may log in and then behaves as he likes. */
const loggedIn = (options: object = {}): Promise<RawSftp> =>
  RawSftp.connect(pair.site.sftp.port, { username: 'mallory', password: mallory().password, ...options });

function knock(bytes: Buffer | string = ''): Socket {
  const socket = connect(pair.site.sftp.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  if (bytes.length > 0) socket.write(bytes);
  return socket;
}

/** Holds `count` connections that send `bytes` until partners were served meanwhile; then lets go. */
async function crowd(served: () => Promise<unknown>, count: number, bytes: Buffer | string = ''): Promise<void> {
  const sockets = Array.from({ length: count }, () => knock(bytes));
  await served();
  for (const socket of sockets) socket.destroy();
}

before(async () => {
  pair = await startPair({ partners: ['acme', 'globex', 'mallory'] });
  dmz = new ProcessWatch(pair.supervisor.pid('dmz'));
  honest = [new HonestPartner(pair, pair.acme, '127.0.0.1'), new HonestPartner(pair, pair.globex, '127.0.0.2')];
  await Promise.all(honest.map((partner) => partner.prepare()));
  for (let round = 0; round < 3; round += 1) await Promise.all(honest.map((partner) => partner.round()));
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  pidBefore = pair.supervisor.pid('dmz');
  descriptorsBefore = await dmz.descriptors();
  await dmz.forgetPeak();
});
afterEach(async (context) => {
  const peak = await dmz.peakMiB();
  const { dmz: deaths } = pair.supervisor.deaths;
  assert.equal(deaths, 0, 'the DMZ node died');
  assert.equal(pair.supervisor.pid('dmz'), pidBefore);
  const worst = Math.max(...honest.map(({ worstMs }) => worstMs));
  context.diagnostic?.(`peak ${peak} MiB, slowest honest session so far ${worst} ms`);
  assert.ok(peak < mostMiB, `${context.name}: ${peak} MiB`);
  await eventually('every descriptor is closed', async () => (await dmz.descriptors()) <= descriptorsBefore + 4 || undefined);
});

describe('partners are served while', () => {
  it('1,000 strangers of one address connect at once and say nothing', () =>
    whileServing(honest, (served) => crowd(served, 1000)));

  it('1,000 strangers send half a banner', () => whileServing(honest, (served) => crowd(served, 1000, 'SSH-2.0-Half')));

  it('1,000 strangers connect and leave at once', () =>
    whileServing(honest, async () => {
      for (let n = 0; n < 1000; n += 1) {
        knock().once('connect', function (this: Socket) {
          this.destroy();
        });
        if (n % 50 === 0) await sleep(20);
      }
    }));

  it('strangers send what is no SSH', () =>
    whileServing(honest, async () => {
      for (let n = 0; n < 30; n += 1) {
        knock(Buffer.alloc(65_536, 'S'));
        knock('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        knock(Buffer.concat([Buffer.from('SSH-2.0-Flood\r\n'), Buffer.alloc(mib, 1)]));
        await sleep(20);
      }
    }));

  it('F60: a client sends 192 MB of WRITEs and looks at no answer', () =>
    whileServing(honest, async () => {
      await using client = await loggedIn();
      const handle = await client.open('/Inbox/flood.bin', writing);
      client.channel.removeAllListeners('data');
      client.channel.resume();
      const block = Buffer.alloc(32_768, 7);
      for (let n = 0; n < 6000; n += 1) {
        const more = client.channel.write(request(op.write, n, handle, BigInt(n) * 32_768n, block));
        if (!more) await once(client.channel, 'drain');
      }
    }));

  it('F60: clients send as many WRITEs as fit into their windows and read nothing at all', () =>
    whileServing(honest, async (served) => {
      await using stack = new AsyncDisposableStack();
      for (let n = 0; n < 10; n += 1) {
        const client = stack.use(await loggedIn());
        const handle = await client.open(`/Inbox/window-${n}.bin`, writing);
        client.inside._sock.pause();
        const block = Buffer.alloc(32_768, 7);
        for (let at = 0; at < 200; at += 1) client.channel.write(request(op.write, at, handle, BigInt(at) * 32_768n, block));
      }
      await served();
    }));

  it('20 sessions ask for 1.25 GB together and read none of it', async () => {
    await offer(pair.site, 'mallory', 'big.bin', Buffer.alloc(64 * mib, 5));
    await eventually(
      'the file is offered',
      async () => (await sftp(pair.site, mallory(), ['ls -1 /Outbox'])).output.includes('big.bin') || undefined,
    );
    await dmz.forgetPeak();
    await whileServing(honest, async (served) => {
      await using stack = new AsyncDisposableStack();
      for (let n = 0; n < 20; n += 1) {
        const client = stack.use(await loggedIn());
        const handle = await client.open('/Outbox/big.bin', openFlags.read);
        client.inside._sock.pause();
        for (let at = 0; at < 250; at += 1) client.channel.write(request(op.read, at, handle, BigInt(at) * 262_144n, 262_144));
      }
      await served();
    });
  });

  it('a client announces a maximum packet size of 0', () =>
    whileServing(honest, async () => {
      for (let n = 0; n < 5; n += 1) {
        const client = await connectClient(pair.site.sftp.port, { username: 'mallory', password: mallory().password });
        client.on('error', () => undefined);
        const closed = new Promise<void>((done) => client.once('close', () => done()));
        (client as unknown as RawSftp['inside'])._protocol.session(7, 2 * mib, 0);
        await closed;
      }
    }));

  it('all of it was delivered, and nobody was banned', async () => {
    await Promise.all(honest.map((partner) => partner.allDelivered()));
    const status = JSON.parse(await ask(pair.site, 'dmz', 'status', '--json')) as { bannedSources: number; sessions: number };
    assert.deepEqual({ banned: status.bannedSources, sessions: status.sessions }, { banned: 0, sessions: 0 });
  });
});
