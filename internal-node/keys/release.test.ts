import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { type ErrorCode, SallyportError } from '../../shared/errors.ts';
import { newItemId } from '../../shared/ids.ts';
import { silentLogger } from '../../shared/log.ts';
import { generateIdentity } from '../../shared/seal/age-key.ts';
import { headerSha256, sealHeader } from '../../shared/seal/header.ts';
import { newToken } from '../../shared/secret.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { RecordedEvents } from '../../test/fixtures/recorded-events.ts';
import { defaultKeyReleaseOptions, KeyRelease, type ReadableItem } from './release.ts';

const { identity, recipient } = generateIdentity();
const never = new AbortController().signal;

function make(options: Partial<typeof defaultKeyReleaseOptions> = {}) {
  const clock = new ManualClock();
  const events = new RecordedEvents();
  const token = newToken();
  const item = newItemId();
  const fileKeys = [randomBytes(16), randomBytes(16)];
  const headers = fileKeys.map((key) => sealHeader(key, [recipient]));
  const readable: ReadableItem = { headers: headers.map(headerSha256), path: '/Outbox/prices.csv' };
  const live = { partner: 'acme', session: 's', trace: 't' };
  const release = new KeyRelease(
    {
      sessions: { byToken: async (given) => (given === token ? live : undefined) },
      items: { readableBy: async (id, partner) => (id === item && partner === 'acme' ? readable : undefined) },
      identity,
      events,
      clock,
      log: silentLogger,
    },
    { ...defaultKeyReleaseOptions, ...options },
  );
  const ask = (change: { token?: string; item?: string; headers?: Buffer[] } = {}) => {
    const asked = { token, item, headers, ...change };
    return release.release({ ...asked, headers: asked.headers.map((header) => header.toString('base64')) }, never);
  };
  const refuses = async (code: ErrorCode, change: Parameters<typeof ask>[0]): Promise<void> =>
    assert.rejects(ask(change), (error) => error instanceof SallyportError && error.code === code);
  return { clock, events, item, fileKeys, headers, ask, refuses };
}

test('releases the file keys of a registered item to a live session, in order, and records it first', async () => {
  const { ask, headers, fileKeys, events, item } = make();
  assert.deepEqual(
    (await ask()).keys,
    fileKeys.map((key) => key.toString('base64')),
  );
  const turned = { headers: [...headers].reverse() };
  assert.deepEqual(
    (await ask(turned)).keys,
    [...fileKeys].reverse().map((key) => key.toString('base64')),
  );
  const [released] = events.of('key.released');
  assert.deepEqual([released?.item, released?.partner, released?.session, released?.trace], [item, 'acme', 's', 't']);
  assert.equal(released?.fields.path, '/Outbox/prices.csv');
});

test('refuses a token that is not live', async () => {
  const { refuses, events } = make();
  await refuses('session-unknown', { token: newToken() });
  assert.equal(events.of('key.refused').length, 1);
  assert.equal(events.of('key.released').length, 0);
});

test('refuses an item that this partner may not read', async () => {
  const { refuses, events } = make();
  await refuses('key-refused', { item: newItemId() });
  assert.equal(events.of('key.refused')[0]?.partner, 'acme');
});

test('refuses headers that were never registered for the item, and all keys when one is wrong', async () => {
  const { refuses, headers, events } = make();
  const [first] = headers;
  assert.ok(first);
  const foreign = sealHeader(randomBytes(16), [recipient]);
  await refuses('key-refused', { headers: [foreign] });
  await refuses('key-refused', { headers: [first, foreign] });
  await refuses('key-refused', { headers: [Buffer.concat([first, Buffer.from('\n')])] });
  await refuses('key-refused', { headers: [Buffer.alloc(0)] });
  assert.equal(events.of('key.refused').length, 4);
  assert.equal(events.of('key.released').length, 0);
});

test('refuses a registered header that is sealed to somebody else', async () => {
  const strange = sealHeader(randomBytes(16), [generateIdentity().recipient]);
  const release = new KeyRelease({
    sessions: { byToken: async () => ({ partner: 'acme', session: 's', trace: 't' }) },
    items: { readableBy: async () => ({ headers: [headerSha256(strange)], path: '/x' }) },
    identity,
    events: new RecordedEvents(),
    clock: new ManualClock(),
    log: silentLogger,
  });
  const params = { token: newToken(), item: newItemId(), headers: [strange.toString('base64')] };
  await assert.rejects(
    release.release(params, never),
    (error) => error instanceof SallyportError && error.code === 'key-refused',
  );
});

test('gives no key when the release cannot be recorded', async () => {
  const header = sealHeader(randomBytes(16), [recipient]);
  const release = new KeyRelease({
    sessions: { byToken: async () => ({ partner: 'acme', session: 's', trace: 't' }) },
    items: { readableBy: async () => ({ headers: [headerSha256(header)], path: '/x' }) },
    identity,
    events: { emit: () => Promise.reject(new SallyportError('store-suspect', 'disk')) },
    clock: new ManualClock(),
    log: silentLogger,
  });
  const params = { token: newToken(), item: newItemId(), headers: [header.toString('base64')] };
  await assert.rejects(release.release(params, never), /disk/);
});

test('has a budget per partner and for all, and records only so many refusals', async () => {
  const perPartner = make({ perPartnerPerMinute: 2 });
  await perPartner.ask();
  await perPartner.ask();
  await perPartner.refuses('limit-reached', {});
  perPartner.clock.advance(30_000);
  await perPartner.ask();

  const all = make({ perMinute: 50, refusalsPerMinute: 5 });
  for (let i = 0; i < 50; i += 1) await all.refuses('session-unknown', { token: newToken() });
  await all.refuses('limit-reached', {});
  assert.equal(all.events.of('key.refused').length, 5);
});
