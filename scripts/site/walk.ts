/** The transfers that the demo shows: real OpenSSH `sftp` sessions, one with `curl` over FTPS, and what the nodes recorded of each. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { command, commands, type Ran, type Site, type SitePartner, sftpArguments } from './site.ts';

export interface SftpResult {
  readonly code: number;
  readonly output: string;
}

/** One `sftp` session with a batch of commands. Never throws for a refusal: the exit code and the output say it. */
export async function sftp(
  site: Site,
  partner: SitePartner,
  batch: readonly string[],
  options: readonly string[] = [],
): Promise<SftpResult> {
  const [program = 'sftp', ...args] = [...site.client, 'sftp', '-b', '-', ...sftpArguments(site, partner, options)];
  const child = execFile(program, args, { maxBuffer: 64 * 1024 * 1024 });
  let output = '';
  const collect = (text: string): void => {
    output += text;
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  child.stdin?.on('error', () => {}); // a session that ends early closes its input; the exit code tells
  child.stdin?.end(`${batch.join('\n')}\n`);
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? 255)));
  return { code, output };
}

/** `curl` over FTPS, explicit (AUTH TLS) unless said otherwise, with the password of a partner. Never throws for a refusal: the exit code says it. */
export async function curlFtps(
  site: Site,
  partner: SitePartner,
  args: readonly string[],
  path: string,
  door: 'explicit' | 'implicit' = 'explicit',
): Promise<{ readonly code: number; readonly output: string }> {
  const { host, explicitPort, implicitPort, caFile } = site.ftps;
  const at = door === 'explicit' ? `ftp://${host}:${explicitPort}` : `ftps://${host}:${implicitPort}`;
  // The password goes in by standard input: arguments are for everybody to read.
  const [program = 'curl', ...rest] = [...site.client, 'curl', '-sS', '--ssl-reqd', '--cacert', caFile, '-K', '-', ...args];
  const child = execFile(program, [...rest, `${at}${path}`], { maxBuffer: 64 * 1024 * 1024 });
  let output = '';
  const collect = (text: string): void => {
    output += text;
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  child.stdin?.on('error', () => {});
  child.stdin?.end(`user = "${partner.name}:${partner.password}"\n`);
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? 255)));
  return { code, output };
}

/** Waits until `probe` answers something; the deadline is the caller's patience in milliseconds. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined>, patienceMs = 120_000): Promise<T> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const found = await probe().catch(() => undefined);
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`did not happen within ${patienceMs / 1000} s: ${what}`);
    await sleep(20);
  }
}

/** The content of a file once it is there. */
export const delivered = (site: Site, path: string, patienceMs?: number): Promise<Buffer> =>
  eventually(`${path} is delivered`, () => readFile(join(site.inside.delivered, path)), patienceMs);

/** Offers a file to a partner as staff do: written beside, then renamed into the partner's outgoing folder. */
export const offer = (site: Site, partner: string, name: string, content: Buffer | string): Promise<void> =>
  offerDraft(site, partner, name, (draft) => writeFile(draft, content));

/** The same with a copy of a file of any size. */
export const offerFile = (site: Site, partner: string, name: string, path: string): Promise<void> =>
  offerDraft(site, partner, name, (draft) => copyFile(path, draft));

async function offerDraft(site: Site, partner: string, name: string, write: (draft: string) => Promise<void>): Promise<void> {
  const folder = join(site.inside.outgoing, partner);
  await mkdir(folder, { recursive: true });
  const draft = join(site.inside.outgoing, `.draft-${partner}-${name}`);
  await write(draft);
  await rename(draft, join(folder, name));
}

/** What `sallyport` (or `sallyport-dmz`) prints for a command, run against the site's node. */
export const ask = (site: Site, which: 'dmz' | 'internal', ...args: readonly string[]): Promise<string> =>
  command(which, ...args, '--config', site[which].config);

/** A command of the internal node, as a process of its own, whatever comes of it. */
export function inside(site: Site, ...args: readonly string[]): Promise<Ran> {
  const [node, ...main] = commands.internal;
  return new Promise((resolve) => {
    execFile(node, [...main, ...args, '--config', site.internal.config], (error, out, text) => {
      resolve({ code: error ? Number(error.code) : 0, out, error: text });
    });
  });
}

export const sha256 = (content: Buffer | string): string => createHash('sha256').update(content).digest('hex');

/** Everything below a folder, as relative paths. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/** A path as a word of a batch of `sftp`. */
const quoted = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `"${path.replace(/["\\]/g, '\\$&')}"`);

interface Walker {
  readonly site: Site;
  readonly say: (line: string) => void;
}

async function transfer({ site, say }: Walker, partner: SitePartner, batch: readonly string[]): Promise<void> {
  say(`  $ sftp ${partner.name}@${site.sftp.host}:${site.sftp.port}   # ${batch.join(' ; ')}`);
  const { code, output } = await sftp(site, partner, batch);
  if (code !== 0) throw new Error(`sftp failed with ${code}: ${output}`);
}

async function showTrace({ site, say }: Walker, reference: string): Promise<void> {
  const text = await eventually(`a trace of ${reference}`, async () => {
    const answer = await ask(site, 'internal', 'trace', reference);
    return /SP-160[47]|SP-1705/.test(answer) ? answer : undefined;
  });
  for (const line of text.trimEnd().split('\n')) say(`    ${line}`);
}

function partnersOf(site: Site): [SitePartner, SitePartner] {
  const { acme, globex } = site.partners;
  if (!acme || !globex) throw new Error('the demo needs the partners acme and globex');
  return [acme, globex];
}

/** A file in, a file out, and a file from one partner to the other, each with its trace. */
export async function walk(walker: Walker): Promise<void> {
  const { site, say } = walker;
  const [acme, globex] = partnersOf(site);
  const scratch = join(site.folder, 'scratch');
  await mkdir(scratch, { recursive: true });

  say('1. acme sends a file; the internal node pulls it and delivers it inside');
  const order = `order 4711 of acme\n${'x'.repeat(4096)}\n`;
  await writeFile(join(scratch, 'order.csv'), order);
  await transfer(walker, acme, [`put ${quoted(join(scratch, 'order.csv'))} /Inbox/order.csv`, 'ls -l /Inbox']);
  if (sha256(await delivered(site, 'acme/order.csv')) !== sha256(order)) throw new Error('the delivered bytes differ');
  say(`  delivered, identical: ${join(site.inside.delivered, 'acme/order.csv')}`);
  await showTrace(walker, 'acme/Inbox/order.csv');

  say('2. staff drop a file into the outgoing folder; globex fetches it');
  await offer(site, 'globex', 'prices.csv', 'price list for globex\n');
  await eventually(
    'globex sees prices.csv',
    async () => (await sftp(site, globex, ['ls /Outbox'])).output.includes('prices.csv') || undefined,
  );
  await transfer(walker, globex, [`get /Outbox/prices.csv ${quoted(join(scratch, 'prices.csv'))}`]);
  if ((await readFile(join(scratch, 'prices.csv'), 'utf8')) !== 'price list for globex\n')
    throw new Error('the fetched bytes differ');
  say('  fetched, identical');
  await showTrace(walker, 'globex/Outbox/prices.csv');

  say('3. acme sends a PDF; the dispatcher hands it to globex inside the DMZ, still sealed');
  await writeFile(join(scratch, 'drawing.pdf'), '%PDF-1.7 a drawing\n');
  await transfer(walker, acme, [`put ${quoted(join(scratch, 'drawing.pdf'))} /Inbox/drawing.pdf`]);
  await eventually(
    'globex sees drawing.pdf',
    async () => (await sftp(site, globex, ['ls /Outbox'])).output.includes('drawing.pdf') || undefined,
  );
  await transfer(walker, globex, [`get /Outbox/drawing.pdf ${quoted(join(scratch, 'fetched.pdf'))}`]);
  if ((await readFile(join(scratch, 'fetched.pdf'), 'utf8')) !== '%PDF-1.7 a drawing\n')
    throw new Error('the fetched bytes differ');
  say('  fetched by globex, identical; nobody inside had to touch it');
  await showTrace(walker, 'globex/Outbox/drawing.pdf');

  say('4. acme sends a file over FTPS; the same rules, the same promises');
  const invoice = `invoice 815 of acme\n${'y'.repeat(4096)}\n`;
  await writeFile(join(scratch, 'invoice.csv'), invoice);
  const { host, explicitPort } = site.ftps;
  say(`  $ curl --ssl-reqd --cacert ftps.crt -u acme -T invoice.csv ftp://${host}:${explicitPort}/Inbox/`);
  const sent = await curlFtps(site, acme, ['-T', join(scratch, 'invoice.csv')], '/Inbox/');
  if (sent.code !== 0) throw new Error(`curl failed with ${sent.code}: ${sent.output}`);
  if (sha256(await delivered(site, 'acme/invoice.csv')) !== sha256(invoice)) throw new Error('the delivered bytes differ');
  say(`  delivered, identical: ${join(site.inside.delivered, 'acme/invoice.csv')}`);
  await showTrace(walker, 'acme/Inbox/invoice.csv');

  say('5. what would happen, and which line says so');
  for (const question of questions) {
    say(`  $ sallyport ${question.join(' ')}`);
    for (const line of (await ask(site, 'internal', ...question)).trimEnd().split('\n'))
      say(`    ${line.replaceAll('\t', '   ')}`);
  }
}

const questions = [
  ['can-i', 'write', '/Inbox/x.csv', '--as', 'acme', '--from', '198.51.100.9'],
  ['rules', 'test', 'Inbox/drawing.pdf', '--partner', 'acme'],
] as const;
