/**
 * Kills a node right before its N-th system call of one kind in one thread, for every N of an action (an upload, a delivery,
 * an offer), lets it start again, and asks after each what a partner and a consumer would ask. So every crash point of the
 * hand-over is met on purpose, on the real processes.
 */
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSite, type Site } from '../../scripts/site/site.ts';
import { Supervisor } from '../../scripts/site/supervisor.ts';
import { ask, eventually, offer, sftp, sha256 } from '../../scripts/site/walk.ts';
import { type Call, inject, onePoolThread, type Thread } from './injection.ts';
import { Consumer, residue } from './oracle.ts';

type NodeKind = 'dmz' | 'internal';
/** What is done while the node is killed. */
export const actions = [
  'upload',
  'rename',
  'trigger',
  'session-end',
  'continue',
  'delivery',
  'destinations',
  'pair',
  'offer',
  'store',
] as const;
export type Action = (typeof actions)[number];

const victimOf: Readonly<Record<Action, NodeKind>> = {
  upload: 'dmz',
  rename: 'dmz',
  trigger: 'dmz',
  'session-end': 'dmz',
  continue: 'dmz',
  delivery: 'internal',
  destinations: 'internal',
  pair: 'internal',
  offer: 'internal',
  store: 'dmz',
};

export interface CrashPoint {
  readonly action: Action;
  readonly thread: Thread;
  readonly call: Call;
  readonly n: number;
}

export interface CrashResult {
  readonly points: number;
  /** Points at which the node died; the others were past the end of the action. */
  readonly deaths: number;
  readonly acknowledged: number;
  readonly faults: readonly string[];
}

/** Partners with a way of their own to complete uploads; the others are as usual. */
const own = {
  acme: '{}',
  globex: '{}',
  flags: '{complete: trigger, duplicates: suppress}',
  leaver: '{complete: session-end}',
  // His files go to two destinations.
  both: '{}',
} as const;
type Sender = Exclude<keyof typeof own, 'globex'>;

/** Bytes of an offer above which the DMZ notes it before it writes; more than the pipes hold, so that it takes a while. */
const offerBytes = 12_000_000;
const patienceMs = 90_000;

export class CrashStep implements AsyncDisposable {
  readonly #site: Site;
  readonly #supervisor: Supervisor;
  readonly #consumers: Readonly<Record<Sender, Consumer>>;
  /** At the second destination of `both`. */
  readonly #second: Consumer;
  readonly #log: (line: string) => void;
  readonly #faults: string[] = [];
  readonly #offered = new Map<string, string>();
  #points = 0;
  #deaths = 0;
  #acknowledged = 0;
  #stopped = false;

  private constructor(site: Site, log: (line: string) => void) {
    this.#site = site;
    this.#log = log;
    this.#supervisor = new Supervisor(site, { dmz: onePoolThread, internal: onePoolThread });
    const consumer = (partner: Sender): Consumer => new Consumer(join(site.inside.delivered, partner));
    this.#consumers = {
      acme: consumer('acme'),
      flags: consumer('flags'),
      leaver: consumer('leaver'),
      both: consumer('both'),
    };
    this.#second = new Consumer(join(secondOf(site), 'both'));
  }

  static async start(log: (line: string) => void): Promise<CrashStep> {
    const site = await createSite({
      folder: await mkdtemp(join(tmpdir(), 'sallyport-crashstep-')),
      partners: Object.keys(own),
    });
    await setUploads(site);
    await hurry(site);
    await addSecond(site);
    const walk = new CrashStep(site, log);
    await walk.#supervisor.start(AbortSignal.timeout(patienceMs));
    await walk.#together();
    for (const consumer of walk.#allConsumers) consumer.start();
    return walk;
  }

  /** Does the action once, with the node killed at the point. @returns whether it came so far. */
  async step(point: CrashPoint): Promise<boolean> {
    const { action, thread, call, n } = point;
    const victim = victimOf[action];
    const pid = this.#supervisor.pid(victim);
    const deathsBefore = this.#supervisor.deaths[victim];
    this.#points += 1;
    const label = `${action} ${thread} ${call} ${n}`;
    const killer = await inject(pid, { thread, call, what: `signal=KILL:when=${n}` });
    const isDead = (): boolean => this.#supervisor.deaths[victim] > deathsBefore;
    const settled = await this.#act(action, `${this.#points}-${thread}-${call}-${n}`, isDead);
    // Who was killed takes a moment to be gone.
    for (let waitedMs = 0; waitedMs < 1000 && !isDead(); waitedMs += 25) await sleep(25);
    const died = isDead();
    await killer[Symbol.asyncDispose]();
    if (died) this.#deaths += 1;
    await this.#supervisor.ready(AbortSignal.timeout(patienceMs));
    await this.#together();
    await settled().catch((error: unknown) => this.#faults.push(`${label}: ${(error as Error).message}`));
    this.#log(`${label}: ${died ? 'died' : 'past the end'}`);
    return died;
  }

  /** Stops both nodes and looks at what is left. */
  async end(): Promise<CrashResult> {
    await this.#checkOutbox();
    await eventually('nothing is left to do', () => this.#isQuiet(), patienceMs).catch((error: Error) =>
      this.#faults.push(error.message),
    );
    await this.#stop();
    const faults = [...this.#faults, ...this.#allConsumers.flatMap(({ faults: seen }) => seen), ...(await residue(this.#site))];
    if (faults.length > 0) this.#log(`kept for a look: ${this.#site.folder}`);
    else await rm(this.#site.folder, { recursive: true, force: true });
    return { points: this.#points, deaths: this.#deaths, acknowledged: this.#acknowledged, faults };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }

  async #stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await this.#supervisor.stop();
    for (const consumer of this.#allConsumers) await consumer.stop();
  }

  get #allConsumers(): readonly Consumer[] {
    return [...Object.values(this.#consumers), this.#second];
  }

  /** @returns what must come true in the end, to be awaited when the node runs again. */
  async #act(action: Action, name: string, isOver: () => boolean): Promise<() => Promise<void>> {
    switch (action) {
      case 'upload':
        return await this.#upload(name, 300_001, []);
      case 'trigger':
        return await this.#pair(name);
      case 'session-end':
        return await this.#upload(name, 300_001, [], 'leaver');
      case 'continue':
        return await this.#continue(name);
      case 'rename':
        return await this.#upload(name, 1000, [`rename "/Inbox/${name}.part" "/Inbox/${name}"`]);
      case 'delivery': {
        const settled = await this.#upload(name, 300_001, []);
        await eventually('it is delivered or dead', async () => isOver() || this.#consumers.acme.has(name), patienceMs);
        await sleep(300); // the steps behind the delivery
        return settled;
      }
      case 'destinations': {
        this.#second.sent(name, contentOf(name, 300_001));
        const before = this.#acknowledged;
        const atFirst = await this.#upload(name, 300_001, [], 'both');
        if (this.#acknowledged === before) return atFirst;
        const atSecond = async (): Promise<boolean> => this.#second.has(name);
        await eventually('both have it or it is dead', async () => isOver() || (await atSecond()), patienceMs);
        await sleep(300);
        return async () => {
          await atFirst();
          await eventually(`${name} is at the second destination`, async () => (await atSecond()) || undefined, patienceMs);
        };
      }
      case 'pair': {
        const settled = await this.#pair(name);
        const trigger = `${name}.sha256`;
        await eventually('both are delivered or dead', async () => isOver() || this.#consumers.flags.has(trigger), patienceMs);
        await sleep(300);
        return settled;
      }
      case 'offer':
      case 'store':
        return await this.#offer(name, isOver);
    }
  }

  async #upload(name: string, size: number, more: readonly string[], sender: Sender = 'acme'): Promise<() => Promise<void>> {
    const content = contentOf(name, size);
    const local = await this.#toSend(sender, name, content);
    return await this.#send(sender, [name], [`put ${local} "/Inbox/${name}${more.length > 0 ? '.part' : ''}"`, ...more]);
  }

  /** A file and its trigger, which names its digest; then both once more, as a program does that heard no "ok". */
  async #pair(name: string): Promise<() => Promise<void>> {
    const content = Buffer.alloc(300_001, `${name}; `);
    const file = await this.#toSend('flags', name, content);
    const trigger = await this.#toSend('flags', `${name}.sha256`, Buffer.from(`${sha256(content)}  ${name}\n`));
    const batch = [`put ${file} "/Inbox/${name}"`, `put ${trigger} "/Inbox/${name}.sha256"`];
    return await this.#send('flags', [name, `${name}.sha256`], [...batch, ...batch]);
  }

  /** Half of it is whole under a temporary name; it becomes an upload again, and complete with its rename. */
  async #continue(name: string): Promise<() => Promise<void>> {
    const content = Buffer.alloc(600_001, `${name}; `);
    const half = join(this.#site.folder, 'half');
    await writeFile(half, content.subarray(0, 300_000));
    const whole = await this.#toSend('acme', name, content);
    const draft = `"/Inbox/${name}.part"`;
    return await this.#send(
      'acme',
      [name],
      [`put ${half} ${draft}`, `reput ${whole} ${draft}`, `rename ${draft} "/Inbox/${name}"`],
    );
  }

  async #toSend(sender: Sender, name: string, content: Buffer): Promise<string> {
    this.#consumers[sender].sent(name, content);
    const local = join(this.#site.folder, `upload${name.endsWith('.sha256') ? '.sha256' : ''}`);
    await writeFile(local, content);
    return local;
  }

  /** @returns what must come true when the session ends well. */
  async #send(sender: Sender, names: readonly string[], batch: readonly string[]): Promise<() => Promise<void>> {
    const partner = this.#site.partners[sender];
    if (!partner) throw new Error(`no partner ${sender}`);
    const { code } = await sftp(this.#site, partner, batch, ['-o', 'ConnectTimeout=10']);
    if (code !== 0) return async () => {};
    this.#acknowledged += 1;
    return async () => {
      for (const name of names) {
        const isThere = async (): Promise<true | undefined> => this.#consumers[sender].has(name) || undefined;
        await eventually(`${name} was acknowledged, so it is delivered`, isThere, patienceMs);
      }
    };
  }

  async #offer(name: string, isOver: () => boolean): Promise<() => Promise<void>> {
    const content = Buffer.alloc(offerBytes, `${name}; `);
    this.#offered.set(name, sha256(content));
    await offer(this.#site, 'globex', name, content);
    const isThere = async (): Promise<boolean> => (await this.#outbox()).includes(name);
    await eventually('it is offered or dead', async () => isOver() || (await isThere()), patienceMs);
    await sleep(200);
    return async () => {
      await eventually(`${name} is offered`, async () => (await isThere()) || undefined, patienceMs);
    };
  }

  async #outbox(): Promise<string[]> {
    const { globex } = this.#site.partners;
    if (!globex) throw new Error('no partner globex');
    const { output } = await sftp(this.#site, globex, ['ls -1 /Outbox'], ['-o', 'ConnectTimeout=10']);
    const lines = output.split('\n').filter((line) => line.startsWith('/Outbox/'));
    return lines.map((line) => line.trim().slice('/Outbox/'.length));
  }

  /** Everything that was offered is there once and identical. */
  async #checkOutbox(): Promise<void> {
    const { globex } = this.#site.partners;
    const names = await this.#outbox();
    for (const name of names) if (!this.#offered.has(name)) this.#faults.push(`${name}: unexpected in the Outbox (a duplicate?)`);
    const folder = join(this.#site.folder, 'fetched');
    await mkdir(folder);
    for (const [name, digest] of globex ? this.#offered : []) {
      if (globex) await sftp(this.#site, globex, [`get "/Outbox/${name}" ${folder}/`]);
      const content = await readFile(join(folder, name)).catch(() => Buffer.alloc(0));
      if (sha256(content) !== digest) this.#faults.push(`${name}: fetched altered or not at all`);
    }
  }

  /** The inside is connected and says that it is well. */
  async #together(): Promise<void> {
    await eventually('the nodes are connected', async () => (await this.#status()).tunnel.up || undefined, patienceMs);
  }

  async #isQuiet(): Promise<true | undefined> {
    const { items, dmz } = await this.#status();
    return (items.waiting === 0 && dmz?.items.ready === 0 && dmz.items.leased === 0) || undefined;
  }

  async #status(): Promise<Status> {
    return JSON.parse(await ask(this.#site, 'internal', 'status', '--json')) as Status;
  }
}

interface Status {
  readonly tunnel: { readonly up: boolean };
  readonly items: { readonly waiting: number };
  readonly dmz: { readonly items: { readonly ready: number; readonly leased: number } } | null;
}

/** Gives each partner his own way to complete uploads. Before the nodes start. */
async function setUploads({ internal }: Site): Promise<void> {
  const file = join(internal.config, '../conf.d/partners.yaml');
  let text = await readFile(file, 'utf8');
  for (const [name, uploads] of Object.entries(own)) text = text.replace(`  ${name}:\n`, `  ${name}:\n    uploads: ${uploads}\n`);
  await writeFile(file, text);
}

const contentOf = (name: string, size: number): Buffer => Buffer.alloc(size, `${name}; `);
const secondOf = ({ inside }: Site): string => join(inside.delivered, '../second');

/** Before the nodes start. */
async function addSecond(site: Site): Promise<void> {
  const { config } = site.internal;
  await mkdir(secondOf(site), { mode: 0o700 });
  const text = await readFile(config, 'utf8');
  await writeFile(config, text.replace(/^destinations:$/m, `destinations:\n  second: {folder: ${secondOf(site)}}`));
  const rules = join(config, '../conf.d/rules.yaml');
  const both = 'rules:\n  - {name: both, partner: both, deliver: [inside, second]}\n';
  await writeFile(rules, (await readFile(rules, 'utf8')).replace(/^rules:\n/m, both));
}

/** Short waits, so that a step takes seconds. Before the nodes start. */
export async function hurry(site: Site): Promise<void> {
  const text = await readFile(site.internal.config, 'utf8');
  const quick = text.replace(/^outgoing:$/m, 'outgoing:\n  settle: 100ms\n  rescan: 1s');
  await writeFile(site.internal.config, quick);
  await appendFile(site.internal.config, 'pull:\n  poll: 500ms\n  retryFirst: 100ms\n  retryMost: 1s\n');
}
