/**
 * Runs the nodes of a site as processes (the internal node as two: its agent and its staff door) and starts one again that dies,
 * as systemd would. `pids.json` in the site's folder always names the processes that run now.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DmzNodeStatus } from '../../dmz-node/admin/api.ts';
import { AdminClient } from '../../shared/admin/client.ts';
import { commands, readPids, type Site, serveFlags } from './site.ts';

const kinds = ['dmz', 'internal', 'door'] as const;
/** `internal` is the agent: the process that has the tunnel, the keys and the files. */
type NodeKind = (typeof kinds)[number];

const configOf = (site: Site, kind: NodeKind): string => site[kind === 'dmz' ? 'dmz' : 'internal'].config;

/** Prefix of the command that starts a node, for instance `['ip', 'netns', 'exec', 'dmz']`. */
export type Prefix = Readonly<Record<'dmz' | 'internal', readonly string[]>> & { readonly door?: readonly string[] };

/** A node is told to stop when its supervisor is gone, however that ended. */
const withSupervisor = ['setpriv', '--pdeathsig', 'TERM', '--'] as const;

export class Supervisor {
  readonly #site: Site;
  readonly #prefix: Prefix;
  readonly #children = new Map<NodeKind, ChildProcess>();
  readonly #deaths: Record<NodeKind, number> = { dmz: 0, internal: 0, door: 0 };
  /** Taken down on purpose: not started again until `bringUp`. */
  readonly #down = new Set<NodeKind>();
  #writing: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(site: Site, prefix: Prefix = { dmz: [], internal: [] }) {
    this.#site = site;
    this.#prefix = prefix;
  }

  /** Starts all and resolves when partners are served: the DMZ node opens its doors after the first policy. */
  async start(signal: AbortSignal): Promise<void> {
    for (const kind of kinds) this.#launch(kind);
    await this.#writing;
    await this.ready(signal);
  }

  /** How often a node died by itself so far. */
  get deaths(): Readonly<Record<NodeKind, number>> {
    return this.#deaths;
  }

  pid(kind: NodeKind): number {
    return this.#children.get(kind)?.pid ?? 0;
  }

  /** Resolves as soon as a partner could log in, and to these nodes: another server may have taken the port. */
  async ready(signal: AbortSignal): Promise<void> {
    const { sftp, client } = this.#site;
    const served = async (): Promise<boolean> => (await this.#nodesServe()) && (await greets(sftp.host, sftp.port, client));
    while (!(await served())) await sleep(30, undefined, { signal });
  }

  /** Lets both nodes drain; after `graceMs` they are cut. The DMZ node first: what it completes is still fetched. */
  async stop(graceMs = 15_000): Promise<void> {
    this.#stopping = true;
    for (const kind of kinds) await this.#stopOne(kind, graceMs);
    await this.#writing;
    await rm(pidsFile(this.#site.folder), { force: true });
  }

  /** While `stop` waits: the nodes are told a second time, and do not drain any longer. */
  hurry(): void {
    for (const child of this.#children.values()) child.kill('SIGTERM');
  }

  /** The newest line of each node's log, for whoever wants to know why they do not start. */
  async lastWords(): Promise<readonly string[]> {
    const last = async (kind: NodeKind): Promise<string> =>
      `${kind}: ${(await readFile(logFile(this.#site.folder, kind), 'utf8').catch(() => '')).trimEnd().split('\n').at(-1)}`;
    return Promise.all(kinds.map(last));
  }

  /** The doors open before the tunnel is up when there is a policy from before; a login would be put off. */
  async #nodesServe(): Promise<boolean> {
    const node = new AdminClient({ socket: join(this.#site.dmz.state, 'admin/socket'), signal: AbortSignal.timeout(2000) });
    const status = await node.get<Pick<DmzNodeStatus, 'listeners' | 'tunnel'>>(['v1', 'status']).catch(() => undefined);
    return status?.tunnel.up === true && status.listeners.length > 0 && (await this.#staffAreServed());
  }

  /** The staff door is open, and the agent answers behind it. */
  async #staffAreServed(): Promise<boolean> {
    if (this.#down.has('door')) return true;
    const door = new AdminClient({ socket: join(this.#site.internal.state, 'admin/socket'), signal: AbortSignal.timeout(5000) });
    return await door.get(['v1', 'destinations']).then(
      () => true,
      () => false,
    );
  }

  /** Stops one node, politely or with SIGKILL, and leaves it down. */
  async takeDown(kind: NodeKind, graceMs = 5000): Promise<void> {
    this.#down.add(kind);
    await this.#stopOne(kind, graceMs);
  }

  /** Starts a node that was taken down. */
  bringUp(kind: NodeKind): void {
    if (this.#down.delete(kind)) this.#launch(kind);
  }

  async #stopOne(kind: NodeKind, graceMs: number): Promise<void> {
    const child = this.#children.get(kind);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(graceMs > 0 ? 'SIGTERM' : 'SIGKILL');
    const cut = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await gone;
    clearTimeout(cut);
  }

  #launch(kind: NodeKind): void {
    const [node, main] = commands[kind === 'dmz' ? 'dmz' : 'internal'];
    const part = kind === 'dmz' ? [] : [kind === 'door' ? 'door' : 'agent'];
    const command = [node, ...serveFlags, main, 'serve', ...part, '--config', configOf(this.#site, kind)];
    const [program = '', ...args] = [...withSupervisor, ...(this.#prefix[kind] ?? []), ...command];
    // Not in our process group: Ctrl-C at a terminal is for us, and we stop them in order.
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const log = createWriteStream(logFile(this.#site.folder, kind), { flags: 'a', mode: 0o600 });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.#children.set(kind, child);
    this.#writePids();
    const startedAt = performance.now();
    // Later than `exit`: its last lines may still be on their way.
    child.once('close', () => log.end());
    child.once('exit', () => {
      if (this.#stopping || this.#down.has(kind)) return;
      this.#deaths[kind] += 1;
      // At once, but one that cannot even start must not eat a processor.
      const lived = performance.now() - startedAt;
      setTimeout(() => this.#stopping || this.#down.has(kind) || this.#launch(kind), lived > 1000 ? 0 : 250);
    });
  }

  #writePids(): void {
    const path = pidsFile(this.#site.folder);
    this.#writing = this.#writing.then(async () => {
      await writeFile(`${path}.tmp`, JSON.stringify(Object.fromEntries(kinds.map((kind) => [kind, this.pid(kind)]))));
      await rename(`${path}.tmp`, path);
    });
  }
}

const pidsFile = (folder: string): string => join(folder, 'pids.json');
const logFile = (folder: string, kind: NodeKind): string => join(folder, `${kind}.log`);

/** Ends nodes of a site that outlived their supervisor, so that others can be started in their place. */
export async function endLeftBehind(site: Site, graceMs = 10_000): Promise<void> {
  const pids = await readPids(site.folder).catch(() => undefined);
  if (!pids) return;
  for (const kind of kinds) {
    const runs = (): Promise<boolean> => isNode(pids[kind], configOf(site, kind));
    for (let waitedMs = 0; await runs(); waitedMs += 50) {
      if (waitedMs === 0 || waitedMs > graceMs) process.kill(pids[kind], waitedMs === 0 ? 'SIGTERM' : 'SIGKILL');
      await sleep(50);
    }
  }
}

/** Whether a process is the node of a configuration: its number may belong to another one by now. */
async function isNode(pid: number, config: string): Promise<boolean> {
  const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return words.split('\0').includes(config);
}

const greeting = `
  const socket = require('node:net').connect(Number(process.argv[2]), process.argv[1]);
  socket.setTimeout(1000, () => process.exit(1));
  socket.once('error', () => process.exit(1));
  socket.once('close', () => process.exit(1));
  socket.once('data', (bytes) => process.exit(bytes.toString('latin1').startsWith('SSH-2.0-') ? 0 : 1));`;

/** Whether an SSH server answers with its ident line within a second, as seen from where the partners are. */
function greets(host: string, port: number, client: readonly string[]): Promise<boolean> {
  if (client.length > 0) {
    const [program = '', ...args] = [...client, process.execPath, '-e', greeting, host, String(port)];
    const probe = spawn(program, args, { stdio: 'ignore' });
    return new Promise((resolve) => probe.once('exit', (code) => resolve(code === 0)));
  }
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
    socket.once('data', (bytes) => done(bytes.toString('latin1').startsWith('SSH-2.0-')));
  });
}
