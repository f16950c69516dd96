/**
 * The address of a stranger in the one form that every room uses, and the source it is counted under.
 *
 * IPv4-mapped addresses become IPv4 and zones are cut, so that one peer cannot appear under two names. A source is one IPv4
 * address or one IPv6 /64: a single subscriber usually owns a whole /64, so counting single addresses would count nothing.
 */
import { isIPv4, isIPv6 } from 'node:net';

const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/** `remote` as a socket gives it; empty when the peer is gone already. */
export function peerAddress(remote: string | undefined): string {
  const bare = (remote ?? '').replace(/%.*$/, '');
  return mapped.exec(bare)?.[1] ?? bare;
}

/** The name that limits and penalties are counted under. */
export function sourceOf(peer: string): string {
  if (isIPv4(peer) || !isIPv6(peer)) return peer;
  return `${firstFourGroups(peer).join(':')}::/64`;
}

function firstFourGroups(address: string): string[] {
  const [head = '', tail] = address.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const right = tail === '' ? [] : tail.split(':');
    // A dotted tail stands for two groups.
    const width = right.length + (right.at(-1)?.includes('.') ? 1 : 0);
    while (left.length + width < 8) left.push('0');
    left.push(...right);
  }
  return left.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''));
}
