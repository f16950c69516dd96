/**
 * The demo: both halves as two processes on this machine, real transfers through them, then yours to try.
 *
 *   --dir DIR   keep everything in DIR (default: a temporary folder that is removed at the end)
 *   --once      end after the transfers
 *   --json      print one line of JSON when ready instead of showing transfers, and stay; with --once, transfer and end
 *
 * Ends with 0 when it was told to stop and had drained both nodes, 2 when it was called wrongly, 7 when DIR is in use.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { FolderLock } from './site/folder-lock.ts';
import { createSite, existingSite, type Site, siteParts } from './site/site.ts';
import { endLeftBehind, Supervisor } from './site/supervisor.ts';
import { walk } from './site/walk.ts';

const readyWithinMs = 30_000;
const drainMs = 60_000;
const usage = 'usage: ./scripts/demo [--dir DIR] [--json] [--once]';

/** Ends the demo with a message and an exit code. */
class Refusal extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

const options = {
  dir: { type: 'string' },
  json: { type: 'boolean' },
  once: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

function readArguments() {
  try {
    const { values } = parseArgs({ options });
    if (values.dir === '') throw new Error('--dir needs the name of a folder');
    return values;
  } catch (error) {
    throw new Refusal(2, `${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

/** Told to stop once: drain. Told again: end at once. */
class StopSign {
  readonly told: Promise<void>;
  stopping = false;
  onAgain: () => void = () => {};

  constructor() {
    const first = Promise.withResolvers<void>();
    this.told = first.promise;
    const stop = (): void => {
      if (this.stopping) this.onAgain();
      this.stopping = true;
      first.resolve();
    };
    // SIGHUP: the terminal was closed.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  }
}

async function siteIn(folder: string): Promise<Site> {
  const existing = await existingSite(folder);
  if (existing && existing.folder !== folder)
    throw new Refusal(2, `this demo was made in ${existing.folder} and cannot be moved`);
  if (existing) {
    await endLeftBehind(existing);
    return existing;
  }
  const inTheWay = siteParts.filter((name) => existsSync(join(folder, name)));
  if (inTheWay.length > 0) {
    throw new Refusal(7, `${folder} holds ${inTheWay.join(', ')}, but no finished demo: name another folder, or empty it`);
  }
  try {
    return await createSite({ folder });
  } catch (error) {
    for (const name of siteParts) await rm(join(folder, name), { recursive: true, force: true });
    throw error;
  }
}

const readyLine = (site: Site, supervisor: Supervisor): string =>
  JSON.stringify({
    ready: true,
    pids: { dmz: supervisor.pid('dmz'), internal: supervisor.pid('internal') },
    sftp: site.sftp,
    ftps: site.ftps,
    partners: Object.fromEntries(
      Object.values(site.partners).map(({ name, password, keyFile }) => [name, { password, keyFile }]),
    ),
    inside: site.inside,
    dmz: site.dmz,
    internal: site.internal,
  });

/** A word for a shell. */
const word = (text: string): string => (/^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function invitation(site: Site): string[] {
  const { host, port } = site.sftp;
  const { acme } = site.partners;
  const ftps = `ftp://${site.ftps.host}:${site.ftps.explicitPort}/Inbox/`;
  const config = word(site.internal.config);
  const hosts = word(`UserKnownHostsFile="${site.knownHosts}"`);
  return [
    '',
    'Yours to try, in another terminal:',
    `  sftp -P ${port} -i ${word(acme?.keyFile ?? '')} -o ${hosts} acme@${host}     # then: put FILE Inbox/`,
    `  curl --ssl-reqd --cacert ${word(site.ftps.caFile)} -u acme:${acme?.password ?? ''} -T FILE ${ftps}`,
    `  ls -R ${word(site.inside.delivered)}`,
    `  cp FILE ${word(join(site.inside.outgoing, 'acme'))}/     # acme finds it in Outbox/`,
    `  ./scripts/sallyport status --config ${config}`,
    `  ./scripts/sallyport ls --config ${config}`,
    `  kill -9 of either node: see ${join(site.folder, 'pids.json')}; it is started again and nothing is lost`,
    'Ctrl-C ends the demo.',
  ];
}

async function startNodes(supervisor: Supervisor): Promise<void> {
  try {
    await supervisor.start(AbortSignal.timeout(readyWithinMs));
  } catch {
    const words = (await supervisor.lastWords()).map((line) => `\n  ${line}`).join('');
    throw new Refusal(1, `the nodes were not ready within ${readyWithinMs / 1000} s; the last lines of their logs:${words}`);
  }
}

async function demonstrate(
  folder: string,
  temporary: boolean,
  values: ReturnType<typeof readArguments>,
  sign: StopSign,
): Promise<void> {
  const say = (line: string): void => {
    if (!values.json) process.stdout.write(`${line}\n`);
  };
  say(`Sallyport demo, in ${folder}${temporary ? ' (removed at the end; keep it with --dir DIR)' : ''}`);
  const site = await siteIn(folder);
  if (sign.stopping) return;
  const supervisor = new Supervisor(site);
  sign.onAgain = () => supervisor.hurry();
  try {
    await Promise.race([startNodes(supervisor), sign.told]);
    if (!sign.stopping)
      say(
        `both halves are up: partners reach sftp://${site.sftp.host}:${site.sftp.port}, host key ${site.sftp.hostKey}, and FTPS on port ${site.ftps.explicitPort}`,
      );
    if (values.json && !sign.stopping) process.stdout.write(`${readyLine(site, supervisor)}\n`);
    if ((!values.json || values.once) && !sign.stopping) await Promise.race([walk({ site, say }), sign.told]);
    if (values.once && !sign.stopping) return say('all transfers identical.');
    if (!sign.stopping) for (const line of invitation(site)) say(line);
    await sign.told;
    say('stopping both nodes; transfers may finish, Ctrl-C again ends them');
  } finally {
    await supervisor.stop(drainMs);
  }
}

async function main(): Promise<void> {
  const values = readArguments();
  if (values.help) return void process.stdout.write(`${usage}\n`);
  const sign = new StopSign();
  const temporary = values.dir === undefined;
  const folder = temporary ? await mkdtemp(join(tmpdir(), 'sallyport-demo-')) : resolve(values.dir ?? '');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    using lock = FolderLock.take(folder);
    if (!lock) throw new Refusal(7, `another demo runs in ${folder}`);
    await demonstrate(folder, temporary, values, sign);
  } finally {
    if (temporary) await rm(folder, { recursive: true, force: true });
  }
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(error instanceof Refusal ? error.exitCode : 1);
}
