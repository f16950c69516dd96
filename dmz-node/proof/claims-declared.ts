/** Claims about a DMZ node that rest on its configuration alone. Pure. */

import { formatAddress } from '../../shared/config/units.ts';
import { type Claim, type ClaimText, judged } from '../../shared/proof/claim.ts';
import type { DmzConfig } from '../config.ts';
import { dmzNetwork } from '../dmz-network.ts';

const declared = (id: string, statement: string, command: string): ClaimText => ({
  id: `dmz.${id}`,
  kind: 'declared',
  statement,
  command,
});

export const declaredClaims = (config: DmzConfig): Claim[] => [
  doors(config),
  noDialling(config),
  noClearText(config),
  postQuantum(config),
  tunnelSource(config),
  passiveRange(config),
];

function doors(config: DmzConfig): Claim {
  const text = declared('doors', 'These doors are intended, each by a line of the configuration.', `cat ${config.file}`);
  const { listeners } = dmzNetwork(config);
  return judged(
    text,
    // What takes any free port cannot be written into a firewall.
    listeners
      .filter(({ first }) => first === 0)
      .map(({ use, source }) => `${source}: ${use} takes any free port; give it a fixed one`),
    listeners.map(({ use, host, first, last, source }) => {
      const ports = first === last ? formatAddress({ host, port: first }) : `${host} ports ${first}-${last}`;
      return `${use} ${ports} (${source})`;
    }),
  );
}

function noDialling(config: DmzConfig): Claim {
  const text = declared(
    'no-dialling',
    'The node is not told to open any connection: it answers, it never calls.',
    `grep -n 'active:' ${config.file}`,
  );
  const active = config.ftps?.active !== undefined;
  return judged(
    text,
    active ? [`${config.lineOf(['ftps', 'active'])}: active FTPS (PORT, EPRT) lets it connect to partners`] : [],
    ['no key of the configuration names an address to connect to; ftps.active is not there'],
  );
}

function noClearText(config: DmzConfig): Claim {
  const text = declared(
    'no-clear-text',
    'No password and no file crosses the network in clear.',
    `grep -n 'plainFtp:' ${config.file}`,
  );
  const plain = config.ftps?.plainFtp;
  return judged(
    text,
    plain ? [`${config.lineOf(['ftps', 'plainFtp'])}: FTP without TLS is admitted, because: ${plain.reason}`] : [],
    ['SFTP, and FTPS with TLS before the first name'],
  );
}

function postQuantum(config: DmzConfig): Claim {
  const text = declared(
    'post-quantum',
    'The tunnel is agreed upon with a post-quantum key exchange (X25519MLKEM768), and nothing less.',
    `grep -n 'classicalKeyExchange:' ${config.file}`,
  );
  const classical = config.tunnel.classicalKeyExchange;
  return judged(
    text,
    classical ? [`${config.lineOf(['tunnel', 'classicalKeyExchange'])}: a classical key exchange is admitted`] : [],
    [],
  );
}

function tunnelSource(config: DmzConfig): Claim {
  const text = declared(
    'tunnel-source',
    'The tunnel listener answers only addresses of the inside, whatever the firewall says.',
    `grep -n -A2 'allowFrom:' ${config.file}`,
  );
  const { allowFrom } = config.tunnel;
  const wide = allowFrom.filter((network) => /\/0+$/.test(network));
  const where = config.lineOf(['tunnel', 'allowFrom']);
  return judged(
    text,
    allowFrom.length === 0
      ? [`${where}: tunnel.allowFrom is empty: any address is answered`]
      : wide.map((network) => `${where}: ${network} is every address`),
    allowFrom.map((network) => `${network} (${where})`),
  );
}

function passiveRange(config: DmzConfig): Claim {
  const text = declared(
    'passive-range',
    'The range of ports for FTPS data is not wider than the connections that the node admits at the same time.',
    `grep -n 'ports:' ${config.file}`,
  );
  const { ftps, limits } = config;
  if (!ftps) return judged(text, [], ['there is no FTPS door']);
  const { first, last } = ftps.passive.ports;
  const width = last - first + 1;
  const evidence = `${width} ports (${first}-${last}) for at most ${limits.connections} connections`;
  const where = config.lineOf(['ftps', 'passive', 'ports']);
  return judged(text, width > limits.connections ? [`${where}: ${evidence}`] : [], [evidence]);
}
