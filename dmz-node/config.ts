/**
 * What the DMZ host itself must know: addresses, key files, the pinned internal node, and hard limits against strangers.
 * Partners, rules and rights are not here: they come from the inside with the signed policy.
 *
 * In `DmzConfig` sizes are bytes, durations milliseconds and paths absolute.
 */
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  checkSocketPath,
  fingerprint,
  freeSpace,
  logSettings,
  network,
  nodeName,
  path,
  threads,
  version,
  whole,
} from '../shared/config/fields.ts';
import { digestOf, type FileDigest, type Loaded, lineOf, loadConfig } from '../shared/config/load.ts';
import type { ConfigProblem } from '../shared/config/problems.ts';
import { address, duration, portRange, size } from '../shared/config/units.ts';
import { proofSchema } from './config-proof.ts';

const tunnel = z
  .strictObject({
    listen: address()
      .prefault('0.0.0.0:8443')
      .describe('Address and port that the internal node dials. Port 0 takes a free one.'),
    classicalKeyExchange: z
      .boolean()
      .default(false)
      .describe('Admit a TLS key exchange that is not post-quantum. Only for an old internal node; status warns of it.'),
    allowFrom: z
      .array(network())
      .max(1000)
      .default([])
      .describe('Networks from which the tunnel is accepted; empty: from anywhere.'),
  })
  .prefault({});

const sftp = z
  .strictObject({
    listen: address().prefault('0.0.0.0:2222').describe('Address and port for partners. Port 0 takes a free one.'),
    hostKeys: z
      .array(path())
      .max(8)
      .optional()
      .describe(
        'SSH host key files, the first of each type in use, the others only announced; default: ssh_host_ed25519, ssh_host_rsa and ssh_host_ecdsa in the keys folder.',
      ),
    proxyFrom: z
      .array(network())
      .max(100)
      .default([])
      .describe(
        'Load balancers in front: each connection from these addresses must begin with a PROXY header (version 1 or 2), and counts as the client that it names.',
      ),
    algorithms: z
      .enum(['strict', 'compatible'])
      .default('strict')
      .describe(
        'compatible: also offer NIST curves, the 2048-bit group 14 and MACs over plaintext, for clients that have nothing newer (such as libssh2 before 1.11).',
      ),
  })
  .prefault({});

const passive = z
  .strictObject({
    ports: portRange().prefault('50000-50999').describe('Ports for data connections; the firewall must let partners reach them.'),
    address: z
      .ipv4()
      .optional()
      .describe('Address to announce for data connections where the network translates it; default: the one connected to.'),
  })
  .prefault({});

const ftps = z
  .strictObject({
    listen: address().prefault('0.0.0.0:2121').describe('Explicit FTPS (AUTH TLS). Port 0 takes a free one.'),
    implicit: address().optional().describe('Implicit FTPS: TLS from the first byte on; leave it out for none.'),
    passive,
    proxyFrom: z
      .array(network())
      .max(100)
      .default([])
      .describe('Load balancers in front, as with sftp; they must also pass on the ports for data, with a header each.'),
    certificates: z
      .array(z.strictObject({ certificate: path(), key: path() }))
      .min(1)
      .max(16)
      .optional()
      .describe('PEM files; the name that a client asks for chooses, else the first. Default: ftps.crt and ftps.key.'),
    tlsMinimum: z.enum(['1.2', '1.3']).default('1.2').describe('Lowest version of TLS.'),
    clientCertificates: z
      .strictObject({
        mode: z.enum(['optional', 'required']).describe('Whether a client without one is refused.'),
        authorities: path()
          .optional()
          .describe('PEM file: certificates of other authorities count for nothing. Without it all are carried inside.'),
      })
      .optional()
      .describe('Ask partners for a TLS certificate; whose it is, is judged inside.'),
    sessionBinding: z
      .enum(['prefer', 'require'])
      .default('prefer')
      .describe('Whether a data connection must resume the TLS session of its control connection.'),
    requireEndOfData: z
      .boolean()
      .default(true)
      .describe('An upload that ends without close_notify was cut and is kept as a partial.'),
    active: z
      .strictObject({ sourcePort: whole(0, 65_535).default(0).describe('Port to connect from; 0 takes a free one.') })
      .optional()
      .describe('Admit PORT and EPRT: this host then connects to partners, to their own address only. Leave it out.'),
    plainFtp: z
      .strictObject({ reason: z.string().min(10).max(200).describe('Why; shown in the status.') })
      .optional()
      .describe('Admit FTP without TLS: passwords and files cross the network in clear.'),
  })
  .describe('The FTPS door; leave it out for none.');

const sourceRule = z.string().transform((text, context) => {
  const [word, range = ''] = text.trim().split(/\s+/);
  if ((word === 'allow' || word === 'deny') && network().safeParse(range).success)
    return { allow: word === 'allow', network: range };
  context.addIssue({ code: 'custom', message: 'expected allow or deny, and an address or a network like 198.51.100.0/24' });
  return z.NEVER;
});

const throttle = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Delay and ban sources that fail to log in.'),
    exempt: z.array(network()).max(1000).default([]).describe('Networks that are never banned, such as a load balancer.'),
    banAfter: whole(0, 1000)
      .default(0)
      .describe(
        'Failed logins of one source in a row, over SFTP and FTPS together, after which it is banned for banFor; 0: never.',
      ),
    banFor: duration({ min: '1s', max: '365d' }).prefault('1h').describe('How long.'),
    sources: z
      .array(sourceRule)
      .max(1000)
      .default([])
      .describe('allow NETWORK or deny NETWORK, the first that holds an address decides: never banned, or never admitted.'),
  })
  .prefault({});

const limits = z
  .strictObject({
    connections: whole(1, 100_000).default(1000).describe('Partner connections at the same time.'),
    connectionsPerSource: whole(1, 100_000).default(100).describe('Of these, from one address (IPv6: one /64).'),
    unauthenticated: whole(1, 100_000)
      .default(200)
      .describe('Of these, not yet logged in; from half of it on, newcomers are refused at random.'),
    unauthenticatedPerSource: whole(1, 100_000)
      .default(40)
      .describe('Of these, from one address; more than the transfers that a partner starts at once.'),
    silent: whole(1, 100_000)
      .default(600)
      .describe('Connections that have not said a word, beside the others; the oldest gives way to a newcomer.'),
    loginGrace: duration({ min: '1s', max: '1h' }).prefault('60s').describe('Time from connecting to being logged in.'),
    loginAttempts: whole(1, 100).default(6).describe('Attempts in one connection.'),
    idle: duration({ min: '1s' }).optional().describe('Ends a session that asks for nothing; default: as the policy says.'),
    keepAlive: duration({ min: '1s', max: '1h' })
      .prefault('15s')
      .describe('How often a silent client is asked for a sign of life.'),
    keepAliveMisses: whole(1, 100).default(4).describe('Unanswered signs of life after which a client counts as gone.'),
    rekeyBytes: size({ min: '1MiB' }).prefault('1GiB').describe('New SSH keys after so many bytes, both directions together.'),
    rekeyAfter: duration({ min: '10s' }).prefault('1h').describe('New SSH keys after this time.'),
    outstandingBytesPerSession: size({ min: '256KiB', max: '1GiB' })
      .prefault('4MiB')
      .describe('Bytes of one session that may be in work before its socket is no longer read.'),
    outstandingBytes: size({ min: '1MiB', max: '64GiB' })
      .prefault('32MiB')
      .describe('Of all sessions together; the fuller it is, the less one session may have.'),
    receiveWindow: size({ min: '2MiB', max: '64MiB' })
      .prefault('8MiB')
      .describe(
        'How far an SFTP client may send ahead, once a long line has been measured; it begins with 2MiB. Taken from outstandingBytes, of which at most half.',
      ),
    reorderWindow: size({ min: '256KiB', max: '1GiB' })
      .prefault('8MiB')
      .describe('How far ahead of the contiguous end of an upload a write may lie.'),
    reorderBudget: size({ min: '1MiB', max: '64GiB' })
      .prefault('64MiB')
      .describe('Memory of the whole node for writes that came out of order.'),
    stall: duration({ min: '5s' })
      .prefault('10m')
      .describe('A transfer that moves too little for so long ends; an upload becomes a partial.'),
    minimumRate: size({ max: '1GiB' })
      .prefault('64B')
      .describe('Bytes a second, averaged over `stall`, below which a transfer moves too little; 0: any byte is enough.'),
    drainTimeout: duration({ max: '1d' })
      .prefault('10m')
      .describe('How long transfers may go on after the node was told to stop.'),
    throttle,
  })
  .prefault({})
  .describe('Hard limits against strangers; the policy of the inside can only be stricter.');

const space = z
  .strictObject({
    minimumFree: freeSpace().prefault('5%').describe('Uploads are refused when less of the file system is free: 5% or 2GiB.'),
    reserve: size().prefault('64MiB').describe('Kept for the records themselves on top of that.'),
  })
  .prefault({});

export const dmzConfigSchema = z.strictObject({
  version,
  name: nodeName,
  state: path().default('state').describe('Folder of the caches and records, mode 0700.'),
  keys: path().optional().describe('Folder of the keys, mode 0700; default: keys in the state folder.'),
  internal: z
    .strictObject({
      fingerprint: fingerprint('internal').describe('SPI-…: the only internal node that may connect.'),
    })
    .optional()
    .describe('Leave it out when the internal node comes with an invitation: sallyport-dmz invite.'),
  tunnel,
  sftp,
  ftps: ftps.optional(),
  admin: z
    .strictObject({
      socket: path().optional().describe('Unix socket of the admin commands; default: admin/socket in the state folder.'),
    })
    .prefault({}),
  limits,
  space,
  workers: z.strictObject({ seal: threads }).prefault({}),
  proof: proofSchema,
  log: logSettings,
});

type Settings = z.output<typeof dmzConfigSchema>;

type FtpsSettings = NonNullable<Settings['ftps']>;

export interface DmzConfig extends Omit<Settings, 'keys' | 'admin' | 'sftp' | 'ftps'> {
  /** The file itself, absolute. */
  readonly file: string;
  /** Of the file as it was read. */
  readonly digests: readonly FileDigest[];
  readonly keys: string;
  /** Where a key stands: `dmz.yaml:12`, or `dmz.yaml (default)`. */
  readonly lineOf: (path: readonly string[]) => string;
  readonly admin: { readonly socket: string };
  readonly sftp: Omit<Settings['sftp'], 'hostKeys'> & { readonly hostKeys: readonly string[] };
  readonly ftps: (FtpsSettings & { readonly certificates: NonNullable<FtpsSettings['certificates']> }) | undefined;
}

/** In the state folder: what is recorded of the internal node, and the invitations that were made. */
export const stateFiles = { internalNode: 'internal-node.json', invitations: 'invitations.json' } as const;

/** In the keys folder, as `init` makes them; the first is what partners are told. */
export const hostKeyFiles = { ed25519: 'ssh_host_ed25519', rsa: 'ssh_host_rsa', ecdsa: 'ssh_host_ecdsa' } as const;
export const ftpsCertificateNames = { certificate: 'ftps.crt', key: 'ftps.key' } as const;

/** @throws ConfigError with every problem of the file. Opens nothing but the file. */
export async function loadDmzConfig(file: string): Promise<DmzConfig> {
  const { main } = await loadConfig(file, dmzConfigSchema, { check: (config, problems) => checkTogether(config.main, problems) });
  return resolved(main);
}

function resolved(main: Loaded<Settings>): DmzConfig {
  const { value, file } = main;
  const folder = dirname(file);
  const state = resolve(folder, value.state);
  const keys = value.keys === undefined ? join(state, 'keys') : resolve(folder, value.keys);
  const hostKeys =
    value.sftp.hostKeys?.map((name) => resolve(folder, name)) ?? Object.values(hostKeyFiles).map((name) => join(keys, name));
  const socket = value.admin.socket === undefined ? join(state, 'admin', 'socket') : resolve(folder, value.admin.socket);
  const ftps = value.ftps && resolvedFtps(value.ftps, folder, keys);
  const line = (path: readonly string[]): string => lineOf(main, path);
  return {
    ...value,
    file,
    digests: [digestOf(main)],
    state,
    keys,
    lineOf: line,
    admin: { socket },
    sftp: { ...value.sftp, hostKeys },
    ftps,
  };
}

function resolvedFtps(ftps: FtpsSettings, folder: string, keys: string): NonNullable<DmzConfig['ftps']> {
  const own = { certificate: join(keys, ftpsCertificateNames.certificate), key: join(keys, ftpsCertificateNames.key) };
  const named = ftps.certificates?.map(({ certificate, key }) => ({
    certificate: resolve(folder, certificate),
    key: resolve(folder, key),
  }));
  const { clientCertificates } = ftps;
  const authorities = clientCertificates?.authorities && { authorities: resolve(folder, clientCertificates.authorities) };
  return {
    ...ftps,
    certificates: named ?? [own],
    ...(clientCertificates ? { clientCertificates: { ...clientCertificates, ...authorities } } : {}),
  };
}

/** Two listeners on one address, or one among the ports for data. */
function checkAddresses({ tunnel, sftp, ftps }: Settings, wrong: (path: readonly string[], message: string) => void): void {
  const listeners = [
    { path: ['tunnel', 'listen'], name: 'the tunnel', at: tunnel.listen },
    { path: ['sftp', 'listen'], name: 'sftp.listen', at: sftp.listen },
    ...(ftps ? [{ path: ['ftps', 'listen'], name: 'ftps.listen', at: ftps.listen }] : []),
    ...(ftps?.implicit ? [{ path: ['ftps', 'implicit'], name: 'ftps.implicit', at: ftps.implicit }] : []),
  ];
  listeners.forEach(({ path, at }, index) => {
    if (at.port === 0) return;
    const other = listeners.slice(0, index).find((earlier) => earlier.at.port === at.port && earlier.at.host === at.host);
    if (other) wrong(path, `is the address of ${other.name}`);
    const { first = 1, last = 0 } = ftps?.passive.ports ?? {};
    if (at.port >= first && at.port <= last) wrong(path, `is one of ftps.passive.ports ${first}-${last}`);
  });
}

function checkTogether(main: Loaded<Settings>, problems: ConfigProblem[]): void {
  const { limits, sftp } = main.value;
  const wrong = (path: readonly string[], message: string): void => {
    problems.push({ file: main.label, ...main.at(path), path: path.join('.'), message });
  };
  if (limits.reorderWindow > limits.reorderBudget) {
    wrong(['limits', 'reorderWindow'], 'is larger than limits.reorderBudget, which all uploads share');
  }
  checkAddresses(main.value, wrong);
  if (sftp.hostKeys?.length === 0) wrong(['sftp', 'hostKeys'], 'at least one host key is needed');
  checkSocketPath(resolved(main).admin.socket, (message) => wrong(['admin', 'socket'], message));
}
