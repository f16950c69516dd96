/**
 * Measures Sallyport, sealing, hashing and committing, against other SFTP servers, which only write, with the same client in the
 * same interleaved run. Only ratios count: absolute figures of a shared machine move by a factor of two.
 */
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, type Cipher, ciphers, round, say } from './measure/bench.ts';
import { type Contender, contender, mebi } from './measure/contenders.ts';
import { startProftpdTls } from './measure/ftps.ts';
import { type Peer, startProftpd, startRclone } from './measure/peers.ts';
import { median, type Results, type Row, ratio } from './measure/results.ts';
import { writeDocs } from './measure/write-docs.ts';
import { OpenSshPeer } from './site/openssh.ts';
import { createSite, freePort, type Site } from './site/site.ts';
import { Supervisor } from './site/supervisor.ts';

function parseSize(text: string): number {
  const match = /^(\d+)(MiB|GiB)$/.exec(text);
  if (!match) throw new Error(`not a size: ${text} (for instance 256MiB)`);
  return Number(match[1]) * (match[2] === 'GiB' ? 1024 * mebi : mebi);
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'put,get,ftps,small,hand-overs,logins,latency,idle,no-addon' },
    peers: { type: 'string', default: 'openssh,proftpd,rclone' },
    sizes: { type: 'string', default: '1GiB' },
    idle: { type: 'string', default: '1000' },
    soak: { type: 'string' },
    out: { type: 'string' },
    docs: { type: 'boolean', default: false },
  },
});

/** More sessions of one partner than a policy allows by default, for those that only are there. */
async function allowManySessions(site: Site, sessions: number): Promise<void> {
  const limits = `policy:\n  limits:\n    maxSessions: ${sessions + 100}\n    maxSessionsPerPartner: ${Math.min(10_000, sessions + 100)}\n`;
  await appendFile(site.internal.config, `\n${limits}`);
  await appendFile(site.dmz.config, `\nlimits:\n  connections: ${sessions + 200}\n  unauthenticated: 400\n`);
}

async function startPeers(folder: string, stack: AsyncDisposableStack): Promise<Contender[]> {
  const wanted = new Set(values.peers.split(','));
  const peers: Contender[] = [];
  const port = (): Promise<number> => freePort('127.0.0.1');
  if (wanted.has('openssh')) {
    const ssh = stack.use(await OpenSshPeer.start(join(folder, 'openssh'), await port()));
    const files = join(ssh.folder, 'files');
    const path = (name: string): string => join(files, name);
    const peer: Peer = {
      arguments: (options) => ssh.arguments(options),
      remote: path,
      local: path,
      [Symbol.asyncDispose]: async () => {},
    };
    peers.push(contender('OpenSSH', peer));
  }
  if (wanted.has('proftpd'))
    peers.push(contender('ProFTPD', stack.use(await startProftpd(join(folder, 'proftpd'), await port()))));
  if (wanted.has('rclone')) peers.push(contender('rclone', stack.use(await startRclone(join(folder, 'rclone'), await port()))));
  return peers;
}

async function measureAll(bench: Bench): Promise<Pick<Results, 'latency' | 'idle' | 'memory'>> {
  const wanted = new Set(values.only.split(','));
  const sizes = values.sizes.split(',').map(parseSize);
  const kinds = Object.keys(ciphers) as Cipher[];
  // First: what earlier work has left free would hide what sessions cost.
  const idle = wanted.has('idle') ? await bench.idle(Number(values.idle)) : undefined;
  for (const size of sizes) for (const kind of kinds) if (wanted.has('put')) await bench.put(size, kind);
  for (const size of sizes) for (const kind of kinds) if (wanted.has('get')) await bench.get(size, kind);
  if (wanted.has('ftps')) await measureFtps(bench, sizes);
  if (wanted.has('small')) await bench.small();
  if (wanted.has('hand-overs')) await bench.handOvers();
  if (wanted.has('logins')) await bench.logins();
  const latency = wanted.has('latency') ? await bench.latency() : undefined;
  const memory = values.soak ? await bench.soak(parseSize(values.soak)) : undefined;
  return { ...(latency ? { latency } : {}), ...(idle ? { idle } : {}), ...(memory ? { memory } : {}) };
}

async function measureFtps(bench: Bench, sizes: readonly number[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  try {
    await using peer = await startProftpdTls(folder, await freePort('127.0.0.1'));
    for (const size of sizes) await bench.ftps(size, peer);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The same nodes, started where the native cipher code of ssh2 cannot be loaded. */
async function withoutAddon(site: Site, supervisor: Supervisor, scratch: string): Promise<readonly Row[]> {
  const { NODE_OPTIONS } = process.env;
  await supervisor.takeDown('dmz');
  process.env.NODE_OPTIONS = `${NODE_OPTIONS ?? ''} --import ${new URL('./measure/without-addon.ts', import.meta.url)}`;
  supervisor.bringUp('dmz');
  process.env.NODE_OPTIONS = NODE_OPTIONS ?? '';
  await supervisor.ready(AbortSignal.timeout(60_000));
  const bench = new Bench(site, supervisor, [], scratch, 1);
  await bench.put(256 * mebi, 'aes128-gcm', 2, 'without the add-on: put');
  await bench.get(256 * mebi, 'aes128-gcm', 2, 'without the add-on: get');
  return bench.rows;
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  const scratch = join(folder, 'scratch');
  await mkdir(scratch);
  const site = await createSite({ folder });
  await allowManySessions(site, Number(values.idle));
  const supervisor = new Supervisor(site);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    await supervisor.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const peers = await startPeers(folder, stack);
  await supervisor.start(AbortSignal.timeout(30_000));
  const bench = new Bench(site, supervisor, peers, scratch, Number(values.rounds));
  const extra = await measureAll(bench);
  const more = values.only.includes('no-addon') ? await withoutAddon(site, supervisor, scratch) : [];
  await report([...bench.rows, ...more], extra);
}

async function report(all: readonly Row[], extra: Pick<Results, 'latency' | 'idle' | 'memory'>): Promise<void> {
  const rows = all.map((row) => ({
    ...row,
    runs: Object.fromEntries(Object.entries(row.runs).map(([name, runs]) => [name, runs.map((value) => round(value))])),
  }));
  for (const row of rows) {
    const figures = Object.entries(row.runs).map(([name, runs]) => `${name} ${round(median(runs), 1)}`);
    say(`${row.work.padEnd(44)} ${row.unit.padEnd(9)} ${figures.join('  ')}   ratio ${round(ratio(row))}`);
  }
  const results: Results = {
    at: new Date().toISOString(),
    node: process.version,
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? ''}`,
    rounds: Number(values.rounds),
    rows,
    ...extra,
  };
  process.stdout.write(`${JSON.stringify(results)}\n`);
  if (values.out) await writeFile(values.out, `${JSON.stringify(results, undefined, 2)}\n`);
  if (values.docs) await writeDocs(results);
}

await main();
