/** Claims about a DMZ node that rest on what the system shows now: its sockets, its files, what it stores. Pure. */
import { basename, dirname, relative } from 'node:path';
import { formatAddress } from '../../shared/config/units.ts';
import type { DmzListener } from '../../shared/firewall/dmz-network.ts';
import { about, type Claim, type ClaimText } from '../../shared/proof/claim.ts';
import { certificateClaim, configurationClaim, modesClaim, trailClaim } from '../../shared/proof/common-claims.ts';
import type { FileEntry } from '../../shared/proof/files.ts';
import {
  isConnection,
  isDialling,
  isListener,
  isLoopback,
  localText,
  remoteText,
  type SocketLine,
  type Sockets,
} from '../../shared/proof/sockets.ts';
import type { DmzConfig } from '../config.ts';
import { dmzNetwork } from '../dmz-network.ts';
import { cacheFolders, type DmzFacts, isInsideKey } from './facts.ts';

const observed = (id: string, statement: string, command: string): ClaimText => ({
  id: `dmz.${id}`,
  kind: 'observed',
  statement,
  command,
});

export function observedClaims(facts: DmzFacts): Claim[] {
  const { config, files, audit, inventory, nowMs } = facts;
  return [
    listeners(facts),
    otherListeners(facts),
    noOutgoing(facts),
    noInsideKeys(facts),
    noPasswordHashes(facts),
    onlySealed(facts),
    oneRecipient(facts),
    nothingElse(facts),
    modesClaim('dmz', files, config.state),
    configurationClaim('dmz', facts.running, facts.onDisk, 'restart the node'),
    trailClaim('dmz', audit, `${config.state}/audit`),
    certificateClaim('dmz', inventory, nowMs),
  ];
}

const doorsOf = (config: DmzConfig): readonly DmzListener[] =>
  dmzNetwork(config).listeners.filter(({ use }) => use !== 'ftps-data');
/** Its ports listen only while a transfer waits for its data connection. */
const passiveDoor = (config: DmzConfig): DmzListener | undefined =>
  dmzNetwork(config).listeners.find(({ use }) => use === 'ftps-data');

/** A door with port 0 takes any port of its address. */
const isDoor = (socket: SocketLine, { host, first, last }: DmzListener): boolean =>
  socket.protocol === 'tcp' && socket.host === host && (first === 0 || (socket.port >= first && socket.port <= last));

function listeners(facts: DmzFacts): Claim {
  const text = observed('listeners', 'The node listens where its configuration says, and nowhere else.', 'ss -Hltnup');
  return about(text, facts.sockets, ({ own }) => {
    const doors = doorsOf(facts.config);
    const passive = passiveDoor(facts.config);
    const open = own.filter(isListener);
    const strange = open.filter(
      (socket) => !(passive && isPassive(socket, passive)) && !doors.some((door) => isDoor(socket, door)),
    );
    const closed = doors.filter((door) => !open.some((socket) => isDoor(socket, door)));
    return {
      offending: [
        ...strange.map(
          (socket) => `${localText(socket)}: the node listens there, no line of ${basename(facts.config.file)} says so`,
        ),
        ...closed.map(({ use, host, first, source }) => `${source}: ${use} ${formatAddress({ host, port: first })} is not open`),
      ],
      evidence: open.map(localText),
    };
  });
}

const isPassive = ({ protocol, port }: SocketLine, { first, last }: DmzListener): boolean =>
  protocol === 'tcp' && port >= first && port <= last;

function otherListeners(facts: DmzFacts): Claim {
  const text = observed(
    'other-listeners',
    'No other program on the host can be reached from the network, apart from what proof.otherListeners names.',
    'ss -Hltnup',
  );
  return about(text, facts.sockets, ({ all, own }) => {
    const mine = new Set(own.map(({ inode }) => inode));
    const others = all.filter((socket) => isListener(socket) && !mine.has(socket.inode) && !isLoopback(socket.host));
    const { otherListeners: declared } = facts.config.proof;
    const isDeclared = ({ host, port }: SocketLine): boolean =>
      declared.some(({ address }) => address.host === host && address.port === port);
    return {
      offending: others
        .filter((socket) => !isDeclared(socket))
        .map((socket) => `${localText(socket)}: another program listens there`),
      evidence: declared.map(({ address, reason }) => `${formatAddress(address)}: ${reason}`),
    };
  });
}

function noOutgoing(facts: DmzFacts): Claim {
  const text = observed(
    'no-outgoing',
    'The node has opened no connection to anybody.',
    'ss -Htnp state established state syn-sent',
  );
  return about(text, facts.sockets, (sockets) => {
    const dialled = outgoing(sockets, facts);
    const connections = sockets.own.filter(isConnection).length;
    return {
      offending: dialled.map((socket) => `${localText(socket)} → ${remoteText(socket)}: opened by the node`),
      evidence: [`${connections} connections, ${connections - dialled.length} of them came in through a door`],
    };
  });
}

/** A connection that was accepted has the port of a listener at this end. */
function outgoing({ own }: Sockets, facts: DmzFacts): SocketLine[] {
  const passive = passiveDoor(facts.config);
  const ports = new Set(own.filter(isListener).map(({ port }) => port));
  return own.filter(
    (socket) =>
      isDialling(socket) || (isConnection(socket) && !ports.has(socket.port) && !(passive && isPassive(socket, passive))),
  );
}

function noInsideKeys({ secrets, insideKeys, config }: DmzFacts): Claim {
  const text = observed(
    'no-inside-keys',
    'No key of the inside lies in the folders of the node: none that opens stored files, signs policy, or proves the inside.',
    `grep -rlE 'AGE-SECRET-KEY|PRIVATE KEY' ${dirname(config.file)} ${config.state}`,
  );
  if ('missing' in insideKeys) return about(text, insideKeys, () => ({ offending: [], evidence: [] }));
  return about(text, secrets, (found) => ({
    offending: found
      .filter((secret) => isInsideKey(secret, insideKeys.value))
      .map(({ file, kind }) => `${file}: ${kind} of the inside`),
    evidence: [`${found.filter(({ kind }) => kind === 'private key').length} private keys, all of this node`],
  }));
}

function noPasswordHashes({ secrets, config, files }: DmzFacts): Claim {
  const text = observed(
    'no-accounts',
    'The node stores no password, no hash of one, and no list of partners.',
    `grep -rlaE '\\$argon2|\\$2[aby]\\$|\\$6\\$' ${config.state}`,
  );
  return about(text, secrets, (found) => ({
    offending: found.filter(({ kind }) => kind === 'password hash').map(({ file }) => `${file}: holds the hash of a password`),
    evidence: [`${'value' in files ? files.value.filter(({ kind }) => kind === 'file').length : 0} files looked through whole`],
  }));
}

function onlySealed({ objects, config }: DmzFacts): Claim {
  const text = observed(
    'sealed',
    'Every stored file is sealed: a standard age file, nothing in clear.',
    `for f in $(find ${config.state}/objects -type f -size +0); do head -c 21 "$f" | grep -q '^age-encryption.org/v1' || echo "$f"; done`,
  );
  return about(text, objects, (all) => ({
    offending: all.flatMap(({ file, wrong }) => (wrong === undefined ? [] : [`${file}: ${wrong}`])),
    evidence: [`${all.length} stored files`],
  }));
}

function oneRecipient({ objects, policy, config }: DmzFacts): Claim {
  const text = observed(
    'recipients',
    'Every stored file can be opened by as many keys as the policy names, and no more. (That it is the right key is checked inside.)',
    `grep -ac '^-> ' ${config.state}/objects/*/*`,
  );
  if ('missing' in policy) return about(text, policy, () => ({ offending: [], evidence: [] }));
  const { recipients } = policy.value;
  return about(text, objects, (all) => ({
    offending: all
      .filter(({ stanzas, header }) => header !== undefined && stanzas.length !== recipients.length)
      .map(
        ({ file, stanzas }) =>
          `${file}: sealed to ${stanzas.length} keys (${stanzas.join(', ')}), the policy names ${recipients.length}`,
      ),
    evidence: recipients.map((recipient) => `sealed to ${recipient}`),
  }));
}

/** All that the node writes into its state folder. Whatever else lies there was put there by somebody. */
const ownFiles: readonly RegExp[] = [
  /^(objects|quarantine|audit|keys|admin)$/,
  /^(audit\/\d{4}-\d{2}-\d{2}\.jsonl|admin\/socket|keys\/[\w.-]+|keys\/identity-\d+\/[\w.-]+)$/,
  /^records\.db(-wal|-shm|-journal)?$/,
  /^(policy\.json|ports\.json)(\.new)?$/,
  /^(internal-node|invitations)\.json$/,
];

function nothingElse({ files, config }: DmzFacts): Claim {
  const text = observed(
    'nothing-else',
    'The state folder holds what the node writes, and nothing else.',
    `find ${config.state} -not -path '*/objects/*'`,
  );
  const named = new Set([config.admin.socket, config.file, ...config.sftp.hostKeys]);
  const isOwn = ({ path }: FileEntry): boolean => {
    const name = relative(config.state, path);
    const elsewhere = name === '' || name.startsWith('..') || cacheFolders.some((folder) => name.startsWith(`${folder}/`));
    return elsewhere || named.has(path) || ownFiles.some((pattern) => pattern.test(name));
  };
  return about(text, files, (all) => ({
    offending: all.filter((entry) => !isOwn(entry)).map(({ path, kind }) => `${path}: a ${kind} that the node does not write`),
    evidence: [`${all.length} entries`],
  }));
}
