/**
 * The IP sockets of a process and of its network namespace, as the kernel lists them in /proc. Only reads; needs to be root
 * or the user of the process.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { formatAddress } from '../config/units.ts';

export interface SocketLine {
  readonly protocol: 'tcp' | 'udp';
  readonly family: 4 | 6;
  /** `10.0.0.1`, `::`. */
  readonly host: string;
  readonly port: number;
  readonly remoteHost: string;
  readonly remotePort: number;
  /** Of the kernel (include/net/tcp_states.h): 1 established, 2 SYN sent, 10 listening. */
  readonly state: number;
  readonly inode: string;
}

export interface Sockets {
  /** Of the process itself. */
  readonly own: readonly SocketLine[];
  /** Of the whole network namespace in which it runs, its own included. */
  readonly all: readonly SocketLine[];
}

const established = 1;
const synSent = 2;
const listening = 10;
/** A UDP socket without a peer takes datagrams from anybody. */
const udpOpen = 7;

export const isListener = ({ protocol, state }: SocketLine): boolean => state === (protocol === 'tcp' ? listening : udpOpen);
export const isConnection = ({ state }: SocketLine): boolean => state === established || state === synSent;
export const isDialling = ({ state }: SocketLine): boolean => state === synSent;

export const localText = ({ protocol, host, port }: SocketLine): string => `${protocol} ${formatAddress({ host, port })}`;
export const remoteText = ({ remoteHost, remotePort }: SocketLine): string =>
  formatAddress({ host: remoteHost, port: remotePort });

const tables = [
  { name: 'tcp', protocol: 'tcp', family: 4 },
  { name: 'tcp6', protocol: 'tcp', family: 6 },
  { name: 'udp', protocol: 'udp', family: 4 },
  { name: 'udp6', protocol: 'udp', family: 6 },
] as const;

/** @throws when the process is gone or belongs to another user. */
export async function readSockets(pids: readonly number[]): Promise<Sockets> {
  const [first] = pids;
  if (first === undefined) throw new Error('no process is known');
  const inodes = new Set<string>();
  for (const pid of pids) for (const inode of await socketInodes(pid)) inodes.add(inode);
  const all: SocketLine[] = [];
  for (const { name, protocol, family } of tables) {
    // A kernel without IPv6 has no such table, and then no such socket.
    const text = await readFile(`/proc/${first}/net/${name}`, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' && family === 6) return '';
      throw error;
    });
    all.push(...parseSocketTable(text, protocol, family));
  }
  return { all, own: all.filter(({ inode }) => inodes.has(inode)) };
}

async function socketInodes(pid: number): Promise<string[]> {
  const inodes: string[] = [];
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) inodes.push(inode);
  }
  return inodes;
}

/** `/proc/net/tcp` and its like (proc_net_tcp.rst of the kernel): numbers in hexadecimal, addresses in words of the host's order. */
export function parseSocketTable(text: string, protocol: 'tcp' | 'udp', family: 4 | 6): SocketLine[] {
  const lines: SocketLine[] = [];
  for (const line of text.split('\n').slice(1)) {
    const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
    if (local === undefined || remote === undefined || state === undefined || inode === undefined) continue;
    const here = parseEnd(local);
    const there = parseEnd(remote);
    lines.push({
      ...{ protocol, family, state: Number.parseInt(state, 16), inode },
      ...{ host: here.host, port: here.port, remoteHost: there.host, remotePort: there.port },
    });
  }
  return lines;
}

function parseEnd(text: string): { host: string; port: number } {
  const [hex = '', port = ''] = text.split(':');
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => [...Buffer.from(word, 'hex')].reverse());
  return { host: hostText(bytes), port: Number.parseInt(port, 16) };
}

function hostText(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (mapped) return bytes.slice(12).join('.');
  const groups = [...Array(8).keys()].map((index) => (((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0)).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1); // the shortest form (RFC 5952)
}

const anyHost: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
export const isLoopback = (host: string): boolean => host === '::1' || host.startsWith('127.');
export const isAnyHost = (host: string): boolean => anyHost.has(host);
