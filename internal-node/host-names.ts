/** What this host knows of the network around it: addresses of names, its name servers, the address that it dials from. */
import { createSocket } from 'node:dgram';
import { getServers } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { HostNames } from './inside-network.ts';

const lookupMs = 3000;

export const hostNames: HostNames = {
  async addressesOf(name) {
    const found = lookup(name, { all: true }).then(
      (all) => all.map(({ address }) => address),
      () => [],
    );
    const late = Promise.withResolvers<string[]>();
    const timer = setTimeout(() => late.resolve([]), lookupMs);
    try {
      return [...new Set(await Promise.race([found, late.promise]))];
    } finally {
      clearTimeout(timer);
    }
  },
  nameServers: () =>
    getServers().map((server) => /^\[(.+)\]/.exec(server)?.[1] ?? (isIP(server) > 0 ? server : (server.split(':')[0] ?? ''))),
};

/** The address from which this host would dial each of these; sends nothing. */
export async function localAddresses(towards: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(towards.map(localAddress));
  return [...new Set(found.filter((address) => address !== undefined))];
}

/** Connecting a datagram socket only looks the route up. */
function localAddress(towards: string): Promise<string | undefined> {
  const socket = createSocket(isIP(towards) === 6 ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    const done = (address: string | undefined): void => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => done(undefined));
    socket.connect(9, towards, () => done(socket.address().address));
  });
}
