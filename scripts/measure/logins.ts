/**
 * Real SFTP logins, each a connection of its own, through a pair of nodes: how many a second, how long each takes, and how late the
 * event loops of the nodes get meanwhile. Own accounts cost an Argon2id hash inside, those of the directory a bind and two searches.
 * The client runs on the same cores; its own part of a login (key exchange) is in every figure.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import ssh2 from 'ssh2';
import { person, Slapd, serviceName, servicePassword, suffix, userPassword } from '../../test/fixtures/slapd.ts';
import { createSite, type Site } from '../site/site.ts';
import { Supervisor } from '../site/supervisor.ts';
import { eventually } from '../site/walk.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '8' }, json: { type: 'boolean', default: false } },
});
const seconds = Number(values.seconds);
const users = 8;
const parallels = [1, 8, 64] as const;

interface Login {
  readonly username: string;
  readonly password?: string;
  readonly privateKey?: Buffer;
}
interface Row {
  readonly accounts: string;
  readonly parallel: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failed: number;
  /** Event loop delay, milliseconds. */
  readonly insideP99Ms: number;
  readonly dmzP99Ms: number;
}

async function prepare(site: Site, slapd: Slapd): Promise<void> {
  const folder = dirname(site.internal.config);
  await copyFile(slapd.authority, join(folder, 'ldap-ca.pem'));
  await writeFile(join(folder, 'ldap-password'), `${servicePassword}\n`, { mode: 0o600 });
  await writeFile(join(folder, 'conf.d/groups.yaml'), 'groups:\n  everybody: {}\n', { mode: 0o600 });
  const directory = [
    `servers: ["${slapd.tlsUrl}"]`,
    'authorities: ldap-ca.pem',
    `bases: ["ou=partners,${suffix}"]`,
    `service: {name: "${serviceName}", passwordFile: ldap-password}`,
    'baseGroups: [everybody]',
    'concurrent: 64',
    'bindsPerMinute: 100000',
    'failuresPerUser: 1000',
  ];
  const budgets = ['passwordChecksPerMinute: 1000000', 'keyChecksPerMinute: 1000000', 'failuresPerAccount: 100000'];
  const authentication = ['authentication:', ...budgets.map((line) => `  ${line}`), '  directories:', '    corporate:'];
  const settings = await readFile(site.internal.config, 'utf8');
  await writeFile(
    site.internal.config,
    [settings, ...authentication, ...directory.map((line) => `      ${line}`), ''].join('\n'),
  );
  const limits = [
    'connections: 2000',
    'connectionsPerSource: 2000',
    'unauthenticated: 500',
    'unauthenticatedPerSource: 500',
    'silent: 500',
  ];
  const door = await readFile(site.dmz.config, 'utf8');
  await writeFile(
    site.dmz.config,
    `${door}\nlimits:\n  throttle: {exempt: [127.0.0.0/8]}\n${limits.map((line) => `  ${line}\n`).join('')}`,
  );
  await slapd.as(async (client) => {
    for (let i = 0; i < users; i += 1) {
      await client.add(`cn=bench${i},ou=partners,${suffix}`, person(`bench${i}`, `bench${i}`));
    }
  });
}

/** @returns milliseconds from connecting to being in. */
function logIn(port: number, login: Login): Promise<number> {
  const client = new ssh2.Client();
  const startedMs = performance.now();
  return new Promise<number>((resolve, reject) => {
    client.once('ready', () => {
      resolve(performance.now() - startedMs);
      client.end();
    });
    client.on('error', reject);
    client.connect({ host: '127.0.0.1', port, readyTimeout: 60_000, ...login });
  });
}

async function measure(site: Site, accounts: string, logins: readonly Login[], parallel: number, folder: string): Promise<Row> {
  const files = ['inside', 'dmz'].map((node) => join(folder, `${node}.json`));
  for (const file of files) await rm(file, { force: true });
  await sleep(300);
  const took: number[] = [];
  let [failed, next] = [0, 0];
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (performance.now() < endMs) {
        const login = logins[next++ % logins.length];
        if (!login) return;
        await logIn(site.sftp.port, login).then(
          (ms) => took.push(ms),
          () => {
            failed += 1;
          },
        );
      }
    }),
  );
  const lastedS = (performance.now() - startedMs) / 1000;
  const sorted = took.sort((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN);
  const [insideP99Ms = Number.NaN, dmzP99Ms = Number.NaN] = await Promise.all(
    files.map(async (file) => (JSON.parse(await readFile(file, 'utf8')) as { p99: number }).p99),
  );
  const perSecond = Number((took.length / lastedS).toFixed(1));
  return { accounts, parallel, perSecond, p50Ms: at(0.5), p99Ms: at(0.99), failed, insideP99Ms, dmzP99Ms };
}

const folder = await mkdtemp(join(tmpdir(), 'sallyport-logins-'));
process.env.SALLYPORT_LOOP_DELAY = folder;
process.env.NODE_OPTIONS = `--import=${new URL('./loop-delay.ts', import.meta.url).href}`;
await using slapd = await Slapd.start();
const names = Array.from({ length: users }, (_, i) => `partner${i}`);
const site = await createSite({ folder, partners: names });
await prepare(site, slapd);
const supervisor = new Supervisor(site);
try {
  await supervisor.start(AbortSignal.timeout(90_000));
  const own = Object.values(site.partners);
  const kinds: Readonly<Record<string, readonly Login[]>> = {
    key: await Promise.all(own.map(async ({ name, keyFile }) => ({ username: name, privateKey: await readFile(keyFile) }))),
    'own password': own.map(({ name, password }) => ({ username: name, password })),
    directory: names.map((_, i) => ({ username: `bench${i}`, password: userPassword })),
  };
  for (const [kind, logins] of Object.entries(kinds)) {
    await eventually(`a first login by ${kind}`, async () => (await logIn(site.sftp.port, logins[0] as Login)) > 0);
  }
  const rows: Row[] = [];
  for (const [kind, logins] of Object.entries(kinds)) {
    for (const parallel of parallels) {
      const row = await measure(site, kind, logins, parallel, folder);
      rows.push(row);
      if (!values.json) process.stdout.write(`${JSON.stringify(row)}\n`);
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
} finally {
  await supervisor.stop();
  await rm(folder, { recursive: true, force: true });
}
