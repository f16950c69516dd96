/**
 * A complete pair of nodes in one folder, set up with the same commands an operator types: keys made where they are used,
 * fingerprints handed across, two partners, two rules. Used by the demo, the bench and the end-to-end tests.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { listenToSignals } from '../../shared/admin/process.ts';

const run = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;

export const commands = {
  dmz: [process.execPath, join(root, 'dmz-node/main.ts')] as const,
  internal: [process.execPath, join(root, 'internal-node/main.ts')] as const,
};

/**
 * For `serve`, as the commands in `scripts/` give it: collect garbage while there is little of it. On a large host the runtime
 * would let hundreds of MiB pile up first.
 */
export const serveFlags = ['--initial-old-space-size=32'] as const;

export interface SitePartner {
  readonly name: string;
  readonly password: string;
  readonly keyFile: string;
}

export interface Site {
  readonly folder: string;
  readonly sftp: { readonly host: string; readonly port: number; readonly hostKey: string };
  readonly ftps: { readonly host: string; readonly explicitPort: number; readonly implicitPort: number; readonly caFile: string };
  readonly partners: Readonly<Record<string, SitePartner>>;
  readonly inside: { readonly delivered: string; readonly outgoing: string };
  readonly dmz: { readonly config: string; readonly state: string };
  readonly internal: { readonly config: string; readonly state: string };
  readonly knownHosts: string;
  /** Prefix for the partners' programs, for instance `ip netns exec partner`. */
  readonly client: readonly string[];
}

export interface SiteOptions {
  readonly folder: string;
  /** Where partners reach the DMZ node, and where the inside reaches its tunnel port. Loopback when left out. */
  readonly sftpHost?: string;
  readonly tunnelHost?: string;
  readonly partners?: readonly string[];
  readonly client?: readonly string[];
}

/** A port that is free on an address of this host; on an address of a namespace any will do. Below the range from which the system takes ports for outgoing connections, so that a restart finds its port free. */
export async function freePort(host: string): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = 12_000 + (randomBytes(2).readUInt16BE() % 20_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EADDRNOTAVAIL'));
      server.listen(port, host, () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
  throw new Error('no free port found');
}

/** How a verb ended: its exit code, and what it printed. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Runs a verb within this process: each process of its own would load everything anew, half a second of processor time. */
export async function runVerb(which: keyof typeof commands, args: readonly string[]): Promise<Ran> {
  const printed = { out: '', error: '' };
  const out = { write: (text: string) => (printed.out += text) };
  const error = { write: (text: string) => (printed.error += text) };
  const signals = listenToSignals({ on: () => {} });
  const [node, main] = commands[which];
  const { runCommand } = await (which === 'dmz' ? import('../../dmz-node/program.ts') : import('../../internal-node/program.ts'));
  const surroundings = { out, error, input: process.stdin, env: process.env, signal: signals.signal };
  const code = await runCommand(args, surroundings, { signals, own: { node, flags: [], main } });
  return { code, ...printed };
}

/** @returns what the verb printed. @throws Error with what it complained of. */
export async function command(which: keyof typeof commands, ...args: readonly string[]): Promise<string> {
  const { code, out, error } = await runVerb(which, args);
  if (code !== 0) throw Object.assign(new Error(`${which} ${args.join(' ')} ended with ${code}: ${error}`), { stderr: error });
  return out;
}

async function makePartnerKey(folder: string, name: string): Promise<SitePartner> {
  await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  const keyFile = join(folder, name, 'id_ed25519');
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', keyFile]);
  return { name, keyFile, password: randomBytes(12).toString('hex') };
}

async function addPartner(site: { readonly config: string; readonly folder: string }, partner: SitePartner): Promise<void> {
  const passwordFile = join(site.folder, partner.name, 'password');
  await writeFile(passwordFile, partner.password, { mode: 0o600 });
  const key = `${partner.keyFile}.pub`;
  await command(
    'internal',
    'partner',
    'add',
    partner.name,
    '--config',
    site.config,
    '--key',
    key,
    '--password-file',
    passwordFile,
  );
}

const rulesOf = (partners: readonly string[]): string => {
  const [first, second] = partners;
  const exchange = second
    ? `  - name: pdf of ${first} to ${second}\n    partner: ${first}\n    path: "*.pdf"\n    outbox: ${second}\n`
    : '';
  return `rules:\n${exchange}  - name: everything else\n    deliver: inside\n`;
};

/** Makes keys, configuration and partners. Nothing runs yet. */
export async function createSite(options: SiteOptions): Promise<Site> {
  const { folder, sftpHost = '127.0.0.1', tunnelHost = '127.0.0.1', partners: names = ['acme', 'globex'] } = options;
  const dmzFolder = join(folder, 'dmz');
  const internalFolder = join(folder, 'internal');
  const partnersFolder = join(folder, 'partners');
  const inside = { delivered: join(folder, 'inside/delivered'), outgoing: join(folder, 'inside/outgoing') };
  for (const path of [inside.delivered, inside.outgoing]) await mkdir(path, { recursive: true, mode: 0o700 });
  const [sftpPort, tunnelPort] = [await freePort(sftpHost), await freePort(tunnelHost)];
  const [ftpsPort, ftpsImplicitPort] = [await freePort(sftpHost), await freePort(sftpHost)];

  const [initialised, ...partners] = await Promise.all([
    command(
      'internal',
      'init',
      '--dir',
      internalFolder,
      '--name',
      'inner1',
      '--delivered',
      inside.delivered,
      '--outgoing',
      inside.outgoing,
      '--json',
    ),
    ...names.map((name) => makePartnerKey(partnersFolder, name)),
  ]);
  const { fingerprint } = JSON.parse(initialised) as { fingerprint: string };
  const dmzReady = JSON.parse(
    await command(
      'dmz',
      'init',
      '--dir',
      dmzFolder,
      '--name',
      'edge1',
      '--internal',
      fingerprint,
      '--listen-tunnel',
      `${tunnelHost}:${tunnelPort}`,
      '--listen-sftp',
      `${sftpHost}:${sftpPort}`,
      '--listen-ftps',
      `${sftpHost}:${ftpsPort}`,
      '--listen-ftps-implicit',
      `${sftpHost}:${ftpsImplicitPort}`,
      '--json',
    ),
  ) as { fingerprint: string; hostKeys: readonly string[]; ftps: { certificate: string } };
  const config = join(internalFolder, 'sallyport.yaml');
  await command('internal', 'connect', `${tunnelHost}:${tunnelPort}`, '--dmz', dmzReady.fingerprint, '--config', config);
  for (const partner of partners) await addPartner({ config, folder: partnersFolder }, partner);
  await writeFile(join(internalFolder, 'conf.d/rules.yaml'), rulesOf(names), { mode: 0o600 });

  const knownHosts = join(folder, 'known_hosts');
  const [hostKey = ''] = dmzReady.hostKeys;
  await writeFile(knownHosts, dmzReady.hostKeys.map((line) => `[${sftpHost}]:${sftpPort} ${line}\n`).join(''));
  const site: Site = {
    folder,
    sftp: { host: sftpHost, port: sftpPort, hostKey },
    ftps: {
      host: sftpHost,
      explicitPort: ftpsPort,
      implicitPort: ftpsImplicitPort,
      caFile: dmzReady.ftps.certificate,
    },
    partners: Object.fromEntries(partners.map((partner) => [partner.name, partner])),
    inside,
    dmz: { config: join(dmzFolder, 'dmz.yaml'), state: join(dmzFolder, 'state') },
    internal: { config, state: join(internalFolder, 'state') },
    knownHosts,
    client: options.client ?? [],
  };
  await writeFile(join(folder, 'site.json'), JSON.stringify(site), { mode: 0o600 });
  return site;
}

/** What `createSite` makes in its folder, apart from `site.json` and `known_hosts` at the end. */
export const siteParts = ['dmz', 'internal', 'partners', 'inside'] as const;

/** The site that `createSite` made in a folder before, if there is one. */
export async function existingSite(folder: string): Promise<Site | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, 'site.json'), 'utf8')) as Site;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The arguments of OpenSSH `sftp` for one partner of a site, up to and with the host. */
export function sftpArguments(site: Site, partner: SitePartner, options: readonly string[] = []): string[] {
  return [
    '-q',
    '-P',
    String(site.sftp.port),
    '-i',
    partner.keyFile,
    '-o',
    // A list, so that a blank in the path must be quoted.
    `UserKnownHostsFile="${site.knownHosts}"`,
    '-o',
    'GlobalKnownHostsFile=/dev/null',
    '-o',
    'StrictHostKeyChecking=yes',
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    'BatchMode=yes',
    ...options,
    `${partner.name}@${site.sftp.host}`,
  ];
}

/** `internal` is the agent, `door` the staff door beside it. */
export const readPids = async (folder: string): Promise<{ dmz: number; internal: number; door: number }> =>
  JSON.parse(await readFile(join(folder, 'pids.json'), 'utf8')) as { dmz: number; internal: number; door: number };
