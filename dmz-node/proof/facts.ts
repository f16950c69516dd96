/**
 * Gathers what the claims about a DMZ node rest on, from its configuration, its folders, /proc and what it says on its admin
 * socket. Reads only, starts no program, connects to nothing. What cannot be read is a missing fact, not an error.
 */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { AdminClient } from '../../shared/admin/client.ts';
import type { FileDigest } from '../../shared/config/load.ts';
import type { RuleBase } from '../../shared/firewall/flows.ts';
import { readRuleset } from '../../shared/firewall/read-ruleset.ts';
import { ruleBase } from '../../shared/firewall/rule-base.ts';
import type { Ruleset } from '../../shared/firewall/ruleset.ts';
import { fingerprintOf } from '../../shared/pki/fingerprint.ts';
import { type PolicyBundle, policyBundleSchema } from '../../shared/policy.ts';
import { type AuditChain, readAuditChain } from '../../shared/proof/audit-chain.ts';
import { type Fact, factOf } from '../../shared/proof/claim.ts';
import { configFolder, type FileEntry, listTrees } from '../../shared/proof/files.ts';
import type { FirewallFacts } from '../../shared/proof/firewall-claims.ts';
import { type InventoryEntry, readInventory } from '../../shared/proof/inventory.ts';
import { type ProcessFacts, readProcess } from '../../shared/proof/processes.ts';
import { readSealedObjects, type SealedObject } from '../../shared/proof/sealed-objects.ts';
import { certificateKey, type FoundSecret, findSecrets } from '../../shared/proof/secrets.ts';
import { readSockets, type Sockets } from '../../shared/proof/sockets.ts';
import { admittedInside } from '../admitted-inside.ts';
import type { DmzConfig } from '../config.ts';
import { dmzNetwork } from '../dmz-network.ts';

/** What the running node says on its admin socket; a part of `DmzNodeStatus`. */
export interface RunningDmz {
  readonly pid: number;
  readonly configuration: readonly FileDigest[];
  readonly policyNumber: number;
}

/** How keys of the inside would be known if they lay here. */
export interface InsideKeys {
  /** `SPI-…`, as pinned. */
  readonly fingerprints: readonly string[];
  /** SPKI in base64 of the keys that sign policy and certificates inside. */
  readonly publicKeys: readonly string[];
  readonly recipients: readonly string[];
}

export interface DmzFacts extends FirewallFacts {
  readonly config: DmzConfig;
  readonly host: string;
  readonly nowMs: number;
  readonly running: Fact<RunningDmz>;
  readonly onDisk: Fact<readonly FileDigest[]>;
  readonly processes: Fact<readonly ProcessFacts[]>;
  readonly sockets: Fact<Sockets>;
  /** Of the folders of the node, without those of the caches. */
  readonly files: Fact<readonly FileEntry[]>;
  readonly secrets: Fact<readonly FoundSecret[]>;
  readonly insideKeys: Fact<InsideKeys>;
  readonly objects: Fact<readonly SealedObject[]>;
  readonly policy: Fact<PolicyBundle>;
  readonly audit: Fact<AuditChain>;
  readonly inventory: Fact<readonly InventoryEntry[]>;
}

/** Of the state folder: sealed contents, judged one by one. */
export const cacheFolders = ['objects', 'quarantine'] as const;

/** @param rules What `nft -j list ruleset` (or `iptables-save`) printed on this host; undefined: nobody handed it in. */
export async function gatherDmzFacts(
  config: DmzConfig,
  rules: string | undefined,
  nowMs: number,
  signal: AbortSignal,
): Promise<DmzFacts> {
  const running = await factOf(() => askNode(config, signal));
  const pids = 'value' in running ? [running.value.pid] : [];
  const caches = cacheFolders.map((name) => join(config.state, name));
  const inCache = ({ path }: FileEntry): boolean => caches.some((folder) => path.startsWith(`${folder}/`));
  const all = await factOf(() => listTrees([configFolder(config.file), config.state, config.keys]));
  const files = 'value' in all ? all.value : [];
  const needsFiles = async <T>(gather: () => Promise<T>): Promise<Fact<T>> => ('missing' in all ? all : factOf(gather));
  const policy = await factOf(() => readPolicy(config.state));
  const named = [
    ...config.sftp.hostKeys,
    ...(config.ftps?.certificates.flatMap(({ certificate, key }) => [certificate, key]) ?? []),
  ];
  return {
    config,
    host: hostname(),
    nowMs,
    running,
    ruleset: await factOf(() => readHandedIn(rules)),
    ruleBase: await factOf(() => dmzRuleBase(config)),
    onDisk: await factOf(async () => [{ file: config.file, sha256: hash('sha256', await readFile(config.file)) }]),
    processes: await withPids(running, () => Promise.all(pids.map((pid) => readProcess(pid, 'node')))),
    sockets: await withPids(running, () => readSockets(pids)),
    files: await needsFiles(async () => files.filter((entry) => !inCache(entry))),
    secrets: await needsFiles(() =>
      findSecrets(files.filter((entry) => entry.kind === 'file' && !inCache(entry)).map(({ path }) => path)),
    ),
    insideKeys: 'missing' in policy ? policy : await factOf(() => readInsideKeys(config, policy.value)),
    objects: await needsFiles(() => readSealedObjects(files.filter(inCache))),
    policy,
    audit: await factOf(() => readAuditChain(join(config.state, 'audit'))),
    inventory: await factOf(async () => readInventory(config.name, listTrees([config.keys, ...named]))),
  };
}

function readHandedIn(rules: string | undefined): Ruleset {
  if (rules !== undefined) return readRuleset(rules);
  throw new Error('the rules of the kernel were not handed in: nft -j list ruleset | sallyport-dmz prove --ruleset -');
}

/** What this host's firewall must let through, by its own configuration. */
export function dmzRuleBase(config: DmzConfig): RuleBase {
  const declared = config.proof.otherListeners.map(({ address, from, reason }, index) => ({
    ...{ name: `other listener ${index + 1}`, from, to: 'dmz' as const, protocol: 'tcp' as const },
    ...{ ports: { first: address.port, last: address.port }, purpose: reason, owner: null, reviewedOn: null },
    source: config.lineOf(['proof', 'otherListeners']),
  }));
  const around = { partners: ['0.0.0.0/0', '::/0'], dmz: [], inside: [], insideNetworks: [] };
  return ruleBase({
    dmz: { network: dmzNetwork(config), told: false, allowFrom: config.tunnel.allowFrom },
    surroundings: { ...around, declared, owner: null, reviewedOn: null, reviewDays: 182 },
  });
}

async function askNode(config: DmzConfig, signal: AbortSignal): Promise<RunningDmz> {
  const { pid, configuration, policyNumber } = await new AdminClient({ socket: config.admin.socket, signal }).get<RunningDmz>([
    'v1',
    'status',
  ]);
  return { pid, configuration, policyNumber };
}

async function withPids<T>(running: Fact<RunningDmz>, gather: () => Promise<T>): Promise<Fact<T>> {
  return 'missing' in running ? running : factOf(gather);
}

interface KeptPolicy {
  readonly bundle: string;
  readonly certificate: string;
}

async function keptPolicy(state: string): Promise<KeptPolicy> {
  return JSON.parse(await readFile(join(state, 'policy.json'), 'utf8')) as KeptPolicy;
}

async function readPolicy(state: string): Promise<PolicyBundle> {
  return policyBundleSchema.parse(JSON.parse((await keptPolicy(state)).bundle));
}

async function readInsideKeys(config: DmzConfig, { recipients }: PolicyBundle): Promise<InsideKeys> {
  const { certificate } = await keptPolicy(config.state);
  const { fingerprints, authorities } = admittedInside(config);
  return {
    fingerprints,
    publicKeys: [certificate, ...authorities].map(certificateKey),
    recipients,
  };
}

/** Whether a key that was found is one that must exist inside only. */
export function isInsideKey({ kind, publicKey }: FoundSecret, inside: InsideKeys): boolean {
  if (kind === 'age identity') return true;
  if (kind !== 'private key' || publicKey === undefined) return false;
  const fingerprint = fingerprintOf('internal', Buffer.from(publicKey, 'base64'));
  return inside.fingerprints.includes(fingerprint) || inside.publicKeys.includes(publicKey);
}
