/**
 * Sets of packets. A box says for each field which values it takes; a region is boxes that share no packet. Rules of every
 * packet filter become boxes, so that rule sets can be compared by meaning and not by text.
 */
import { SallyportError } from '../errors.ts';
import { intersect, type NumberSet, nothing, span, without } from './intervals.ts';
import { allAddresses, type Family } from './networks.ts';

/** `port`: the destination port of TCP and UDP, the type of ICMP. Interfaces are numbers that the rule set gives them. */
export const fields = ['protocol', 'from', 'to', 'port', 'sourcePort', 'inside', 'outside'] as const;
export type Field = (typeof fields)[number];
export type Box = Readonly<Record<Field, NumberSet>>;
export type Region = readonly Box[];

export const protocolNumbers = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
/** More boxes than any rule set that people can read has. */
const mostBoxes = 20_000;

export const everything = (family: Family, interfaces: number): Box => ({
  protocol: span(0, 255),
  from: [allAddresses(family)],
  to: [allAddresses(family)],
  port: span(0, 65_535),
  sourcePort: span(0, 65_535),
  inside: span(0, interfaces - 1),
  outside: span(0, interfaces - 1),
});

/** @returns undefined when no packet is in both. */
export function common(a: Box, b: Box): Box | undefined {
  const box: Partial<Record<Field, NumberSet>> = {};
  for (const field of fields) {
    const both = intersect(a[field], b[field]);
    if (both.length === 0) return undefined;
    box[field] = both;
  }
  return box as Box;
}

/** What is in the region and not in the box. @throws SallyportError `limit-reached` when it falls into too many pieces. */
export function minus(region: Region, box: Box): Region {
  const pieces = region.flatMap((one) => split(one, box));
  if (pieces.length > mostBoxes) throw new SallyportError('limit-reached', 'the rule set is too large to be compared');
  return pieces;
}

export const minusAll = (region: Region, boxes: Region): Region => boxes.reduce(minus, region);

function split(one: Box, hole: Box): Box[] {
  if (!common(one, hole)) return [one];
  const pieces: Box[] = [];
  let rest = one;
  for (const field of fields) {
    const outside = without(rest[field], hole[field]);
    if (outside.length > 0) pieces.push({ ...rest, [field]: outside });
    rest = { ...rest, [field]: intersect(rest[field], hole[field]) };
  }
  return pieces;
}

/** The same packets, whatever the interface. */
export const anyInterface = (box: Box, all: Box): Box => ({ ...box, inside: all.inside, outside: all.outside });

export const isEmpty = (box: Box): boolean => fields.some((field) => box[field] === nothing || box[field].length === 0);
