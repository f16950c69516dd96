/** The matches of nftables' JSON (libnftables-json(5)) as conditions. */
import type { Conditions, InterfaceNames } from './conditions.ts';
import { intersect, type NumberSet, nothing, single, span, union, without } from './intervals.ts';
import { type Family, families, familyOf, intervalOf } from './networks.ts';
import { protocolNumbers } from './region.ts';
import type { ConnectionState } from './ruleset.ts';

/** Of the families of tables; others see no IP packets of this host. */
export const familiesOf: Readonly<Record<string, readonly Family[]>> = { ip: ['ipv4'], ip6: ['ipv6'], inet: families };

export type MatchField =
  | { readonly kind: 'address'; readonly which: 'from' | 'to'; readonly family: Family }
  | { readonly kind: 'port'; readonly which: 'port' | 'sourcePort'; readonly protocol: 'tcp' | 'udp' | 'th' }
  | { readonly kind: 'icmp'; readonly protocol: 'icmp' | 'icmpv6' }
  | { readonly kind: 'interface'; readonly which: 'inside' | 'outside' }
  | { readonly kind: 'protocol' }
  | { readonly kind: 'family' }
  | { readonly kind: 'state' };

/** @returns undefined for what is not understood. */
export function fieldOf(kind: string, details: unknown): MatchField | undefined {
  const { protocol = '', field = '', key = '' } = (details ?? {}) as Record<string, string>;
  if (kind === 'payload' && (protocol === 'ip' || protocol === 'ip6')) {
    const family = protocol === 'ip' ? 'ipv4' : 'ipv6';
    if (field === 'saddr' || field === 'daddr') return { kind: 'address', which: field === 'saddr' ? 'from' : 'to', family };
    if (field === 'protocol' || field === 'nexthdr') return { kind: 'protocol' };
    return undefined;
  }
  if (kind === 'payload' && (protocol === 'tcp' || protocol === 'udp' || protocol === 'th')) {
    if (field === 'dport' || field === 'sport')
      return { kind: 'port', which: field === 'dport' ? 'port' : 'sourcePort', protocol };
    return undefined;
  }
  if (kind === 'payload' && (protocol === 'icmp' || protocol === 'icmpv6') && field === 'type') return { kind: 'icmp', protocol };
  if (kind === 'meta') {
    if (key === 'iif' || key === 'iifname') return { kind: 'interface', which: 'inside' };
    if (key === 'oif' || key === 'oifname') return { kind: 'interface', which: 'outside' };
    if (key === 'l4proto') return { kind: 'protocol' };
    if (key === 'nfproto') return { kind: 'family' };
  }
  if (kind === 'ct' && key === 'state') return { kind: 'state' };
  return undefined;
}

export interface Operator {
  readonly negated: boolean;
  readonly op: string;
}

/** Narrows the conditions by one match. @throws RangeError for a value that is not understood. */
export function applyMatch(
  field: MatchField,
  values: readonly unknown[],
  operator: Operator,
  to: Conditions,
  names: InterfaceNames,
): void {
  const { negated } = operator;
  switch (field.kind) {
    case 'address':
      to.address(field.which, field.family, union(...values.map((value) => addressSet(value, field.family))), negated);
      break;
    case 'port':
      if (field.protocol !== 'th') to.protocol(single(protocolNumbers[field.protocol]));
      to.port(field.which, compared(numberSet(values, {}), operator, 65_535), negated);
      break;
    case 'icmp': {
      const types = numberSet(values, field.protocol === 'icmp' ? icmpTypes : icmp6Types);
      to.icmpType(field.protocol, negated ? without(span(0, 255), types) : types);
      break;
    }
    case 'interface':
      to.interface(field.which, union(...values.map((value) => names.numbersOf(String(value)))), negated);
      break;
    case 'protocol': {
      const set = numberSet(values, protocolNames);
      to.protocol(negated ? without(span(0, 255), set) : set);
      break;
    }
    case 'family': {
      const named = values.flatMap((value) => familiesOf[String(value).replace('ipv4', 'ip').replace('ipv6', 'ip6')] ?? []);
      to.family(families.filter((family) => named.includes(family) !== negated));
      break;
    }
    case 'state': {
      const named = values.map(String) as ConnectionState[];
      to.states(allStates.filter((state) => named.includes(state) !== negated));
    }
  }
}

const allStates: readonly ConnectionState[] = ['new', 'established', 'related', 'invalid', 'untracked'];
const protocolNames: Readonly<Record<string, number>> = {
  ...protocolNumbers,
  'ipv6-icmp': 58,
  esp: 50,
  ah: 51,
  gre: 47,
  sctp: 132,
  dccp: 33,
  udplite: 136,
};
const icmpTypes: Readonly<Record<string, number>> = {
  ...{
    'echo-reply': 0,
    'destination-unreachable': 3,
    'source-quench': 4,
    redirect: 5,
    'echo-request': 8,
    'router-advertisement': 9,
  },
  ...{ 'router-solicitation': 10, 'time-exceeded': 11, 'parameter-problem': 12, 'timestamp-request': 13, 'timestamp-reply': 14 },
};
const icmp6Types: Readonly<Record<string, number>> = {
  ...{
    'destination-unreachable': 1,
    'packet-too-big': 2,
    'time-exceeded': 3,
    'parameter-problem': 4,
    'echo-request': 128,
    'echo-reply': 129,
  },
  ...{
    'mld-listener-query': 130,
    'mld-listener-report': 131,
    'mld-listener-done': 132,
    'mld-listener-reduction': 132,
    'nd-router-solicit': 133,
  },
  ...{
    'nd-router-advert': 134,
    'nd-neighbor-solicit': 135,
    'nd-neighbor-advert': 136,
    'nd-redirect': 137,
    'mld2-listener-report': 143,
  },
};

/** A single value of a set may come with a counter or a time. */
const plain = (value: unknown): unknown => {
  const { elem } = (value ?? {}) as { elem?: { val?: unknown } };
  return elem === undefined ? value : elem.val;
};

function addressSet(given: unknown, family: Family): NumberSet {
  const value = plain(given);
  if (typeof value === 'string') {
    if (familyOf(value) !== family) return nothing;
    return [intervalOf(value)];
  }
  const { prefix, range } = value as { prefix?: { addr: string; len: number }; range?: [string, string] };
  if (prefix) return [intervalOf(`${prefix.addr}/${prefix.len}`)];
  if (range) return [{ first: intervalOf(range[0]).first, last: intervalOf(range[1]).last }];
  throw new RangeError('an address that is not understood');
}

function numberSet(values: readonly unknown[], names: Readonly<Record<string, number>>): NumberSet {
  const number = (value: unknown): bigint => {
    const found = typeof value === 'number' ? value : (names[String(value)] ?? Number(value));
    if (!Number.isInteger(found)) throw new RangeError(`"${String(value)}" is not understood`);
    return BigInt(found);
  };
  return union(
    ...values.map((given) => {
      const value = plain(given);
      const { range } = (value ?? {}) as { range?: [unknown, unknown] };
      return range ? span(number(range[0]), number(range[1])) : single(number(value));
    }),
  );
}

/** `< 1024` and its like as a set. */
function compared(set: NumberSet, { op }: Operator, most: number): NumberSet {
  const value = set[0]?.first ?? 0n;
  const all = span(0, most);
  if (op === '<') return value === 0n ? nothing : intersect(all, span(0n, value - 1n));
  if (op === '<=') return intersect(all, span(0n, value));
  if (op === '>') return intersect(all, span(value + 1n, BigInt(most)));
  if (op === '>=') return intersect(all, span(value, BigInt(most)));
  return set;
}
