/** Links come and go: heartbeats, partitions, take-over, reconnecting, stopping. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TcpRelay } from './tcp-relay.ts';
import { honestRoundTrip, insideAnswering, isUp, makePair, startDmz, startInside, until } from './tunnel-fixture.ts';

const id = 'a'.repeat(26);
const auth = {
  session: id,
  trace: id,
  user: 'x',
  peer: '192.0.2.1',
  protocol: 'sftp',
  method: 'password',
  password: 'p',
} as const;
const timing = { heartbeatMs: 60, deadAfterMs: 400 };

for (const [name, up, down] of [
  ['both ways', true, true],
  ['towards the DMZ only', true, false],
  ['towards the inside only', false, true],
] as const) {
  test(`a partition ${name} is noticed on both sides and the link comes back when it heals`, async (t) => {
    const pair = await makePair(t);
    const dmz = await startDmz(t, pair, { options: { timing } });
    const relay = await TcpRelay.start(dmz.listener.port);
    t.after(() => relay.stop());
    const inside = await startInside(t, pair, relay.port, { options: { timing } });
    await until(isUp(inside), 'up');
    const asked = inside.link.request('inbox.list', { after: 0, limit: 1 });
    await asked;
    await sleep(600);
    assert.ok(isUp(inside)(), 'an idle link lives');
    relay.block(up, down);
    await until(() => !isUp(inside)(), 'the inside notices');
    await until(() => dmz.peers.current() === undefined, 'the DMZ notices');
    await assert.rejects(dmz.peers.request('auth.check', auth), { code: 'tunnel-down' });
    await assert.rejects(inside.link.request('inbox.list', { after: 0, limit: 1 }), { code: 'tunnel-down' });
    if (up && down) assert.equal(inside.link.status().lastFailure?.code, 'silent');
    relay.block(false, false);
    relay.reset();
    await honestRoundTrip(inside);
  });
}

test('a reset fails the requests under way and the link comes back', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const relay = await TcpRelay.start(dmz.listener.port);
  t.after(() => relay.stop());
  const ups: string[] = [];
  const hook = (name: string, wait: number) => ({
    name,
    onUp: async () => {
      await sleep(wait);
      ups.push(`${name} up`);
    },
    onDown: async () => {
      await sleep(wait);
      ups.push(`${name} down`);
    },
  });
  const failing = { name: 'failing', onUp: () => Promise.reject(new Error('a fault')) };
  let calls = 0;
  const answering = insideAnswering({
    'auth.check': (_params, signal) => {
      calls += 1;
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  const inside = await startInside(t, pair, relay.port, { answering, hooks: [hook('a', 20), failing, hook('b', 1)] });
  await until(() => ups.length === 2, 'hooks');
  const pending = dmz.peers.request('auth.check', auth);
  await until(() => calls === 1, 'the request is inside');
  relay.reset();
  await assert.rejects(pending, { code: 'link-closed' });
  await until(() => ups.length >= 6, 'down and up again');
  assert.deepEqual(ups.slice(0, 6), ['a up', 'b up', 'a down', 'b down', 'a up', 'b up']);
  await honestRoundTrip(inside);
  assert.equal(inside.events.named('link.down').length, 1);
  assert.equal(inside.link.facts()?.epoch, 2, 'each hello has a higher epoch');
});

test('a newer link of the same identity takes over with an alarm, and the older one is told why', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const first = await startInside(t, pair, dmz.listener.port, { options: { firstRetryMs: 10_000, maxRetryMs: 10_000 } });
  await until(isUp(first), 'up');
  const second = await startInside(t, pair, dmz.listener.port);
  await until(isUp(second), 'up');
  await until(() => !isUp(first)(), 'the older one is closed');
  assert.equal(first.link.status().lastFailure?.code, 'taken-over');
  await until(() => dmz.events.named('link.taken-over').length === 1, 'an alarm');
  assert.equal(dmz.peers.current()?.facts.epoch, 2);
  assert.deepEqual(await dmz.peers.request('auth.check', auth), { verdict: 'rejected' });
  await honestRoundTrip(second);
});

test('the DMZ tells its rooms of each link, in order', async (t) => {
  const pair = await makePair(t);
  const changes: string[] = [];
  const dmz = await startDmz(t, pair, {
    deps: { onLink: (change, facts) => changes.push(`${change} ${facts.epoch} ${facts.peer}`) },
  });
  const first = await startInside(t, pair, dmz.listener.port);
  await until(isUp(first), 'up');
  await first.stop();
  await until(() => changes.length === 2, 'down');
  await honestRoundTrip(await startInside(t, pair, dmz.listener.port));
  assert.deepEqual(changes, ['up 1 inside-1', 'down 1 inside-1', 'up 2 inside-1']);
});

test('stopping lets requests under way finish, begins none, and says goodbye', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const answering = insideAnswering({
    'auth.check': async () => {
      await sleep(60);
      return { verdict: 'rejected' };
    },
  });
  const inside = await startInside(t, pair, dmz.listener.port, { answering });
  await until(isUp(inside), 'up');
  await until(() => dmz.peers.current() !== undefined, 'up on the DMZ');
  const pending = dmz.peers.request('auth.check', auth);
  await sleep(20);
  const stopped = inside.keeper.stop(AbortSignal.timeout(120_000));
  await sleep(10);
  await assert.rejects(dmz.peers.request('auth.check', auth), { code: 'link-closed' });
  assert.deepEqual(await pending, { verdict: 'rejected' });
  await stopped;
  await until(() => dmz.events.named('link.down').length === 1, 'down');
  assert.match(String(dmz.events.named('link.down')[0]?.fields.reason), /^bye/);
  assert.equal(inside.link.status().connected, false);
});

test('stopping cuts what does not finish when its time is over', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const inside = await startInside(t, pair, dmz.listener.port, {
    answering: insideAnswering({ 'auth.check': () => new Promise(() => undefined) }),
  });
  await until(() => dmz.peers.current() !== undefined, 'up');
  const pending = dmz.peers.request('auth.check', auth);
  pending.catch(() => undefined);
  await sleep(20);
  await inside.keeper.stop(AbortSignal.timeout(50)); // the answer would never come
  await assert.rejects(pending, { code: 'link-closed' });
});

test('a DMZ that stops and comes back on the same port finds the inside again', async (t) => {
  const pair = await makePair(t);
  const first = await startDmz(t, pair);
  const { port } = first.listener;
  const inside = await startInside(t, pair, port);
  await until(isUp(inside), 'up');
  await first.stop();
  await until(() => inside.link.status().lastFailure?.detail.includes('nothing listens there') ?? false, 'refused');
  await startDmz(t, pair, { options: { port } });
  await honestRoundTrip(inside);
});

test('a host that accepts and says nothing does not hang the dialer', async (t) => {
  const pair = await makePair(t);
  const mute = createServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  t.after(() => mute.close());
  const inside = await startInside(t, pair, (mute.address() as { port: number }).port);
  await sleep(30);
  const started = performance.now();
  await inside.stop();
  assert.ok(performance.now() - started < 9000, 'stopping ends the attempt, which would end by itself after 10 s');
});

test('flapping leaves nothing behind', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const relay = await TcpRelay.start(dmz.listener.port);
  t.after(() => relay.stop());
  const inside = await startInside(t, pair, relay.port, { options: { firstRetryMs: 1, maxRetryMs: 2 } });
  for (let n = 0; n < 30; n++) {
    // Both have to know of this link: a reset before that is none that the DMZ has to tell.
    await until(() => dmz.events.named('link.up').length > n && isUp(inside)(), 'up');
    relay.reset();
    // It may be up again before anybody looks.
    await until(() => dmz.events.named('link.down').length > n, 'down');
  }
  await honestRoundTrip(inside);
  await until(() => dmz.events.named('link.down').length >= 30, 'all downs');
  assert.equal(dmz.events.named('link.up').length, dmz.events.named('link.down').length + 1);
});
