/**
 * Makes the rule base of the pair from what each node's configuration says. Pure: reads no file, asks nobody.
 *
 * What the DMZ node tells only ever opens ports *of the DMZ node* (and, in active mode, lets it reach partners); no claim of
 * its makes a rule towards the inside. Whatever else is declared must not open anything from the DMZ inward: such a row is refused.
 */
import type { PortRange } from '../config/units.ts';
import type { DmzListener, DmzNetwork } from './dmz-network.ts';
import { always, type Flow, type Party, type RuleBase } from './flows.ts';
import { type Family, families, familyOf, isAll, ofFamily, overlap } from './networks.ts';
import type { DeclaredFlow, InsideDial, RuleBaseInput } from './rule-base-input.ts';

const everywhere = ['0.0.0.0/0', '::/0'] as const;
/** Where a partner's client may wait in active mode: the DMZ node refuses ports below. */
const activePorts: PortRange = { first: 1024, last: 65_535 };

const doorPurposes: Readonly<Record<Exclude<DmzListener['use'], 'tunnel'>, string>> = {
  sftp: 'SFTP of partners',
  ftps: 'FTPS of partners, explicit (AUTH TLS)',
  'ftps-implicit': 'FTPS of partners, implicit TLS',
  'ftps-data': 'FTPS data connections; one listens only while a transfer waits',
};

/** @throws RangeError for a declared row that would open something from the DMZ inward. */
export function ruleBase(input: RuleBaseInput): RuleBase {
  const maker = new RuleBaseMaker(input);
  return maker.make();
}

class RuleBaseMaker {
  readonly #input: RuleBaseInput;
  readonly #flows: Flow[] = [];
  readonly #findings: string[] = [];
  readonly #dmz: Party;
  readonly #inside: Party;
  readonly #partners: Party;

  constructor(input: RuleBaseInput) {
    const { dmz, inside, surroundings } = input;
    this.#input = input;
    const dialled = inside?.dials.find(({ use }) => use === 'tunnel')?.addresses ?? [];
    const dmzAddresses = surroundings.dmz.length > 0 ? surroundings.dmz : unique([...bound(dmz?.network), ...dialled]);
    const insideAddresses = surroundings.inside.length > 0 ? surroundings.inside : (dmz?.allowFrom ?? []);
    this.#dmz = { zone: 'dmz', name: `DMZ node${dmz ? ` ${dmz.network.node}` : ''}`, networks: dmzAddresses };
    this.#inside = { zone: 'inside', name: `internal node${inside ? ` ${inside.node}` : ''}`, networks: insideAddresses };
    this.#partners = { zone: 'partners', name: 'partners', networks: surroundings.partners };
  }

  make(): RuleBase {
    const { dmz, inside } = this.#input;
    for (const listener of dmz?.network.listeners ?? []) if (listener.use !== 'tunnel') this.#door(listener);
    this.#tunnel();
    for (const dial of inside?.dials ?? []) if (dial.use !== 'tunnel') this.#service(dial);
    for (const declared of this.#input.surroundings.declared) this.#declared(declared);
    this.#active();
    this.#nobody();
    this.#notes();
    return {
      dmz: dmz?.network.node ?? null,
      inside: inside?.node ?? null,
      flows: this.#flows,
      findings: unique(this.#findings),
    };
  }

  #door(listener: DmzListener): void {
    const { use, source } = listener;
    if (use === 'tunnel') return;
    const clear = use === 'ftps' || use === 'ftps-data' ? this.#input.dmz?.network.plainFtp : null;
    const to = this.#at(listener);
    const exception = clear ? `FTP without TLS is admitted (${clear.source}): ${clear.reason}` : null;
    const common = { to, protocol: 'tcp', ports: portsOf(listener), source, told: this.#told, exception } as const;
    const families = familiesOf(listener.host);
    if (listener.first === 0)
      this.#findings.push(`${use} takes any free port (${source}): give it a fixed one before making rules`);
    if (listener.balancers.length === 0) {
      this.#accept({
        id: `partners-${use}`,
        from: this.#partners,
        purpose: doorPurposes[use],
        ...common,
        families: reaching(this.#partners, families),
      });
      return;
    }
    const balancers: Party = { zone: 'balancers', name: 'load balancers', networks: listener.balancers };
    const purpose = `${doorPurposes[use]}, through a load balancer`;
    this.#accept({
      ...{ id: `partners-balancers-${use}`, from: this.#partners, purpose },
      ...{ ...common, to: balancers, exception: exception ?? 'the port at the balancer is assumed to be the same' },
    });
    this.#accept({ id: `balancers-${use}`, from: balancers, purpose, ...common, families: reaching(balancers, families) });
  }

  #tunnel(): void {
    const { dmz, inside } = this.#input;
    const listener = dmz?.network.listeners.find(({ use }) => use === 'tunnel');
    const dial = inside?.dials.find(({ use }) => use === 'tunnel');
    if (!listener && !dial) return;
    if (listener && dial && (dial.port < listener.first || dial.port > listener.last)) {
      this.#findings.push(
        `the internal node dials port ${dial.port} (${dial.source}), the DMZ node listens at ${listener.first} (${listener.source}): something translates between them, or one of them is wrong`,
      );
    }
    const dialled = dial && this.#input.surroundings.dmz.length === 0 && dial.addresses.length > 0 ? dial.addresses : undefined;
    const to = listener ? this.#at(listener, dialled) : dialled ? { ...this.#dmz, networks: dialled } : this.#dmz;
    const ports = dial ? { first: dial.port, last: dial.port } : listener ? portsOf(listener) : null;
    const source = [dial?.source, listener?.source].filter((line) => line !== undefined).join('; ');
    const common = { to, protocol: 'tcp', ports, source, told: dial === undefined && this.#told } as const;
    const purpose = 'the tunnel: TLS 1.3, both ends pinned, dialled from inside';
    const both = reaching(this.#inside, listener ? familiesOf(listener.host) : reaching(to, families));
    this.#accept({ id: 'tunnel', from: this.#inside, purpose, exception: null, ...common, families: both });
    this.#drop({ id: 'strangers-tunnel', from: anywhere, purpose: 'nobody but the internal node reaches the tunnel', ...common });
  }

  #service(dial: InsideDial): void {
    const to: Party = { zone: 'service', name: dial.host, networks: dial.addresses };
    if (dial.addresses.length === 0) {
      this.#findings.push(
        `${dial.host} (${dial.source}) has no address here: give it one under network.hosts, or make its name known`,
      );
    }
    this.#accept({
      ...{ id: idOf(dial.name, dial.host, String(dial.port), dial.protocol), from: this.#inside, to, protocol: dial.protocol },
      ...{ ports: { first: dial.port, last: dial.port }, purpose: dial.name, source: dial.source, told: false },
      exception: dial.clear === null ? null : `not encrypted: ${dial.clear}`,
    });
  }

  #declared(row: DeclaredFlow): void {
    const from = this.#party(row.from, 'administrators');
    const to = this.#party(row.to, 'service');
    const inward = [...this.#inside.networks, ...this.#input.surroundings.insideNetworks];
    const toInside = to.zone === 'inside' || to.networks.some((network) => inward.some((own) => overlap(network, own)));
    if (from.zone === 'dmz' && toInside) {
      throw new RangeError(
        `${row.source}: "${row.name}" would let the DMZ node reach the inside; nothing may: what it has to say goes through the tunnel`,
      );
    }
    const exception = from.zone === 'dmz' ? 'the DMZ node opens a connection' : null;
    const { name, protocol, ports, purpose, source } = row;
    const flow = { id: idOf(name), from, to, protocol, ports, purpose, source, told: false, exception };
    this.#accept(flow, { owner: row.owner, reviewedOn: row.reviewedOn });
  }

  #active(): void {
    const active = this.#input.dmz?.network.active;
    if (!active) return;
    this.#accept({
      ...{ id: 'dmz-ftps-active', from: this.#dmz, to: this.#partners, protocol: 'tcp', ports: activePorts },
      ...{ sourcePort: active.sourcePort === 0 ? null : active.sourcePort, source: active.source, told: this.#told },
      purpose: 'FTPS data connections to partners, active mode (PORT, EPRT)',
      exception: 'the DMZ node opens a connection: clients that can use passive mode make this row unnecessary',
    });
  }

  #nobody(): void {
    const all = { protocol: 'any', ports: null, told: false } as const;
    const source = always;
    const networks = unique([...this.#inside.networks, ...this.#input.surroundings.insideNetworks]);
    const inside: Party = { ...this.#inside, name: 'inside', networks };
    const opens = this.#flows.some(({ verdict, from }) => verdict === 'accept' && from.zone === 'dmz');
    const dmzRow = { from: this.#dmz, source, ...all };
    if (networks.length > 0)
      this.#drop({ id: 'dmz-to-inside', to: inside, purpose: 'nothing is ever opened from the DMZ inward', ...dmzRow });
    this.#drop({
      id: 'dmz-to-anywhere',
      to: anywhere,
      purpose: `the DMZ node opens no ${opens ? 'other ' : ''}connection`,
      ...dmzRow,
    });
    this.#drop({
      id: 'anywhere-to-inside',
      from: anywhere,
      to: { ...this.#inside },
      source,
      ...all,
      purpose: 'the internal node listens nowhere; commands come by a Unix socket',
    });
    this.#drop({
      id: 'anywhere-to-dmz',
      from: anywhere,
      to: this.#dmz,
      source,
      ...all,
      purpose: 'nothing else of the DMZ node is reachable',
    });
  }

  #notes(): void {
    const { surroundings, inside } = this.#input;
    this.#noteFamilies();
    if (inside && (surroundings.owner === null || surroundings.reviewedOn === null)) {
      this.#findings.push('the rules have no owner or no day of review: set network.owner and network.reviewed');
    }
    this.#findings.push(...(inside?.unknown ?? []));
    for (const { id, from, to, families: both, verdict, source } of this.#flows) {
      if (verdict === 'accept' && both.length === 0 && from.networks.length > 0 && to.networks.length > 0) {
        this.#findings.push(`${id} (${source}): its ends have no family of addresses in common, so no rule can open it`);
      }
    }
  }

  /** Where a listener is reached. */
  #at({ host }: DmzListener, dialled: readonly string[] = []): Party {
    if (!wildcard(host)) return { ...this.#dmz, networks: [host], bound: true };
    const networks = dialled.length > 0 ? dialled : this.#dmz.networks;
    return { ...this.#dmz, networks: host === '0.0.0.0' ? ofFamily(networks, 'ipv4') : networks };
  }

  #party(given: DeclaredFlow['from'], zone: 'administrators' | 'service'): Party {
    if (given === 'dmz') return this.#dmz;
    if (given === 'inside') return this.#inside;
    return { zone, name: zone === 'service' ? 'declared service' : 'declared source', networks: given };
  }

  /** Neither family is forgotten without a word. */
  #noteFamilies(): void {
    const { networks } = this.#dmz;
    const doors = (this.#input.dmz?.network.listeners ?? []).filter(({ use }) => use !== 'tunnel');
    for (const family of families) {
      if (ofFamily(this.#partners.networks, family).length === 0) continue;
      const name = family === 'ipv4' ? 'IPv4' : 'IPv6';
      const deaf = doors.filter(({ host }) => !familiesOf(host).includes(family)).map(({ use, source }) => `${use} (${source})`);
      if (deaf.length > 0)
        this.#findings.push(`no ${name} at ${deaf.join(', ')}: partners with ${name} only cannot connect; it is dropped`);
      const open = doors.some(({ host }) => wildcard(host) && familiesOf(host).includes(family));
      if (open && networks.length > 0 && ofFamily(networks, family).length === 0) {
        this.#findings.push(
          `no ${name} address of the DMZ node is known: a firewall in front of it gets no ${name} rules; --dmz-address names all`,
        );
      }
    }
  }

  get #told(): boolean {
    return this.#input.dmz?.told ?? false;
  }

  #accept(flow: Partial<Flow> & RowOf<Flow>, people: { owner: string | null; reviewedOn: string | null } = noPeople): void {
    this.#add({ ...flow, verdict: 'accept' }, people);
  }

  #drop(flow: Omit<RowOf<Flow>, 'exception'>): void {
    this.#add({ ...flow, verdict: 'drop', exception: null }, noPeople);
  }

  #add(
    flow: Partial<Flow> & RowOf<Flow> & Pick<Flow, 'verdict'>,
    people: { owner: string | null; reviewedOn: string | null },
  ): void {
    const { surroundings } = this.#input;
    const reviewedOn = people.reviewedOn ?? surroundings.reviewedOn;
    this.#flows.push({
      sourcePort: null,
      ...flow,
      id: this.#unused(flow.id),
      families: flow.families ?? (flow.verdict === 'drop' ? [...families] : commonFamilies(flow.from, flow.to)),
      owner: people.owner ?? surroundings.owner,
      reviewedOn,
      reviewBy: reviewedOn === null ? null : dayAfter(reviewedOn, surroundings.reviewDays),
    });
  }

  #unused(id: string): string {
    let candidate = id;
    for (let number = 2; this.#flows.some((flow) => flow.id === candidate); number += 1) candidate = `${id}-${number}`;
    return candidate;
  }
}

type RowOf<F extends Flow> = Pick<F, 'id' | 'from' | 'to' | 'protocol' | 'ports' | 'purpose' | 'source' | 'told' | 'exception'>;
const noPeople = { owner: null, reviewedOn: null } as const;
const anywhere: Party = { zone: 'anywhere', name: 'anywhere', networks: everywhere };

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];
const wildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';
const bound = (network: DmzNetwork | undefined): string[] =>
  (network?.listeners ?? []).map(({ host }) => host).filter((host) => !wildcard(host));
const portsOf = ({ first, last }: DmzListener): PortRange => ({ first, last });

/** Families in which a listener answers: `::` takes both. */
const familiesOf = (host: string): readonly Family[] => (host === '::' ? families : [familyOf(host)]);

/** Of these, the ones that a party has addresses in; all of them while its addresses are not known. */
const reaching = ({ networks }: Party, of: readonly Family[]): Family[] =>
  of.filter((family) => networks.length === 0 || ofFamily(networks, family).length > 0);

/** An end whose addresses are not known can be reached by both. */
function commonFamilies(from: Party, to: Party): Family[] {
  const of = ({ networks }: Party): readonly Family[] => (networks.length === 0 ? families : unique(networks.map(familyOf)));
  const theirs = of(to);
  return of(from)
    .filter((family) => theirs.includes(family))
    .sort();
}

const idOf = (...parts: readonly string[]): string =>
  parts
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

/** @param day `2026-11-01`. */
function dayAfter(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Whether a party is everybody: nothing has to be matched. */
export const isEverybody = ({ networks }: Party, family: Family): boolean => ofFamily(networks, family).some(isAll);
