/** All verbs of `sallyport-dmz` but `serve`. */
import { hostname } from 'node:os';
import type { Program } from '../../shared/admin/cli.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import { addCertVerbs } from '../../shared/admin/verbs-cert.ts';
import { systemClock } from '../../shared/clock.ts';
import { type Address, formatAddress, parseAddress, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { admittedInside } from '../admitted-inside.ts';
import { type DmzConfig, loadDmzConfig } from '../config.ts';
import type { DmzNodeStatus } from './api.ts';
import { type InitArgs, type InitDeps, initDmz } from './init.ts';
import { printStatus } from './status-text.ts';
import { addInviteVerb } from './verb-invite.ts';
import { addFirewallVerbs } from './verbs-firewall.ts';

export interface VerbDeps extends InitDeps {
  /** Loads all keys and opens all folders that the node uses. @returns the SSH host keys as OpenSSH lines. */
  readonly checkHost: (config: DmzConfig) => Promise<readonly string[]>;
}

export function addVerbs(program: Program, deps: VerbDeps): void {
  addInit(program, deps);
  addStatus(program);
  addConfigCheck(program, deps);
  addFingerprint(program, deps);
  addFirewallVerbs(program);
  addInviteVerb(program);
  addCertVerbs(program, {
    locate: async ({ configFile, signal }) => {
      const { admin, keys } = await loadDmzConfig(configFile);
      return { client: new AdminClient({ socket: admin.socket, signal }), keys };
    },
  });
}

interface InitOptions {
  readonly dir: string;
  readonly name: string;
  readonly internal?: string;
  readonly listenTunnel: string;
  readonly listenSftp: string;
  readonly listenFtps: string;
  readonly listenFtpsImplicit: string;
  readonly ftpsName?: readonly string[];
  readonly ftpsCertificate?: string;
  readonly ftpsKey?: string;
}

function addInit(program: Program, deps: InitDeps): void {
  program.verb<InitOptions>(
    {
      usage: 'init',
      summary: 'make the keys and the configuration of a new DMZ node',
      examples: [
        'init --dir /etc/sallyport-dmz --name edge1 --internal SPI-7KQ4-…',
        'init --dir ./edge --name edge1 --internal SPI-7KQ4-… --listen-tunnel 127.0.0.1:8443 --listen-sftp 127.0.0.1:2222',
        'init --dir /etc/sallyport-dmz --name edge1   # and then an invitation instead of a fingerprint',
      ],
    },
    (command) =>
      command
        .requiredOption('-d, --dir <folder>', 'folder of the new node')
        .requiredOption('-n, --name <name>', 'name of the node')
        .option('--internal <fingerprint>', 'SPI-…, as `sallyport fingerprint` prints it; without it: sallyport-dmz invite')
        .option('--listen-tunnel <address>', 'where the internal node connects', '0.0.0.0:8443')
        .option('--listen-sftp <address>', 'where partners connect', '0.0.0.0:2222')
        .option('--listen-ftps <address>', 'where partners connect with FTPS (AUTH TLS)', '0.0.0.0:2121')
        .option('--listen-ftps-implicit <address>', 'the same with TLS from the first byte on', '0.0.0.0:2990')
        .option('--ftps-name <name...>', 'names and addresses of the FTPS door, for its certificate')
        .option('--ftps-certificate <file>', 'a certificate (PEM) that is there already; needs --ftps-key')
        .option('--ftps-key <file>', 'its key'),
    async ({ output }, options) => {
      const { dir, name, internal } = options;
      const tunnel = checkedAddress(options.listenTunnel, '--listen-tunnel');
      const ftps = checkedAddress(options.listenFtps, '--listen-ftps');
      const made = await initDmz(
        {
          dir,
          name,
          internal,
          tunnel,
          sftp: checkedAddress(options.listenSftp, '--listen-sftp'),
          ftps,
          ftpsImplicit: checkedAddress(options.listenFtpsImplicit, '--listen-ftps-implicit'),
          ftpsNames: options.ftpsName ?? [...new Set([hostname(), 'localhost', ...(everyAddress(ftps) ? [] : [ftps.host])])],
          ftpsCertificate: givenCertificate(options),
        },
        deps,
      );
      if (output.json) return output.document(made);
      const reachable = everyAddress(tunnel) ? `THIS-HOST:${tunnel.port}` : formatAddress(tunnel);
      output.line(`${made.keysReused ? 'Keys were there already' : 'Keys made'}. Fingerprint of this DMZ node:`);
      output.line(`  ${output.style('bold', made.fingerprint)}`);
      output.line('SSH host keys for partners; nearly all programs show the first:');
      for (const line of made.hostKeys) output.line(`  ${line}`);
      output.line(`FTPS certificate for partners: ${made.ftps.certificate}\n  SHA-256 ${made.ftps.fingerprint}`);
      output.line(`Next, here:\n  sallyport-dmz serve --config ${made.config}`);
      if (internal === undefined) output.line(`and then, here again:\n  sallyport-dmz invite --config ${made.config}`);
      else output.line(`and on the internal host:\n  sallyport connect ${reachable} --dmz ${made.fingerprint}`);
    },
  );
}

const everyAddress = ({ host }: Address): boolean => ['0.0.0.0', '::'].includes(host);

function givenCertificate({ ftpsCertificate, ftpsKey }: InitOptions): InitArgs['ftpsCertificate'] {
  if (ftpsCertificate === undefined && ftpsKey === undefined) return undefined;
  if (ftpsCertificate !== undefined && ftpsKey !== undefined) return { certificate: ftpsCertificate, key: ftpsKey };
  throw new SallyportError('usage', '--ftps-certificate and --ftps-key belong together');
}

function checkedAddress(text: string, option: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `${option}: ${error.message}`);
    throw error;
  }
}

function addStatus(program: Program): void {
  program.verb(
    {
      usage: 'status',
      summary: 'how the node, the tunnel and the caches are; what is wrong comes first, with the next step',
      examples: ['status', 'status --json'],
    },
    () => {},
    async ({ output, configFile }) => {
      const { admin } = await loadDmzConfig(configFile);
      const status = await new AdminClient(admin).get<DmzNodeStatus>(['v1', 'status']);
      if (output.json) output.document(status);
      else printStatus(status, systemClock.nowMs(), output);
    },
  );
}

function addConfigCheck(program: Program, deps: VerbDeps): void {
  program.verb(
    {
      usage: 'check',
      summary: 'load the configuration, the keys and the folders as `serve` does, and say all that is wrong',
      examples: ['config check', 'config check --config ./edge --json'],
    },
    () => {},
    async ({ output, configFile }) => {
      const config = await loadDmzConfig(configFile);
      await deps.checkHost(config);
      if (output.json) output.document({ ok: true, file: config.file });
      else
        output.line(
          `ok: ${config.file}: tunnel ${formatAddress(config.tunnel.listen)}, sftp ${formatAddress(config.sftp.listen)}${config.ftps ? `, ftps ${formatAddress(config.ftps.listen)}` : ''}`,
        );
    },
    program.group('config', 'look at the configuration'),
  );
}

function addFingerprint(program: Program, deps: VerbDeps): void {
  program.verb(
    {
      usage: 'fingerprint',
      summary: 'print the fingerprint of this node, the internal node it admits, and its SSH host keys',
      examples: ['fingerprint', 'fingerprint --json'],
    },
    () => {},
    async ({ output, configFile }) => {
      const config = await loadDmzConfig(configFile);
      const { fingerprint } = await loadNodeKeys(config.keys, 'dmz');
      const hostKeys = await deps.checkHost(config);
      const { fingerprints: admitted } = admittedInside(config);
      if (output.json) return output.document({ node: config.name, fingerprint, internal: admitted[0] ?? null, hostKeys });
      output.line(fingerprint);
      if (admitted.length === 0) output.note('admits no internal node yet: sallyport-dmz invite');
      for (const known of admitted) output.note(`admits the internal node ${known}`);
      for (const line of hostKeys) output.note(`SSH host key ${line}`);
    },
  );
}
