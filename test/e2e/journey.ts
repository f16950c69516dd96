/** The journey of files through both halves, as partners and staff see it. Run on loopback and across namespaces. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ask, delivered, eventually, offer, sftp, sha256 } from '../../scripts/site/walk.ts';
import type { Pair } from '../fixtures/pair.ts';

export const journeySizes = [0, 1, 65_535, 65_536, 65_537, 100 * 1024 * 1024] as const;

/** Incompressible, so that a canary cut from it occurs nowhere else. */
export const contentOf = (size: number): Buffer => randomBytes(size);

/** `put` one file and see it inside, identical, with its `ls` answered in the same session. */
export async function putAndSeeInside({ site, acme }: Pair, name: string, content: Buffer): Promise<void> {
  const scratch = join(site.folder, 'scratch');
  await mkdir(scratch, { recursive: true });
  const local = join(scratch, name);
  await writeFile(local, content);
  const { code, output } = await sftp(site, acme, [`put ${local} /Inbox/${name}`, `ls -l /Inbox/${name}`]);
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`\\s${content.length}\\s.*${name.replace('.', '\\.')}`), 'ls after put shows the size');
  const inside = await delivered(site, `acme/${name}`);
  assert.equal(inside.length, content.length);
  assert.equal(sha256(inside), sha256(content));
}

/** The trace of an item names every station, in order. */
export async function traceIsComplete({ site }: Pair, reference: string, stations: readonly string[]): Promise<void> {
  const names = await eventually(`the whole trace of ${reference}`, async () => {
    const trace = JSON.parse(await ask(site, 'internal', 'trace', reference, '--json')) as { events: { name: string }[] };
    const all = trace.events.map((event) => event.name);
    return stations.every((station) => all.includes(station)) ? all : undefined;
  }).catch(async () => {
    const text = await ask(site, 'internal', 'trace', reference, '--json');
    assert.fail(`${reference} lacks a station of ${stations.join(', ')}:\n${text}`);
  });
  const positions = stations.map((station) => names.indexOf(station));
  assert.deepEqual(
    positions,
    [...positions].sort((a, b) => a - b),
    `stations out of order: ${names.join(', ')}`,
  );
}

export const inboundStations = [
  'session.connected',
  'auth.accepted',
  'item.completed',
  'item.registered',
  'item.leased',
  'item.staged',
  'item.delivered',
  'item.confirmed',
] as const;

/** Staff offer a file, the partner fetches it byte-identical. */
export async function offerAndFetch({ site, globex }: Pair, name: string, content: Buffer): Promise<void> {
  await offer(site, 'globex', name, content);
  await eventually(
    'globex sees the file',
    async () => (await sftp(site, globex, ['ls -1 /Outbox'])).output.includes(`/Outbox/${name}`) || undefined,
  );
  const local = join(site.folder, `fetched-${name}`);
  const { code, output } = await sftp(site, globex, [`get /Outbox/${name} ${local}`]);
  assert.equal(code, 0, output);
  assert.equal(sha256(await readFile(local)), sha256(content));
}

/** A PDF of acme reaches globex's Outbox and nobody else's; neither sees what is the other's. */
export async function exchangePdf(pair: Pair, name: string, content: Buffer): Promise<void> {
  const { site, acme, globex } = pair;
  const local = join(site.folder, 'scratch', name);
  await mkdir(join(site.folder, 'scratch'), { recursive: true });
  await writeFile(local, content);
  const put = await sftp(site, acme, [`put ${local} /Inbox/${name}`, `ls -l /Inbox/${name}`, 'ls -1 /Outbox']);
  assert.equal(put.code, 0, put.output);
  assert.ok(!put.output.includes(`/Outbox/${name}`), 'the sender does not find it in its own Outbox');
  await eventually(
    'globex sees the PDF',
    async () => (await sftp(site, globex, ['ls -1 /Outbox'])).output.includes(`/Outbox/${name}`) || undefined,
  );
  const fetched = join(site.folder, `fetched-${name}`);
  const get = await sftp(site, globex, [`get /Outbox/${name} ${fetched}`, 'ls -1 /Inbox']);
  assert.equal(get.code, 0, get.output);
  assert.equal(sha256(await readFile(fetched)), sha256(content));
  assert.ok(!get.output.includes(`/Inbox/${name}`), "globex does not see acme's Inbox");
  const acmeOutbox = await sftp(site, acme, ['ls -1 /Outbox']);
  assert.ok(!acmeOutbox.output.includes(name), "acme's Outbox stays without it");
}

/** Every file below a folder that holds one of the canaries (each at least 32 bytes). */
export async function filesWithCanary(folder: string, canaries: readonly Buffer[], files: readonly string[]): Promise<string[]> {
  const hits: string[] = [];
  for (const file of files) {
    const bytes = await readFile(join(folder, file)).catch(() => undefined);
    if (bytes && canaries.some((canary) => bytes.includes(canary))) hits.push(file);
  }
  return hits;
}
