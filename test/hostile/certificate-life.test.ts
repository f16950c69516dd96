/** Certificates and keys of the tunnel over their life: renewed, exchanged in steps, refused, each with the link kept or cut in time. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { systemClock } from '../../shared/clock.ts';
import { silentLogger } from '../../shared/log.ts';
import { lifeOf } from '../../shared/pki/certificate-life.ts';
import { denyKey } from '../../shared/pki/deny-list.ts';
import { fixedIdentity, NodeIdentity, type OwnIdentity } from '../../shared/pki/node-identity.ts';
import { loadNodeKeys, makeNodeKeys } from '../../shared/pki/node-keys.ts';
import { verifyPolicyCertificate } from '../../shared/pki/peer-check.ts';
import { readPeerRecord } from '../../shared/pki/peer-record.ts';
import { signStatement } from '../../shared/pki/trust-statement.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { dayMs, oddKeys } from './odd-keys.ts';
import {
  type Dmz,
  EventLog,
  honestRoundTrip,
  type Inside,
  isUp,
  makePair,
  type Pair,
  startDmz,
  startInside,
  tempFolder,
  until,
} from './tunnel-fixture.ts';

/** A link that no clock ends. */
const patient = { heartbeatMs: 10 * dayMs, deadAfterMs: dayMs, requestMs: dayMs };

const open = (folder: string, role: 'dmz' | 'internal', clock = systemClock, events = new EventLog()) =>
  NodeIdentity.open({ events, clock, log: silentLogger }, { folder, role });

interface Exchange {
  readonly pair: Pair;
  readonly dmz: Dmz;
  readonly inside: Inside;
  readonly identity: NodeIdentity;
}

/** A connected pair whose one node can exchange its keys. */
async function connected(t: TestContext, who: 'dmz' | 'inside'): Promise<Exchange> {
  const pair = await makePair(t);
  const identity = await open(join(pair.folder, who), who === 'dmz' ? 'dmz' : 'internal');
  const fixed = { dmz: fixedIdentity(pair.dmz), inside: fixedIdentity(pair.inside) };
  const own: Record<'dmz' | 'inside', OwnIdentity> = { ...fixed, [who]: identity };
  const dmz = await startDmz(t, pair, { deps: { identity: own.dmz } });
  const inside = await startInside(t, pair, dmz.listener.port, { deps: { identity: own.inside } });
  await honestRoundTrip(inside);
  return { pair, dmz, inside, identity };
}

/** What the other node has recorded. */
const admitted = ({ dmz, inside }: Exchange, who: 'dmz' | 'inside'): readonly string[] =>
  who === 'dmz' ? inside.keeper.known.fingerprints : dmz.listener.known.fingerprints;

const told = (identity: NodeIdentity): Promise<void> => until(() => identity.rotation.told, 'the other node knows');

for (const who of ['dmz', 'inside'] as const) {
  test(`the keys of the ${who} are exchanged in steps, and the link comes back each time`, async (t) => {
    const exchange = await connected(t, who);
    const { identity, inside, pair } = exchange;
    const old = identity.keys.fingerprint;
    const announced = await identity.step('announce');
    const next = announced.other ?? '';
    assert.equal(announced.phase, 'announced');
    await told(identity);
    assert.deepEqual(admitted(exchange, who), [old, next]);
    assert.equal(identity.keys.fingerprint, old, 'still the old keys');
    assert.ok(isUp(inside)(), 'and the same link');

    const switched = await identity.step('switch');
    assert.deepEqual([switched.phase, switched.fingerprint, switched.other], ['switched', next, old]);
    assert.equal((await loadNodeKeys(join(pair.folder, who), who === 'dmz' ? 'dmz' : 'internal')).fingerprint, next);
    await told(identity);
    await honestRoundTrip(inside);
    const seen = who === 'dmz' ? inside.link.status().facts?.fingerprint : exchange.dmz.peers.current()?.facts.fingerprint;
    assert.equal(seen, next);
    assert.deepEqual([...admitted(exchange, who)].sort(), [old, next].sort(), 'the way back is open');

    const retired = await identity.step('retire');
    assert.deepEqual([retired.phase, retired.other], ['stable', null]);
    await told(identity);
    assert.deepEqual(admitted(exchange, who), [next]);
    assert.deepEqual(
      (await readdir(join(pair.folder, who))).filter((name) => /^(ca|tunnel|policy)\./.test(name)),
      [],
    );
    await honestRoundTrip(inside);
    await assert.rejects(identity.step('back'), { code: 'usage' });
  });

  test(`an exchange of the keys of the ${who} can be taken back before it and after it`, async (t) => {
    const exchange = await connected(t, who);
    const { identity, inside } = exchange;
    const old = identity.keys.fingerprint;
    await identity.step('announce');
    await told(identity);
    await identity.step('back');
    await told(identity);
    assert.deepEqual(admitted(exchange, who), [old]);

    const { other: next } = await identity.step('announce');
    await told(identity);
    await identity.step('switch');
    await told(identity);
    await honestRoundTrip(inside);
    const back = await identity.step('back');
    assert.deepEqual([back.phase, back.fingerprint, back.other], ['announced', old, next]);
    await told(identity);
    await honestRoundTrip(inside);
    await identity.step('back');
    await told(identity);
    assert.deepEqual(admitted(exchange, who), [old]);
    assert.ok(isUp(inside)());
  });
}

const steps = ['announce', 'switch', 'retire'] as const;

for (const who of ['dmz', 'inside'] as const) {
  for (const killed of ['dmz', 'inside'] as const) {
    test(`the keys of the ${who} are exchanged though the ${killed} is killed at each step: the pair finds together again`, async (t) => {
      const pair = await makePair(t);
      const role = who === 'dmz' ? 'dmz' : 'internal';
      const fixed = { dmz: fixedIdentity(pair.dmz), inside: fixedIdentity(pair.inside) };
      const old = fixed[who].keys.fingerprint;
      let port = 0;
      let identity = await open(join(pair.folder, who), role);
      const own = () => ({ ...fixed, [who]: identity }) as Record<'dmz' | 'inside', OwnIdentity>;
      const startOne = {
        dmz: () => startDmz(t, pair, { deps: { identity: own().dmz }, options: { port } }),
        inside: () => startInside(t, pair, port, { deps: { identity: own().inside } }),
      };
      let dmz = await startOne.dmz();
      port = dmz.listener.port;
      let inside = await startOne.inside();
      await honestRoundTrip(inside);
      for (const step of steps) {
        // The other node is gone before it can hear of the step; this one perhaps before it could tell.
        if (killed !== who) await (killed === 'dmz' ? dmz : inside).stop();
        await identity.step(step);
        if (killed === who) await (killed === 'dmz' ? dmz : inside).stop();
        if (killed === who) identity = await open(join(pair.folder, who), role);
        if (killed === 'dmz') dmz = await startOne.dmz();
        else inside = await startOne.inside();
        await told(identity);
        await honestRoundTrip(inside);
      }
      const next = identity.keys.fingerprint;
      assert.notEqual(next, old);
      assert.deepEqual(admitted({ pair, dmz, inside, identity }, who), [next]);
    });
  }
}

test('no step is taken that would lose the other node: first it must know', async (t) => {
  const exchange = await connected(t, 'inside');
  const { identity, dmz } = exchange;
  await dmz.stop();
  await identity.step('announce');
  await assert.rejects(identity.step('switch'), { code: 'peer-refused' });
  await assert.rejects(identity.step('retire'), { code: 'usage' });
  assert.equal(identity.rotation.phase, 'announced');
});

test('each step outlives a crash: what is on the disk is the step before or the step after', async (t) => {
  const folder = join(await tempFolder(t), 'keys');
  await makeNodeKeys(folder, { role: 'internal', name: 'inside' });
  const first = await open(folder, 'internal');
  await makeNodeKeys(join(folder, 'identity-7'), { role: 'internal', name: 'cut-short' });
  const { other } = await first.step('announce');
  const second = await open(folder, 'internal');
  assert.deepEqual([second.rotation.phase, second.rotation.other, second.rotation.told], ['announced', other, false]);
  assert.ok(!(await readdir(folder)).includes('identity-7'), 'what a crash left behind is gone');
  second.acknowledged(1);
  await second.step('switch');
  const third = await open(folder, 'internal');
  assert.deepEqual([third.rotation.phase, third.keys.fingerprint], ['switched', other]);
  third.acknowledged(1);
  await third.step('retire');
  assert.equal((await open(folder, 'internal')).rotation.phase, 'stable');
  // Killed when the step counted and the old keys were still there.
  await makeNodeKeys(join(folder, 'left'), { role: 'internal', name: 'inside' });
  for (const file of ['ca.key', 'ca.crt', 'tunnel.key', 'tunnel.crt'])
    await rename(join(folder, 'left', file), join(folder, file));
  assert.equal((await open(folder, 'internal')).keys.fingerprint, other);
  assert.deepEqual(
    (await readdir(folder)).filter((name) => /^(ca|tunnel)\./.test(name)),
    [],
  );
  await writeFile(join(folder, 'identity.json'), '{"current":"../elsewhere"}');
  await assert.rejects(open(folder, 'internal'), { code: 'key-file' });
});

test('who has stolen a tunnel key cannot put another beside it, and an old statement changes nothing', async (t) => {
  const { pair, dmz, inside, identity } = await connected(t, 'inside');
  const evil = oddKeys('internal');
  const identities = [pair.inside, evil].map(({ fingerprint, caCertificatePem: authority }) => ({ fingerprint, authority }));
  const forged = signStatement({ format: 1, role: 'internal', number: 9, identities }, pair.inside.tunnelKeyPem);
  await assert.rejects(inside.link.request('trust.put', forged), { code: 'peer-refused' });
  assert.deepEqual(dmz.listener.known.fingerprints, [pair.inside.fingerprint]);

  await identity.step('announce');
  await told(identity);
  const old = identity.statement;
  assert.ok(old);
  await identity.step('back');
  await told(identity);
  assert.deepEqual(await inside.link.request('trust.put', { statement: old.statement, signature: old.signature }), { number: 2 });
  assert.deepEqual(dmz.listener.known.fingerprints, [pair.inside.fingerprint]);
  assert.equal(dmz.events.named('link.keys-announced').length, 2);
});

test('a certificate is renewed when two thirds of its life are over, under the same key', async (t) => {
  const folder = join(await tempFolder(t), 'keys');
  const clock = new ManualClock();
  const made = await makeNodeKeys(folder, { role: 'internal', name: 'inside', clock });
  const events = new EventLog();
  const identity = await open(folder, 'internal', clock, events);
  await identity.start();
  t.after(() => identity.stop());
  const { beganMs, endsMs } = lifeOf(new X509Certificate(made.tunnelCertificatePem));
  clock.advance(((endsMs - beganMs) * 2) / 3 - 2 * 3_600_000);
  await identity.renew();
  assert.equal(identity.keys.tunnelCertificatePem, made.tunnelCertificatePem);
  clock.advance(3 * 3_600_000);
  await identity.renew();
  const { keys } = identity;
  assert.equal(keys.fingerprint, made.fingerprint);
  assert.ok(lifeOf(new X509Certificate(keys.tunnelCertificatePem)).endsMs > endsMs + 15 * dayMs);
  assert.notEqual(keys.policyCertificatePem, made.policyCertificatePem);
  assert.ok(verifyPolicyCertificate(keys.policyCertificatePem ?? '', [made.caCertificatePem], clock.nowMs()));
  assert.deepEqual(
    events.named('certificate.renewed').map(({ fields }) => fields.kind),
    ['tunnel', 'policy'],
  );
  assert.equal(events.named('certificate.ending').length, 0);

  // A node that was off for long renews before it is used.
  clock.advance(200 * dayMs);
  const later = await open(folder, 'internal', clock);
  assert.ok(lifeOf(new X509Certificate(later.keys.tunnelCertificatePem)).endsMs > clock.nowMs());
});

test('a link is made anew for a renewed certificate, and one that is not renewed is an alarm before it ends', async (t) => {
  const pair = await makePair(t);
  let ahead = 0;
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + ahead };
  const identity = await open(join(pair.folder, 'inside'), 'internal', clock);
  const dmz = await startDmz(t, pair, { deps: { clock }, options: { recheckMs: 50 } });
  const inside = await startInside(t, pair, dmz.listener.port, { deps: { identity, clock }, options: { recheckMs: 50 } });
  await honestRoundTrip(inside);
  const before = dmz.peers.current()?.leaf?.serialNumber;
  ahead = 21 * dayMs;
  await identity.renew();
  await until(() => {
    const leaf = dmz.peers.current()?.leaf;
    return leaf !== undefined && leaf.serialNumber !== before;
  }, 'the DMZ node sees the new certificate');
  await honestRoundTrip(inside);
  // The DMZ node of this test never renews its own.
  ahead = 26 * dayMs;
  await until(() => inside.events.named('certificate.ending').length > 0, 'the alarm');
  assert.equal(inside.events.named('certificate.ending')[0]?.fields.whose, 'dmz-1');
  assert.equal(dmz.events.named('certificate.ending').length, 0);
});

test('a refused key ends a live link within a minute, and does not come back', async (t) => {
  const pair = await makePair(t);
  const clock = new ManualClock({ startMs: Date.now() });
  const dmz = await startDmz(t, pair, { deps: { clock }, options: { timing: patient, newcomerMs: 10 * dayMs } });
  const inside = await startInside(t, pair, dmz.listener.port, { options: { timing: { ...patient } } });
  await honestRoundTrip(inside);
  const evil = dmz.peers.current();
  assert.ok(evil);
  clock.advance(60_000);
  assert.equal(dmz.peers.current(), evil, 'a look at the list changes nothing while the key is not on it');
  await denyKey(join(pair.folder, 'dmz', 'denied-keys'), pair.inside.fingerprint, 'stolen');
  assert.equal(dmz.peers.current(), evil);
  clock.advance(60_000);
  assert.equal(dmz.peers.current(), undefined, 'cut at the next look');
  await until(() => inside.link.status().lastFailure?.check === 'revoked', 'refused when it comes back');
  assert.deepEqual(readPeerRecord(join(pair.folder, 'dmz', 'peer.json'))?.identities.length, 1);

  // The inside refuses a DMZ node in the same way, and a list that it cannot read refuses everybody.
  await writeFile(join(pair.folder, 'dmz', 'denied-keys'), '');
  await honestRoundTrip(inside);
  await writeFile(join(pair.folder, 'inside', 'denied-keys'), 'SPD-nonsense\n');
  inside.keeper.recheck();
  await until(() => inside.link.status().lastFailure?.check === 'revoked', 'nobody is let in because of a typing error');
  await writeFile(join(pair.folder, 'inside', 'denied-keys'), '# nobody\n');
  await honestRoundTrip(inside);
});

test('a key that is refused while its link is being greeted takes no live link over', async (t) => {
  const pair = await makePair(t);
  const denied = join(pair.folder, 'dmz', 'denied-keys');
  let epoch = 0;
  const dmz: Dmz = await startDmz(t, pair, {
    deps: {
      epoch: async () => {
        await denyKey(denied, pair.inside.fingerprint, 'stolen');
        dmz.listener.recheck();
        return ++epoch;
      },
    },
  });
  const inside = await startInside(t, pair, dmz.listener.port);
  await until(() => inside.link.status().lastFailure?.check === 'revoked', 'refused when it comes back');
  assert.equal(epoch, 1);
  assert.deepEqual(dmz.events.named('link.up'), []);
  assert.equal(dmz.peers.current(), undefined);
});

test('a node whose key the other one refuses takes another one all the same, and is introduced with it', async (t) => {
  const exchange = await connected(t, 'inside');
  const { pair, inside, identity } = exchange;
  const denied = join(pair.folder, 'dmz', 'denied-keys');
  await denyKey(denied, pair.inside.fingerprint, 'stolen');
  exchange.dmz.listener.recheck();
  await until(() => inside.link.status().lastFailure?.check === 'revoked', 'it is refused');
  await identity.step('announce');
  await assert.rejects(identity.step('switch'), { code: 'peer-refused' });
  const { fingerprint, told: known } = await identity.step('switch', true);
  assert.equal(known, false);
  await until(() => inside.link.status().lastFailure?.check === 'pin', 'it comes with the new key, which nobody knows');
  const { port } = exchange.dmz.listener;
  await exchange.dmz.stop();
  const dmz = await startDmz(t, pair, { options: { port, internalFingerprint: fingerprint } });
  await honestRoundTrip(inside);
  await told(identity);
  await identity.step('retire');
  await told(identity);
  assert.deepEqual(dmz.listener.known.fingerprints, [fingerprint]);
});
