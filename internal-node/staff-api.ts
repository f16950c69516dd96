/** What staff and operators ask over the admin socket, answered from the rooms of the node. Decides nothing itself. */
import type { Clock } from '../shared/clock.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { ownConfinement } from '../shared/confinement/own-confinement.ts';
import type { EventSink, Records } from '../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../shared/errors.ts';
import { type EventName, eventCatalogue } from '../shared/events/catalogue.ts';
import { event, type NumberedEvent } from '../shared/events/event.ts';
import type { DmzNetwork } from '../shared/firewall/dmz-network.ts';
import { printable } from '../shared/log.ts';
import type { CertificateDesk } from '../shared/pki/certificate-desk.ts';
import type { OwnIdentity } from '../shared/pki/node-identity.ts';
import type { DmzStatus, DoorFacts } from '../shared/tunnel/messages.ts';
import { programVersion } from '../shared/version.ts';
import type {
  Bans,
  DestinationSummary,
  Exposed,
  History,
  InternalAdminApi,
  InternalStatus,
  ListArgs,
  Listing,
  OpenedItem,
  PartnerSummary,
  ProofOutcome,
  PushedItem,
  Reloaded,
  StaffDesk as StaffDoorDesk,
  TraceAnswer,
  TriedLogin,
  TryLoginArgs,
} from './admin/api.ts';
import type { Overview, OverviewOperations } from './admin/overview-operations.ts';
import { unknownPartner } from './admin/partner-change.ts';
import type { Applied, ApplyDesk } from './apply-desk.ts';
import type { AuditOperations } from './audit/audit-operations.ts';
import type { AuthDesk } from './auth/auth-desk.ts';
import type { AdoptedPartners } from './auth/directory-partners.ts';
import type { OwnPasswords } from './auth/passwords/own-passwords.ts';
import type { SecondFactors } from './auth/totp/second-factors.ts';
import type { Withdrawals } from './auth/withdrawals.ts';
import type { InternalConfig } from './config.ts';
import type { CurrentConfig } from './current-config.ts';
import type { LedgerOperations } from './inbound/ledger-operations.ts';
import type { StaffDesk } from './inbound/staff-desk.ts';
import type { ItemSearch } from './item-search.ts';
import type { Sender } from './outbound/sender.ts';
import type { PartnerAccount } from './policy/accounts.ts';
import type { PolicyPublisher } from './policy/publish.ts';
import type { SessionCuts } from './session-cuts.ts';
import type { Link } from './tunnel/link.ts';

export interface StaffApiDeps {
  readonly current: CurrentConfig;
  readonly link: Link;
  readonly publisher: Pick<PolicyPublisher, 'held' | 'publish'>;
  readonly ledger: Records<LedgerOperations>;
  readonly search: ItemSearch;
  readonly cuts: SessionCuts;
  readonly withdrawals: Pick<Withdrawals, 'look'>;
  readonly staff: Pick<StaffDesk, 'takeByHand'>;
  readonly sender: Pick<Sender, 'pushFile'>;
  readonly records: Records<AuditOperations>;
  readonly overview: Records<OverviewOperations>;
  readonly events: EventSink;
  readonly wakePuller: () => void;
  readonly readConfig: () => Promise<InternalConfig>;
  readonly applyDesk: () => Pick<ApplyDesk, 'apply' | 'confirm' | 'rollBack' | 'deadlineMs'>;
  readonly desk: Pick<AuthDesk, 'rehearse'>;
  readonly adopted: Pick<AdoptedPartners, 'forget'>;
  readonly factors: Pick<SecondFactors, 'begin' | 'confirm' | 'remove'>;
  readonly passwords: Pick<OwnPasswords, 'invite' | 'withdraw' | 'keepOnly'>;
  readonly staffLogins: StaffDoorDesk;
  readonly clock: Clock;
  readonly identity: Pick<OwnIdentity, 'keys'>;
  readonly certificates: CertificateDesk;
}

const askDmzMs = 3000;
const commitMs = 60_000;
/** Past items in one answer. */
const historyPage = 5000;
const troubles = Object.entries(eventCatalogue)
  .filter(([name, { level }]) => level === 'alarm' || name === 'item.delivery-failed' || name === 'outgoing.failed')
  .map(([name]) => name as EventName);

export class StaffApi implements InternalAdminApi {
  readonly #deps: StaffApiDeps;
  readonly #startedAtMs: number;
  #configRefused: string | null = null;

  get staff(): StaffDoorDesk {
    return this.#deps.staffLogins;
  }

  constructor(deps: StaffApiDeps) {
    this.#deps = deps;
    this.#startedAtMs = deps.clock.nowMs();
  }

  get certificates(): CertificateDesk {
    return this.#deps.certificates;
  }

  async staffDoor(there: boolean): Promise<void> {
    const { events, clock } = this.#deps;
    await events.emit([event(there ? 'door.back' : 'door.lost', clock.nowMs(), {}, {})]);
  }

  async status(): Promise<InternalStatus> {
    const { current, identity, publisher, records, clock } = this.#deps;
    const nowMs = Math.floor(clock.nowMs());
    const [overview, failure, stops, dmz, confinement] = await Promise.all([
      this.#deps.overview.call('admin.overview', { nowMs }),
      records.call('audit.lastOf', { names: troubles }),
      this.#deps.ledger.call('ledger.stops', null),
      this.#askDmz(),
      ownConfinement(),
    ]);
    return {
      node: identity.keys.name,
      pid: process.pid,
      configuration: current.config.digests,
      version: programVersion,
      fingerprint: identity.keys.fingerprint,
      startedAtMs: this.#startedAtMs,
      suspect: null,
      tunnel: this.#tunnel(),
      certificates: this.#deps.certificates.summary(),
      policy: publisher.held > 0 ? { number: publisher.held, expiresAtMs: overview.policyExpiresAtMs } : null,
      configRefused: this.#configRefused,
      configUnconfirmedUntilMs: this.#deps.applyDesk().deadlineMs ?? null,
      partners: { configured: current.names().length, connected: overview.connected },
      items: itemsOf(overview, nowMs),
      stopped: stops.flatMap(({ destination, stoppedAtMs, reason }) =>
        stoppedAtMs === null ? [] : [{ destination, sinceMs: stoppedAtMs, reason }],
      ),
      lastFailure: failure ? failureOf(failure) : null,
      confinement,
      dmz,
    };
  }

  async list(args: ListArgs): Promise<Listing> {
    const listing = await this.#deps.search.list(args);
    // What a partner of the past left behind can still be listed.
    if (listing.items.length === 0 && args.partner !== undefined) this.#checkKnown(args.partner);
    return listing;
  }

  async openItem(ref: string, signal: AbortSignal): Promise<OpenedItem> {
    const taken = await this.#deps.staff.takeByHand(await this.#deps.search.itemRef(ref), signal);
    const { row, sha256 } = taken;
    return {
      item: row.item,
      name: row.name,
      path: `${row.partner}${row.path}`,
      size: row.size,
      sha256,
      content: taken.read(),
      commit: async () => {
        await taken.commit(AbortSignal.timeout(commitMs));
        await taken[Symbol.asyncDispose]();
      },
      release: async () => await taken[Symbol.asyncDispose](),
    };
  }

  async push(partner: string, path: string, content: AsyncIterable<Buffer>, signal: AbortSignal): Promise<PushedItem> {
    this.#checkKnown(partner);
    const item = await this.#deps.sender.pushFile(partner, path, content, signal);
    const { id, trace, size, sha256, expiresAtMs } = item;
    return { item: id, trace, partner, path: item.path, size, sha256: sha256 ?? '', expiresAtMs };
  }

  async trace(ref: string): Promise<TraceAnswer> {
    const id = await this.#deps.search.traceId(ref);
    const events = await this.#deps.records.call('audit.trace', { ref: id });
    const own = this.#deps.identity.keys.name;
    return {
      ref: id,
      events: events.map(({ origin, ...rest }) => ({
        ...rest,
        id: eventCatalogue[rest.name].id,
        node: origin?.node ?? own,
        side: origin ? 'dmz' : 'inside',
      })),
    };
  }

  async partners(): Promise<readonly PartnerSummary[]> {
    const { current, overview, clock } = this.#deps;
    const { connected } = await overview.call('admin.overview', { nowMs: Math.floor(clock.nowMs()) });
    const sessionsOf = (name: string): number => connected.find(({ partner }) => partner === name)?.sessions ?? 0;
    const configured = [...current.accounts].map(([name, account]) => ({
      name,
      source: current.config.partnerSources.get(name) ?? '',
      login: loginOf(account),
      sessions: sessionsOf(name),
      disabled: account.disabled,
    }));
    const adopted = current.adopted().map(({ partner, directory, email }) => ({
      name: partner,
      source: `directory ${directory}`,
      login: `password in ${directory}`,
      sessions: sessionsOf(partner),
      disabled: false,
      ...(email === undefined ? {} : { email }),
    }));
    return [...configured, ...adopted];
  }

  async tryLogin(login: TryLoginArgs, signal: AbortSignal): Promise<TriedLogin> {
    const { steps, accepted = null, refused = null } = await this.#deps.desk.rehearse(login, signal);
    return { steps, accepted, refused };
  }

  async forgetPartner(partner: string): Promise<void> {
    if (!(await this.#deps.adopted.forget(partner))) {
      throw new SallyportError('no-such-file', `"${partner}" is no name that a user of a directory has`, {
        next: 'partners of the configuration are removed from its files',
      });
    }
    await this.#deps.cuts.cut(partner);
  }

  async beginTotp(partner: string): Promise<string> {
    this.#checkKnown(partner);
    const account = this.#deps.current.accounts.get(partner);
    if (!account?.password && account?.require !== 'key+code') {
      throw new SallyportError('usage', `${partner} has no password here that a code could go with, and does not need key+code`);
    }
    return this.#deps.factors.begin(partner);
  }

  async confirmTotp(partner: string, code: string): Promise<readonly string[]> {
    return await this.#deps.factors.confirm(partner, code);
  }

  async removeTotp(partner: string): Promise<void> {
    if (!(await this.#deps.factors.remove(partner))) {
      throw new SallyportError('no-such-file', `${partner} has no second factor`);
    }
  }

  async network(): Promise<DmzNetwork> {
    return await this.#deps.link.request('network.get', {}, AbortSignal.timeout(askDmzMs));
  }

  async invite(partner: string, validMs: number | undefined) {
    this.#checkKnown(partner);
    const { current, passwords } = this.#deps;
    const account = current.accounts.get(partner);
    if (!account?.password && !current.config.partners[partner]?.choosesPassword) {
      throw new SallyportError('usage', `${partner} has no password here; write choosesPassword: true at him first`);
    }
    return await passwords.invite(partner, validMs ?? current.config.authentication.passwords.invitation);
  }

  async withdrawInvitation(partner: string): Promise<void> {
    if (!(await this.#deps.passwords.withdraw(partner))) throw new SallyportError('no-such-file', `${partner} has no invitation`);
  }

  async doors(): Promise<DoorFacts | null> {
    return await this.#deps.link.request('doors.get', {}, AbortSignal.timeout(askDmzMs)).catch(() => null);
  }

  async bans(): Promise<Bans> {
    return await this.#deps.link.request('bans.list', {}, AbortSignal.timeout(askDmzMs));
  }

  async exposed(sinceMs: number): Promise<Exposed> {
    return { typed: await this.#deps.records.call('audit.typedPasswords', { sinceMs }) };
  }

  async liftBan(source: string): Promise<boolean> {
    return (await this.#deps.link.request('bans.lift', { source }, AbortSignal.timeout(askDmzMs))).lifted;
  }

  async history(sinceMs: number, after: number): Promise<History> {
    const items = await this.#deps.ledger.call('ledger.history', { sinceMs, after, limit: historyPage });
    return { items, more: items.length === historyPage };
  }

  apply(folder: string, confirmMs: number | null): Promise<Applied> {
    return this.#deps.applyDesk().apply(folder, confirmMs);
  }

  confirmConfig(): Promise<boolean> {
    return this.#deps.applyDesk().confirm();
  }

  rollBackConfig(): Promise<boolean> {
    return this.#deps.applyDesk().rollBack('somebody took it back');
  }

  async destinations(): Promise<readonly DestinationSummary[]> {
    const { destinations, programs } = this.#deps.current.config;
    const stops = await this.#deps.ledger.call('ledger.stops', null);
    const summary = (name: string, kind: DestinationSummary['kind']): DestinationSummary => {
      const stop = stops.find(({ destination }) => destination === name);
      return { name, kind, errors: stop?.errors ?? 0, reason: stop?.reason ?? null, stoppedAtMs: stop?.stoppedAtMs ?? null };
    };
    return [...destinations.map(({ name }) => summary(name, 'folder')), ...programs.map(({ name }) => summary(name, 'program'))];
  }

  async resumeDestination(name: string): Promise<{ readonly resumed: boolean }> {
    const { ledger, clock, wakePuller, current } = this.#deps;
    const resumed = await ledger.call('ledger.resume', { destination: name, nowMs: Math.floor(clock.nowMs()) });
    const { destinations, programs } = current.config;
    const known = [...destinations, ...programs].map((one) => one.name);
    if (!resumed && !known.includes(name)) {
      throw new SallyportError('no-such-file', `there is no destination "${name}"${didYouMean(name, known)}`, {
        next: 'sallyport destination list shows them',
      });
    }
    wakePuller();
    return { resumed };
  }

  async retry(ref: string): Promise<{ readonly item: string }> {
    const { ledger, clock, wakePuller } = this.#deps;
    const found = await this.#deps.search.itemRef(ref);
    const item = 'item' in found ? found.item : (await ledger.call('ledger.named', found))?.item.id;
    if (item === undefined) throw new SallyportError('no-such-file', `nothing is known of ${ref}`);
    if (!(await ledger.call('ledger.tryAgain', { id: item, nowMs: Math.floor(clock.nowMs()) }))) {
      throw new SallyportError('usage', 'the item was not given up: there is nothing to try again', { item });
    }
    wakePuller();
    return { item };
  }

  async recordProof({ claims, failing, offending }: ProofOutcome): Promise<void> {
    const { events, clock } = this.#deps;
    const changed =
      failing.length === 0
        ? event('proof.holds', clock.nowMs(), {}, { claims })
        : event('proof.drift', clock.nowMs(), {}, { claims, failing: failing.join(' '), offending: printable(offending, 1000) });
    await events.emit([changed]);
  }

  async reload(): Promise<Reloaded> {
    const { current, events, clock, publisher } = this.#deps;
    let config: InternalConfig;
    try {
      config = await this.#deps.readConfig();
    } catch (error) {
      this.#configRefused = asSallyportError(error).message;
      await events.emit([event('config.refused', clock.nowMs(), {}, { detail: this.#configRefused.slice(0, 2000) })]);
      throw error;
    }
    this.#configRefused = null;
    const changed = current.replace(config);
    await events.emit([event('partner.changed', clock.nowMs(), {}, { partners: current.names().length })]);
    for (const partner of changed) await this.#deps.cuts.cut(partner);
    await this.#deps.withdrawals.look();
    await publisher.publish();
    await this.#deps.passwords.keepOnly(current.accounts.keys());
    return { partners: current.names().length, rules: config.rules.length };
  }

  /** @throws SallyportError `no-such-file` with the name that may be meant. */
  #checkKnown(partner: string): void {
    const { addressees } = this.#deps.current;
    if (!addressees.has(partner)) throw unknownPartner(partner, addressees.names());
  }

  async #askDmz(): Promise<DmzStatus | null> {
    return await this.#deps.link.request('status.get', {}, AbortSignal.timeout(askDmzMs)).catch(() => null);
  }

  #tunnel(): InternalStatus['tunnel'] {
    const { connected, facts, lastFailure, downSinceMs } = this.#deps.link.status();
    const { dmz, tunnel } = this.#deps.current.config;
    return {
      up: connected,
      peer: facts?.peer ?? null,
      address: `${dmz.address.host}:${dmz.address.port}`,
      sinceMs: (connected ? facts?.sinceMs : downSinceMs) ?? null,
      group: facts?.group ?? null,
      classicalAdmitted: tunnel.classicalKeyExchange,
      lastFailure: lastFailure?.detail ?? null,
      refusedBy: lastFailure?.check ?? null,
      clockSkewMs: facts ? Math.round(facts.clockAheadMs) : null,
    };
  }
}

function loginOf({ require, password, directory, keys }: PartnerAccount): string {
  if (require !== 'any') return require;
  const ways = [...(keys.length > 0 ? ['key'] : []), ...(password ? ['password'] : [])];
  return [...ways, ...(directory === undefined ? [] : [`password in ${directory}`])].join(' or ');
}

const itemsOf = (
  { waiting, held, unrouted, quarantined, offered, oldestWaitingAtMs }: Overview,
  nowMs: number,
): InternalStatus['items'] => ({
  waiting,
  held,
  unrouted,
  quarantined,
  offered,
  oldestWaitingMs: oldestWaitingAtMs === null ? null : Math.max(0, nowMs - oldestWaitingAtMs),
});

function failureOf({ name, atMs, item, fields }: NumberedEvent): InternalStatus['lastFailure'] {
  const detail = fields.detail ?? fields.reason ?? eventCatalogue[name].meaning;
  return { atMs, event: eventCatalogue[name].id, detail: String(detail), item: item ?? null };
}
