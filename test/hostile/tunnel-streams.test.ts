/** Streams on data sockets: order, back-pressure, leaving early, errors, and a hostile other end. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TunnelListenerOptions } from '../../dmz-node/tunnel/listener.ts';
import { type HostileData, HostileDmz } from '../../internal-node/redteam/hostile-dmz.ts';
import type { KeepConnectedOptions } from '../../internal-node/tunnel/link.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { StreamServing } from '../../shared/tunnel/handlers.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import { emptyStreams, honestRoundTrip, isUp, makePair, startDmz, startInside, until } from './tunnel-fixture.ts';

const id = 'a'.repeat(26);
const hash = '0'.repeat(64);
const read = { id, epoch: 1, segment: 0, offset: 0 };
const offer = {
  id,
  partner: 'p',
  path: '/Outbox/x',
  size: 1,
  sha256: hash,
  headerSha256: hash,
  sealedBytes: 1,
  modifiedAtMs: 0,
  expiresAtMs: 0,
  trace: id,
};
const never = () => AbortSignal.timeout(120_000);
const mebibyte = 1024 * 1024;

async function pairWith(
  t: TestContext,
  streams: Partial<StreamServing>,
  over: { dmz?: Partial<TunnelListenerOptions>; inside?: Partial<KeepConnectedOptions> } = {},
) {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, { deps: { streams: { ...emptyStreams, ...streams } }, options: over.dmz ?? {} });
  const inside = await startInside(t, pair, dmz.listener.port, { options: over.inside ?? {} });
  await until(isUp(inside), 'up');
  return { pair, dmz, inside };
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

test('bytes arrive whole and in order both ways, whatever the size of the pieces', async (t) => {
  const content = randomBytes(5 * mebibyte + 7);
  let stored: Buffer = Buffer.alloc(0);
  const { inside } = await pairWith(t, {
    'inbox.read': async function* (params) {
      for (let at = params.offset; at < content.length; ) {
        const size = [1, 100, 65_536, 3 * mebibyte, 0][at % 5] ?? 1;
        yield content.subarray(at, at + size);
        at += size === 0 ? 0 : size;
        if (size === 0) yield content.subarray(at, ++at);
      }
    },
    'outbox.offer': async (_params, source) => {
      stored = await collect(source);
      return { stored: true };
    },
  });
  const came = await collect(await inside.link.openStream('inbox.read', { ...read, offset: 5 }, never()));
  assert.equal(sha256(came), sha256(content.subarray(5)));
  const source = async function* () {
    for (let at = 0; at < content.length; at += 700_001) yield content.subarray(at, at + 700_001);
  };
  assert.deepEqual(await inside.link.sendStream('outbox.offer', offer, source(), never()), { stored: true });
  assert.equal(sha256(stored), sha256(content));
  assert.deepEqual(inside.link.status().dataSockets, { idle: 1, inUse: 0 }, 'one socket served both');
});

test('a slow reader stops the sender, and control messages do not wait behind it', async (t) => {
  let produced = 0;
  const { inside } = await pairWith(t, {
    'inbox.read': async function* () {
      for (; produced < 200 * mebibyte; produced += 65_536) yield Buffer.alloc(65_536);
    },
  });
  const stream = (await inside.link.openStream('inbox.read', read, never()))[Symbol.asyncIterator]();
  await stream.next();
  let before = -1;
  while (before !== produced) {
    before = produced;
    await sleep(100);
  }
  assert.ok(produced < 40 * mebibyte, `the sender stopped after ${produced} bytes`);
  await honestRoundTrip(inside); // the stream stands still until it is left
  await stream.return?.();
  assert.deepEqual(inside.link.status().dataSockets, { idle: 0, inUse: 0 }, 'a stream that was left is cut');
});

test('a slow taker stops the source', async (t) => {
  let produced = 0;
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const { inside } = await pairWith(t, {
    'outbox.offer': async (_params, source) => {
      await gate;
      for await (const _ of source);
      return { stored: true };
    },
  });
  const source = async function* () {
    for (; produced < 64 * mebibyte; produced += 65_536) yield Buffer.alloc(65_536);
  };
  const sent = inside.link.sendStream('outbox.offer', offer, source(), never());
  let before = -1;
  while (before !== produced) {
    before = produced;
    await sleep(100);
  }
  assert.ok(produced < 40 * mebibyte, `the source stopped after ${produced} bytes`);
  go();
  assert.deepEqual(await sent, { stored: true });
});

test('leaving early and cancelling end the work on the DMZ', async (t) => {
  let running = 0;
  const { inside } = await pairWith(t, {
    'inbox.read': async function* (_params, signal) {
      running += 1;
      try {
        for (;;) {
          yield Buffer.alloc(1000);
          await sleep(5, undefined, { signal });
        }
      } finally {
        running -= 1;
      }
    },
    'events.read': async function* (_params, signal) {
      running += 1;
      signal.addEventListener('abort', () => (running -= 1), { once: true });
      await new Promise(() => undefined);
      yield Buffer.alloc(0);
    },
  });
  for await (const _ of await inside.link.openStream('inbox.read', read, never())) break;
  await until(() => running === 0, 'the reader left');

  const stop = new AbortController();
  const stream = await inside.link.openStream('inbox.read', read, stop.signal);
  await until(() => running === 1, 'running');
  const reading = collect(stream);
  stop.abort(new SallyportError('internal', 'cancelled by the test'));
  await assert.rejects(reading, { message: 'cancelled by the test' });
  await until(() => running === 0, 'cancelled');

  const stuck = new AbortController();
  const tail = collect(await inside.link.openStream('events.read', { after: 0 }, stuck.signal));
  stuck.abort(new Error('enough'));
  await assert.rejects(tail, /enough/);
  await until(() => running === 0, 'even when the source never wakes up');
  await assert.rejects(inside.link.openStream('inbox.read', read, AbortSignal.abort(new Error('before'))), /before/);
  await honestRoundTrip(inside);
});

test('errors before, during and after the bytes reach the other side as codes; the socket stays usable where it can', async (t) => {
  const fail = (code: 'stale-epoch' | 'item-unknown'): never => {
    throw new SallyportError(code, 'secret');
  };
  const { inside } = await pairWith(t, {
    'inbox.read': async function* (params) {
      if (params.segment === 0) fail('stale-epoch');
      yield Buffer.from('x');
      if (params.segment === 1) fail('item-unknown');
      throw new TypeError('a fault');
    },
    'outbox.offer': async (params) => (params.size === 0 ? { stored: true } : fail('item-unknown')),
  });
  const open = (segment: number) => inside.link.openStream('inbox.read', { ...read, segment }, never());
  await assert.rejects(open(0), { code: 'stale-epoch' });
  await assert.rejects(collect(await open(1)), { code: 'item-unknown' });
  await assert.rejects(collect(await open(2)), { code: 'remote-failure' });
  assert.equal(inside.link.status().dataSockets?.idle, 1);

  let produced = 0;
  const endless = async function* () {
    for (;;) {
      produced += 1;
      yield Buffer.alloc(65_536);
    }
  };
  await assert.rejects(inside.link.sendStream('outbox.offer', offer, endless(), never()), { code: 'item-unknown' });
  // An item that is already stored is answered at once, whatever is still to come.
  assert.deepEqual(await inside.link.sendStream('outbox.offer', { ...offer, size: 0 }, endless(), never()), { stored: true });
  const stopped = produced;
  await sleep(50);
  assert.ok(produced <= stopped + 1, 'the source is left');
  await assert.rejects(inside.link.openStream('inbox.read', { ...read, id: 'x' }, never()), { code: 'internal' });
  await honestRoundTrip(inside);
});

test('a source that fails is seen by the DMZ as a cut, never as an end', async (t) => {
  let outcome = '';
  const { inside } = await pairWith(t, {
    'outbox.offer': async (_params, source) => {
      try {
        for await (const _ of source);
        outcome = 'ended';
      } catch (error) {
        outcome = (error as SallyportError).code;
      }
      return { stored: true };
    },
  });
  const broken = async function* () {
    yield Buffer.from('x');
    await sleep(20);
    throw new SallyportError('source-changed', 'the file changed');
  };
  await assert.rejects(inside.link.sendStream('outbox.offer', offer, broken(), never()), { code: 'source-changed' });
  await until(() => outcome !== '', 'the DMZ knows');
  assert.equal(outcome, 'link-closed');
});

test('the pool has a maximum, the rest wait in line, and idle sockets are closed', async (t) => {
  let most = 0;
  let now = 0;
  const { inside, dmz } = await pairWith(
    t,
    {
      'inbox.read': async function* () {
        now += 1;
        most = Math.max(most, now);
        await sleep(20);
        yield Buffer.from('x');
        now -= 1;
      },
    },
    { inside: { maxDataSockets: 3, idleDataSocketMs: 100 } },
  );
  const all = Array.from({ length: 12 }, async () => collect(await inside.link.openStream('inbox.read', read, never())));
  for (const bytes of await Promise.all(all)) assert.equal(bytes.toString(), 'x');
  assert.equal(most, 3);
  assert.ok((inside.link.status().dataSockets?.idle ?? 0) <= 3);
  await until(() => inside.link.status().dataSockets?.idle === 0 && dmz.peers.current()?.dataSockets === 0, 'idle ones go');
});

test('the link takes its streams with it', async (t) => {
  const { inside, dmz } = await pairWith(t, {
    'inbox.read': async function* () {
      for (;;) {
        yield Buffer.alloc(100);
        await sleep(5);
      }
    },
  });
  const reading = collect(await inside.link.openStream('inbox.read', read, never()));
  dmz.peers.current()?.close('stopped', 'test');
  await assert.rejects(reading, { code: 'link-closed' });
  await honestRoundTrip(inside);
});

test('a stream without progress fails on both sides, and one that waits for its source does not', async (t) => {
  const streamTiming = { stallMs: 400, waitMs: 60 };
  let aborted = 0;
  const { inside } = await pairWith(
    t,
    {
      'events.read': async function* () {
        await sleep(900);
        yield Buffer.from('late');
      },
      'inbox.read': async function* (_params, signal) {
        signal.addEventListener('abort', () => (aborted += 1));
        for (;;) yield Buffer.alloc(65_536);
      },
    },
    { dmz: { streamTiming }, inside: { streamTiming } },
  );
  assert.equal((await collect(await inside.link.openStream('events.read', { after: 0 }, never()))).toString(), 'late');
  const slow = (await inside.link.openStream('inbox.read', read, never()))[Symbol.asyncIterator]();
  await slow.next();
  await until(() => aborted === 1, 'the DMZ gives up on a reader that takes nothing');
  await assert.rejects(async () => {
    for (let n = 0; n < 1000; n++) await slow.next();
  });
  await honestRoundTrip(inside);
});

test('a data socket needs the token of the live link', async (t) => {
  const pair = await makePair(t);
  const real = await startDmz(t, pair);
  const inside = await startInside(t, pair, real.listener.port);
  await until(isUp(inside), 'up');
  const { upgrade } = await import('../../internal-node/tunnel/upgrade.ts');
  const { connect } = await import('node:tls');
  const { clientTlsOptions } = await import('../../shared/tls.ts');
  const link = real.peers.current();
  assert.ok(link);
  const join = async (headers: Record<string, string>) => {
    const tls = connect({
      host: '127.0.0.1',
      port: real.listener.port,
      ...clientTlsOptions({ keys: pair.inside, classicalKeyExchange: false }),
    });
    await new Promise((resolve) => tls.once('secureConnect', resolve));
    const socket = await upgrade(tls, '/sallyport/data', headers, { maxPayload: 1024, maxBufferedChunks: 16 }, never());
    socket.destroy();
  };
  const refused = { code: 'peer-refused', message: /link/ };
  await assert.rejects(join({}), refused);
  await assert.rejects(join({ 'x-sallyport-link': link.facts.link, 'x-sallyport-token': 'a'.repeat(43) }), refused);
  await assert.rejects(join({ 'x-sallyport-link': id, 'x-sallyport-token': link.dataToken }), refused);
  await join({ 'x-sallyport-link': link.facts.link, 'x-sallyport-token': link.dataToken });
  await honestRoundTrip(inside);
});

const opened = (act: (data: HostileData) => void) => (data: HostileData) => {
  data.onFrame = (frame) => {
    if (frame.k === 'open') act(data);
  };
};

const attacks: Readonly<Record<string, (data: HostileData) => void>> = {
  'bytes before the answer': (data) => data.sendBinary(Buffer.alloc(10)),
  'two answers': (data) => {
    data.sendJson({ k: 'ok' });
    data.sendJson({ k: 'ok' });
  },
  'an end before the answer': (data) => data.sendJson({ k: 'end' }),
  'an answer of the other kind': (data) => data.sendJson({ k: 'res', r: { stored: true } }),
  'a stream begun by the DMZ': (data) => data.sendJson({ k: 'open', m: 'inbox.read', p: {} }),
  'an unknown error code': (data) => data.sendJson({ k: 'err', c: 'no-such-code' }),
  'bytes after the end': (data) => {
    data.sendJson({ k: 'ok' });
    data.sendJson({ k: 'end' });
    data.sendBinary(Buffer.alloc(10));
  },
  'a frame above the limit': (data) => {
    data.sendJson({ k: 'ok' });
    data.sendBinary(Buffer.alloc(limits.dataFrameBytes + 1));
  },
  'a frame header of 4 GiB': (data) => {
    data.sendJson({ k: 'ok' });
    data.sendFrame({ opcode: 2, payload: Buffer.alloc(0), length: 4n * 1024n ** 3n });
  },
  fragments: (data) => {
    data.sendJson({ k: 'ok' });
    for (let n = 0; n < 100; n++) data.sendFrame({ fin: false, opcode: n === 0 ? 2 : 0, payload: Buffer.alloc(10) });
  },
  'a large text': (data) => data.sendText(JSON.stringify({ k: 'ok', x: 'y'.repeat(100_000) })),
};

test('a data socket that breaks the rules ends the whole link with an alarm', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  dmz.answer('inbox.list', () => ({ items: [], more: false }));
  const inside = await startInside(t, pair, dmz.port, { options: { firstRetryMs: 1, maxRetryMs: 2 } });
  let violations = 0;
  for (const [name, act] of Object.entries(attacks)) {
    await honestRoundTrip(inside);
    const link = dmz.links.at(-1);
    dmz.onData = opened(act);
    await inside.link
      .openStream('inbox.read', read, never())
      .then(collect)
      .catch(() => undefined);
    violations += 1;
    await until(() => inside.events.named('link.violation').length === violations, `an alarm for: ${name}`);
    await until(() => dmz.links.at(-1) !== link && isUp(inside)(), `a new link after: ${name}`);
  }
});

test('a DMZ that floods a stream nobody reads fills a small queue and no more', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  let sent = 0;
  dmz.onData = opened((data) => {
    data.sendJson({ k: 'ok' });
    const more = () => {
      while (sent < 200 * mebibyte && data.ws.bufferedAmount < mebibyte) {
        sent += 65_536;
        data.sendBinary(Buffer.alloc(65_536));
      }
      if (data.ws.readyState === data.ws.OPEN) setTimeout(more, 2);
    };
    more();
  });
  const inside = await startInside(t, pair, dmz.port);
  await until(isUp(inside), 'up');
  const stop = new AbortController();
  await inside.link.openStream('inbox.read', read, stop.signal);
  let before = -1;
  while (before !== sent) {
    before = sent;
    await sleep(100);
  }
  assert.ok(sent < 40 * mebibyte, `${sent} bytes were taken`);
  stop.abort(new Error('enough'));
  await until(() => dmz.dataSockets[0]?.ws.readyState === 3, 'cut');
});

test('a DMZ that opens a stream and falls silent costs one deadline', async (t) => {
  const pair = await makePair(t);
  const dmz = await HostileDmz.start({ keys: pair.dmz });
  t.after(() => dmz.stop());
  dmz.answer('inbox.list', () => ({ items: [], more: false }));
  const inside = await startInside(t, pair, dmz.port, { options: { streamTiming: { stallMs: 80, waitMs: 20 } } });
  await until(isUp(inside), 'up');
  await assert.rejects(inside.link.openStream('inbox.read', read, never()), { code: 'request-timeout' });
  dmz.onData = opened((data) => data.sendJson({ k: 'ok' }));
  await assert.rejects(collect(await inside.link.openStream('inbox.read', read, never())), { code: 'request-timeout' });
  const once = async function* () {
    yield Buffer.from('x');
  };
  dmz.onData = () => undefined;
  await assert.rejects(inside.link.sendStream('outbox.offer', offer, once(), never()), { code: 'request-timeout' });
  await honestRoundTrip(inside);
});
