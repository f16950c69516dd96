/** What the rule base is made from: what each node knows of itself, and what none of them can know. */
import type { PortRange } from '../config/units.ts';
import type { DmzNetwork } from './dmz-network.ts';

/** A connection that the internal node opens. */
export interface InsideDial {
  readonly use: 'tunnel' | 'directory' | 'http' | 'dns';
  /** `directory corp`. */
  readonly name: string;
  /** As configured: a name or an address. */
  readonly host: string;
  /** Of `host`; empty when its name has none here. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  /** Nothing protects what is said: why that was admitted. */
  readonly clear: string | null;
  readonly source: string;
}

export interface InsideNetwork {
  readonly node: string;
  readonly dials: readonly InsideDial[];
  /** What this configuration cannot tell: programs that dial by themselves. */
  readonly unknown: readonly string[];
}

/** A row that the operator adds: NTP, log servers, shares that files are delivered to, SSH of administrators. */
export interface DeclaredFlow {
  readonly name: string;
  readonly from: 'dmz' | 'inside' | readonly string[];
  readonly to: 'dmz' | 'inside' | readonly string[];
  readonly protocol: 'tcp' | 'udp';
  readonly ports: PortRange;
  readonly purpose: string;
  readonly owner: string | null;
  readonly reviewedOn: string | null;
  readonly source: string;
}

/** Addresses and people: what no node knows of itself. Both families stand in each list. */
export interface Surroundings {
  readonly partners: readonly string[];
  readonly dmz: readonly string[];
  readonly inside: readonly string[];
  /** What the DMZ must never reach; the addresses of `inside` belong to it anyway. */
  readonly insideNetworks: readonly string[];
  readonly declared: readonly DeclaredFlow[];
  readonly owner: string | null;
  readonly reviewedOn: string | null;
  /** Days between two reviews. */
  readonly reviewDays: number;
}

export interface RuleBaseInput {
  /** `told`: over the tunnel, so a claim. `allowFrom`: networks of the inside that this DMZ host admits to its tunnel. */
  readonly dmz?: { readonly network: DmzNetwork; readonly told: boolean; readonly allowFrom: readonly string[] } | undefined;
  readonly inside?: InsideNetwork | undefined;
  readonly surroundings: Surroundings;
}
