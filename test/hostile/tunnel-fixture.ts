/** What the tunnel's tests share: keys, a DMZ listener and an internal link with stand-in rooms behind them, recorded events. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { TunnelListener, type TunnelListenerDeps, type TunnelListenerOptions } from '../../dmz-node/tunnel/listener.ts';
import { Peers } from '../../dmz-node/tunnel/peers.ts';
import {
  KeepConnected,
  type KeepConnectedDeps,
  type KeepConnectedOptions,
  Link,
  type LinkHook,
} from '../../internal-node/tunnel/link.ts';
import { systemClock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { EventRecord } from '../../shared/events/event.ts';
import { silentLogger } from '../../shared/log.ts';
import { fixedIdentity } from '../../shared/pki/node-identity.ts';
import { makeNodeKeys, type NodeKeys } from '../../shared/pki/node-keys.ts';
import type { Answering, StreamServing } from '../../shared/tunnel/handlers.ts';

export class EventLog {
  readonly records: EventRecord[] = [];
  emit(events: readonly EventRecord[]): Promise<void> {
    this.records.push(...events);
    return Promise.resolve();
  }
  named(name: string): EventRecord[] {
    return this.records.filter((record) => record.name === name);
  }
}

export async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-tunnel-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface Pair {
  readonly folder: string;
  readonly dmz: NodeKeys;
  readonly inside: NodeKeys;
}

export async function makePair(t: TestContext): Promise<Pair> {
  const folder = await tempFolder(t);
  const [dmz, inside] = await Promise.all([
    makeNodeKeys(join(folder, 'dmz'), { role: 'dmz', name: 'dmz-1' }),
    makeNodeKeys(join(folder, 'inside'), { role: 'internal', name: 'inside-1' }),
  ]);
  return { folder, dmz, inside };
}

/** Waits for a condition; fails after `limitMs`. */
export async function until(condition: () => boolean, what: string, limitMs = 120_000): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await sleep(5);
  }
}

const unsupported = (): never => {
  throw new SallyportError('unsupported', 'a stand-in');
};

/** The DMZ's rooms. */
export const dmzAnswering = (over: Partial<Answering<'inside'>['requests']> = {}): Answering<'inside'> => ({
  requests: {
    'policy.put': async () => ({ number: 1 }),
    'session.list': async () => ({ sessions: [], more: false }),
    'session.cut': async () => ({ sessions: 0 }),
    'session.revoke': async () => ({ sessions: 0 }),
    'doors.get': async () => ({}),
    'bans.list': async () => ({ bans: [], total: 0 }),
    'bans.lift': async () => ({ lifted: false }),
    'network.get': async () => unsupported(),
    'inbox.list': async () => ({ items: [], more: false }),
    'inbox.lease': async () => ({ leaseMs: 1000 }),
    'inbox.confirm': async () => ({ removed: true }),
    'inbox.release': async () => ({}),
    'outbox.withdraw': async () => ({ removed: true }),
    'status.get': async () => unsupported(),
    ...over,
  },
  notes: {},
});

/** The inside's rooms. */
export const insideAnswering = (over: Partial<Answering<'dmz'>['requests']> = {}): Answering<'dmz'> => ({
  requests: {
    'auth.check': async () => ({ verdict: 'rejected' }),
    'auth.cookies': async () => ({ cookies: [], lifeMs: 300_000 }),
    'item.ready': async () => unsupported(),
    'key.release': async () => unsupported(),
    ...over,
  },
  notes: { 'session.end': () => undefined, 'outbox.fetched': () => undefined },
});

export const emptyStreams: StreamServing = {
  'inbox.read': async function* () {},
  'inbox.collect': async function* () {},
  'events.read': async function* () {},
  'outbox.offer': async (_params, source) => {
    for await (const _ of source);
    return { stored: true };
  },
};

export interface Dmz {
  readonly listener: TunnelListener;
  readonly peers: Peers;
  readonly events: EventLog;
  stop(): Promise<void>;
}

export async function startDmz(
  t: TestContext,
  pair: Pair,
  over: { deps?: Partial<TunnelListenerDeps>; options?: Partial<TunnelListenerOptions> } = {},
): Promise<Dmz> {
  const peers = new Peers();
  const events = new EventLog();
  let epoch = 0;
  const listener = new TunnelListener(
    {
      peers,
      identity: fixedIdentity(pair.dmz),
      answering: () => dmzAnswering(),
      streams: emptyStreams,
      epoch: async () => ++epoch,
      events,
      log: silentLogger,
      clock: systemClock,
      ...over.deps,
    },
    {
      host: '127.0.0.1',
      port: 0,
      internalFingerprint: pair.inside.fingerprint,
      peerRecordFile: join(pair.folder, 'dmz', 'peer.json'),
      denyFile: join(pair.folder, 'dmz', 'denied-keys'),
      classicalKeyExchange: false,
      version: 'test',
      ...over.options,
    },
  );
  await listener.start();
  const stop = () => listener.stop(AbortSignal.abort());
  t.after(stop);
  return { listener, peers, events, stop };
}

export interface Inside {
  readonly link: Link;
  readonly keeper: KeepConnected;
  readonly events: EventLog;
  stop(): Promise<void>;
}

export async function startInside(
  t: TestContext,
  pair: Pair,
  port: number,
  over: {
    answering?: Answering<'dmz'>;
    hooks?: readonly LinkHook[];
    deps?: Partial<KeepConnectedDeps>;
    options?: Partial<KeepConnectedOptions>;
  } = {},
): Promise<Inside> {
  const link = new Link();
  const events = new EventLog();
  const keeper = new KeepConnected(
    {
      link,
      identity: fixedIdentity(pair.inside),
      hooks: over.hooks ?? [],
      answering: over.answering ?? insideAnswering(),
      events,
      log: silentLogger,
      clock: systemClock,
      ...over.deps,
    },
    {
      host: '127.0.0.1',
      port,
      dmzFingerprint: pair.dmz.fingerprint,
      peerRecordFile: join(pair.folder, 'inside', 'peer.json'),
      denyFile: join(pair.folder, 'inside', 'denied-keys'),
      classicalKeyExchange: false,
      version: 'test',
      firstRetryMs: 20,
      maxRetryMs: 200,
      ...over.options,
    },
  );
  await keeper.start();
  const stop = () => keeper.stop(AbortSignal.abort());
  t.after(stop);
  return { link, keeper, events, stop };
}

export const isUp = (inside: Inside) => () => inside.link.status().connected;

/** Connects, proves that requests pass both ways, and leaves. The measure after each attack. */
export async function honestRoundTrip(inside: Inside): Promise<void> {
  await until(isUp(inside), 'an honest link after the attack');
  const answer = await inside.link.request('inbox.list', { after: 0, limit: 1 });
  if (answer.items.length !== 0) throw new Error('the honest answer was lost');
}
