/**
 * Tries TCP connections to see what answers. For commands that a person runs, never for a node: this is the one place of the
 * project that connects to addresses somebody typed.
 */
import { connect, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Address } from '../config/units.ts';
import { SallyportError } from '../errors.ts';
import type { Attempt } from './statement.ts';

export interface AttemptOptions {
  /** How long one is waited for. */
  readonly timeoutMs: number;
  /** So many at the same time. */
  readonly atOnce: number;
}

export const attemptDefaults: AttemptOptions = { timeoutMs: 1500, atOnce: 256 };

/** @returns one entry per target, in their order. Says nothing of targets that were not tried when `signal` fires. */
export async function tryConnections(
  targets: readonly Address[],
  options: AttemptOptions,
  signal: AbortSignal,
): Promise<readonly Attempt[]> {
  const results: Attempt[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < targets.length; index = next++) {
      const target = targets[index];
      signal.throwIfAborted();
      if (target) results[index] = await tryOne(target, options.timeoutMs);
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.atOnce, targets.length) }, worker));
  return results;
}

function tryOne({ host, port }: Address, timeoutMs: number): Promise<Attempt> {
  const begun = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (outcome: Attempt['outcome']): void => {
      socket.destroy();
      resolve({ target: host, port, outcome, ms: Math.round(performance.now() - begun) });
    };
    socket.setTimeout(timeoutMs, () => done('silent'));
    socket.once('connect', () => done('open'));
    socket.once('error', (error) => done(outcomeOf(error)));
  });
}

/** A firewall that drops lets the system give up by itself; one that rejects says unreachable, or not permitted on our own host. */
const outcomes: ReadonlyMap<string | undefined, Attempt['outcome']> = new Map([
  ['ECONNREFUSED', 'refused'],
  ['ECONNRESET', 'refused'],
  ['ETIMEDOUT', 'silent'],
  ...['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'ENONET', 'ENOPROTOOPT', 'EACCES', 'EPERM'].map(
    (code) => [code, 'unreachable'] as const,
  ),
]);

/**
 * What a failure says of the way. A name that nobody knows, or a system without a file descriptor left, says nothing of it.
 * Of a name with several addresses the worst counts: one that answers is enough to get in.
 */
export function outcomeOf(error: Error): Attempt['outcome'] {
  const all = (error instanceof AggregateError ? error.errors : [error]) as readonly NodeJS.ErrnoException[];
  const each = all.map(({ code }) => outcomes.get(code) ?? 'untried');
  return (['refused', 'untried', 'silent'] as const).find((outcome) => each.includes(outcome)) ?? 'unreachable';
}

/** So many connections in one run. */
const mostTargets = 20_000;

/**
 * Targets as people write them: an address, a network such as `10.1.2.0/28`, or a name, which the system looks up.
 * @throws SallyportError `usage` when they are too many or none.
 */
export function targetsOf(hosts: readonly string[], ports: readonly number[]): Address[] {
  const addresses = hosts.flatMap(addressesOf);
  if (addresses.length * ports.length > mostTargets) {
    throw new SallyportError('usage', `${addresses.length} addresses times ${ports.length} ports are more than ${mostTargets}`);
  }
  return addresses.flatMap((host) => ports.map((port) => ({ host, port })));
}

function addressesOf(host: string): string[] {
  const [base = '', bits] = host.split('/');
  if (bits === undefined) {
    if (isIP(host) > 0 || /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})$/.test(host)) return [host];
    throw new SallyportError('usage', `"${host}" is no address and no name`);
  }
  if (isIP(base) !== 4 || !/^\d{1,2}$/.test(bits) || Number(bits) < 20 || Number(bits) > 32) {
    throw new SallyportError('usage', `"${host}": a network is written like 10.1.2.0/28, at most /20; IPv6 as single addresses`);
  }
  const count = 2 ** (32 - Number(bits));
  const first = Math.floor(numberOf(base) / count) * count;
  const hosts = Array.from({ length: count }, (_, index) => textOf(first + index));
  return count > 2 ? hosts.slice(1, -1) : hosts; // without network and broadcast
}

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const textOf = (number: number): string => [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');

/** `22,389,8000-8010`. @throws SallyportError `usage`. */
export function parsePorts(text: string): number[] {
  const ports = text.split(',').flatMap((part) => {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = match?.[2] === undefined ? first : Number(match[2]);
    if (!match || first < 1 || last < first || last > 65_535) {
      throw new SallyportError('usage', `"${part}" is no port and no range of ports, like 22 or 8000-8010`);
    }
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return [...new Set(ports)];
}

/** Addresses of this host, without loopback. */
export const ownAddresses = (): string[] =>
  Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal }) => !internal)
    .map(({ address }) => address);
