/**
 * The command behind `scripts/fuzz`: one running pair, one target, a partner who works all the while, and what the DMZ process
 * held before and after. Exit 0 only when nothing was wrong.
 */
import { appendFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Pair, startPair } from '../test/fixtures/pair.ts';
import { RawSftp } from '../test/fixtures/raw-sftp.ts';
import { compareDecisions } from '../test/hostile/decision-fuzz.ts';
import { fuzzDestinations } from '../test/hostile/destination-fuzz.ts';
import { HandshakeFuzz } from '../test/hostile/handshake-fuzz.ts';
import { HonestPartner, whileServing } from '../test/hostile/honest-partners.ts';
import { compareGlobs, compareRegexes, killers, randomExpressions, slowestPair } from '../test/hostile/matching-fuzz.ts';
import { PacketFuzz } from '../test/hostile/packet-fuzz.ts';
import { ProcessWatch } from './site/process-watch.ts';
import { ask } from './site/walk.ts';

interface Fuzzing {
  readonly pair: Pair;
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  /** Called again and again with how many inputs were sent so far. */
  readonly onProgress: (sent: number) => Promise<void>;
}

/** @returns figures to print, and `faults`: what must not have happened. */
type Target = (fuzzing: Fuzzing) => Promise<{ readonly faults: readonly string[] }>;

/** The most that a DMZ process may hold, whatever comes, and how much it may grow between the first fifth and the end. MiB. */
const mostMiB = 320;
const mostGrowthMiB = 64;

/** Whoever sends broken handshakes is banned within seconds, except for this one. */
const stranger = '127.0.0.66';

const targets: Readonly<Record<string, Target>> = {
  handshakes: ({ pair, seed, from, count, onProgress }) =>
    new HandshakeFuzz({
      ...{ seed, from, count, onProgress },
      lanes: 16,
      silenceMs: 1000,
      port: pair.site.sftp.port,
      localAddress: stranger,
    }).run(),
  packets: async ({ pair, seed, from, count, onProgress }) => {
    const { mallory } = pair.site.partners;
    if (!mallory) throw new Error('no partner mallory');
    const privateKey = await readFile(mallory.keyFile);
    const connect = () => RawSftp.connect(pair.site.sftp.port, { username: 'mallory', privateKey, authHandler: ['publickey'] });
    return new PacketFuzz({ seed, from, count, lanes: 4, patienceMs: 60_000, connect, onBlock: onProgress }).run();
  },
};

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function fuzz(target: Target, inputs: { readonly seed: number; readonly from: number; readonly count: number }) {
  await using pair = await startPair({ partners: ['acme', 'globex', 'mallory'] }, undefined, async ({ dmz }) => {
    await appendFile(dmz.config, `limits:\n  throttle:\n    exempt: ["${stranger}"]\n`);
  });
  const pid = pair.supervisor.pid('dmz');
  const dmz = new ProcessWatch(pid);
  const honest = new HonestPartner(pair, pair.acme, '127.0.0.1');
  await honest.prepare();
  const descriptors = await dmz.descriptors();
  const residentMiB: number[] = [await dmz.residentMiB()];
  const onProgress = async (sent: number): Promise<void> => {
    if (sent < (inputs.count * residentMiB.length) / 10) return;
    residentMiB.push(await dmz.residentMiB());
    say(`${sent} sent, the DMZ node holds ${residentMiB.at(-1)} MiB`);
  };
  const startedAt = performance.now();
  const result = await whileServing([honest], () => target({ pair, ...inputs, onProgress }));
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  await honest.allDelivered();

  const faults = [...result.faults];
  if (pair.supervisor.deaths.dmz > 0 || pair.supervisor.pid('dmz') !== pid) faults.push('the DMZ node died');
  if (pair.supervisor.deaths.internal > 0) faults.push('the internal node died');
  const peakMiB = await dmz.peakMiB();
  if (peakMiB > mostMiB) faults.push(`the DMZ node held ${peakMiB} MiB`);
  const growthMiB = (residentMiB.at(-1) ?? 0) - (residentMiB[2] ?? 0);
  if (growthMiB > mostGrowthMiB) faults.push(`the DMZ node grew by ${growthMiB} MiB`);
  const ours = await ownFaults(pair);
  faults.push(...ours.slice(0, 20));
  await sleep(2000); // the last sessions end
  const left = (await dmz.descriptors()) - descriptors;
  if (left > 8) faults.push(`${left} descriptors are left open`);
  const { sessions } = JSON.parse(await ask(pair.site, 'dmz', 'status', '--json')) as { sessions: number };
  if (sessions > 0) faults.push(`${sessions} sessions are left`);
  const served = { sessions: honest.rounds, slowestMs: honest.worstMs };
  return { ...inputs, ...result, seconds, residentMiB, peakMiB, served, faults };
}

/** Lines of the DMZ node's log that speak of a fault of its own. */
async function ownFaults(pair: Pair): Promise<string[]> {
  const lines = (await readFile(join(pair.site.folder, 'dmz.log'), 'utf8')).trimEnd().split('\n');
  return lines.filter((line) => /"level":"(error|fatal)"/.test(line) || !line.startsWith('{'));
}

/** Nothing runs for these: expressions are compared with other engines, and the slowest is timed. */
function fuzzMatching({ seed, count }: { readonly seed: number; readonly count: number }) {
  const startedAt = performance.now();
  const globs = compareGlobs(seed, count);
  const regexes = compareRegexes(seed, count);
  const corpus = slowestPair(killers, 30);
  const random = slowestPair(randomExpressions(seed, Math.min(1000, count / 100)), 10);
  const slow = [corpus, random].filter(({ milliseconds }) => milliseconds > 1).map(({ pair }) => `slower than 1 ms: ${pair}`);
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const faults = [...globs.faults.slice(0, 20), ...regexes.faults.slice(0, 20), ...slow];
  return {
    seed,
    count,
    compared: { globs: globs.compared, regexes: regexes.compared },
    slowest: { corpus, random },
    seconds,
    faults,
  };
}

function fuzzDecisions({ seed, count }: { readonly seed: number; readonly count: number }) {
  const startedAt = performance.now();
  const { compared, faults } = compareDecisions(seed, count);
  return { seed, count, compared, seconds: Math.round((performance.now() - startedAt) / 1000), faults: faults.slice(0, 20) };
}

async function fuzzPaths({ seed, count }: { readonly seed: number; readonly count: number }) {
  const startedAt = performance.now();
  const { faults, ...counts } = await fuzzDestinations(tmpdir(), seed, count);
  return { seed, count, ...counts, seconds: Math.round((performance.now() - startedAt) / 1000), faults: faults.slice(0, 20) };
}

/** Targets for which no pair runs. */
const alone = { matching: fuzzMatching, decisions: fuzzDecisions, destinations: fuzzPaths } as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    count: { type: 'string', default: '100000' },
  },
});
const inputs = { seed: Number(values.seed), from: Number(values.from), count: Number(values.count) };
const target = targets[positionals[0] ?? ''];
const [, withoutPair] = Object.entries(alone).find(([name]) => name === positionals[0]) ?? [];
if (!target && !withoutPair) {
  const names = [...Object.keys(targets), ...Object.keys(alone)].join('|');
  throw new Error(`usage: scripts/fuzz ${names} [--count N] [--seed N] [--from N]`);
}
const report = target ? await fuzz(target, inputs) : ((await withoutPair?.(inputs)) ?? { faults: [] });
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exitCode = report.faults.length === 0 ? 0 : 1;
