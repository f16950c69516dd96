/**
 * Introducing an internal node with an invitation, and everybody who would like to be introduced instead: somebody between the nodes,
 * somebody with a used, ended or invented token, somebody who tries often.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcp } from 'node:net';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { Invitations, type MadeInvitation } from '../../dmz-node/tunnel/invitations.ts';
import { enrol } from '../../internal-node/tunnel/enrol.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import type { SallyportError } from '../../shared/errors.ts';
import { proveInvitation, readInvitation } from '../../shared/pki/invitation.ts';
import { makeNodeKeys, type NodeKeys } from '../../shared/pki/node-keys.ts';
import { clientTlsOptions, serverTlsOptions } from '../../shared/tls.ts';
import { oddKeys } from './odd-keys.ts';
import { type Dmz, honestRoundTrip, isUp, makePair, type Pair, startDmz, startInside, until } from './tunnel-fixture.ts';

const minuteMs = 60_000;

interface Stage {
  readonly pair: Pair;
  readonly dmz: Dmz;
  readonly invitations: Invitations;
  /** Moves the DMZ node's clocks. */
  readonly later: (ms: number) => void;
  readonly invite: () => Promise<MadeInvitation>;
}

/** A DMZ node that nobody has been introduced to. */
async function open(t: TestContext): Promise<Stage> {
  const pair = await makePair(t);
  let ahead = 0;
  const clock: Clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + ahead,
    monotonicMs: () => systemClock.monotonicMs() + ahead,
  };
  const invitations = new Invitations({ clock }, { file: join(pair.folder, 'invitations.json') });
  const dmz = await startDmz(t, pair, {
    deps: { clock, invitations },
    options: { internalFingerprint: undefined, timing: { heartbeatMs: 3_600_000, deadAfterMs: 36_000_000 } },
  });
  const later = (ms: number): void => {
    ahead += ms;
  };
  const invite = (): Promise<MadeInvitation> => invitations.make(pair.dmz.fingerprint, { ttlMs: 15 * minuteMs, label: 'inner' });
  return { pair, dmz, invitations, later, invite };
}

const show = (token: string, port: number, keys: NodeKeys): Promise<SallyportError | string> =>
  enrol(
    readInvitation(token),
    { host: '127.0.0.1', port, keys, classicalKeyExchange: false, nowMs: Date.now() },
    AbortSignal.timeout(120_000),
  ).then(
    ({ node }) => node,
    (error: SallyportError) => error,
  );

const refusals = ({ dmz }: Stage): unknown[] => dmz.events.named('enrolment.refused').map(({ fields }) => fields.reason);

/** What a node answers to bytes on a TLS connection of its own. */
async function answerTo(port: number, keys: NodeKeys, say: (socket: TLSSocket) => string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ...clientTlsOptions({ keys, classicalKeyExchange: false }) });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  let heard = '';
  socket.on('data', (chunk) => {
    heard += String(chunk);
  });
  socket.write(say(socket));
  await once(socket, 'close');
  return heard.replace(/^Date: .*\r\n/im, '');
}

const post = (body: string): string =>
  `POST /sallyport/enrol HTTP/1.1\r\nHost: sallyport\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

/** The proof, as somebody makes it who looks at nothing first. */
const proofOn =
  (token: string, keys: NodeKeys) =>
  (socket: TLSSocket): string => {
    const dmz = socket.getPeerX509Certificate();
    assert.ok(dmz);
    return post(
      JSON.stringify(
        proveInvitation(readInvitation(token), socket, { dmz, inside: new X509Certificate(keys.tunnelCertificatePem) }),
      ),
    );
  };

test('an invitation introduces the two nodes: both pin each other, and the link comes up', async (t) => {
  const stage = await open(t);
  const { pair, dmz } = stage;
  const before = await startInside(t, pair, dmz.listener.port);
  await until(() => before.link.status().lastFailure?.check === 'pin', 'nobody may connect yet');
  const { token, id } = await stage.invite();
  assert.equal(await show(token, dmz.listener.port, pair.inside), 'dmz-1');
  assert.deepEqual(dmz.listener.known.fingerprints, [pair.inside.fingerprint]);
  const [accepted] = dmz.events.named('enrolment.accepted');
  assert.equal(accepted?.fields.fingerprint, pair.inside.fingerprint);
  assert.ok(String(accepted?.fields.invitation).startsWith(id));
  await honestRoundTrip(before);

  // The answer was lost, and the command is repeated.
  assert.equal(await show(token, dmz.listener.port, pair.inside), 'dmz-1');
  assert.deepEqual(refusals(stage), []);
});

test('who was introduced is remembered, and another invitation puts another node in his place', async (t) => {
  const stage = await open(t);
  const { pair, dmz } = stage;
  await show((await stage.invite()).token, dmz.listener.port, pair.inside);
  const first = await startInside(t, pair, dmz.listener.port);
  await honestRoundTrip(first);
  const next = await makeNodeKeys(join(pair.folder, 'next'), { role: 'internal', name: 'inside-2' });
  await show((await stage.invite()).token, dmz.listener.port, next);
  await until(() => !isUp(first)() && first.link.status().lastFailure?.check === 'pin', 'the first one is cut and stays out');
  const second = await startInside(t, { ...pair, inside: next }, dmz.listener.port, {
    options: { peerRecordFile: join(pair.folder, 'next-peer.json') },
  });
  await honestRoundTrip(second);
  await Promise.all([first.stop(), second.stop()]);
  await dmz.stop();

  const restarted = await startDmz(t, pair, { options: { internalFingerprint: undefined } });
  assert.deepEqual(restarted.listener.known.fingerprints, [next.fingerprint]);
});

test('an invitation of before is worth nothing once the configuration names the internal node', async (t) => {
  const stage = await open(t);
  const { pair, dmz, invitations } = stage;
  const [used, unused] = [await stage.invite(), await stage.invite()];
  const former = await makeNodeKeys(join(pair.folder, 'former'), { role: 'internal', name: 'inside-0' });
  await show(used.token, dmz.listener.port, former);
  await dmz.stop();

  const typed = await startDmz(t, pair, { deps: { invitations } });
  for (const [token, keys] of [[used.token, former] as const, [unused.token, former] as const]) {
    const refused = await show(token, typed.listener.port, keys);
    assert.equal((refused as SallyportError).fields.check, 'pin');
  }
  assert.deepEqual(typed.listener.known.fingerprints, [pair.inside.fingerprint]);
  await honestRoundTrip(await startInside(t, pair, typed.listener.port));
});

test('with a wrong fingerprint nothing of the invitation leaves the internal host', async (t) => {
  const stage = await open(t);
  const between = await startImpostor(t);
  const { token } = await stage.invite();
  const refused = await show(token, between.port, stage.pair.inside);
  assert.equal((refused as SallyportError).fields.check, 'pin');
  await until(() => between.heard().length > 0, 'it is told that it was refused');
  assert.match(between.heard(), /^GET \/sallyport\/refused HTTP\/1\.1\r\nHost: sallyport\r\nx-sallyport-check: pin\r\n/);
  assert.equal(between.heard().split('\r\n\r\n')[1], '', 'and nothing else');
  assert.equal(stage.invitations.open().length, 1);
  assert.equal(await show(token, stage.dmz.listener.port, stage.pair.inside), 'dmz-1');
});

test('a relay that ends TLS on both sides gets no session, even from somebody who looks at no fingerprint', async (t) => {
  const stage = await open(t);
  const { pair, dmz } = stage;
  const { token } = await stage.invite();
  const relayKeys = await makeNodeKeys(join(pair.folder, 'relay'), { role: 'internal', name: 'relay' });
  const between = await startImpostor(t, { to: dmz.listener.port, keys: relayKeys });
  const answer = await answerTo(between.port, pair.inside, proofOn(token, pair.inside));
  assert.match(answer, /^HTTP\/1\.1 403 /);
  assert.deepEqual(refusals(stage), ['invitation: wrong proof']);
  assert.ok(!between.heard().includes(token.split('.')[2] ?? ''), 'the secret has not crossed');
  assert.deepEqual(dmz.listener.known.fingerprints, []);
  // What it recorded is worth nothing in a session of its own, under its own key or later.
  const recorded = post(between.heard().slice(between.heard().indexOf('{')));
  assert.match(await answerTo(dmz.listener.port, relayKeys, () => recorded), /^HTTP\/1\.1 403 /);
  assert.match(await answerTo(dmz.listener.port, pair.inside, () => recorded), /^HTTP\/1\.1 403 /);
  assert.deepEqual(refusals(stage), Array(3).fill('invitation: wrong proof'));
  assert.equal(await show(token, dmz.listener.port, pair.inside), 'dmz-1');
});

test('a relay that only passes bytes on sees nothing of the token', async (t) => {
  const stage = await open(t);
  const { token } = await stage.invite();
  const seen: Buffer[] = [];
  const relay = createTcp((client) => {
    const target = connectTcp(stage.dmz.listener.port, '127.0.0.1');
    for (const [from, to] of [[client, target] as const, [target, client] as const]) {
      from.on('data', (chunk) => seen.push(chunk));
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  t.after(() => relay.close());
  const port = await listening(relay);
  assert.equal(await show(token, port, stage.pair.inside), 'dmz-1');
  const bytes = Buffer.concat(seen);
  assert.ok(bytes.length > 2000);
  assert.ok(!bytes.includes(token) && !bytes.includes(Buffer.from(token.split('.')[2] ?? '', 'base64url')));
});

test('a used, an ended and an invented token get the same answer, and each its own line in the audit trail', async (t) => {
  const stage = await open(t);
  const { pair, dmz } = stage;
  const { port } = dmz.listener;
  const used = await stage.invite();
  await show(used.token, port, pair.inside);
  const other = oddKeys('internal');
  const ended = await stage.invite();
  stage.later(15 * minuteMs);
  const invented = `SPT.${pair.dmz.fingerprint.replaceAll('-', '')}.${'A'.repeat(43)}`;
  const answers = [];
  for (const token of [used.token, ended.token, invented]) answers.push(await answerTo(port, other, proofOn(token, other)));
  answers.push(await answerTo(port, other, () => post('{"nonsense":true}')));
  assert.equal(new Set(answers).size, 1, answers.join('\n'));
  assert.match(answers[0] ?? '', /^HTTP\/1\.1 403 .*x-sallyport-check: invitation/s);
  assert.deepEqual(refusals(stage), [
    'invitation: expired',
    'invitation: expired',
    'invitation: unknown',
    'the request is malformed',
  ]);
  assert.equal(dmz.events.named('enrolment.refused')[0]?.fields.from, '127.0.0.1');
  assert.deepEqual(dmz.listener.known.fingerprints, [pair.inside.fingerprint]);
  const again = await stage.invite();
  await show(again.token, port, pair.inside);
  assert.deepEqual(await answerTo(port, other, proofOn(again.token, other)), answers[0]);
  assert.equal(refusals(stage).at(-1), 'invitation: used');
});

test('who guesses has to wait: a source is looked at five times, then five times a minute', async (t) => {
  const stage = await open(t);
  const { port } = stage.dmz.listener;
  const guesser = oddKeys('internal');
  const guess = (): Promise<string> => {
    const token = `SPT.${stage.pair.dmz.fingerprint.replaceAll('-', '')}.${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')}`;
    return answerTo(port, guesser, proofOn(token, guesser));
  };
  const answers = await Promise.all(Array.from({ length: 12 }, guess));
  assert.equal(new Set(answers).size, 1);
  const counted = Object.groupBy(refusals(stage), String);
  assert.equal(counted['invitation: unknown']?.length, 5);
  assert.equal(counted['too many failures of this source']?.length, 7);
  // From the same address not even the right one is looked at now; a minute later it is.
  const { token } = await stage.invite();
  assert.equal(((await show(token, port, stage.pair.inside)) as SallyportError).fields.check, 'invitation');
  stage.later(minuteMs);
  assert.equal(await show(token, port, stage.pair.inside), 'dmz-1');
});

test('a node whose configuration names the internal node takes no invitation, and one without invitations knows no such request', async (t) => {
  const pair = await makePair(t);
  const dmz = await startDmz(t, pair);
  const token = `SPT.${pair.dmz.fingerprint.replaceAll('-', '')}.${'A'.repeat(43)}`;
  const stranger = oddKeys('internal');
  assert.match(
    await answerTo(dmz.listener.port, stranger, proofOn(token, stranger)),
    /^HTTP\/1\.1 403 .*x-sallyport-check: pin/s,
  );
});

/** Somebody between the nodes, with TLS of its own on both sides. */
async function startImpostor(t: TestContext, on?: { readonly to: number; readonly keys: NodeKeys }) {
  let heard = '';
  const own = serverTlsOptions({ keys: oddKeys('dmz'), classicalKeyExchange: false });
  const server: Server = createServer(own, (client) => {
    client.on('error', () => undefined);
    const target =
      on && connect({ host: '127.0.0.1', port: on.to, ...clientTlsOptions({ keys: on.keys, classicalKeyExchange: false }) });
    target?.on('error', () => client.destroy());
    target?.pipe(client);
    client.on('data', (chunk) => {
      heard += String(chunk);
      target?.write(chunk);
    });
    client.on('end', () => client.end());
  });
  t.after(() => server.close());
  return { port: await listening(server), heard: () => heard };
}

async function listening(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
}): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}
