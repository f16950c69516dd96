/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org/download/1.8/doc/proxy-protocol.txt): what a load balancer says before the
 * client's first byte about who the client is. Parses bytes, believes nothing and nobody: whose header may be read at all is
 * decided by `balancers.ts`. Additions of version 2 (TLVs) are skipped.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { peerAddress } from './peer-address.ts';

export interface ProxyHeader {
  /** The client's address; undefined when the balancer speaks for itself, for instance to see whether the node is alive. */
  readonly source: string | undefined;
  /** Bytes of the header; what follows is the client's. */
  readonly length: number;
}

const textStart = Buffer.from('PROXY ', 'latin1');
const binaryStart = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** "the worst case" of §2.1, with its line end. */
const maxTextBytes = 107;
const maxBinaryBytes = 2048;
const line =
  /^PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?|(TCP4|TCP6) ([0-9.]{7,15}|[0-9A-Fa-f:.]{2,45}) ([0-9A-Fa-f:.]{2,45}) (\d{1,5}) (\d{1,5}))$/;

/**
 * @returns undefined while the header is not whole.
 * @throws Error what is wrong with it, as soon as that is certain.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (startsLike(bytes, textStart)) return parseText(bytes);
  if (startsLike(bytes, binaryStart)) return parseBinary(bytes);
  throw new Error('no PROXY header');
}

const startsLike = (bytes: Buffer, start: Buffer): boolean => {
  const length = Math.min(bytes.length, start.length);
  return bytes.subarray(0, length).equals(start.subarray(0, length));
};

function parseText(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, maxTextBytes).indexOf('\r\n');
  if (end === -1) {
    if (bytes.length >= maxTextBytes) throw new Error('the PROXY line is too long');
    return undefined;
  }
  const found = line.exec(bytes.toString('latin1', 0, end));
  if (!found) throw new Error('the PROXY line is malformed');
  const [, family, source, target, ...ports] = found;
  const length = end + 2;
  if (!family) return { source: undefined, length };
  const known = family === 'TCP4' ? isIPv4 : isIPv6;
  if (
    !known(source ?? '') ||
    !known(target ?? '') ||
    ports.some((port) => !/^(0|[1-9]\d*)$/.test(port) || Number(port) > 65_535)
  ) {
    throw new Error('an address in the PROXY line is malformed');
  }
  return { source: canonical(source ?? ''), length };
}

function parseBinary(bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < 16) return undefined;
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const length = 16 + bytes.readUInt16BE(14);
  if (command !== 0x20 && command !== 0x21) throw new Error('unknown version or command of the PROXY header');
  if (length > maxBinaryBytes) throw new Error('the PROXY header is too long');
  if (bytes.length < length) return undefined;
  if (command === 0x20 || family === 0x00) return { source: undefined, length };
  const width = family === 0x11 ? 4 : family === 0x21 ? 16 : 0;
  if (width === 0) throw new Error('the PROXY header tells of a connection that is not TCP');
  if (length < 16 + 2 * width + 4) throw new Error('the addresses of the PROXY header are cut off');
  return { source: canonical(addressOf(bytes.subarray(16, 16 + width))), length };
}

function addressOf(raw: Buffer): string {
  if (raw.length === 4) return raw.join('.');
  return (raw.toString('hex').match(/.{4}/g) ?? []).join(':');
}

/** One form for one address, whichever way it was written. */
function canonical(address: string): string {
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  return peerAddress(new SocketAddress({ address, family }).address);
}
