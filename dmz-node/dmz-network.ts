/** Where this node listens and what it may dial, as its configuration says: for firewall rules, and told to the inside when it asks. */

import { isIP } from 'node:net';
import { basename } from 'node:path';
import type { DmzListener, DmzNetwork } from '../shared/firewall/dmz-network.ts';
import type { DmzConfig } from './config.ts';

/** @param open Ports in use by the name of a listener, where the configuration says "any". */
export function dmzNetwork(config: DmzConfig, open: Readonly<Partial<Record<string, number>>> = {}): DmzNetwork {
  const { tunnel, sftp, ftps } = config;
  const source = (...path: readonly string[]): string => plainSource(config.lineOf(path));
  const at = (
    use: DmzListener['use'],
    { host, port }: { host: string; port: number },
    balancers: readonly string[],
    ...path: string[]
  ): DmzListener => {
    const used = port === 0 ? (open[use] ?? 0) : port;
    return { use, host: ipHost(host), first: used, last: used, balancers: [...balancers], source: source(...path) };
  };
  const ftpsListeners = ftps
    ? [
        at('ftps', ftps.listen, ftps.proxyFrom, 'ftps', 'listen'),
        ...(ftps.implicit ? [at('ftps-implicit', ftps.implicit, ftps.proxyFrom, 'ftps', 'implicit')] : []),
        {
          ...at('ftps-data', ftps.listen, ftps.proxyFrom, 'ftps', 'passive', 'ports'),
          ...ftps.passive.ports,
        },
      ]
    : [];
  return {
    node: config.name,
    listeners: [
      at('sftp', sftp.listen, sftp.proxyFrom, 'sftp', 'listen'),
      ...ftpsListeners,
      at('tunnel', tunnel.listen, [], 'tunnel', 'listen'),
    ],
    active: ftps?.active ? { sourcePort: ftps.active.sourcePort, source: source('ftps', 'active') } : null,
    plainFtp: ftps?.plainFtp ? { reason: ftps.plainFtp.reason, source: source('ftps', 'plainFtp') } : null,
  };
}

/** A listener may be named; what it resolves to is the host's business, so it counts as all of its addresses. */
const ipHost = (host: string): string => (isIP(host) > 0 ? host : host === 'localhost' ? '127.0.0.1' : '::');

/** What the tunnel takes: a file name without a folder. */
const plainSource = (line: string): string =>
  basename(line)
    .replace(/[^A-Za-z0-9._ :()-]/g, '_')
    .slice(-96);
