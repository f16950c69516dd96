/**
 * Runs the two nodes of a site as two processes and starts one again that dies, as systemd would. `pids.json` in the site's
 * folder always names the processes that run now.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commands, type Site } from './site.ts';

type NodeKind = 'dmz' | 'internal';

/** Prefix of the command that starts a node, for instance `['ip', 'netns', 'exec', 'dmz']`. */
export type Prefix = Readonly<Record<NodeKind, readonly string[]>>;

export class Supervisor {
  readonly #site: Site;
  readonly #prefix: Prefix;
  readonly #children = new Map<NodeKind, ChildProcess>();
  readonly #deaths: Record<NodeKind, number> = { dmz: 0, internal: 0 };
  #writing: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(site: Site, prefix: Prefix = { dmz: [], internal: [] }) {
    this.#site = site;
    this.#prefix = prefix;
  }

  /** Starts both and resolves when partners are served: the DMZ node opens its doors after the first policy. */
  async start(signal: AbortSignal): Promise<void> {
    this.#launch('dmz');
    this.#launch('internal');
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

  /** Resolves as soon as a partner would be greeted. */
  async ready(signal: AbortSignal): Promise<void> {
    const { sftp, client } = this.#site;
    while (!(await greets(sftp.host, sftp.port, client))) await sleep(30, undefined, { signal });
  }

  /** Lets both nodes drain; after `graceMs` they are cut. */
  async stop(graceMs = 15_000): Promise<void> {
    this.#stopping = true;
    for (const kind of ['internal', 'dmz'] as const) await this.#stopOne(kind, graceMs);
  }

  async #stopOne(kind: NodeKind, graceMs: number): Promise<void> {
    const child = this.#children.get(kind);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const cut = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await gone;
    clearTimeout(cut);
  }

  #launch(kind: NodeKind): void {
    const [program = '', ...args] = [...this.#prefix[kind], ...commands[kind], 'serve', '--config', this.#site[kind].config];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const log = createWriteStream(join(this.#site.folder, `${kind}.log`), { flags: 'a', mode: 0o600 });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.#children.set(kind, child);
    this.#writePids();
    const startedAt = performance.now();
    child.once('exit', () => {
      log.end();
      if (this.#stopping) return;
      this.#deaths[kind] += 1;
      // At once, but one that cannot even start must not eat a processor.
      const lived = performance.now() - startedAt;
      setTimeout(() => this.#stopping || this.#launch(kind), lived > 1000 ? 0 : 250);
    });
  }

  #writePids(): void {
    const path = join(this.#site.folder, 'pids.json');
    this.#writing = this.#writing.then(async () => {
      await writeFile(`${path}.tmp`, JSON.stringify({ dmz: this.pid('dmz'), internal: this.pid('internal') }));
      await rename(`${path}.tmp`, path);
    });
  }
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
