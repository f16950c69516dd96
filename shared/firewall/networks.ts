/** Addresses and networks of both families as ranges of numbers, so that rules can be compared by what they mean. */
import { isIP } from 'node:net';
import { type Interval, union, without } from './intervals.ts';

export type Family = 'ipv4' | 'ipv6';
export const families = ['ipv4', 'ipv6'] as const;

const bitsOf: Readonly<Record<Family, number>> = { ipv4: 32, ipv6: 128 };

/** Everything that is an address of a family. */
export const allAddresses = (family: Family): Interval => ({ first: 0n, last: (1n << BigInt(bitsOf[family])) - 1n });

/** @param network `198.51.100.0/24`, `2001:db8::1`; also the IPv4 address that stands in an IPv6 one. */
export const familyOf = (network: string): Family => (isIP(network.split('/')[0] ?? '') === 6 ? 'ipv6' : 'ipv4');

/** Those of one family, in their order. */
export const ofFamily = (networks: readonly string[], family: Family): readonly string[] =>
  networks.filter((network) => familyOf(network) === family);

/** @throws RangeError for a text that is no address or network. */
export function intervalOf(network: string): Interval {
  const [host = '', bits, ...rest] = network.split('/');
  const version = isIP(host);
  if (version === 0 || rest.length > 0 || (bits !== undefined && !/^\d{1,3}$/.test(bits)))
    throw new RangeError(`"${network}" is no address and no network`);
  const family = version === 6 ? 'ipv6' : 'ipv4';
  const width = bitsOf[family];
  const length = bits === undefined ? width : Number(bits);
  if (length > width) throw new RangeError(`"${network}" has more than ${width} bits`);
  const address = version === 6 ? number6(host) : number4(host);
  const size = 1n << BigInt(width - length);
  const first = address - (address % size);
  return { first, last: first + size - 1n };
}

/** Whether a network is all addresses of its family. */
export const isAll = (network: string): boolean => /\/0+$/.test(network);

export function overlap(a: string, b: string): boolean {
  if (familyOf(a) !== familyOf(b)) return false;
  const [left, right] = [intervalOf(a), intervalOf(b)];
  return left.first <= right.last && right.first <= left.last;
}

/** Without those that lie in another one of the list. */
export function outermost(networks: readonly string[]): readonly string[] {
  const all = [...new Set(networks)].map((network) => ({ network, family: familyOf(network), ...intervalOf(network) }));
  const within = (a: (typeof all)[number], b: (typeof all)[number]): boolean =>
    a !== b && a.family === b.family && b.first <= a.first && a.last <= b.last && (b.first !== a.first || b.last !== a.last);
  return all.filter((one) => !all.some((other) => within(one, other))).map(({ network }) => network);
}

/** What is in none of the holes, as networks. */
export function withoutNetworks(networks: readonly string[], holes: readonly string[], family: Family): readonly string[] {
  const ranges = without(union(...networks.map((one) => [intervalOf(one)])), union(...holes.map((one) => [intervalOf(one)])));
  return ranges.flatMap((range) => networksOf(range, family));
}

/** A range as the fewest networks. */
function networksOf({ first, last }: Interval, family: Family): string[] {
  const found: string[] = [];
  for (let at = first; at <= last; ) {
    let size = 1n;
    while (at % (size * 2n) === 0n && at + size * 2n - 1n <= last) size *= 2n;
    found.push(rangeText({ first: at, last: at + size - 1n }, family));
    at += size;
  }
  return found;
}

const number4 = (text: string): bigint => text.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);

function number6(text: string): bigint {
  const plain = text.split('%')[0] ?? '';
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  const low = dotted ? number4(dotted[2] ?? '') : 0n;
  const groups = dotted ? `${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}` : plain;
  const [head = '', tail] = groups.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...(tail === undefined ? [] : middle), ...right].reduce(
    (sum, group) => sum * 65_536n + BigInt(`0x${group}`),
    0n,
  );
}

/** `198.51.100.7`, `2001:db8:0:0:0:0:0:1`: an address for people. */
export function addressText(value: bigint, family: Family): string {
  if (family === 'ipv4') return [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - index * 16)) & 0xffffn).toString(16));
  const zeros = /(^|:)0(:0)+(:|$)/.exec(groups.join(':'));
  const text = groups.join(':');
  return zeros ? `${text.slice(0, zeros.index)}::${text.slice(zeros.index + zeros[0].length)}` : text;
}

/** A range as one network where it is one, else as `first-last`. */
export function rangeText({ first, last }: Interval, family: Family): string {
  const size = last - first + 1n;
  const length = bitsOf[family] - (size.toString(2).length - 1);
  const isNetwork = (size & (size - 1n)) === 0n && first % size === 0n;
  if (!isNetwork) return `${addressText(first, family)}-${addressText(last, family)}`;
  return length === bitsOf[family] ? addressText(first, family) : `${addressText(first, family)}/${length}`;
}
