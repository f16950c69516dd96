/**
 * The demo: both halves as two processes on this machine, real transfers through them, then yours to try.
 *
 *   --dir DIR   keep everything in DIR (default: a temporary folder that is removed at the end)
 *   --once      end after the transfers
 *   --json      print one line of JSON when ready instead of showing transfers, and stay
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createSite, existingSite, type Site } from './site/site.ts';
import { Supervisor } from './site/supervisor.ts';
import { walk } from './site/walk.ts';

const readyWithinMs = 30_000;

const { values } = parseArgs({
  options: { dir: { type: 'string' }, json: { type: 'boolean' }, once: { type: 'boolean' }, help: { type: 'boolean' } },
});

function usage(): never {
  process.stdout.write('usage: ./scripts/demo [--dir DIR] [--json] [--once]\n');
  process.exit(0);
}

const say = (line: string): void => {
  if (!values.json) process.stdout.write(`${line}\n`);
};

const readyLine = (site: Site, supervisor: Supervisor): string =>
  JSON.stringify({
    ready: true,
    pids: { dmz: supervisor.pid('dmz'), internal: supervisor.pid('internal') },
    sftp: site.sftp,
    partners: Object.fromEntries(
      Object.values(site.partners).map(({ name, password, keyFile }) => [name, { password, keyFile }]),
    ),
    inside: site.inside,
    dmz: site.dmz,
    internal: site.internal,
  });

function invite(site: Site): void {
  const { host, port } = site.sftp;
  const { acme } = site.partners;
  say('');
  say('Yours to try, in another terminal:');
  say(`  sftp -P ${port} -i ${acme?.keyFile} -o UserKnownHostsFile=${site.knownHosts} acme@${host}     # then: put FILE Inbox/`);
  say(`  ls -R ${site.inside.delivered}`);
  say(`  cp FILE ${site.inside.outgoing}/acme/     # acme finds it in Outbox/`);
  say(`  ./scripts/sallyport status --config ${site.internal.config}`);
  say(`  ./scripts/sallyport ls --config ${site.internal.config}`);
  say(`  kill -9 of either node: see ${join(site.folder, 'pids.json')}; it is started again and nothing is lost`);
  say('Ctrl-C ends the demo.');
}

/** Resolves at the first SIGINT or SIGTERM. */
const toldToStop = new Promise<void>((stop) => {
  process.once('SIGINT', () => stop());
  process.once('SIGTERM', () => stop());
});

async function main(): Promise<void> {
  if (values.help) usage();
  const temporary = values.dir === undefined;
  const folder = temporary ? await mkdtemp(join(tmpdir(), 'sallyport-demo-')) : resolve(values.dir ?? '');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  let supervisor: Supervisor | undefined;
  try {
    say(`Sallyport demo, in ${folder}${temporary ? ' (removed at the end; keep it with --dir DIR)' : ''}`);
    const site = (await existingSite(folder)) ?? (await createSite({ folder }));
    supervisor = new Supervisor(site);
    await supervisor.start(AbortSignal.timeout(readyWithinMs));
    say(`both halves are up: partners reach sftp://${site.sftp.host}:${site.sftp.port}, host key ${site.sftp.hostKey}`);
    if (values.json) process.stdout.write(`${readyLine(site, supervisor)}\n`);
    else await Promise.race([walk({ site, say }), toldToStop]);
    if (values.once) return say('all transfers identical.');
    invite(site);
    await toldToStop;
    say('stopping both nodes…');
  } finally {
    await supervisor?.stop();
    if (temporary) await rm(folder, { recursive: true, force: true });
  }
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
