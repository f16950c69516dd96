/**
 * The composition root of the DMZ node: makes every part, hands each what it needs, starts them in order and stops them in
 * reverse. Reads like the drawing; decides nothing.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { RunningNode } from '../shared/admin/serve.ts';
import { systemClock } from '../shared/clock.ts';
import { Database } from '../shared/durable/database.ts';
import { event } from '../shared/events/event.ts';
import { createLogger } from '../shared/log.ts';
import { keepMemoryFlat } from '../shared/memory.ts';
import { CertificateDesk } from '../shared/pki/certificate-desk.ts';
import { denyFileName } from '../shared/pki/deny-list.ts';
import { NodeIdentity } from '../shared/pki/node-identity.ts';
import { verifyPolicyCertificate } from '../shared/pki/peer-check.ts';
import { SealWorkers } from '../shared/seal/seal-workers.ts';
import { ServiceStack } from '../shared/service.ts';
import { limits as tunnelLimits } from '../shared/tunnel/messages.ts';
import { programVersion } from '../shared/version.ts';
import type { DmzAdminApi } from './admin/api.ts';
import { Admission } from './admission.ts';
import { Cache, cacheDefaults } from './cache/cache.ts';
import { HandOver } from './cache/hand-over.ts';
import { type DmzConfig, stateFiles } from './config.ts';
import { Announcer } from './dispatch/announcer.ts';
import { Dispatcher } from './dispatch/dispatcher.ts';
import { dmzNetwork } from './dmz-network.ts';
import { doorFacts } from './door-facts.ts';
import { type Door, Doors } from './doors.ts';
import { FtpsListener, ftpsDefaults } from './ftps/listener.ts';
import type { OwnKeys } from './host-check.ts';
import { InvitationDesk } from './invitation-desk.ts';
import { NodeStatus } from './node-status.ts';
import { Authenticator, authenticatorDefaults } from './partner/authenticator.ts';
import { FileView } from './partner/file-view.ts';
import { HandshakeCookies } from './partner/handshake-cookies.ts';
import { Rates } from './partner/rates.ts';
import { Sessions } from './partner/sessions.ts';
import { Throttle, throttleDefaults } from './partner/throttle.ts';
import { partnerTurns } from './partner/turns.ts';
import { PolicyHolder } from './policy-holder.ts';
import { stallRule } from './progress.ts';
import type { DmzOperations } from './records.ts';
import { SftpListener, sftpDefaults } from './sftp/listener.ts';
import { Invitations } from './tunnel/invitations.ts';
import { TunnelListener } from './tunnel/listener.ts';
import { Peers } from './tunnel/peers.ts';

/** @throws SallyportError `already-running`, `config-invalid`, `database-failed`, `store-suspect`. */
export async function startDmzNode(config: DmzConfig, keys: OwnKeys): Promise<RunningNode<DmzAdminApi>> {
  keepMemoryFlat();
  const clock = systemClock;
  const log = createLogger({ node: config.name, level: config.log.level });
  const { limits } = config;
  const stall = stallRule(limits.stall, limits.minimumRate);
  const startedAtMs = Math.floor(clock.nowMs());

  const database = await Database.open<DmzOperations>({
    file: join(config.state, 'records.db'),
    operations: new URL('./records.ts', import.meta.url),
    audit: { folder: join(config.state, 'audit'), node: config.name },
  });
  const records = database.room<DmzOperations>();
  const seal = new SealWorkers({ threads: threadsOf(config.workers.seal) });
  const identity = await NodeIdentity.open({ events: database, clock, log }, { folder: config.keys, role: 'dmz' });
  const invitations = new Invitations({ clock }, { file: join(config.state, stateFiles.invitations) });
  await invitations.load();
  const peers = new Peers();
  const policy = new PolicyHolder(
    { peerAuthorities: () => tunnel.known.authorities, verifyCertificate: verifyPolicyCertificate, events: database, clock, log },
    { folder: config.state },
  );

  // The caches and the dispatcher
  const announcer: Announcer = new Announcer({
    records,
    inside: peers,
    discard: (files) => cache.core.files.discard(files),
    clock,
    log,
  });
  const cache: Cache = new Cache(
    {
      records,
      events: database,
      seal,
      policy,
      dispatcher: new Dispatcher({ policy, log }),
      announce: (id, description) => announcer.completed(id, description),
      inside: peers,
      clock,
      log,
    },
    {
      ...cacheDefaults,
      folder: config.state,
      minimumFree: config.space.minimumFree,
      reserveBytes: config.space.reserve,
      reorderWindowBytes: limits.reorderWindow,
      reorderBudgetBytes: limits.reorderBudget,
      stall,
    },
  );

  // Partners
  const turns = partnerTurns();
  const rates = new Rates(clock);
  const sessions: Sessions = new Sessions({
    viewFor: (identity) =>
      new FileView(
        {
          cache,
          turns,
          rates,
          clock,
          maxHandles: () => policy.current()?.limits.maxHandlesPerSession ?? sftpDefaults.maxHandles,
        },
        identity,
      ),
    asking: peers,
    limits: () => policy.current()?.limits,
    events: database,
    clock,
    log,
  });
  const { banFor, ...penalties } = limits.throttle;
  const throttle = new Throttle(
    {
      clock,
      onBanned: (peer, seconds, reason) =>
        void database.emit([event('source.banned', clock.nowMs(), {}, { peer, seconds, reason })]).catch(() => {}),
    },
    { ...throttleDefaults, penalties: { ...throttleDefaults.penalties, ...penalties, banSeconds: Math.ceil(banFor / 1000) } },
  );
  const cookies = new HandshakeCookies({ asking: peers, clock, log });
  const desk = new Authenticator({ asking: peers, sessions, throttle, events: database, clock, log }, authenticatorDefaults);
  const { host, port } = config.sftp.listen;
  const admissionLimits = {
    maxConnections: limits.connections,
    maxConnectionsPerSource: limits.connectionsPerSource,
    maxUnauthenticated: limits.unauthenticated,
    maxUnauthenticatedPerSource: limits.unauthenticatedPerSource,
    maxSilent: limits.silent,
  };
  const admission = new Admission(admissionLimits);
  const doorDeps = { desk, policy: () => policy.current(), admission, events: database, clock, log };
  const doorLimits = {
    loginGraceMs: limits.loginGrace,
    maxLoginAttempts: limits.loginAttempts,
    idleMs: limits.idle ?? Number.MAX_SAFE_INTEGER,
    stall,
  };
  const makeSftp = (): SftpListener =>
    new SftpListener(
      { ...doorDeps, cookies },
      {
        ...sftpDefaults,
        ...admissionLimits,
        ...doorLimits,
        host,
        port,
        hostKeys: keys.hostKeys,
        proxyFrom: config.sftp.proxyFrom,
        compatible: config.sftp.algorithms === 'compatible',
        keepAliveMs: limits.keepAlive,
        keepAliveMisses: limits.keepAliveMisses,
        rekeyBytes: limits.rekeyBytes,
        rekeyMs: limits.rekeyAfter,
        maxWindowBytes: limits.receiveWindow,
        outstandingBytes: limits.outstandingBytesPerSession,
        sharedOutstandingBytes: limits.outstandingBytes,
      },
    );
  const makeFtps = (ftps: NonNullable<DmzConfig['ftps']>) => (): Door =>
    new FtpsListener(doorDeps, {
      ...ftpsDefaults,
      ...doorLimits,
      explicit: ftps.listen,
      implicit: ftps.implicit,
      proxyFrom: ftps.proxyFrom,
      passivePorts: ftps.passive.ports,
      passiveAddress: ftps.passive.address,
      certificates: ftps.certificates,
      tls: {
        minimum: ftps.tlsMinimum === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
        clientCertificates: ftps.clientCertificates?.mode ?? 'none',
        ...(keys.ftpsClientAuthorities === undefined ? {} : { clientAuthorities: keys.ftpsClientAuthorities }),
      },
      requireBinding: ftps.sessionBinding === 'require',
      requireEndOfData: ftps.requireEndOfData,
      activeMode: ftps.active !== undefined,
      activeSourcePort: ftps.active?.sourcePort ?? 0,
      plainFtp: ftps.plainFtp !== undefined,
      plainReason: ftps.plainFtp?.reason ?? '',
    });
  const doors = new Doors(
    { make: { sftp: makeSftp, ...(config.ftps ? { ftps: makeFtps(config.ftps) } : {}) }, log },
    { portsFile: join(config.state, 'ports.json') },
  );
  policy.onChange((bundle) => void doors.follow(bundle));
  policy.onChange(
    () => void announcer.policyChanged().catch((error: unknown) => log.error({ err: error }, 'items were not looked at anew')),
  );

  // The tunnel
  const handOver = new HandOver({
    core: cache.core,
    status: () => ({ version: programVersion, startedAtMs, policyNumber: policy.number, sessions: sessions.count() }),
  });
  database.onEvents(() => handOver.eventsRecorded());
  const denyFile = join(config.keys, denyFileName);
  const certificates = new CertificateDesk(
    {
      identity,
      known: () => tunnel.known,
      peerCertificate: () => peers.current()?.leaf,
      recheck: () => tunnel.recheck(),
      beforeRetire: async () => {},
      events: database,
      clock,
    },
    { denyFile },
  );
  const status = new NodeStatus({
    config,
    identity,
    certificates,
    invitations: new InvitationDesk({ invitations, identity, events: database, clock }, { typed: config.internal?.fingerprint }),
    peers,
    policy,
    doors,
    handOver,
    cache,
    throttle,
    lastRefusal: () => tunnel.lastRefusal,
  });
  const tunnel: TunnelListener = new TunnelListener(
    {
      peers,
      identity,
      invitations,
      answering: () => ({
        requests: {
          ...handOver.requests,
          'policy.put': (params) => policy.put(params),
          'network.get': async () => dmzNetwork(config, doors.ports()),
          'bans.list': async () => {
            const bans = throttle.bans();
            return { bans: bans.slice(0, tunnelLimits.listedBans), total: bans.length };
          },
          'bans.lift': async ({ source }) => {
            const lifted = throttle.lift(source);
            if (lifted) await database.emit([event('source.ban-lifted', clock.nowMs(), {}, { source })]);
            return { lifted };
          },
          'session.list': async ({ after }) => sessions.page(after, tunnelLimits.listedSessions),
          'doors.get': () => doorFacts({ ports: () => doors.ports(), hostKeys: keys.hostKeys, ftps: config.ftps }),
          'session.cut': async (params) => ({ sessions: sessions.cut(params.sessions) }),
          'session.revoke': async ({ partner }) => ({ sessions: sessions.revoke(partner) }),
        },
        notes: {},
      }),
      streams: handOver.streams,
      epoch: () => cache.nextEpoch(),
      events: database,
      clock,
      log,
      onLink: (change, facts) => {
        status.linkChanged(facts, clock.nowMs());
        if (change === 'up') {
          cookies.linkUp();
          return announcer.linkUp();
        }
        cache.linkDown(facts.epoch);
        if (peers.current()) return;
        cookies.linkDown();
        announcer.linkDown();
      },
    },
    {
      host: config.tunnel.listen.host,
      port: config.tunnel.listen.port,
      internalFingerprint: config.internal?.fingerprint,
      peerRecordFile: join(config.state, stateFiles.internalNode),
      denyFile,
      classicalKeyExchange: config.tunnel.classicalKeyExchange,
      version: programVersion,
      ...(config.tunnel.allowFrom.length > 0 ? { allowFrom: config.tunnel.allowFrom } : {}),
    },
  );

  const services = new ServiceStack();
  const stop = async (reason: string, signal: AbortSignal): Promise<void> => {
    const told = database.emit([event('node.stopping', clock.nowMs(), {}, { reason })]);
    await told.catch((error: unknown) => log.error({ err: error }, 'the stop was not recorded'));
    await services.stop(signal, (name, error) => log.error({ err: error, part: name }, 'a part did not stop cleanly'));
    await database.close();
  };
  try {
    await database.emit([event('node.started', clock.nowMs(), {}, { version: programVersion })]);
    await services.start({ name: 'seal workers', start: () => seal.start(), stop: () => seal.stop() });
    tunnel.load();
    await services.start(identity);
    await services.start(cache);
    await services.start(announcer);
    await services.start(policy);
    await services.start(tunnel);
    await services.start({ name: 'sessions', start: async () => {}, stop: () => sessions.endAll('the node stops') });
    await services.start(doors);
  } catch (error) {
    await stop('a part could not start', AbortSignal.abort());
    throw error;
  }
  return { admin: status, stop };
}

const threadsOf = (setting: 'auto' | number): number =>
  setting === 'auto' ? Math.max(1, Math.min(4, availableParallelism() - 1)) : setting;
