/**
 * Measures Sallyport, sealing, hashing and committing, against OpenSSH's internal-sftp with the same client in the same
 * interleaved run. Only ratios count: absolute figures of a shared machine move by a factor of two.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, type FSWatcher, watch } from 'node:fs';
import { mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { OpenSshPeer } from './site/openssh.ts';
import { ProcessWatch } from './site/process-watch.ts';
import { createSite, freePort, type Site, sftpArguments } from './site/site.ts';
import { Supervisor } from './site/supervisor.ts';
import { eventually, offerFile, sftp } from './site/walk.ts';

const mebi = 1024 * 1024;
const cipher = ['-o', 'Ciphers=aes128-gcm@openssh.com'];
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const round = (value: number, digits = 2): number => Number(value.toFixed(digits));

function parseSize(text: string): number {
  const match = /^(\d+)(MiB|GiB)$/.exec(text);
  if (!match) throw new Error(`not a size: ${text} (for instance 256MiB)`);
  return Number(match[1]) * (match[2] === 'GiB' ? 1024 * mebi : mebi);
}

/** Runs `sftp` with a batch; milliseconds from start to exit. Throws when it fails. */
async function timed(args: readonly string[], batch: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  const child = spawn('sftp', ['-b', '-', ...args], { stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => {
    errors += text.toString();
  });
  child.stdin.end(`${batch.join('\n')}\n`);
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`sftp exited with ${code}: ${errors}`);
  return performance.now() - startedAt;
}

async function makeFile(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w');
  for (let left = sizeBytes; left > 0; left -= 4 * mebi) await file.write(randomBytes(Math.min(left, 4 * mebi)));
  await file.close();
}

interface Row {
  readonly work: string;
  readonly unit: string;
  readonly higherIsBetter: boolean;
  readonly sallyport: number[];
  readonly openssh: number[];
}

class Bench {
  readonly #site: Site;
  readonly #peer: OpenSshPeer;
  readonly #supervisor: Supervisor;
  readonly #scratch: string;
  readonly #rounds: number;
  readonly rows: Row[] = [];
  #count = 0;

  constructor(site: Site, peer: OpenSshPeer, supervisor: Supervisor, scratch: string, rounds: number) {
    this.#site = site;
    this.#peer = peer;
    this.#supervisor = supervisor;
    this.#scratch = scratch;
    this.#rounds = rounds;
  }

  async put(sizeBytes: number): Promise<void> {
    const local = join(this.#scratch, 'put.bin');
    await makeFile(local, sizeBytes);
    const row = this.#row(`put ${sizeBytes / mebi} MiB`, 'MiB/s', true);
    for (let n = 0; n < this.#rounds; n += 1) {
      row.openssh.push(
        sizeBytes /
          mebi /
          ((await timed(this.#peer.arguments(cipher), [`put ${local} ${this.#peer.folder}/files/put.bin`])) / 1000),
      );
      await rm(join(this.#peer.folder, 'files/put.bin'));
      const name = `put-${this.#count++}.bin`;
      row.sallyport.push(sizeBytes / mebi / ((await timed(this.#partner(cipher), [`put ${local} /Inbox/${name}`])) / 1000));
      await this.#taken(name);
    }
    await rm(local);
  }

  async get(sizeBytes: number): Promise<void> {
    const name = `get-${sizeBytes / mebi}.bin`;
    await makeFile(join(this.#peer.folder, 'files', name), sizeBytes);
    await offerFile(this.#site, 'acme', name, join(this.#peer.folder, 'files', name));
    await this.#offered(name, 60_000);
    const local = join(this.#scratch, 'got.bin');
    const row = this.#row(`get ${sizeBytes / mebi} MiB`, 'MiB/s', true);
    for (let n = 0; n < this.#rounds; n += 1) {
      row.openssh.push(
        sizeBytes /
          mebi /
          ((await timed(this.#peer.arguments(cipher), [`get ${this.#peer.folder}/files/${name} ${local}`])) / 1000),
      );
      row.sallyport.push(sizeBytes / mebi / ((await timed(this.#partner(cipher), [`get /Outbox/${name} ${local}`])) / 1000));
      await rm(local);
    }
  }

  /** 1,000 files of 4 KiB in one session. OpenSSH with `put -f`, which flushes each file as we do. */
  async small(): Promise<void> {
    const folder = join(this.#scratch, 'small');
    await mkdir(folder, { recursive: true });
    const names = Array.from({ length: 1000 }, (_, n) => `s${n}.bin`);
    for (const name of names) await writeFile(join(folder, name), randomBytes(4096));
    const row = this.#row('1,000 × 4 KiB, one session, flushed', 'files/s', true);
    for (let n = 0; n < this.#rounds; n += 1) {
      const batch = this.#count++;
      const remote = `${this.#peer.folder}/files/small-${batch}`;
      row.openssh.push(
        1000 /
          ((await timed(this.#peer.arguments(), [
            `mkdir ${remote}`,
            ...names.map((name) => `put -f ${join(folder, name)} ${remote}/`),
          ])) /
            1000),
      );
      row.sallyport.push(
        1000 /
          ((await timed(this.#partner(), [
            `mkdir /Inbox/small-${batch}`,
            ...names.map((name) => `put ${join(folder, name)} /Inbox/small-${batch}/`),
          ])) /
            1000),
      );
      await this.#taken(`small-${batch}/${names.at(-1)}`);
    }
  }

  /** Whole logins (connect, key, sftp, pwd), eight clients in parallel. */
  async logins(): Promise<void> {
    const row = this.#row('logins, 8 in parallel', 'logins/s', true);
    const each = 8;
    const clients = 8;
    const rate = async (args: readonly string[]): Promise<number> => {
      const startedAt = performance.now();
      await Promise.all(
        Array.from({ length: clients }, async () => {
          for (let n = 0; n < each; n += 1) await timed(args, ['pwd']);
        }),
      );
      return (clients * each) / ((performance.now() - startedAt) / 1000);
    };
    for (let n = 0; n < this.#rounds; n += 1) {
      row.openssh.push(await rate(this.#peer.arguments()));
      row.sallyport.push(await rate(this.#partner()));
    }
  }

  /** From the partner's `put` returning to the file being there inside, 4 KiB, idle system. */
  async latency(): Promise<{ p50Ms: number; p99Ms: number }> {
    const local = join(this.#scratch, 'latency.bin');
    await writeFile(local, randomBytes(4096));
    const folder = join(this.#site.inside.delivered, 'acme');
    await mkdir(folder, { recursive: true });
    const times: number[] = [];
    const child = spawn(
      'sftp',
      this.#partner().filter((arg) => arg !== '-q'),
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    for (let n = 0; n < 100; n += 1) {
      const name = `latency-${this.#count++}.bin`;
      const arrived = arrival(folder, name);
      const closed = closing(child.stdout, name);
      child.stdin.write(`put ${local} /Inbox/${name}\n!echo done-${name}\n`);
      const [inAtMs, closedAtMs] = await Promise.all([arrived, closed]);
      times.push(Math.max(0, inAtMs - closedAtMs));
    }
    child.stdin.end('quit\n');
    times.sort((a, b) => a - b);
    return { p50Ms: round(times[50] ?? 0, 1), p99Ms: round(times[98] ?? 0, 1) };
  }

  /** One large file in and out again through both halves: peak resident memory of each node while it passes, and the bytes. */
  async soak(sizeBytes: number): Promise<Record<string, unknown>> {
    const local = join(this.#scratch, 'soak.bin');
    await makeFile(local, sizeBytes);
    const before = await digestOf(local);
    const name = `soak-${this.#count++}.bin`;
    const put = await this.#watched(sizeBytes, async () => {
      const ms = await timed(this.#partner(cipher), [`put ${local} /Inbox/${name}`]);
      await this.#isDelivered(name, 600_000);
      return ms;
    });
    await rm(local);
    const inside = join(this.#site.inside.delivered, 'acme', name);
    const delivered = await digestOf(inside);
    const get = await this.#watched(sizeBytes, async () => {
      await offerFile(this.#site, 'acme', name, inside);
      await rm(inside);
      await this.#offered(name, 600_000);
      return await timed(this.#partner(cipher), [`get /Outbox/${name} ${local}`]);
    });
    const identical = delivered === before && (await digestOf(local)) === before;
    await rm(local);
    if (!identical) throw new Error('the bytes were changed on their way');
    return { sizeMiB: sizeBytes / mebi, identical, put, get };
  }

  /** @param transfer Resolves with the milliseconds of the partner's part of it. */
  async #watched(sizeBytes: number, transfer: () => Promise<number>) {
    const watches = {
      dmz: new ProcessWatch(this.#supervisor.pid('dmz')),
      internal: new ProcessWatch(this.#supervisor.pid('internal')),
    };
    const [dmzBeforeMiB, internalBeforeMiB] = [await watches.dmz.residentMiB(), await watches.internal.residentMiB()];
    for (const watch of Object.values(watches)) await watch.forgetPeak();
    const ms = await transfer();
    return {
      mibPerSecond: round(sizeBytes / mebi / (ms / 1000)),
      dmzBeforeMiB,
      dmzPeakMiB: await watches.dmz.peakMiB(),
      internalBeforeMiB,
      internalPeakMiB: await watches.internal.peakMiB(),
    };
  }

  get #acme() {
    const { acme } = this.#site.partners;
    if (!acme) throw new Error('no partner acme');
    return acme;
  }

  #partner(options: readonly string[] = []): string[] {
    return sftpArguments(this.#site, this.#acme, options);
  }

  #row(work: string, unit: string, higherIsBetter: boolean): Row {
    say(work);
    const row: Row = { work, unit, higherIsBetter, sallyport: [], openssh: [] };
    this.rows.push(row);
    return row;
  }

  /** The item is delivered; its file is removed so that the disk does not fill. */
  async #taken(name: string, patienceMs = 120_000): Promise<void> {
    await rm(await this.#isDelivered(name, patienceMs));
  }

  /** @returns the path inside. */
  async #isDelivered(name: string, patienceMs: number): Promise<string> {
    const path = join(this.#site.inside.delivered, 'acme', name);
    await eventually(`${name} is delivered`, async () => ((await stat(path)).isFile() ? true : undefined), patienceMs);
    return path;
  }

  async #offered(name: string, patienceMs: number): Promise<void> {
    const look = async () => (await sftp(this.#site, this.#acme, ['ls -1 /Outbox'])).output.includes(name) || undefined;
    await eventually(`${name} is offered`, look, patienceMs);
  }
}

/** SHA-256 of a file of any size. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: mebi }), hash);
  return hash.digest('hex');
}

/** Resolves with the instant at which a name appears in a folder. */
function arrival(folder: string, name: string): Promise<number> {
  return new Promise((resolve) => {
    const watcher: FSWatcher = watch(folder, (_, changed) => {
      if (changed !== name) return;
      watcher.close();
      resolve(performance.now());
    });
  });
}

/** Resolves with the instant at which `sftp` has returned from `put` and runs the next command. */
function closing(output: NodeJS.ReadableStream, name: string): Promise<number> {
  return new Promise((resolve) => {
    const look = (text: Buffer): void => {
      if (!text.toString().includes(`done-${name}`)) return;
      output.off('data', look);
      resolve(performance.now());
    };
    output.on('data', look);
  });
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'put,get,small,logins,latency' },
    sizes: { type: 'string', default: '256MiB,1GiB' },
    soak: { type: 'string' },
    out: { type: 'string' },
  },
});

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const scratch = join(folder, 'scratch');
  await mkdir(scratch);
  const site = await createSite({ folder });
  const supervisor = new Supervisor(site);
  await using peer = await OpenSshPeer.start(join(folder, 'openssh'), await freePort('127.0.0.1'));
  try {
    await supervisor.start(AbortSignal.timeout(30_000));
    const bench = new Bench(site, peer, supervisor, scratch, Number(values.rounds));
    const wanted = new Set(values.only.split(','));
    const sizes = values.sizes.split(',').map(parseSize);
    for (const size of sizes) if (wanted.has('put')) await bench.put(size);
    for (const size of sizes) if (wanted.has('get')) await bench.get(size);
    if (wanted.has('small')) await bench.small();
    if (wanted.has('logins')) await bench.logins();
    const latency = wanted.has('latency') ? await bench.latency() : undefined;
    const memory = values.soak ? await bench.soak(parseSize(values.soak)) : undefined;
    await report(bench.rows, { latency, memory });
  } finally {
    await supervisor.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function report(rows: readonly Row[], extra: object): Promise<void> {
  const results = rows.map(({ work, unit, sallyport, openssh }) => ({
    work,
    unit,
    sallyport: round(median(sallyport)),
    openssh: round(median(openssh)),
    ratio: round(median(sallyport) / median(openssh)),
    runs: { sallyport: sallyport.map((v) => round(v)), openssh: openssh.map((v) => round(v)) },
  }));
  for (const { work, unit, sallyport, openssh, ratio } of results) {
    say(
      `${work.padEnd(40)} ${String(sallyport).padStart(10)} ${unit.padEnd(9)} OpenSSH ${String(openssh).padStart(10)}   ratio ${ratio}`,
    );
  }
  const document = {
    at: new Date().toISOString(),
    node: process.version,
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? ''}`,
    rounds: Number(values.rounds),
    results,
    ...extra,
  };
  process.stdout.write(`${JSON.stringify(document)}\n`);
  if (values.out) await writeFile(values.out, `${JSON.stringify(document, undefined, 2)}\n`);
}

await main();
