import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { silentLogger } from '../../shared/log.ts';
import type { Grant } from '../../shared/policy.ts';
import { newToken, tokenHash } from '../../shared/secret.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { MemoryView } from '../../test/fixtures/memory-view.ts';
import { everything } from '../../test/fixtures/permissions.ts';
import { RecordedEvents } from '../../test/fixtures/recorded-events.ts';
import type { Visitor } from '../partner-view.ts';
import type { SessionIdentity } from './session-identity.ts';
import { Sessions } from './sessions.ts';

const visitor = (): Visitor => ({ session: newSessionId(), trace: newTraceId(), protocol: 'sftp', peer: '192.0.2.1' });
const grant = (partner: string): Grant => ({
  partner,
  permissions: everything,
  quotaBytes: 1,
  quotaFiles: 1,
  maxFileBytes: 1,
  maxPartials: 1,
  onExisting: 'refuse',
});

const hourMs = 3_600_000;

function bench(policy = true) {
  const clock = new ManualClock();
  const events = new RecordedEvents();
  const notes: string[] = [];
  const identities: SessionIdentity[] = [];
  const views: MemoryView[] = [];
  const sessions = new Sessions({
    viewFor: (identity) => {
      identities.push(identity);
      const view = new MemoryView();
      views.push(view);
      return view;
    },
    asking: { note: (name, params) => notes.push(`${name} ${'token' in params ? params.token : ''}`) },
    limits: () => (policy ? { maxSessions: 3, maxSessionsPerPartner: 2 } : undefined),
    events,
    clock,
    log: silentLogger,
  });
  return { sessions, clock, events, notes, identities, views };
}
const limited = (error: { code?: string }): boolean => error.code === 'limit-reached';

test('a session ends once: its view, its token and its record, with the first reason', async () => {
  const { sessions, events, notes, identities, views } = bench();
  const token = newToken();
  const session = sessions.open(visitor(), grant('acme'), token, hourMs, 0);
  assert.equal(identities[0]?.sessionProof, tokenHash(token));
  const [view] = views;
  assert.ok(view);
  view.receivedBytes = 12;
  await Promise.all([session.end('first'), session.end('second')]);
  assert.deepEqual(view.ended, ['first']);
  assert.deepEqual(notes, [`session.end ${token}`]);
  assert.deepEqual(
    events.of('session.ended').map((e) => e.fields),
    [{ reason: 'first', receivedBytes: 12, sentBytes: 0 }],
  );
  assert.equal(sessions.count(), 0);
  assert.equal(JSON.stringify(events.all).includes(token), false);
});

test('limits of the policy hold for a partner and for all, and a place becomes free at the end', async () => {
  const { sessions } = bench();
  const first = sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0);
  sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0);
  assert.throws(() => sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0), limited);
  sessions.open(visitor(), grant('beta'), newToken(), hourMs, 0);
  assert.throws(() => sessions.open(visitor(), grant('gamma'), newToken(), hourMs, 0), limited);
  await first.end('done');
  sessions.open(visitor(), grant('gamma'), newToken(), hourMs, 0);
  assert.equal(sessions.count(), 3);
});

test('nobody comes in without a policy', () => {
  const { sessions } = bench(false);
  assert.throws(() => sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0), limited);
  assert.equal(sessions.count(), 0);
});

test('revoking cuts the sessions of that partner and no others', async () => {
  const { sessions, events } = bench();
  const acme = sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0);
  const beta = sessions.open(visitor(), grant('beta'), newToken(), hourMs, 0);
  assert.equal(sessions.revoke('acme'), 1);
  assert.equal(sessions.revoke('nobody'), 0);
  await acme.end('later');
  assert.equal(acme.signal.aborted, true);
  assert.equal(beta.signal.aborted, false);
  assert.deepEqual(
    events.of('session.ended').map((e) => e.fields.reason),
    ['revoked by the inside'],
  );
});

test('ends all, also when a view fails to end', async () => {
  const { sessions, views, notes } = bench();
  sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0);
  sessions.open(visitor(), grant('beta'), newToken(), hourMs, 0);
  const [view] = views;
  assert.ok(view);
  view.end = () => Promise.reject(new Error('disk'));
  await sessions.endAll('stopping');
  assert.equal(sessions.count(), 0);
  assert.equal(notes.length, 2);
});

test('a session is cut when its token is worth nothing any more, not before, and not again after its end', async () => {
  const { sessions, clock, events } = bench();
  const acme = sessions.open(visitor(), grant('acme'), newToken(), hourMs, 0);
  const beta = sessions.open(visitor(), grant('beta'), newToken(), hourMs, 0);
  sessions.open(visitor(), grant('gamma'), newToken(), Number.MAX_SAFE_INTEGER, 0);
  await beta.end('done');
  clock.advance(hourMs - 1);
  assert.equal(acme.signal.aborted, false);
  clock.advance(1);
  assert.equal(acme.signal.aborted, true);
  await acme.end('later');
  assert.equal(beta.signal.aborted, false);
  assert.deepEqual(
    events.of('session.ended').map((e) => e.fields.reason),
    ['done', 'its time was over'],
  );
  assert.equal(sessions.count(), 1);
});

test('AC-21: a partner has at most the sessions of his grant, others as many as the policy says', () => {
  const { sessions } = bench();
  sessions.open(visitor(), { ...grant('acme'), maxSessions: 1 }, newToken(), hourMs, 0);
  assert.throws(() => sessions.open(visitor(), { ...grant('acme'), maxSessions: 1 }, newToken(), hourMs, 0), limited);
  sessions.open(visitor(), grant('globex'), newToken(), hourMs, 0);
  sessions.open(visitor(), grant('globex'), newToken(), hourMs, 0);
});

test('single sessions are cut by their ids, and the others go on', async () => {
  const { sessions, events, notes } = bench();
  const [one, other] = [newToken(), newToken()];
  const first = sessions.open(visitor(), grant('acme'), one, hourMs, 0);
  const second = sessions.open(visitor(), grant('acme'), other, hourMs, 0);
  assert.equal(sessions.cut([newSessionId(), first.session]), 1);
  await first.end('waits for the end that has begun');
  assert.deepEqual([first.signal.aborted, second.signal.aborted], [true, false]);
  assert.deepEqual(notes, [`session.end ${one}`]);
  assert.deepEqual(
    events.of('session.ended').map((e) => e.fields.reason),
    ['revoked by the inside'],
  );
  assert.equal(sessions.countOf('acme'), 1);
});

test('a login that was accepted before its partner or its session was cut opens nothing, though its answer comes later', () => {
  const { sessions, clock } = bench();
  clock.advance(1000);
  const late = visitor();
  const askedAtMs = clock.monotonicMs();
  clock.advance(10);
  sessions.revoke('acme');
  sessions.cut([late.session]);
  clock.advance(10);
  const revoked = (error: { code?: string }): boolean => error.code === 'session-unknown';
  assert.throws(() => sessions.open(visitor(), grant('acme'), newToken(), hourMs, askedAtMs), revoked);
  assert.throws(() => sessions.open(late, grant('beta'), newToken(), hourMs, askedAtMs), revoked);
  sessions.open(visitor(), grant('beta'), newToken(), hourMs, askedAtMs);
  sessions.open(visitor(), grant('acme'), newToken(), hourMs, clock.monotonicMs());
  assert.equal(sessions.count(), 2);
});
