/**
 * Whom this node dials, as its configuration says: the DMZ node, directories, HTTP services, name servers. It listens nowhere but
 * at a Unix socket. For the firewall rules and the proof.
 */
import { isIP } from 'node:net';
import { type Loaded, lineOf, loadConfig } from '../shared/config/load.ts';
import type { InsideDial, InsideNetwork, Surroundings } from '../shared/firewall/rule-base-input.ts';
import { surroundingsOf } from './config-network.ts';
import { internalConfigSchema, type Settings } from './config-schema.ts';

/** The world as this host sees it; a test brings its own. */
export interface HostNames {
  /** Addresses of a name, both families; none: it does not resolve. */
  readonly addressesOf: (name: string) => Promise<readonly string[]>;
  /** Name servers that this host asks. */
  readonly nameServers: () => readonly string[];
}

export interface InsideFacts {
  readonly network: InsideNetwork;
  readonly surroundings: Surroundings;
}

/** @param file The main file. @throws ConfigError */
export async function loadInsideNetwork(file: string, names: HostNames): Promise<InsideFacts> {
  const { main } = await loadConfig(file, internalConfigSchema);
  return { network: await insideNetwork(main, names), surroundings: surroundingsOf(main.value.network, main) };
}

type Named = Omit<InsideDial, 'addresses'>;

async function insideNetwork(main: Loaded<Settings>, names: HostNames): Promise<InsideNetwork> {
  const { value } = main;
  const dialled = [...tunnelDial(main), ...directoryDials(main), ...httpDials(main)];
  const addressesOf = async (host: string): Promise<readonly string[]> =>
    value.network.hosts[host] ?? (isIP(host) > 0 ? [host] : await names.addressesOf(host));
  const dials = await Promise.all(dialled.map(async (dial) => ({ ...dial, addresses: await addressesOf(dial.host) })));
  const unknown = Object.entries(value.destinations).flatMap(([name, { program }]) =>
    program
      ? [
          `destination ${name} runs a program (${lineOf(main, ['destinations', name, 'program'])}): what it dials is not known here; add it under network.also`,
        ]
      : [],
  );
  if (dialled.every(({ host }) => isIP(host) > 0)) return { node: value.name, dials, unknown };
  const servers = nameServers(main, names);
  if (servers.length === 0) {
    unknown.push('this host asks for names at itself: name the servers that are asked in the end under network.nameServers');
  }
  return { node: value.name, dials: [...dials, ...servers], unknown };
}

function tunnelDial(main: Loaded<Settings>): Named[] {
  const { dmz } = main.value;
  if (!dmz) return [];
  const { host, port } = dmz.address;
  const source = lineOf(main, ['dmz', 'address']);
  return [{ use: 'tunnel', name: 'tunnel', host, port, protocol: 'tcp', clear: null, source }];
}

const standardPorts: Readonly<Record<string, number>> = { 'ldap:': 389, 'ldaps:': 636, 'http:': 80, 'https:': 443 };
const inUse = ([, { stopped }]: readonly [string, { readonly stopped: boolean }]): boolean => !stopped;

/** @param url Of a scheme in `standardPorts`. */
function endOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port, protocol } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? (standardPorts[protocol] ?? 0) : Number(port) };
}

function directoryDials(main: Loaded<Settings>): Named[] {
  return Object.entries(main.value.authentication.directories)
    .filter(inUse)
    .flatMap(([name, { servers, plain }]) =>
      servers.map(
        (url, index): Named => ({
          ...{ use: 'directory', name: `directory ${name}`, protocol: 'tcp', ...endOf(url) },
          clear: url.startsWith('ldap:') && plain ? plain.reason : null,
          source: lineOf(main, ['authentication', 'directories', name, 'servers', index]),
        }),
      ),
    );
}

function httpDials(main: Loaded<Settings>): Named[] {
  return Object.entries(main.value.authentication.http)
    .filter(inUse)
    .flatMap(([name, { urls, plain }]) =>
      urls.map(
        (url, index): Named => ({
          ...{ use: 'http', name: `login service ${name}`, protocol: 'tcp', ...endOf(url) },
          clear: url.startsWith('http:') && plain ? plain.reason : null,
          source: lineOf(main, ['authentication', 'http', name, 'urls', index]),
        }),
      ),
    );
}

/** One row each for UDP and for TCP, which long answers need. */
function nameServers(main: Loaded<Settings>, names: HostNames): InsideDial[] {
  const given = main.value.network.nameServers;
  const local = names.nameServers().filter((address) => !/^(127\.|::1$)/.test(address));
  const addresses = given.length > 0 ? given : local;
  if (addresses.length === 0) return [];
  const source = given.length > 0 ? lineOf(main, ['network', 'nameServers']) : '/etc/resolv.conf';
  return (['udp', 'tcp'] as const).map((protocol) => ({
    ...{ use: 'dns', name: 'name servers', host: 'name servers', addresses, port: 53, protocol, clear: null, source },
  }));
}
