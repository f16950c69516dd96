/**
 * The rule base of the pair as data: every connection that somebody must be able to open, and those that nobody may open.
 * Renderers, `diff`, `explain` and `prove` all read this and nothing else.
 */
import type { PortRange } from '../config/units.ts';
import type { Family } from './networks.ts';

/** Where an end of a flow is. `service`: what the inside asks (directories, name servers) or what an operator named. */
export type Zone = 'partners' | 'balancers' | 'dmz' | 'inside' | 'service' | 'administrators' | 'anywhere';

export interface Party {
  readonly zone: Zone;
  /** For people: `partners`, `DMZ node edge1`, `dc1.example.com`. */
  readonly name: string;
  /** Addresses and networks of both families; empty: not known here. */
  readonly networks: readonly string[];
  /** A listener is bound to exactly these; otherwise they are what is known of the host, and its own rules need not name them. */
  readonly bound?: true;
}

export type FlowProtocol = 'tcp' | 'udp' | 'any';

export interface Flow {
  /** `partners-sftp`, `tunnel`, `dmz-to-inside`: stable, for machines and tests. */
  readonly id: string;
  readonly verdict: 'accept' | 'drop';
  /** Who opens the connection. */
  readonly from: Party;
  readonly to: Party;
  readonly protocol: FlowProtocol;
  /** Null: all of them. */
  readonly ports: PortRange | null;
  /** Null: any. */
  readonly sourcePort: number | null;
  readonly families: readonly Family[];
  readonly purpose: string;
  /** `dmz.yaml:12`, or what else it comes from. */
  readonly source: string;
  /** The DMZ node says so over the tunnel: a claim. */
  readonly told: boolean;
  readonly owner: string | null;
  /** Day of the last review, `2026-11-01`. */
  readonly reviewedOn: string | null;
  /** Day by which it is to be looked at again. */
  readonly reviewBy: string | null;
  /** Why a security team should look twice; null: nothing special. */
  readonly exception: string | null;
}

export interface RuleBase {
  readonly dmz: string | null;
  readonly inside: string | null;
  readonly flows: readonly Flow[];
  /** What is not as it should be, or not known. */
  readonly findings: readonly string[];
}

/** The source of a row that no line of a configuration can change. */
export const always = 'always';

/** The hosts that rules can be made for. */
export const places = ['perimeter', 'dmz', 'internal'] as const;
export type Place = (typeof places)[number];

export const portsText = ({ ports }: Pick<Flow, 'ports'>): string => {
  if (!ports) return 'all';
  return ports.first === ports.last ? String(ports.first) : `${ports.first}-${ports.last}`;
};

/** `198.51.100.0/24, 2001:db8::/32`, those of the flow's families only; what a rule does not name is shown as `any`. */
export const networksText = (party: Party, families: readonly Family[]): string => {
  const known = party.networks.filter((network) => families.includes(network.includes(':') ? 'ipv6' : 'ipv4'));
  return known.length === 0 ? 'address not known here' : known.join(', ');
};
