/**
 * Gathers what the claims of the inside rest on: its own configuration, folders, processes and sockets, and what was brought from
 * the DMZ host. Reads only, connects to nothing but the admin socket. What cannot be read is a missing fact, not an error.
 */
import { hash } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { AdminClient } from '../../shared/admin/client.ts';
import type { FileDigest } from '../../shared/config/load.ts';
import { readYamlFile } from '../../shared/config/yaml-file.ts';
import { readRuleset } from '../../shared/firewall/read-ruleset.ts';
import type { Ruleset } from '../../shared/firewall/ruleset.ts';
import { type AuditChain, readAuditChain } from '../../shared/proof/audit-chain.ts';
import { type Fact, factOf, missing } from '../../shared/proof/claim.ts';
import { configFolder, type FileEntry, listTrees } from '../../shared/proof/files.ts';
import type { FirewallFacts } from '../../shared/proof/firewall-claims.ts';
import { type InventoryEntry, readInventory } from '../../shared/proof/inventory.ts';
import { type ProcessFacts, readProcess } from '../../shared/proof/processes.ts';
import { openSigned } from '../../shared/proof/signed-document.ts';
import { readSockets, type Sockets } from '../../shared/proof/sockets.ts';
import { type Probe, probeSchema, type Statement, statementSchema } from '../../shared/proof/statement.ts';
import type { InternalSettings } from '../config.ts';
import { liveRuleset } from '../live-rules.ts';
import { pairRuleBase } from '../pair-rule-base.ts';
import { partsOf } from './parts.ts';

/** What the running node says on its admin socket; a part of `InternalStatus`. */
export interface RunningInside {
  readonly pid: number;
  readonly configuration: readonly FileDigest[];
  readonly policy: { readonly number: number } | null;
  readonly tunnel: { readonly up: boolean; readonly group: string | null; readonly peer: string | null };
}

/** Something signed by the DMZ node, with whose key it was. */
export interface Brought<T> {
  readonly file: string;
  readonly signer: string;
  readonly document: T;
}

export interface InsideFacts extends FirewallFacts {
  readonly config: InternalSettings;
  /** `sallyport.yaml:12` */
  readonly place: (path: readonly string[]) => string;
  readonly host: string;
  readonly nowMs: number;
  readonly running: Fact<RunningInside>;
  readonly onDisk: Fact<readonly FileDigest[]>;
  readonly processes: Fact<readonly ProcessFacts[]>;
  readonly sockets: Fact<Sockets>;
  readonly files: Fact<readonly FileEntry[]>;
  readonly audit: Fact<AuditChain>;
  readonly inventory: Fact<readonly InventoryEntry[]>;
  readonly statement: Fact<Brought<Statement>>;
  readonly probe: Fact<Brought<Probe>>;
}

export interface BroughtFiles {
  /** Rules of this host's kernel as its tool printed them; undefined: the tool is asked. */
  readonly ruleset?: string | undefined;
  readonly statement: string | undefined;
  readonly probe: string | undefined;
}

export interface CheckedNow {
  readonly nowMs: number;
  /** How the node is asked. */
  readonly node: Pick<AdminClient, 'get'>;
  readonly signal: AbortSignal;
}

/** Of the state folder: what is on its way. Only their folders are looked at: the files may be many, and be made by programs. */
const contentFolders = ['spool', 'by-hand', 'programs'] as const;

export async function gatherInsideFacts(
  config: InternalSettings,
  brought: BroughtFiles,
  { nowMs, node, signal }: CheckedNow,
): Promise<InsideFacts> {
  const running = await factOf(() => askNode(node));
  const parts = 'value' in running ? await partsOf(running.value.pid, config.file) : [];
  const pids = parts.map(({ pid }) => pid);
  const yaml = await readYamlFile(config.file);
  const withPids = async <T>(gather: () => Promise<T>): Promise<Fact<T>> => ('missing' in running ? running : factOf(gather));
  return {
    config,
    place: (path) => `${basename(config.file)}:${yaml.keyAt(path).line}`,
    host: hostname(),
    nowMs,
    running,
    ruleset: await factOf(() => kernelRules(brought.ruleset, pids, signal)),
    ruleBase: await factOf(() => pairRuleBase(config.file, undefined)),
    onDisk: await factOf(() => Promise.all(config.files.map(digestOnDisk))),
    processes: await withPids(() => Promise.all(parts.map(({ pid, part }) => readProcess(pid, part)))),
    sockets: await withPids(() => readSockets(pids)),
    files: await factOf(() => ownFiles(config)),
    audit: await factOf(() => readAuditChain(join(config.state, 'audit'))),
    inventory: await factOf(async () => readInventory(config.name, listTrees([config.keys]))),
    statement: await broughtFile(brought.statement, (document) => statementSchema.parse(document), {
      what: 'statement of the DMZ node',
      how: 'on the DMZ host: nft -j list ruleset | sallyport-dmz prove --ruleset - --out FILE; here: sallyport prove --dmz FILE',
    }),
    probe: await broughtFile(brought.probe, (document) => probeSchema.parse(document), {
      what: 'probe',
      how: 'on the DMZ host: sallyport-dmz probe --inside … --internet … --out FILE; here: sallyport prove --probe FILE',
    }),
  };
}

/** The rules that hold for the node: those of the network that it lives in. */
async function kernelRules(file: string | undefined, [pid]: readonly number[], signal: AbortSignal): Promise<Ruleset> {
  if (file !== undefined) return readRuleset(await readFile(file, 'utf8'));
  const [ours, theirs] = await Promise.all(['self', String(pid ?? 'self')].map((name) => readlink(`/proc/${name}/ns/net`)));
  if (ours === theirs) return liveRuleset(signal);
  throw new Error(
    `the node lives in another network than this command: nsenter -t ${pid} -n nft -j list ruleset > FILE, then --ruleset FILE`,
  );
}

async function askNode(node: CheckedNow['node']): Promise<RunningInside> {
  const { pid, configuration, policy, tunnel } = await node.get<RunningInside>(['v1', 'status']);
  return { pid, configuration, policy, tunnel };
}

const digestOnDisk = async (file: string): Promise<FileDigest> => ({ file, sha256: hash('sha256', await readFile(file)) });

/** Configuration, keys, records, audit; not the contents on their way. */
async function ownFiles(config: InternalSettings): Promise<FileEntry[]> {
  const contents = contentFolders.map((name) => `${join(config.state, name)}/`);
  const entries = listTrees([configFolder(config.file), ...config.files, config.state, config.keys]);
  return entries.filter(({ path }) => !contents.some((folder) => path.startsWith(folder)));
}

async function broughtFile<T>(
  file: string | undefined,
  parse: (document: unknown) => T,
  { what, how }: { readonly what: string; readonly how: string },
): Promise<Fact<Brought<T>>> {
  if (file === undefined) return missing(`no ${what} was brought; ${how}`);
  return factOf(async () => {
    try {
      const { document, signer } = openSigned(await readFile(file, 'utf8'), 'dmz');
      return { file, signer, document: parse(document) };
    } catch (error) {
      throw new Error(`${file}: ${error instanceof z.ZodError ? `is no ${what}` : (error as Error).message}`, { cause: error });
    }
  });
}
