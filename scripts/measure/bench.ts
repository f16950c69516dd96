/** The works that are measured: each a row with the runs of every server, interleaved. */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProcessWatch } from '../site/process-watch.ts';
import { type Site, sftpArguments } from '../site/site.ts';
import type { Supervisor } from '../site/supervisor.ts';
import { eventually, offerFile, sftp } from '../site/walk.ts';
import { type Contender, ftpsContender, makeFile, mebi, sftpTransfer, timed } from './contenders.ts';
import { curlTransfer, type FtpsPeer } from './ftps.ts';
import { openIdleSessions } from './idle-sessions.ts';
import type { Peaks, Results, Row } from './results.ts';

export const ciphers = { 'aes128-gcm': ['-o', 'Ciphers=aes128-gcm@openssh.com'], "client's cipher": [] } as const;
export type Cipher = keyof typeof ciphers;
const gcm = ciphers['aes128-gcm'];
export const say = (line: string): void => void process.stderr.write(`${line}\n`);
export const round = (value: number, digits = 2): number => Number(value.toFixed(digits));

export class Bench {
  readonly #site: Site;
  readonly #supervisor: Supervisor;
  readonly #scratch: string;
  readonly #rounds: number;
  readonly #all: readonly Contender[];
  readonly rows: Row[] = [];
  #count = 0;

  constructor(site: Site, supervisor: Supervisor, peers: readonly Contender[], scratch: string, rounds: number) {
    this.#site = site;
    this.#supervisor = supervisor;
    this.#scratch = scratch;
    this.#rounds = rounds;
    this.#all = [this.#sallyport(), ...peers];
  }

  put(sizeBytes: number, cipher: Cipher, rounds = this.#rounds, label = 'put'): Promise<void> {
    const against = label === 'put' ? this.#all : this.#all.slice(0, 1);
    return this.#puts(`${label} ${sizeBytes / mebi} MiB, ${cipher}`, sizeBytes, against, rounds, ciphers[cipher]);
  }

  get(sizeBytes: number, cipher: Cipher, rounds = this.#rounds, label = 'get'): Promise<void> {
    const against = label === 'get' ? this.#all : this.#all.slice(0, 1);
    return this.#gets(`${label} ${sizeBytes / mebi} MiB, ${cipher}`, sizeBytes, against, rounds, ciphers[cipher]);
  }

  /** The same over FTPS, TLS 1.3, with curl. */
  async ftps(sizeBytes: number, peer: FtpsPeer): Promise<void> {
    const ours = { ...this.#site.ftps, port: this.#site.ftps.explicitPort, user: this.#acme.name, password: this.#acme.password };
    const against: readonly Contender[] = [
      { ...this.#sallyport(), transfer: (way, local, remote) => curlTransfer(ours, way, local, remote) },
      ftpsContender('ProFTPD', peer),
    ];
    await this.#puts(`FTPS put ${sizeBytes / mebi} MiB`, sizeBytes, against, this.#rounds);
    await this.#gets(`FTPS get ${sizeBytes / mebi} MiB`, sizeBytes, against, this.#rounds);
  }

  async #puts(work: string, sizeBytes: number, against: readonly Contender[], rounds: number, options: readonly string[] = []) {
    const local = join(this.#scratch, 'put.bin');
    await makeFile(local, sizeBytes);
    const row = this.#row(work, 'MiB/s', against);
    for (let n = 0; n < rounds; n += 1) {
      for (const server of against) {
        const name = `put-${this.#count++}.bin`;
        const ms = await server.transfer('put', local, server.upload(name), options);
        this.#note(row, server, sizeBytes / mebi / (ms / 1000));
        await server.settle(name);
      }
    }
    await rm(local);
  }

  async #gets(work: string, sizeBytes: number, against: readonly Contender[], rounds: number, options: readonly string[] = []) {
    const local = join(this.#scratch, 'got.bin');
    await makeFile(local, sizeBytes);
    const name = `get-${this.#count++}.bin`;
    const paths = new Map<string, string>();
    for (const server of against) paths.set(server.name, await server.offer(name, local));
    const row = this.#row(work, 'MiB/s', against);
    for (let n = 0; n < rounds; n += 1) {
      for (const server of against) {
        const ms = await server.transfer('get', local, paths.get(server.name) ?? '', options);
        this.#note(row, server, sizeBytes / mebi / (ms / 1000));
        await rm(local);
      }
    }
    for (const server of against.slice(1)) await server.settle(name);
    await sftp(this.#site, this.#acme, [`-rm /Outbox/${name}`]);
  }

  /** 1,000 files of 4 KiB in one session. OpenSSH with `put -f`, which flushes each file as we do; the others do not flush. */
  async small(): Promise<void> {
    const names = await this.#smallFiles(1000);
    const row = this.#row('1,000 × 4 KiB, one session', 'files/s', this.#all);
    for (let n = 0; n < this.#rounds; n += 1) {
      for (const server of this.#all) {
        const folder = `small-${this.#count++}`;
        const put = server.name === 'OpenSSH' ? 'put -f' : 'put';
        const ms = await timed(server.arguments(), [
          `mkdir ${server.upload(folder)}`,
          ...names.map((name) => `${put} ${join(this.#scratch, 'small', name)} ${server.upload(folder)}/`),
        ]);
        this.#note(row, server, 1000 / (ms / 1000));
        if (server.name === 'Sallyport') await this.#delivered(folder, names.length);
        else await server.settle(folder);
      }
    }
  }

  /** 16 sessions that send 4 KiB files: from the first byte until every file lies inside. OpenSSH: until it has flushed them. */
  async handOvers(): Promise<void> {
    const [sessions, each] = [16, 60];
    const names = await this.#smallFiles(each);
    const ours = this.#all[0];
    const openssh = this.#all.find(({ name }) => name === 'OpenSSH');
    if (!ours || !openssh) return;
    const both: readonly Contender[] = [ours, openssh];
    const row = this.#row(`${sessions} sessions × ${each} × 4 KiB, delivered`, 'files/s', both);
    for (let n = 0; n < this.#rounds; n += 1) {
      for (const server of both) {
        const folders = Array.from({ length: sessions }, () => `many-${this.#count++}`);
        const put = server === openssh ? 'put -f' : 'put';
        const startedAt = performance.now();
        await Promise.all(
          folders.map((folder) =>
            timed(server.arguments(), [
              `mkdir ${server.upload(folder)}`,
              ...names.map((name) => `${put} ${join(this.#scratch, 'small', name)} ${server.upload(folder)}/`),
            ]),
          ),
        );
        if (server === ours) await Promise.all(folders.map((folder) => this.#delivered(folder, each, false)));
        this.#note(row, server, (sessions * each) / ((performance.now() - startedAt) / 1000));
        if (server === openssh) for (const folder of folders) await server.settle(folder);
      }
    }
  }

  /** Whole logins (connect, key, sftp, pwd), eight clients in parallel. */
  async logins(): Promise<void> {
    const row = this.#row('logins, 8 in parallel', 'logins/s', this.#all);
    const [each, clients] = [8, 8];
    for (let n = 0; n < this.#rounds; n += 1) {
      for (const server of this.#all) {
        const startedAt = performance.now();
        await Promise.all(
          Array.from({ length: clients }, async () => {
            for (let login = 0; login < each; login += 1) await timed(server.arguments(), ['pwd']);
          }),
        );
        this.#note(row, server, (clients * each) / ((performance.now() - startedAt) / 1000));
      }
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

  /** What a session costs that only is there. */
  async idle(count: number): Promise<NonNullable<Results['idle']>> {
    say(`${count} idle sessions`);
    const watched = new ProcessWatch(this.#supervisor.pid('dmz'));
    const before = await watched.residentMiB();
    const startedAt = performance.now();
    await using sessions = await openIdleSessions(this.#site, this.#acme, count);
    const seconds = (performance.now() - startedAt) / 1000;
    await sleep(2000);
    const kibPerSession = round((((await watched.residentMiB()) - before) * 1024) / sessions.count, 0);
    return { sessions: sessions.count, kibPerSession, loginsPerSecond: round(count / seconds, 0) };
  }

  /** One large file in and out again through both halves: peak resident memory of each node while it passes, and the bytes. */
  async soak(sizeBytes: number): Promise<NonNullable<Results['memory']>> {
    const local = join(this.#scratch, 'soak.bin');
    await makeFile(local, sizeBytes);
    const before = await digestOf(local);
    const name = `soak-${this.#count++}.bin`;
    const put = await this.#watched(sizeBytes, async () => {
      const ms = await timed(this.#partner(gcm), [`put ${local} /Inbox/${name}`]);
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
      return await timed(this.#partner(gcm), [`get /Outbox/${name} ${local}`]);
    });
    const identical = delivered === before && (await digestOf(local)) === before;
    await rm(local);
    if (!identical) throw new Error('the bytes were changed on their way');
    return { sizeMiB: sizeBytes / mebi, put, get };
  }

  /** @param transfer Resolves with the milliseconds of the partner's part of it. */
  async #watched(sizeBytes: number, transfer: () => Promise<number>): Promise<Peaks> {
    const watches = {
      dmz: new ProcessWatch(this.#supervisor.pid('dmz')),
      internal: new ProcessWatch(this.#supervisor.pid('internal')),
    };
    for (const watch of Object.values(watches)) await watch.forgetPeak();
    const ms = await transfer();
    return {
      mibPerSecond: round(sizeBytes / mebi / (ms / 1000)),
      dmzPeakMiB: await watches.dmz.peakMiB(),
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

  #note(row: Row, server: Contender, value: number): void {
    say(`  ${server.name} ${round(value, 1)} ${row.unit}`);
    row.runs[server.name]?.push(value);
  }

  #row(work: string, unit: string, servers: readonly Contender[]): Row {
    say(work);
    const row: Row = { work, unit, runs: Object.fromEntries(servers.map(({ name }) => [name, []])) };
    this.rows.push(row);
    return row;
  }

  #sallyport(): Contender {
    const args: Contender['arguments'] = (options) => this.#partner(options);
    return {
      name: 'Sallyport',
      arguments: args,
      transfer: sftpTransfer(args),
      upload: (name) => `/Inbox/${name}`,
      settle: (name) => this.#taken(name),
      offer: async (name, local) => {
        await offerFile(this.#site, 'acme', name, local);
        await this.#offered(name, 60_000);
        return `/Outbox/${name}`;
      },
    };
  }

  async #smallFiles(count: number): Promise<readonly string[]> {
    const folder = join(this.#scratch, 'small');
    await mkdir(folder, { recursive: true });
    const names = Array.from({ length: count }, (_, n) => `s${n}.bin`);
    for (const name of names) await writeFile(join(folder, name), randomBytes(4096));
    return names;
  }

  /** So many files of one folder lie inside; they are removed. */
  async #delivered(folder: string, count: number, remove = true): Promise<void> {
    const path = join(this.#site.inside.delivered, 'acme', folder);
    const all = async () => ((await readdir(path)).length >= count ? true : undefined);
    await eventually(`${folder} is delivered`, all, 120_000);
    if (remove) await rm(path, { recursive: true });
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
