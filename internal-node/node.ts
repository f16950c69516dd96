/**
 * The composition root of the internal node: makes every part, hands each what it needs, starts them in order and stops
 * them in reverse. Reads like the drawing; decides nothing.
 */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { RunningNode } from '../shared/admin/serve.ts';
import { systemClock } from '../shared/clock.ts';
import { Database } from '../shared/durable/database.ts';
import { event } from '../shared/events/event.ts';
import { createLogger, printable } from '../shared/log.ts';
import { matcherOf } from '../shared/matching/expression.ts';
import { keepMemoryFlat } from '../shared/memory.ts';
import { CertificateDesk } from '../shared/pki/certificate-desk.ts';
import { denyFileName } from '../shared/pki/deny-list.ts';
import { NodeIdentity } from '../shared/pki/node-identity.ts';
import type { NodeKeys } from '../shared/pki/node-keys.ts';
import { SealWorkers } from '../shared/seal/seal-workers.ts';
import { ServiceStack } from '../shared/service.ts';
import type { Answering } from '../shared/tunnel/handlers.ts';
import { programVersion } from '../shared/version.ts';
import type { InternalAdminApi } from './admin/api.ts';
import type { OverviewOperations } from './admin/overview-operations.ts';
import { ApplyDesk } from './apply-desk.ts';
import type { AuditOperations } from './audit/audit-operations.ts';
import { PeerEvents } from './audit/peer-events.ts';
import { type InternalConfig, loadInternalConfig, loadPlannedSettings } from './config.ts';
import { ConfigSwap } from './config-swap.ts';
import { CurrentConfig } from './current-config.ts';
import type { Destination } from './destination.ts';
import { FolderDestination, folderDefaults } from './destinations/folder.ts';
import { ProgramDestination, type ProgramReport, programDefaults } from './destinations/program.ts';
import { type CompanionSettings, Companions } from './inbound/companions.ts';
import { Delivery, deliveryDefaults } from './inbound/delivery.ts';
import type { OpenWhole } from './inbound/fetch.ts';
import { InboxScan } from './inbound/inbox-scan.ts';
import { Items } from './inbound/items.ts';
import type { LedgerOperations } from './inbound/ledger-operations.ts';
import { Puller, pullerDefaults } from './inbound/puller.ts';
import { recover } from './inbound/recovery.ts';
import { Registrar } from './inbound/registrar.ts';
import { StaffDesk, staffDeskDefaults } from './inbound/staff-desk.ts';
import { StagingArea, stagingDefaults } from './inbound/staging.ts';
import { ItemSearch } from './item-search.ts';
import { KeyRelease } from './keys/release.ts';
import { loadSealingIdentity } from './keys/sealing-identity.ts';
import { makeLogins } from './logins.ts';
import { OutgoingFolder } from './outbound/outgoing-folder.ts';
import type { OutgoingOperations } from './outbound/outgoing-operations.ts';
import { OutgoingWork, outgoingWorkDefaults } from './outbound/outgoing-work.ts';
import { Sender, senderDefaults } from './outbound/sender.ts';
import { OutgoingWatcher, watcherDefaults } from './outbound/watcher.ts';
import type { PolicyOperations } from './policy/policy-operations.ts';
import { PolicyPublisher, type PolicySigner } from './policy/publish.ts';
import type { Uploads } from './policy/uploads.ts';
import type { InternalOperations } from './records.ts';
import { SessionCuts } from './session-cuts.ts';
import { StaffApi } from './staff-api.ts';
import { KeepConnected, Link } from './tunnel/link.ts';

/**
 * @param rolledBack Why the configuration of before was put back before this start, if it was.
 * @throws SallyportError `key-file`, `already-running`, `config-invalid`, `database-failed`.
 */
export async function startInternalNode(config: InternalConfig, rolledBack?: string): Promise<RunningNode<InternalAdminApi>> {
  keepMemoryFlat();
  const clock = systemClock;
  const log = createLogger({ node: config.name, level: config.log.level });
  const sealing = await loadSealingIdentity(config.keys);
  const current = new CurrentConfig(config, sealing.recipient);
  const spool = await folderIn(config.state, 'spool');
  const hand = await folderIn(config.state, 'by-hand');

  const database = await Database.open<InternalOperations>({
    file: join(config.state, 'records.db'),
    operations: new URL('./records.ts', import.meta.url),
    audit: { folder: join(config.state, 'audit'), node: config.name },
  });
  const identity = await NodeIdentity.open({ events: database, clock, log }, { folder: config.keys, role: 'internal' });
  const ledger = database.room<LedgerOperations>();
  const seal = new SealWorkers({ threads: threadsOf(config.workers.seal) });
  const createOpener = (path: string) => seal.createOpener({ path, identity: sealing.identity });
  const openWhole: OpenWhole = (path, segments, sealed) => seal.openWhole({ path, identity: sealing.identity, segments, sealed });
  const createSealer = (path: string) => seal.createWriter({ path, recipients: [sealing.recipient] });

  const {
    book,
    adopted,
    factors,
    cookies,
    passwords,
    withdrawals,
    staff: staffLogins,
    directories,
    desk,
  } = makeLogins({ database, current, config, clock, log });

  // What comes in
  const link = new Link();
  const inboxLink = {
    request: link.request.bind(link),
    openStream: link.openStream.bind(link),
    epoch: () => link.facts()?.epoch,
  };
  const publisher = new PolicyPublisher(
    {
      records: database.room<PolicyOperations>(),
      link,
      contents: () => current.policyContents(),
      signer: () => policySigner(identity.keys),
      clock,
      log,
    },
    { validMs: config.policy.expires },
  );
  const report = ({ program, item, outcome, ranMs, output }: ProgramReport): Promise<void> =>
    database.emit([
      event('program.ended', clock.nowMs(), { item }, { program, outcome, ranMs, output: printable(output, 4096) }),
    ]);
  const destinations = new Map<string, Destination>([
    ...config.destinations.map((options) => [options.name, new FolderDestination({ ...folderDefaults, ...options })] as const),
    ...config.programs.map(({ name, command, timeoutMs, concurrent }) => {
      const options = { ...programDefaults, name, command, timeoutMs, concurrent, folder: join(config.state, 'programs', name) };
      return [name, new ProgramDestination({ clock, report }, options)] as const;
    }),
  ]);
  const stops = new Map([...config.destinations, ...config.programs].map(({ name, stopAfter }) => [name, stopAfter]));
  const registrar = new Registrar({
    ledger,
    partners: current,
    addressees: current.addressees,
    sessions: book,
    routing: () => ({ router: current, policyNumber: publisher.held }),
    clock,
    onWork: () => puller.wake(),
  });
  const delivery = new Delivery(
    {
      ledger,
      link: inboxLink,
      destinations,
      companions: new Companions({ ledger, settingsOf: (partner) => companionSettings(current.uploadsOf(partner)) }),
      staging: new StagingArea({ ...stagingDefaults, floor: config.staging.minimumFree }),
      createOpener,
      openWhole,
      clock,
      log,
    },
    {
      ...deliveryDefaults,
      smallStreams: Math.max(2, Math.floor(config.tunnel.dataSockets / 8)),
      stopAfter: (destination) => stops.get(destination) ?? 0,
      retry: { firstMs: config.pull.retryFirst, maxMs: config.pull.retryMost },
    },
  );
  const puller: Puller = new Puller(
    {
      ledger,
      link: inboxLink,
      scan: new InboxScan({ link: inboxLink, ledger, registrar, onViolation: (detail) => link.violate(detail), clock, log }),
      delivery,
      recover: () => recover({ ledger, destinations, delivery, log }),
      clock,
      log,
    },
    {
      ...pullerDefaults,
      pollMs: config.pull.poll,
      concurrency: config.pull.concurrency,
      streams: config.tunnel.dataSockets,
    },
  );
  const staff = new StaffDesk(
    { ledger, link: inboxLink, destinations, createOpener, clock },
    { ...staffDeskDefaults, folder: hand },
  );

  // What goes out
  const outgoing = database.room<OutgoingOperations>();
  const folder = config.outgoing && new OutgoingFolder(config.outgoing.folder);
  const work = new OutgoingWork(
    { records: outgoing, link, folder, createSealer, clock, log },
    { ...outgoingWorkDefaults, spool, after: config.outgoing?.after ?? 'delete' },
  );
  const sender = new Sender(
    { records: outgoing, work, folder, partners: current.addressees, createSealer, clock, log },
    { ...senderDefaults, spool, ...(config.outgoing ? { expiresMs: config.outgoing.expires } : {}) },
  );
  const items = new Items({ ledger, offered: sender, sharedWith: (partner) => current.sharedWith(partner), clock, log });
  const release = new KeyRelease({ sessions: book, items, identity: sealing.identity, events: database, clock, log });

  // The tunnel
  const peerEvents = new PeerEvents({ link, records: database.room<AuditOperations>(), events: database, clock, log });
  const answering: Answering<'dmz'> = {
    requests: {
      'auth.check': (params, signal) => desk.check(params, signal),
      'auth.cookies': async ({ count }) => cookies.make(count),
      'item.ready': (params, signal) => registrar.ready(params, signal),
      'key.release': (params, signal) => release.release(params, signal),
    },
    notes: {
      'session.end': ({ token }) =>
        void book.endSession(token).catch((error: unknown) => log.error({ err: error }, 'a session did not end')),
      'outbox.fetched': (params) => items.fetched(params),
    },
  };
  const denyFile = join(config.keys, denyFileName);
  const tunnel = new KeepConnected(
    {
      link,
      identity,
      answering,
      events: database,
      clock,
      log,
      hooks: [
        { name: 'sessions', onUp: () => book.linkUp(), onDown: () => book.linkDown() },
        { name: 'policy', onUp: async () => publisher.linkUp(), onDown: async () => publisher.linkDown() },
        { name: 'puller', onUp: async () => puller.linkUp() },
        { name: 'sender', onUp: async () => sender.wake() },
        { name: 'revocations', onUp: async () => void cuts.linkUp().catch(untold) },
        { name: 'events', onUp: async ({ peer }, signal) => void peerEvents.follow(peer, signal) },
      ],
    },
    {
      host: config.dmz.address.host,
      port: config.dmz.address.port,
      dmzFingerprint: config.dmz.fingerprint,
      peerRecordFile: join(config.state, 'dmz-node.json'),
      denyFile,
      classicalKeyExchange: config.tunnel.classicalKeyExchange,
      maxDataSockets: config.tunnel.dataSockets,
      version: programVersion,
    },
  );

  const certificates = new CertificateDesk(
    {
      identity,
      known: () => tunnel.known,
      peerCertificate: () => link.peerCertificate(),
      recheck: () => tunnel.recheck(),
      // The policy that the DMZ node keeps must be signed under the keys that stay.
      beforeRetire: () => publisher.publish(),
      events: database,
      clock,
    },
    { denyFile },
  );
  const untold = (error: unknown): void => log.warn({ err: error }, 'the DMZ node was not told whose sessions are over');
  const overview = database.room<OverviewOperations>();
  const now = (): number => Math.floor(clock.nowMs());
  const cuts: SessionCuts = new SessionCuts(
    {
      connected: async () => (await overview.call('admin.overview', { nowMs: now() })).connected,
      mayStay: (partner) => current.mayStay(partner, now()),
      endPartner: (partner) => book.endPartner(partner),
      endOthers: (kept) => book.endOthers(kept),
      notLive: (sessions) => book.notLive(sessions),
      withdraw: () => withdrawals.look(),
    },
    link,
  );
  withdrawals.onWithdrawn((sessions) => cuts.cutSessions(sessions));
  const api: StaffApi = new StaffApi({
    current,
    link,
    publisher,
    cuts,
    withdrawals,
    search: new ItemSearch({ staff, sender, ledger, audit: database.room<AuditOperations>() }),
    ledger,
    staff,
    sender,
    records: database.room<AuditOperations>(),
    overview,
    events: database,
    wakePuller: () => puller.wake(),
    readConfig: () => loadInternalConfig(config.file),
    applyDesk: () => applyDesk,
    desk,
    adopted,
    factors,
    passwords,
    staffLogins,
    clock,
    identity,
    certificates,
  });
  const applyDesk = new ApplyDesk({
    swap: new ConfigSwap({ configFile: config.file, stateFolder: config.state }),
    present: () => current.config,
    load: (from) => loadPlannedSettings(from, config.file),
    filesInUse: async () => {
      const found = await loadInternalConfig(config.file).catch(() => current.config);
      return found.files;
    },
    check: (settings) => publisher.check(new CurrentConfig({ ...settings, dmz: config.dmz }, sealing.recipient).policyContents()),
    reload: () => api.reload(),
    held: () => publisher.held,
    events: database,
    clock,
    log,
  });

  const services = new ServiceStack();
  const stop = async (reason: string, signal: AbortSignal): Promise<void> => {
    const told = database.emit([event('node.stopping', clock.nowMs(), {}, { reason })]);
    await told.catch((error: unknown) => log.error({ err: error }, 'the stop was not recorded'));
    await services.stop(signal, (name, error) => log.error({ err: error, part: name }, 'a part did not stop cleanly'));
    await database.close();
  };
  try {
    await database.emit([event('node.started', clock.nowMs(), {}, { version: programVersion })]);
    if (rolledBack !== undefined) await database.emit([event('config.rolled-back', clock.nowMs(), {}, { reason: rolledBack })]);
    await services.start({ name: 'seal workers', start: () => seal.start(), stop: () => seal.stop() });
    await services.start(identity);
    await services.start(book);
    await services.start(adopted);
    await services.start(factors);
    await services.start(passwords);
    await passwords.keepOnly(current.accounts.keys());
    await services.start(withdrawals);
    await services.start({ name: 'directories', start: async () => {}, stop: () => directories.close() });
    await services.start(publisher);
    await staff.start();
    await services.start(puller);
    await services.start(sender);
    if (config.outgoing && folder) {
      const { folder: path, settle, rescan, ignore } = config.outgoing;
      const options = { ...watcherDefaults, path, settleMs: settle, rescanMs: rescan, ignored: anyOf(ignore) };
      await services.start(
        new OutgoingWatcher({ folder, partners: current.addressees, sender, events: database, clock, log }, options),
      );
    }
    await services.start(tunnel);
    await services.start(applyDesk);
  } catch (error) {
    await stop('a part could not start', AbortSignal.abort());
    throw error;
  }
  return { admin: api, stop };
}

function policySigner({ policyKeyPem: keyPem, policyCertificatePem: certificatePem }: NodeKeys): PolicySigner {
  if (keyPem === undefined || certificatePem === undefined) throw new Error('keys of an internal node without a policy key');
  return { keyPem, certificatePem };
}

async function folderIn(state: string, name: string): Promise<string> {
  const path = join(state, name);
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Whether a name fits one of the globs. */
function anyOf(globs: readonly string[]): (name: string) => boolean {
  const tests = globs.map((text) => matcherOf(text));
  return (name) => tests.some((test) => test(name));
}

const companionSettings = ({ duplicates, duplicateWindowMs, trigger }: Uploads): CompanionSettings => ({
  duplicates: { action: duplicates, windowMs: duplicateWindowMs },
  trigger,
});

const threadsOf = (setting: 'auto' | number): number =>
  setting === 'auto' ? Math.max(1, Math.min(4, availableParallelism() - 1)) : setting;
