/** Claims about the internal node itself. Pure. */
import { isIP } from 'node:net';
import { formatAddress } from '../../shared/config/units.ts';
import { about, type Claim, type ClaimKind, type ClaimText, judged } from '../../shared/proof/claim.ts';
import { certificateClaim, configurationClaim, modesClaim, seccompClaim, trailClaim } from '../../shared/proof/common-claims.ts';
import { firewallClaims } from '../../shared/proof/firewall-claims.ts';
import { isConnection, isDialling, isListener, localText, remoteText, type SocketLine } from '../../shared/proof/sockets.ts';
import type { InsideFacts } from './facts.ts';

const text = (id: string, kind: ClaimKind, statement: string, command: string): ClaimText => ({
  id: `inside.${id}`,
  kind,
  statement,
  command,
});

export const insideClaims = (facts: InsideFacts): Claim[] => [
  pinned(facts),
  postQuantum(facts),
  noListener(facts),
  dialledByInside(facts),
  modesClaim('inside', facts.files, facts.config.state),
  configurationClaim('inside', facts.running, facts.onDisk, 'send the node SIGHUP'),
  trailClaim('inside', facts.audit, `${facts.config.state}/audit`),
  certificateClaim('inside', facts.inventory, facts.nowMs),
  ...firewallClaims('inside', facts),
  seccompClaim('inside', facts.processes, 'to listen (listen, accept, bind)'),
];

function pinned({ config, place }: InsideFacts): Claim {
  const claim = text(
    'pinned',
    'declared',
    'The internal node talks to one DMZ node only, known by the fingerprint of its key.',
    `grep -n 'fingerprint:' ${config.file}`,
  );
  const where = place(['dmz', 'fingerprint']);
  return judged(
    claim,
    config.dmz ? [] : [`${where}: no DMZ node is named`],
    config.dmz ? [`${config.dmz.fingerprint} (${where})`] : [],
  );
}

function postQuantum({ config, place }: InsideFacts): Claim {
  const claim = text(
    'post-quantum',
    'declared',
    'The tunnel is agreed upon with a post-quantum key exchange (X25519MLKEM768), and nothing less.',
    `grep -n 'classicalKeyExchange:' ${config.file}`,
  );
  const classical = config.tunnel.classicalKeyExchange;
  return judged(
    claim,
    classical ? [`${place(['tunnel', 'classicalKeyExchange'])}: a classical key exchange is admitted`] : [],
    [],
  );
}

function noListener(facts: InsideFacts): Claim {
  const pids = 'value' in facts.processes ? facts.processes.value.map(({ pid }) => pid) : [];
  const claim = text(
    'no-listener',
    'observed',
    'The internal node listens at no address and no port: there is nothing to connect to.',
    `ss -Hltnup | grep -E 'pid=(${pids.join('|')}),'   # no line`,
  );
  return about(claim, facts.sockets, ({ own }) => ({
    offending: own.filter(isListener).map((socket) => `${localText(socket)}: the internal node listens there`),
    evidence: [`processes ${pids.join(', ')}: 0 listening sockets, ${own.filter(isConnection).length} connections`],
  }));
}

/** An address in the configuration is matched as one; what a name means is asked of the kernel's side only by its port. */
const isTo = (socket: SocketLine, { host, port }: { readonly host: string; readonly port: number }): boolean =>
  socket.remotePort === port && (isIP(host) === 0 || socket.remoteHost === host);

function dialledByInside({ config, sockets, running }: InsideFacts): Claim {
  const claim = text(
    'tunnel-dialled',
    'observed',
    'The tunnel was opened from inside: each of its connections has a port of ours that nobody can connect to, and the DMZ node at the other end.',
    'ss -Htnp state established',
  );
  return about(claim, sockets, ({ own }) => {
    const { dmz } = config;
    const tunnel = dmz ? own.filter((socket) => isConnection(socket) && !isDialling(socket) && isTo(socket, dmz.address)) : [];
    const listening = new Set(own.filter(isListener).map(({ port }) => port));
    const inward = own.filter((socket) => isConnection(socket) && listening.has(socket.port));
    const others = own.filter((socket) => isConnection(socket) && !tunnel.includes(socket) && !inward.includes(socket));
    const group = 'value' in running ? running.value.tunnel.group : null;
    return {
      offending: [
        ...inward.map((socket) => `${remoteText(socket)} → ${localText(socket)}: came in from outside`),
        ...(tunnel.length === 0 && dmz ? [`no connection to ${formatAddress(dmz.address)}: the tunnel is down`] : []),
      ],
      evidence: [
        `${tunnel.length} connections to ${dmz ? formatAddress(dmz.address) : 'nobody'}, all dialled here${group === null ? '' : `, ${group}`}`,
        ...others.map((socket) => `also ${localText(socket)} → ${remoteText(socket)}`),
      ],
    };
  });
}
