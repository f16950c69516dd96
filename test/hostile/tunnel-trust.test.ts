/** Everything that must keep two nodes from talking, in both directions, each with the name of the failed check in both logs. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type ConnectionOptions, connect, createServer, type TLSSocket } from 'node:tls';
import { connectOnce } from '../../internal-node/tunnel/dialer.ts';
import { systemClock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { silentLogger } from '../../shared/log.ts';
import { clientUsageOid, serverUsageOid } from '../../shared/pki/certificates.ts';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';
import { readPeerRecord } from '../../shared/pki/peer-record.ts';
import { PeerTrust } from '../../shared/pki/peer-trust.ts';
import { clientTlsOptions, serverTlsOptions } from '../../shared/tls.ts';
import { dayMs, newAuthority, oddKeys } from './odd-keys.ts';
import {
  EventLog,
  honestRoundTrip,
  insideAnswering,
  isUp,
  makePair,
  type Pair,
  startDmz,
  startInside,
  until,
} from './tunnel-fixture.ts';

const checksIn = (events: EventLog) => events.named('link.refused').map((record) => record.fields.check);

/** One attempt with these keys. @returns the error. */
async function attempt(
  pair: Pair,
  port: number,
  over: { keys?: NodeKeys; dmzFingerprint?: string; classical?: boolean; name?: string },
) {
  const events = new EventLog();
  const trust = new PeerTrust(
    { events, clock: systemClock },
    {
      role: 'dmz',
      fingerprint: over.dmzFingerprint ?? pair.dmz.fingerprint,
      recordFile: join(pair.folder, `${over.name ?? 'once'}.json`),
      denyFile: join(pair.folder, 'denied-keys'),
    },
  );
  trust.load();
  const deps = { trust, answering: insideAnswering(), clock: systemClock, log: silentLogger };
  const options = {
    host: '127.0.0.1',
    port,
    keys: over.keys ?? pair.inside,
    classicalKeyExchange: over.classical ?? false,
    version: 'test',
  };
  const link = await connectOnce(deps, options, AbortSignal.timeout(5000)).catch((error: unknown) => error);
  if (link instanceof SallyportError) return link;
  assert.ok(!(link instanceof Error), String(link));
  (link as Awaited<ReturnType<typeof connectOnce>>).close('stopped', 'test');
  return undefined;
}

const now = Date.now();
const ended = { notBeforeMs: now - 2 * dayMs, notAfterMs: now - dayMs };
const future = { notBeforeMs: now + dayMs, notAfterMs: now + 2 * dayMs };

/** Odd keys, and the check that must name them. */
const oddities = (role: 'dmz' | 'internal'): readonly [string, NodeKeys][] => {
  const [right, wrong] = role === 'dmz' ? [serverUsageOid, clientUsageOid] : [clientUsageOid, serverUsageOid];
  return [
    ['usage', oddKeys(role, { usages: [wrong] })],
    ['usage', oddKeys(role, { usages: [] })],
    ['usage', oddKeys(role, { usages: [right, wrong] })],
    ['expired', oddKeys(role, { validity: ended })],
    ['not-yet-valid', oddKeys(role, { validity: future })],
    ['expired', oddKeys(role, { authority: newAuthority(ended) })],
    ['ca', oddKeys(role, { presentedCa: newAuthority().certificatePem })],
  ];
};

test('the DMZ names the failed check of an internal node, and the internal node hears it', async (t) => {
  const pair = await makePair(t);
  for (const [check, keys] of oddities('internal')) {
    const dmz = await startDmz(
      t,
      { ...pair, inside: keys },
      { options: { peerRecordFile: join(pair.folder, `${keys.fingerprint}.json`) } },
    );
    const error = await attempt(pair, dmz.listener.port, { keys });
    assert.deepEqual([error?.code, error?.fields.check, error?.fields.by], ['peer-refused', check, 'dmz'], check);
    assert.deepEqual(checksIn(dmz.events), [check]);
    assert.equal(dmz.peers.current(), undefined);
    await dmz.stop();
  }
});

test('the internal node names the failed check of a DMZ node, and the DMZ node hears it', async (t) => {
  const pair = await makePair(t);
  for (const [index, [check, keys]] of oddities('dmz').entries()) {
    const dmz = await startDmz(
      t,
      { ...pair, dmz: keys },
      { options: { peerRecordFile: join(pair.folder, `dmz-${index}.json`) } },
    );
    const error = await attempt(pair, dmz.listener.port, { dmzFingerprint: keys.fingerprint, name: `odd-${index}` });
    assert.deepEqual([error?.code, error?.fields.check, error?.fields.by], ['peer-refused', check, 'inside'], check);
    await until(() => checksIn(dmz.events).length > 0, `the DMZ hears of ${check}`);
    assert.deepEqual(checksIn(dmz.events), [check]);
    assert.match(String(dmz.events.named('link.refused')[0]?.fields.detail), /the internal node refused this node/);
    await dmz.stop();
  }
});

test('a wrong pin is refused on either side, and an honest link is served before and after', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const inside = await startInside(t, pair, dmz.listener.port);
  await honestRoundTrip(inside);

  const stranger = oddKeys('internal');
  const atDmz = await attempt(pair, dmz.listener.port, { keys: stranger });
  assert.deepEqual([atDmz?.fields.check, atDmz?.fields.by], ['pin', 'dmz']);
  assert.match(atDmz?.message ?? '', /sallyport fingerprint/);

  const atInside = await attempt(pair, dmz.listener.port, { dmzFingerprint: oddKeys('dmz').fingerprint, name: 'pinned' });
  assert.deepEqual([atInside?.fields.check, atInside?.fields.by], ['pin', 'inside']);
  assert.match(atInside?.message ?? '', /sallyport-dmz fingerprint/);
  await honestRoundTrip(inside);
});

test('the authority of first contact is recorded and must stay the same', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const inside = await startInside(t, pair, dmz.listener.port);
  await honestRoundTrip(inside);
  await until(() => dmz.events.named('link.up').length === 1, 'up');
  assert.deepEqual(dmz.listener.known.authorities, [pair.inside.caCertificatePem]);
  for (const [file, met] of [['dmz', pair.inside] as const, ['inside', pair.dmz] as const]) {
    const { fingerprint, caCertificatePem: authority } = met;
    const recorded = { anchor: fingerprint, number: 0, identities: [{ fingerprint, authority }] };
    assert.deepEqual(readPeerRecord(join(pair.folder, file, 'peer.json')), recorded);
  }
  assert.equal(dmz.events.named('link.ca-recorded').length, 1);
  await inside.stop();

  // The same key, so the same fingerprint, but certified by somebody else.
  const recertified = oddKeys('internal', { keyPem: pair.inside.tunnelKeyPem });
  assert.equal(recertified.fingerprint, pair.inside.fingerprint);
  const error = await attempt(pair, dmz.listener.port, { keys: recertified });
  assert.equal(error?.fields.check, 'ca');
  assert.equal(dmz.events.named('link.ca-recorded').length, 1);
  await dmz.stop();

  const impostor = { ...pair, dmz: oddKeys('dmz', { keyPem: pair.dmz.tunnelKeyPem }) };
  const second = await startDmz(t, impostor);
  const back = await startInside(t, pair, second.listener.port);
  await until(() => checksIn(back.events).length > 0, 'refused');
  assert.deepEqual(checksIn(back.events), ['ca']);
  const status = back.link.status();
  assert.equal(status.lastFailure?.check, 'ca');
  assert.match(status.lastFailure?.detail ?? '', /remove the record of it \(dmz-node\.json/);
});

/** A bare TLS client. @returns what the server said, or the error code. */
function knock(port: number, options: ConnectionOptions, path = '/sallyport/control'): Promise<string> {
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, ...options }, () => {
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
      );
    });
    let said = '';
    socket.on('data', (chunk) => {
      said += chunk.toString();
      if (said.startsWith('HTTP/1.1 101')) socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('close', () => resolve(said));
  });
}

test('a client without a certificate, of another protocol or TLS version, or with another path gets nothing', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const mine = clientTlsOptions({ keys: pair.inside, classicalKeyExchange: false });
  const { key: _key, cert: _cert, ...anonymous } = mine;
  const { ALPNProtocols: _alpn, ...plain } = mine;
  assert.match(await knock(dmz.listener.port, anonymous), /^HTTP\/1\.1 403 [\s\S]*x-sallyport-check: no-certificate/);
  assert.match(await knock(dmz.listener.port, plain), /x-sallyport-check: alpn/);
  assert.match(await knock(dmz.listener.port, { ...mine, ALPNProtocols: ['http/1.1'] }), /NO_APPLICATION_PROTOCOL/);
  assert.match(await knock(dmz.listener.port, { ...mine, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), /ALERT|PROTOCOL/);
  assert.match(await knock(dmz.listener.port, mine, '/sallyport/other'), /x-sallyport-check: request/);
  assert.match(await knock(dmz.listener.port, mine, '/sallyport/data'), /x-sallyport-check: link/);
  assert.deepEqual([...new Set(checksIn(dmz.events))].sort(), ['alpn', 'link', 'no-certificate', 'request', 'tls']);
  await honestRoundTrip(await startInside(t, pair, dmz.listener.port));
});

test('a TLS session is never resumed', async (t) => {
  const pair = await makePair(t);
  const server = createServer(serverTlsOptions({ keys: pair.dmz, classicalKeyExchange: false }), (socket) => socket.end('x'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const visit = (session: Buffer | undefined) =>
    new Promise<{ reused: boolean; session: Buffer | undefined }>((resolve, reject) => {
      const options = {
        ...clientTlsOptions({ keys: pair.inside, classicalKeyExchange: false }),
        ...(session ? { session } : {}),
      };
      const socket = connect({ host: '127.0.0.1', port, ...options });
      let got: Buffer | undefined;
      let reused = true;
      socket.on('secureConnect', () => {
        reused = socket.isSessionReused();
      });
      socket.on('session', (bytes) => {
        got = bytes;
      });
      socket.on('error', reject);
      socket.resume();
      socket.on('close', () => resolve({ reused, session: got }));
    });
  const first = await visit(undefined);
  assert.ok(first.session, 'the test needs something to resume with');
  assert.equal((await visit(first.session)).reused, false);
});

test('a peer without ML-KEM is refused by default and served when the configuration allows it', async (t) => {
  const pair = await makePair(t);
  const strict = await startDmz(t, pair);
  const classical = { ...clientTlsOptions({ keys: pair.inside, classicalKeyExchange: false }), ecdhCurve: 'X25519' };
  assert.match(await knock(strict.listener.port, classical), /HANDSHAKE_FAILURE/);
  assert.deepEqual(checksIn(strict.events), ['key-exchange']);
  await strict.stop();

  const allowing = await startDmz(t, pair, { options: { classicalKeyExchange: true } });
  assert.match(await knock(allowing.listener.port, classical), /^HTTP\/1\.1 101 /);
  const inside = await startInside(t, pair, allowing.listener.port, { options: { classicalKeyExchange: true } });
  await until(isUp(inside), 'up');
  assert.equal(inside.link.status().facts?.group, 'X25519MLKEM768');
});

test('the internal node says clearly that a DMZ offers no ML-KEM', async (t: TestContext) => {
  const pair = await makePair(t);
  const server = createServer({ ...serverTlsOptions({ keys: pair.dmz, classicalKeyExchange: false }), ecdhCurve: 'X25519' });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const inside = await startInside(t, pair, (server.address() as { port: number }).port);
  await until(() => inside.link.status().lastFailure !== undefined, 'a failure');
  const failure = inside.link.status().lastFailure;
  assert.deepEqual([failure?.code, failure?.check], ['peer-refused', 'key-exchange']);
  assert.match(failure?.detail ?? '', /X25519MLKEM768.*classical key exchange/);
});

test('a live link ends when a certificate runs out', async (t) => {
  const pair = await makePair(t);
  // The wall clock of one node jumps; TLS alone would never notice.
  let jumpMs = 0;
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + jumpMs };
  const dmz = await startDmz(t, pair, { deps: { clock }, options: { recheckMs: 30 } });
  const inside = await startInside(t, pair, dmz.listener.port);
  await honestRoundTrip(inside);
  jumpMs = 400 * dayMs;
  await until(() => inside.link.status().lastFailure?.code === 'expired', 'closed for expiry');
  assert.deepEqual([...new Set(checksIn(dmz.events))], ['expired']);
  await until(() => checksIn(inside.events).includes('expired'), 'refused when it comes back');
  jumpMs = 0;
  await honestRoundTrip(inside);
});

test('an address that is not allowed is cut before TLS', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, { options: { allowFrom: ['192.0.2.0/24', '2001:db8::1'] } });
  const error = await attempt(pair, dmz.listener.port, {});
  assert.equal(error?.code, 'tunnel-down');
  assert.deepEqual(checksIn(dmz.events), ['address']);
  const open = await startDmz(t, { ...pair, folder: pair.folder }, { options: { allowFrom: ['127.0.0.0/8'] } });
  await honestRoundTrip(await startInside(t, pair, open.listener.port));
  await assert.rejects(startDmz(t, pair, { options: { allowFrom: ['here'] } }), { code: 'config-invalid' });
});

test('strangers who hold every place cannot keep the internal node out', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, { options: { maxNewcomers: 4, newcomerMs: 60_000 } });
  const { connect: dial } = await import('node:net');
  const idle = Array.from({ length: 40 }, () => dial(dmz.listener.port, '127.0.0.1').on('error', () => undefined));
  t.after(() => idle.forEach((socket) => void socket.destroy()));
  await until(() => idle.filter((socket) => socket.closed).length >= 36, 'the oldest are cut');
  await honestRoundTrip(await startInside(t, pair, dmz.listener.port));
});

test('a connection that proves nothing is cut after its grace', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair, { options: { newcomerMs: 50 } });
  const { connect: dial } = await import('node:net');
  const silent = dial(dmz.listener.port, '127.0.0.1').on('error', () => undefined);
  const shaken = connect({
    host: '127.0.0.1',
    port: dmz.listener.port,
    ...clientTlsOptions({ keys: pair.inside, classicalKeyExchange: false }),
  });
  shaken.on('error', () => undefined).resume();
  await until(() => silent.closed && shaken.closed, 'both are cut');
});
