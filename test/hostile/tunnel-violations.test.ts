/**
 * What a taken-over DMZ node can throw at the internal node (reliability.md D1–D3, D20, D24), and a stolen internal identity
 * at the DMZ node. After every attack: the link is gone with a reason, memory is bounded, and an honest link is served.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { WebSocket } from 'ws';
import { HostileDmz, type HostileLink } from '../../internal-node/redteam/hostile-dmz.ts';
import { SallyportError } from '../../shared/errors.ts';
import { clientTlsOptions } from '../../shared/tls.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import {
  dmzAnswering,
  honestRoundTrip,
  insideAnswering,
  isUp,
  makePair,
  startDmz,
  startInside,
  until,
} from './tunnel-fixture.ts';

const id = 'a'.repeat(26);
const auth = { session: id, trace: id, user: 'x', peer: '192.0.2.1', protocol: 'sftp', method: 'password', password: 'p' };
const wire = (message: object) => JSON.stringify(message);
const mebibyte = 1024 * 1024;

/** Each is run on a fresh link after an honest hello. `n` is the number an honest message would have. */
const attacks: Readonly<Record<string, (link: HostileLink, n: number) => void>> = {
  'not JSON': (link) => link.sendText('hello'),
  'an empty message': (link) => link.sendText(''),
  'an unknown form': (link, n) => link.sendText(wire({ k: 'open', n })),
  'an extra member': (link, n) => link.sendText(wire({ k: 'note', n, m: 'link.bye', p: { reason: '' }, x: 1 })),
  'an unknown request': (link) => link.sendMessage({ k: 'req', id: 1, m: 'tcp.open', p: {} }),
  'a request named like a built-in': (link) => link.sendMessage({ k: 'req', id: 1, m: 'toString', p: {} }),
  'an unknown note': (link) => link.sendMessage({ k: 'note', m: 'policy.put', p: {} }),
  'a request that only the inside may make': (link) =>
    link.sendMessage({ k: 'req', id: 1, m: 'policy.put', p: { bundle: '', signature: '', certificate: '' } }),
  'a hello from the wrong side': (link) =>
    link.sendMessage({ k: 'req', id: 1, m: 'link.hello', p: { protocol: 1, version: 'x', node: 'x', features: [], clockMs: 0 } }),
  'a repeated message number': (link, n) => link.sendText(wire({ k: 'note', n: n - 1, m: 'link.bye', p: { reason: '' } })),
  'a gap in the message numbers': (link, n) => link.sendText(wire({ k: 'note', n: n + 1, m: 'link.bye', p: { reason: '' } })),
  'a repeated request id': (link) => {
    link.sendMessage({ k: 'req', id: 7, m: 'auth.check', p: auth });
    link.sendMessage({ k: 'req', id: 7, m: 'auth.check', p: auth });
  },
  'an answer to nothing': (link) => link.sendMessage({ k: 'res', id: 9999, r: {} }),
  'an unknown error code': (link) => link.sendMessage({ k: 'err', id: 9999, c: 'constructor' }),
  'parameters with an extra member': (link) => link.sendMessage({ k: 'req', id: 1, m: 'auth.check', p: { ...auth, dn: 'cn=x' } }),
  'parameters of the wrong type': (link) => link.sendMessage({ k: 'req', id: 1, m: 'auth.check', p: { ...auth, user: ['x'] } }),
  'too long a text': (link) => link.sendMessage({ k: 'req', id: 1, m: 'auth.check', p: { ...auth, user: 'x'.repeat(129) } }),
  'a host name where an address belongs': (link) =>
    link.sendMessage({ k: 'req', id: 1, m: 'auth.check', p: { ...auth, peer: 'intranet.example' } }),
  'a size of 2^53': (link) =>
    link.sendMessage({ k: 'note', m: 'outbox.fetched', p: { item: id, partner: 'p', session: id, atMs: 2 ** 53 } }),
  'a number that no double holds': (link, n) =>
    link.sendText(
      `{"k":"note","m":"outbox.fetched","p":{"item":"${id}","partner":"p","session":"${id}","atMs":9007199254740993},"n":${n}}`,
    ),
  NaN: (link, n) =>
    link.sendText(`{"k":"note","m":"outbox.fetched","p":{"item":"${id}","partner":"p","session":"${id}","atMs":NaN},"n":${n}}`),
  'a duplicate key': (link, n) => link.sendText(`{"k":"note","k":"note","m":"link.bye","p":{"reason":""},"n":${n}}`),
  __proto__: (link, n) => link.sendText(`{"k":"note","m":"link.bye","p":{"reason":"","__proto__":{"admin":true}},"n":${n}}`),
  'a constructor key': (link) =>
    link.sendMessage({ k: 'note', m: 'link.bye', p: { reason: '', constructor: { prototype: {} } } }),
  'a lone surrogate': (link, n) => link.sendText(`{"k":"note","m":"link.bye","p":{"reason":"\\ud800"},"n":${n}}`),
  'deep JSON': (link) => link.sendText('['.repeat(30_000) + ']'.repeat(30_000)),
  'text that is not UTF-8': (link) => link.sendFrame({ opcode: 1, payload: Buffer.from([0xc0, 0x80]) }),
  'a binary control message': (link) => link.sendBinary(Buffer.from('{}')),
  'a WebSocket ping': (link) => link.ws.ping(),
  'a WebSocket pong': (link) => link.ws.pong(),
  'a message above the limit': (link) => link.sendText('x'.repeat(limits.controlToInsideBytes + 1)),
  'a frame header of 4 GiB': (link) => link.sendFrame({ opcode: 1, payload: Buffer.alloc(0), length: 4n * 1024n ** 3n }),
  'a frame header of 2^62': (link) => link.sendFrame({ opcode: 1, payload: Buffer.alloc(0), length: 2n ** 62n }),
  'many fragments': (link) => {
    link.sendFrame({ fin: false, opcode: 1, payload: Buffer.from('{') });
    for (let n = 0; n < 10_000; n++) link.sendFrame({ fin: false, opcode: 0, payload: Buffer.from(' ') });
  },
  'empty fragments without end': (link) => {
    link.sendFrame({ fin: false, opcode: 1, payload: Buffer.alloc(0) });
    for (let n = 0; n < 1000; n++) link.sendFrame({ fin: false, opcode: 0, payload: Buffer.alloc(0) });
  },
  'reserved bits and opcodes': (link) => link.sendBytes(Buffer.from([0xf3, 0x01, 0x00])),
  'bytes that are no frame': (link) => link.sendBytes(Buffer.alloc(4096, 0xff)),
};

test('every violation ends the link with a reason and an alarm, and the next link is honest again', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  dmz.answer('inbox.list', () => ({ items: [], more: false }));
  let asked = 0;
  const answering = insideAnswering({
    'auth.check': async () => {
      asked += 1;
      await sleep(20);
      return { verdict: 'rejected' };
    },
  });
  const inside = await startInside(t, pair, dmz.port, { answering, options: { firstRetryMs: 1, maxRetryMs: 2 } });
  const rssBefore = process.memoryUsage().rss;
  let violations = 0;
  await until(isUp(inside), 'up');
  for (const [name, attack] of Object.entries(attacks)) {
    const link = dmz.links.at(-1);
    assert.ok(link);
    const before = asked;
    attack(link, link.sent + 1);
    violations += 1;
    await link.closed;
    await until(() => inside.events.named('link.violation').length === violations, `an alarm for: ${name}`);
    assert.equal(inside.link.status().lastFailure?.code, 'violation', name);
    if (name !== 'a repeated request id') assert.equal(asked, before, `no partial effect: ${name}`);
    await until(() => dmz.links.at(-1) !== link && isUp(inside)(), `a new link after: ${name}`);
    await honestRoundTrip(inside);
  }
  assert.equal(({} as { admin?: boolean }).admin, undefined);
  const details = inside.events.named('link.violation').map((record) => String(record.fields.detail));
  assert.ok(
    details.every((detail) => !detail.includes('admin') && !detail.includes('intranet')),
    'no value of the DMZ in the log',
  );
  assert.ok(process.memoryUsage().rss - rssBefore < 64 * mebibyte, 'memory stays bounded');
});

test('an answer that breaks its schema ends the link and fails the request', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  const inside = await startInside(t, pair, dmz.port);
  await until(isUp(inside), 'up');
  dmz.answer('inbox.lease', () => ({ leaseMs: -1 }));
  await assert.rejects(inside.link.request('inbox.lease', { id, epoch: 1 }), { code: 'link-closed' });
  assert.equal(inside.events.named('link.violation').length, 1);
});

test('a hello that is wrong, late or preceded by anything brings no link up', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  const hellos: Readonly<Record<string, HostileDmz['onHello']>> = {
    'another protocol version': (honest) => ({ ...honest, protocol: 2 }),
    'a path for a node name': (honest) => ({ ...honest, node: '../../etc' }),
    'an extra member': (honest) => ({ ...honest, redirect: 'wss://192.0.2.1/' }),
    'a request first': (_honest, link) => {
      link.ask('auth.check', auth);
      return undefined;
    },
    'a note first': (honest, link) => {
      link.sendMessage({ k: 'note', m: 'session.end', p: { token: 'a'.repeat(43) } });
      return honest;
    },
  };
  const inside = await startInside(t, pair, dmz.port, { options: { timing: { helloMs: 300 }, firstRetryMs: 1, maxRetryMs: 2 } });
  for (const [name, hello] of Object.entries(hellos)) {
    dmz.onHello = hello;
    const seen = dmz.links.length;
    await until(() => dmz.links.length > seen + 1, `attempts with ${name}`);
    assert.equal(inside.link.status().connected, false, name);
  }
  dmz.onHello = () => undefined;
  const seen = dmz.links.length;
  await until(() => dmz.links.length > seen + 1, 'attempts without an answer');
  dmz.onHello = (honest) => honest;
  await until(isUp(inside), 'up');
  // D20: whatever was said, every connection went to the configured address.
  assert.equal(inside.events.named('link.up').length, 1);
});

test('a flood of requests is answered at the pace of the inside and no more than the limit at once', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  let most = 0;
  let now = 0;
  const slow = async () => {
    now += 1;
    most = Math.max(most, now);
    await sleep(100);
    now -= 1;
    return { verdict: 'rejected' } as const;
  };
  const inside = await startInside(t, pair, dmz.port, { answering: insideAnswering({ 'auth.check': slow }) });
  await until(isUp(inside), 'up');
  const link = dmz.links[0];
  assert.ok(link);
  for (let n = 0; n < 2000; n++) link.ask('auth.check', auth);
  await link.closed;
  await until(() => inside.events.named('link.violation').length === 1, 'an alarm');
  assert.equal(most, limits.pendingRequests);
  await until(isUp(inside), 'up again');
});

test('a flood of small messages is read no faster than the pace', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  let notes = 0;
  const answering = insideAnswering();
  const inside = await startInside(t, pair, dmz.port, {
    answering: { ...answering, notes: { ...answering.notes, 'session.end': () => (notes += 1) } as typeof answering.notes },
  });
  await until(isUp(inside), 'up');
  const link = dmz.links[0];
  const started = performance.now();
  const token = 'a'.repeat(43);
  for (let n = 0; n < 40_000; n++) link?.sendMessage({ k: 'note', m: 'session.end', p: { token } });
  await until(() => notes >= 30_000, 'most of them');
  // 20,000 at once, then 10,000 a second.
  assert.ok(performance.now() - started > 700, 'they were slowed down');
  assert.ok(isUp(inside)(), 'and the link lives');
});

test('what one room gets wrong fails for that room and not for the link', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, {
    deps: {
      answering: () => dmzAnswering({ 'inbox.list': async () => ({ items: [], more: 'no' as unknown as boolean }) }),
    },
  });
  const inside = await startInside(t, pair, dmz.listener.port);
  await until(isUp(inside), 'up');
  // A fault of the DMZ's own room fails that request and not the link.
  await assert.rejects(inside.link.request('inbox.list', { after: 0, limit: 1 }), { code: 'remote-failure' });
  // What the inside's own rooms get wrong fails for them alone.
  await assert.rejects(inside.link.request('inbox.list', { after: -1, limit: 1 }), { code: 'internal' });
  await assert.rejects(
    inside.link.request('policy.put', { bundle: '"'.repeat(limits.controlToDmzBytes / 2 + 1), signature: '', certificate: '' }),
    { code: 'limit-reached' },
  );
  await assert.rejects(dmz.peers.request('auth.check', { ...auth, user: 'x'.repeat(500) } as never), { code: 'internal' });
  assert.deepEqual(await dmz.peers.request('auth.check', auth as never), { verdict: 'rejected' });
  assert.equal(inside.events.named('link.down').length, 0);
});

test('a DMZ that does not read is cut before much is kept for it', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  const inside = await startInside(t, pair, dmz.port);
  await until(isUp(inside), 'up');
  dmz.links[0]?.tls.pause();
  const bundle = 'x'.repeat(limits.controlToDmzBytes - 20_000);
  const asked = Array.from({ length: 12 }, () =>
    inside.link.request('policy.put', { bundle, signature: '', certificate: '' }).catch((error: SallyportError) => error.code),
  );
  for (const outcome of await Promise.all(asked)) assert.match(String(outcome), /link-closed|tunnel-down/);
  assert.equal(inside.link.status().lastFailure?.code, 'backlog');
});

test('error codes pass, other faults and their texts do not', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, {
    deps: {
      answering: () =>
        dmzAnswering({
          'inbox.lease': async () => {
            throw new SallyportError('stale-epoch', 'secret detail');
          },
          'inbox.release': async () => {
            throw new TypeError('secret detail');
          },
        }),
    },
  });
  const inside = await startInside(t, pair, dmz.listener.port);
  await until(isUp(inside), 'up');
  const hides = (code: string) => (error: unknown) =>
    error instanceof SallyportError && error.code === code && !error.message.includes('secret');
  await assert.rejects(inside.link.request('inbox.lease', { id, epoch: 1 }), hides('stale-epoch'));
  await assert.rejects(inside.link.request('inbox.release', { id, epoch: 1 }), hides('remote-failure'));
});

test('a request that is given up is told apart from an answer to nothing when it comes late', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  const inside = await startInside(t, pair, dmz.port, { options: { timing: { requestMs: 40 } } });
  await until(isUp(inside), 'up');
  dmz.answer('inbox.lease', () => undefined);
  await assert.rejects(inside.link.request('inbox.lease', { id, epoch: 1 }), { code: 'request-timeout' });
  const stop = AbortSignal.timeout(10);
  await assert.rejects(inside.link.request('inbox.lease', { id, epoch: 2 }, stop), { name: 'TimeoutError' });
  const late = dmz.asked.filter((asked) => asked.m === 'inbox.lease');
  for (const asked of late) dmz.links[0]?.sendMessage({ k: 'res', id: asked.id, r: { leaseMs: 1000 } });
  dmz.answer('inbox.list', () => ({ items: [], more: false }));
  await honestRoundTrip(inside);
  assert.equal(inside.events.named('link.violation').length, 0);
});

/** A stolen internal identity: real keys, free hand. */
async function forgedInside(port: number, keys: Parameters<typeof clientTlsOptions>[0]['keys'], path = '/sallyport/control') {
  const socket = connect({ host: '127.0.0.1', port, ...clientTlsOptions({ keys, classicalKeyExchange: false }) });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const ws = new WebSocket(`ws://x${path}`, { createConnection: () => socket, perMessageDeflate: false });
  ws.on('error', () => undefined);
  const closed = new Promise<string>((resolve) => ws.once('close', (_code, reason) => resolve(reason.toString())));
  await new Promise((resolve) => ws.once('open', resolve));
  return { ws, closed };
}

test('the DMZ cuts an inside that breaks the protocol or says no hello, and serves the honest one', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, { options: { timing: { helloMs: 5000 } } });
  const hello = { protocol: 1, version: 'x', node: 'x', features: [], clockMs: 0 };
  const scripts: Readonly<Record<string, (ws: WebSocket) => void>> = {
    'a request before the hello': (ws) => ws.send(wire({ k: 'req', n: 1, id: 1, m: 'inbox.list', p: { after: 0, limit: 1 } })),
    'a ping before the hello': (ws) => ws.send(wire({ k: 'req', n: 1, id: 1, m: 'link.ping', p: {} })),
    'two hellos': (ws) => {
      ws.send(wire({ k: 'req', n: 1, id: 1, m: 'link.hello', p: hello }));
      ws.send(wire({ k: 'req', n: 2, id: 2, m: 'link.hello', p: hello }));
    },
    'a message above its limit': (ws) => ws.send('x'.repeat(limits.controlToDmzBytes + 1)),
    'deep JSON as large as a bundle': (ws) => ws.send('['.repeat(4_000_000)),
  };
  let violations = 0;
  for (const [name, script] of Object.entries(scripts)) {
    const { ws, closed } = await forgedInside(dmz.listener.port, pair.inside);
    script(ws);
    await closed;
    violations += 1;
    await until(() => dmz.events.named('link.violation').length === violations, `an alarm for: ${name}`);
  }
  const silent = await forgedInside(dmz.listener.port, pair.inside);
  assert.equal(await silent.closed, 'hello-timeout');
  await honestRoundTrip(await startInside(t, pair, dmz.listener.port));
});
