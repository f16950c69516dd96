/**
 * Whether the time of a refused login tells a user that exists from one that does not (D9). A real internal node answers wrong
 * passwords of partners and of nobody, in random order, as a DMZ node that was taken over would ask; budgets are out of the way, no name
 * is tried so often that it has to wait, and refusals leave at multiples of 10 ms, the least there is. Judged is the probability that a refusal of the one takes longer than one of the other: 0.5 is
 * no difference, and beyond 0.5 ± 0.05 the script fails. Too slow and too noisy for the test suite, which counts the work instead.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, exit, stdout } from 'node:process';
import { parseDocument } from 'yaml';
import { defaultBudgets } from '../../internal-node/auth/budgets.ts';
import { TakenOverDmz } from '../../internal-node/redteam/taken-over-dmz.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import { loadNodeKeys } from '../../shared/pki/node-keys.ts';
import { commands, createSite } from '../site/site.ts';

const each = Number(argv[2] ?? 300);
const threshold = 0.05;
/** Beyond so many failures an account has to wait. */
const perName = defaultBudgets.freeFailures;
const warmUps = 20;

/** Each name as often as it may fail without a wait. */
const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${Math.floor(n / perName)}`);
const knownNames = names('partner-', each + warmUps);
const unknownNames = names('nobody-', each);

const folder = await mkdtemp(join(tmpdir(), 'sallyport-login-times-'));
const site = await createSite({ folder, partners: [...new Set(knownNames)] });
const config = parseDocument(await readFile(site.internal.config, 'utf8'));
config.setIn(['authentication'], { failuresPerAccount: 100_000, passwordChecksPerMinute: 100_000, leastRefusal: '10ms' });
await writeFile(site.internal.config, String(config), { mode: 0o600 });
const node = spawn(commands.internal[0], [commands.internal[1], 'serve', '-c', site.internal.config], { stdio: 'ignore' });
const port = Number(String(config.getIn(['dmz', 'address'])).split(':')[1]);
const edge = await TakenOverDmz.start(await loadNodeKeys(join(site.dmz.state, 'keys'), 'dmz'), port);

async function refusalMs(user: string): Promise<number> {
  const password = randomBytes(9).toString('hex');
  const common = { session: newSessionId(), trace: newTraceId(), user, peer: '192.0.2.1', protocol: 'sftp' };
  const link = await edge.link();
  const began = performance.now();
  const id = link.ask('auth.check', { ...common, method: 'password', password });
  // Looked for with every message that comes, so that no polling blurs the time.
  while (link.answerTo(id) === undefined) await once(link.ws, 'message');
  return performance.now() - began;
}

const known: number[] = [];
const unknown: number[] = [];
try {
  await edge.link();
  for (let n = 0; n < warmUps; n++) await refusalMs(knownNames.pop() ?? '');
  while (known.length < each || unknown.length < each) {
    const [left, times] = Math.random() < 0.5 ? [knownNames, known] : [unknownNames, unknown];
    const user = left.pop();
    if (user !== undefined) times.push(await refusalMs(user));
  }
} finally {
  await edge[Symbol.asyncDispose]();
  node.kill();
  await once(node, 'exit');
  await rm(folder, { recursive: true, force: true });
}

const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
let longer = 0;
for (const one of known) for (const other of unknown) longer += one > other ? 1 : one === other ? 0.5 : 0;
const probability = longer / (known.length * unknown.length);
stdout.write(
  `wrong password: ${known.length} refusals, median ${median(known).toFixed(2)} ms\n` +
    `unknown user:   ${unknown.length} refusals, median ${median(unknown).toFixed(2)} ms\n` +
    `probability that the first takes longer: ${probability.toFixed(3)} (0.5 ± ${threshold} is no difference)\n`,
);
exit(Math.abs(probability - 0.5) > threshold ? 1 : 0);
