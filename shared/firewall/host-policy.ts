/**
 * The rule base as the ordered rules of one host, with everything that a packet filter needs besides: replies, the loopback, and
 * the neighbours of IPv6. What every renderer prints, and what `compare` holds a live rule set against.
 */
import type { PortRange } from '../config/units.ts';
import { SallyportError } from '../errors.ts';
import { always, type Flow, type FlowProtocol, type Party, type Place, type RuleBase, type Zone } from './flows.ts';
import { type Family, isAll, ofFamily, outermost } from './networks.ts';

export type Hook = 'input' | 'output' | 'forward';

interface Common {
  readonly hook: Hook;
  /** Purpose and configuration line. */
  readonly comment: string;
}

export interface TrafficRule extends Common {
  readonly kind: 'traffic';
  readonly id: string;
  readonly action: 'accept' | 'drop';
  readonly family: Family;
  /** Empty: any. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly protocol: FlowProtocol;
  readonly ports: PortRange | null;
  readonly sourcePort: number | null;
  readonly flow: Flow;
}

export type HostRule =
  | (Common & { readonly kind: 'loopback' })
  | (Common & { readonly kind: 'replies' })
  /** ICMPv6 that finds neighbours and routers: without it IPv6 does not work. */
  | (Common & { readonly kind: 'neighbours' })
  | TrafficRule;

export interface HostPolicy {
  readonly place: Place;
  /** `DMZ node edge1`. */
  readonly title: string;
  /** What no rule takes is dropped in each of these. */
  readonly hooks: readonly Hook[];
  readonly rules: readonly HostRule[];
}

/** Types of ICMPv6 without which a host finds no neighbour and no router (RFC 4890 §4.4.1). */
export const neighbourTypes = {
  /** Router advertisement, neighbour solicitation and advertisement. */
  input: [134, 135, 136],
  /** Router solicitation, neighbour solicitation and advertisement, listener report (switches ask for it). */
  output: [133, 135, 136, 143],
} as const;

const hooksOf: Readonly<Record<Place, readonly Hook[]>> = {
  dmz: ['input', 'output', 'forward'],
  internal: ['input', 'output', 'forward'],
  perimeter: ['forward'],
};
const ownZone: Readonly<Record<Exclude<Place, 'perimeter'>, Zone>> = { dmz: 'dmz', internal: 'inside' };
/** What stands before everything that is accepted. */
const first = 'dmz-to-inside';
/** What the policy of a chain does anyway, without a rule. */
const implied = [first, 'anywhere-to-inside', 'anywhere-to-dmz', 'dmz-to-anywhere'];

/** @throws SallyportError `usage` when an address that a rule cannot do without is not known, or a port is not fixed. */
export function hostPolicy(base: RuleBase, place: Place): HostPolicy {
  const flows = base.flows.flatMap((flow) => hooksFor(flow, place).map((hook) => ({ flow, hook })));
  for (const { flow } of flows) checkKnown(flow, place);
  const ordered = [
    ...flows.filter(({ flow }) => flow.id === first),
    ...flows.filter(({ flow }) => flow.verdict === 'accept'),
    ...flows.filter(({ flow }) => flow.verdict === 'drop' && flow.id !== first),
  ];
  const hooks = hooksOf[place];
  return {
    place,
    title: titleOf(base, place),
    hooks,
    rules: hooks.flatMap((hook) => [
      ...basics(hook, place),
      ...ordered.filter((one) => one.hook === hook).flatMap(({ flow }) => trafficRules(flow, hook, place)),
    ]),
  };
}

const titleOf = ({ dmz, inside }: RuleBase, place: Place): string => {
  if (place === 'dmz') return `DMZ node${dmz === null ? '' : ` ${dmz}`}`;
  if (place === 'internal') return `internal node${inside === null ? '' : ` ${inside}`}`;
  return 'firewall between partners, DMZ and inside';
};

function hooksFor(flow: Flow, place: Place): Hook[] {
  if (place === 'perimeter') return crosses(flow) ? ['forward'] : [];
  const own = ownZone[place];
  // The inside sees the DMZ as any other host: its own row about it would be the policy again, but is logged by its name.
  if (place === 'internal' && flow.id === first) return ['input'];
  const hooks: Hook[] = [];
  if (flow.to.zone === own) hooks.push('input');
  if (flow.from.zone === own) hooks.push('output');
  return hooks;
}

/** It goes through a firewall between the zones. */
const crosses = ({ from, to, verdict }: Flow): boolean =>
  verdict === 'drop' || (from.zone !== to.zone && [from.zone, to.zone].some((zone) => zone === 'dmz' || zone === 'balancers'));

function basics(hook: Hook, place: Place): HostRule[] {
  if (hook === 'forward') {
    if (place !== 'perimeter') return [];
    return [{ kind: 'replies', hook, comment: 'replies to what was let through' }];
  }
  return [
    { kind: 'loopback', hook, comment: 'this host with itself' },
    {
      kind: 'replies',
      hook,
      comment: hook === 'input' ? 'replies, and packets of connections let in' : 'replies, and packets of connections let out',
    },
    { kind: 'neighbours', hook, comment: 'IPv6 neighbours and routers (RFC 4890)' },
  ];
}

function trafficRules(flow: Flow, hook: Hook, place: Place): TrafficRule[] {
  const own = place === 'perimeter' ? undefined : ownZone[place];
  return flow.families.flatMap((family) => {
    const ends = { from: namedEnd(flow.from, family, own), to: namedEnd(flow.to, family, own) };
    if (ends.from === null || ends.to === null) return [];
    const { id, verdict: action, protocol, ports, sourcePort } = flow;
    const comment = flow.source === always ? flow.purpose : `${flow.purpose} (${flow.source})`;
    return [
      { kind: 'traffic', id, hook, action, family, from: ends.from, to: ends.to, protocol, ports, sourcePort, comment, flow },
    ];
  });
}

/** @returns null when the end has no address of this family; empty when it need not be named. */
function namedEnd({ zone, networks, bound }: Party, family: Family, own: Zone | undefined): readonly string[] | null {
  // Which of its addresses a host is reached at is its own business, but where a listener is bound to one.
  if (zone === own && !bound) return [];
  const of = outermost(ofFamily(networks, family));
  if (of.some(isAll)) return [];
  return of.length === 0 ? null : of;
}

function checkKnown(flow: Flow, place: Place): void {
  if (implied.includes(flow.id)) return;
  const own = place === 'perimeter' ? undefined : ownZone[place];
  for (const { zone, name, networks } of [flow.from, flow.to]) {
    if (networks.length > 0 || zone === own) continue;
    throw new SallyportError('usage', `the address of ${name} is not known, and ${flow.id} (${flow.source}) needs it in a rule`, {
      next: nextFor(zone),
    });
  }
  if (flow.ports?.first === 0) {
    throw new SallyportError('usage', `${flow.id} takes any free port (${flow.source}); a rule needs a fixed one`, {
      next: `set a port at ${flow.source}`,
    });
  }
}

function nextFor(zone: Zone): string {
  if (zone === 'inside') return 'name it: --inside-address ADDRESS,ADDRESS (IPv4 and IPv6)';
  if (zone === 'dmz') return 'name it: --dmz-address ADDRESS,ADDRESS (IPv4 and IPv6)';
  return 'name it under network.hosts in sallyport.yaml, or make its name resolvable';
}
