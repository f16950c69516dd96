/**
 * Kills either node with SIGKILL at seeded random instants during continuous uploads and then asks what a partner and a
 * consumer would ask: is every file whose `put` was acknowledged there, once, identical, and was none ever half visible?
 * Prints one line of JSON; exit 0 only when everything holds.
 */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { firstBrokenLine } from '../shared/events/audit-trail.ts';
import { seeded } from '../test/fixtures/seeded-random.ts';
import { createSite, type Site } from './site/site.ts';
import { Supervisor } from './site/supervisor.ts';
import { ask, eventually, filesBelow, sftp, sha256 } from './site/walk.ts';

interface Upload {
  readonly name: string;
  readonly digest: string;
  acknowledged: boolean;
}

export interface KillResult {
  readonly seed: number;
  readonly kills: { readonly dmz: number; readonly internal: number };
  readonly uploads: number;
  readonly acknowledged: number;
  readonly delivered: number;
  readonly unacknowledgedButDelivered: number;
  readonly faults: readonly string[];
  readonly seconds: number;
}

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  readonly writers: number;
  readonly log: (line: string) => void;
}

class KillTest {
  readonly #site: Site;
  readonly #supervisor: Supervisor;
  readonly #options: KillOptions;
  readonly #random: () => number;
  readonly #uploads = new Map<string, Upload>();
  readonly #faults: string[] = [];
  readonly #seen = new Set<string>();
  #acknowledged = 0;
  #uploading = true;
  #watching = true;

  constructor(site: Site, supervisor: Supervisor, options: KillOptions) {
    this.#site = site;
    this.#supervisor = supervisor;
    this.#options = options;
    this.#random = seeded(options.seed);
  }

  async run(): Promise<Omit<KillResult, 'seconds'>> {
    const watching = this.#watch();
    const writers = Array.from({ length: this.#options.writers }, (_, index) => this.#write(index));
    const kills = await this.#kill();
    this.#uploading = false;
    await Promise.all(writers);
    await this.#supervisor.ready(AbortSignal.timeout(90_000));
    await this.#settle();
    this.#watching = false;
    await watching;
    await this.#checkAudit();
    const all = [...this.#uploads.values()];
    return {
      seed: this.#options.seed,
      kills,
      uploads: all.length,
      acknowledged: all.filter((upload) => upload.acknowledged).length,
      delivered: this.#seen.size,
      unacknowledgedButDelivered: all.filter((upload) => !upload.acknowledged && this.#seen.has(upload.name)).length,
      faults: this.#faults,
    };
  }

  /** One partner's client: new files, one session each, for as long as nodes are being killed. */
  async #write(index: number): Promise<void> {
    const { acme } = this.#site.partners;
    if (!acme) throw new Error('no partner acme');
    const folder = join(this.#site.folder, `writer-${index}`);
    await mkdir(folder, { recursive: true });
    for (let count = 0; this.#uploading; count += 1) {
      // The content names the file, so that bytes of one can never pass for another's.
      const size = Math.floor(this.#random() ** 4 * 3_000_000);
      const name = `w${index}-${String(count).padStart(5, '0')}.${this.#random() < 0.2 ? 'pdf' : 'bin'}`;
      const content = Buffer.alloc(size, `${name} of seed ${this.#options.seed}; `);
      const local = join(folder, name);
      await writeFile(local, content);
      const upload: Upload = { name, digest: sha256(content), acknowledged: false };
      this.#uploads.set(name, upload);
      const { code } = await sftp(this.#site, acme, [`put ${local} /Inbox/${name}`], ['-o', 'ConnectTimeout=5']);
      upload.acknowledged = code === 0;
      if (upload.acknowledged) this.#acknowledged += 1;
      await rm(local);
      if (code !== 0) await sleep(50);
    }
  }

  async #kill(): Promise<{ dmz: number; internal: number }> {
    const kills = { dmz: 0, internal: 0 };
    for (let n = 0; n < this.#options.kills; ) {
      const kind = this.#random() < 0.5 ? 'dmz' : 'internal';
      // Mostly while files flow, sometimes during start-up and recovery.
      if (this.#random() < 0.8) await this.#nextAcknowledgement();
      await sleep(this.#random() * 1000);
      try {
        process.kill(this.#supervisor.pid(kind), 'SIGKILL');
      } catch {
        continue; // it has not been started again yet
      }
      kills[kind] += 1;
      n += 1;
      if (n % 20 === 0) this.#options.log(`${n} kills, ${this.#uploads.size} uploads, ${this.#seen.size} delivered`);
    }
    return kills;
  }

  /** Resolves when one more upload was acknowledged, so that each kill finds work under way. */
  async #nextAcknowledgement(): Promise<void> {
    const before = this.#acknowledged;
    await eventually('an upload is acknowledged', async () => this.#acknowledged > before || undefined);
  }

  /** The consumer inside: looks at every final name as soon as it appears and reads it at once. */
  async #watch(): Promise<void> {
    const folder = join(this.#site.inside.delivered, 'acme');
    while (this.#watching) {
      for (const name of await readdir(folder).catch(() => [])) {
        if (this.#seen.has(name)) continue;
        this.#seen.add(name);
        await this.#look(name, await readFile(join(folder, name)));
      }
      await sleep(10);
    }
  }

  async #look(name: string, content: Buffer): Promise<void> {
    const upload = this.#uploads.get(name);
    if (!upload) this.#faults.push(`${name}: delivered, but nobody sent a file of that name (a duplicate?)`);
    else if (createHash('sha256').update(content).digest('hex') !== upload.digest) {
      this.#faults.push(`${name}: half visible or altered (${content.length} bytes)`);
    }
  }

  /** Everything acknowledged must come, without a hand: the rest by delivery, PDFs in globex's Outbox. */
  async #settle(): Promise<void> {
    const expected = [...this.#uploads.values()].filter((upload) => upload.acknowledged);
    await eventually(
      'all acknowledged files are delivered',
      async () => expected.every(({ name }) => name.endsWith('.pdf') || this.#seen.has(name)) || undefined,
      90_000,
    ).catch(() => {});
    for (const { name } of expected) {
      if (!name.endsWith('.pdf') && !this.#seen.has(name)) this.#faults.push(`${name}: acknowledged, but not delivered`);
    }
    await this.#fetchPdfs(expected.map(({ name }) => name).filter((name) => name.endsWith('.pdf')));
    await sleep(500); // a late duplicate would show now
    const below = await filesBelow(this.#site.inside.delivered);
    for (const path of below) {
      if (!path.startsWith('.') && !this.#uploads.has(path.slice('acme/'.length)))
        this.#faults.push(`${path}: unexpected below delivered`);
    }
  }

  async #fetchPdfs(names: readonly string[]): Promise<void> {
    const { globex } = this.#site.partners;
    if (!globex) throw new Error('no partner globex');
    const folder = join(this.#site.folder, 'fetched');
    await mkdir(folder, { recursive: true });
    const listing = async (): Promise<string[]> => {
      const { output } = await sftp(this.#site, globex, ['ls -1 /Outbox']);
      return output
        .split('\n')
        .filter((line) => line.startsWith('/Outbox/'))
        .map((line) => line.trim().slice('/Outbox/'.length));
    };
    await eventually(
      'all PDFs are offered',
      async () => {
        const there = await listing();
        return names.every((name) => there.includes(name)) || undefined;
      },
      60_000,
    ).catch(() => {});
    const there = await listing();
    for (const name of there.filter((entry) => !this.#uploads.has(entry)))
      this.#faults.push(`${name}: unexpected in the Outbox (a duplicate?)`);
    const { output } = await sftp(
      this.#site,
      globex,
      there.map((name) => `get "/Outbox/${name}" ${folder}/`),
    );
    for (const name of names) {
      const content = await readFile(join(folder, name)).catch(() => undefined);
      if (!content) this.#faults.push(`${name}: acknowledged, but not in the Outbox: ${output.slice(-200)}`);
      else if (sha256(content) !== this.#uploads.get(name)?.digest) this.#faults.push(`${name}: fetched altered`);
    }
  }

  async #checkAudit(): Promise<void> {
    await ask(this.#site, 'internal', 'status', '--json');
    for (const node of ['dmz', 'internal'] as const) {
      const folder = join(this.#site[node].state, 'audit');
      for (const day of (await readdir(folder)).sort()) {
        const lines = (await readFile(join(folder, day), 'utf8')).trimEnd().split('\n');
        const broken = firstBrokenLine(lines);
        if (broken !== undefined) this.#faults.push(`audit of ${node}, ${day}: line ${broken} breaks the chain`);
      }
    }
  }
}

export async function killTest(options: KillOptions): Promise<KillResult> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-kill-'));
  const startedAt = performance.now();
  const site = await createSite({ folder });
  const supervisor = new Supervisor(site);
  let kept = true;
  try {
    await supervisor.start(AbortSignal.timeout(90_000));
    const result = await new KillTest(site, supervisor, options).run();
    kept = result.faults.length > 0;
    return { ...result, seconds: Math.round((performance.now() - startedAt) / 1000) };
  } finally {
    await supervisor.stop();
    if (kept) options.log(`kept for a look: ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      writers: { type: 'string', default: '4' },
    },
  });
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const result = await killTest({ kills: Number(values.kills), seed: Number(values.seed), writers: Number(values.writers), log });
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(result.faults.length === 0 ? 0 : 1);
}
