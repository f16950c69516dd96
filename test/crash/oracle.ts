/**
 * What must hold of a pair of nodes after any crash (reliability.md §3.14), asked from outside: the consumer's own list of
 * what it ever saw, the records and files of both nodes when they stand still, and their audit chains.
 */
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Site } from '../../scripts/site/site.ts';
import { filesBelow, sha256 } from '../../scripts/site/walk.ts';
import { firstBrokenLine } from '../../shared/events/audit-trail.ts';

interface StoredSegment {
  readonly file: number;
  readonly sealedBytes: number;
}

/** The consumer inside: looks at every final name as soon as it appears and reads it at once. */
export class Consumer {
  readonly faults: string[] = [];
  readonly #folder: string;
  readonly #sent = new Map<string, string>();
  readonly #seen = new Set<string>();
  #watching: Promise<void> | undefined;
  #stopped = false;

  /** @param folder Where the files of one partner are delivered. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  start(): void {
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
  }

  /** A file of this name and content may come, once. */
  sent(name: string, content: Buffer): void {
    this.#sent.set(name, sha256(content));
  }

  has(name: string): boolean {
    return this.#seen.has(name);
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      for (const name of await readdir(this.#folder).catch(() => [])) {
        if (this.#seen.has(name)) continue;
        const content = await readFile(join(this.#folder, name)).catch(() => undefined);
        if (content === undefined) continue; // a disk that has just lost its power; the file is looked at when it is back
        this.#seen.add(name);
        const digest = this.#sent.get(name);
        if (digest === undefined) this.faults.push(`${name}: delivered, but nobody sent a file of that name (a duplicate?)`);
        else if (sha256(content) !== digest) this.faults.push(`${name}: half visible or altered (${content.length} bytes)`);
      }
      await sleep(10);
    }
  }
}

/** With both nodes stopped: nothing in the records without its file, nothing on disk without its record, nothing unfinished. */
export async function residue(site: Site): Promise<string[]> {
  return [...(await residueOfDmz(site)), ...(await residueInside(site)), ...(await brokenAudit(site))];
}

async function residueOfDmz({ dmz: { state } }: Site): Promise<string[]> {
  const faults: string[] = [];
  const objects = join(state, 'objects');
  const unaccounted = new Set(await filesBelow(objects));
  for (const { id, object, state: itemState, segments } of rows(state, 'SELECT id, object, state, segments FROM items')) {
    if (['receiving', 'quarantined'].includes(String(itemState))) faults.push(`item ${id} is ${itemState}`);
    for (const { file, sealedBytes } of JSON.parse(String(segments)) as StoredSegment[]) {
      const name = join(String(object).slice(0, 2), `${object}.${file}`);
      unaccounted.delete(name);
      const size = await lstat(join(objects, name)).then(
        (found) => found.size,
        () => undefined,
      );
      if (size !== sealedBytes)
        faults.push(`item ${id} (${itemState}): its file has ${size} bytes, the record says ${sealedBytes}`);
    }
  }
  for (const file of unaccounted) faults.push(`objects/${file} has no record`);
  for (const file of await readdir(join(state, 'quarantine'))) faults.push(`quarantine/${file} was left`);
  return faults;
}

async function residueInside({ internal: { state }, inside }: Site): Promise<string[]> {
  const faults: string[] = [];
  for (const { id, state: itemState, todo } of rows(state, "SELECT id, state, todo FROM ledger_items WHERE todo <> ''")) {
    faults.push(`item ${id} is ${itemState} and still to ${todo}`);
  }
  for (const { id, state: itemState, todo } of rows(state, "SELECT id, state, todo FROM outgoing_items WHERE todo <> ''")) {
    faults.push(`outgoing item ${id} is ${itemState} and still to ${todo}`);
  }
  const folders = [
    join(state, 'spool'),
    join(state, 'by-hand'),
    join(inside.delivered, '.sallyport-staging'),
    join(inside.delivered, '../second/.sallyport-staging'),
    join(inside.outgoing, '.sallyport-claimed'),
  ];
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) if (name !== 'place') faults.push(`${join(folder, name)} was left`);
  }
  return faults;
}

/** The chain runs through all days of a node. */
async function brokenAudit(site: Site): Promise<string[]> {
  const faults: string[] = [];
  for (const node of ['dmz', 'internal'] as const) {
    const folder = join(site[node].state, 'audit');
    const lines: string[] = [];
    for (const day of (await readdir(folder)).sort()) {
      lines.push(...(await readFile(join(folder, day), 'utf8')).trimEnd().split('\n'));
    }
    const broken = firstBrokenLine(lines);
    if (broken !== undefined) faults.push(`audit of ${node}: line ${broken} breaks the chain`);
    const numbers = lines.map((line) => (JSON.parse(line) as { seq: number }).seq);
    if (numbers.some((seq, index) => index > 0 && seq <= (numbers[index - 1] ?? 0)))
      faults.push(`audit of ${node}: not in order`);
  }
  return faults;
}

function rows(state: string, sql: string): Record<string, unknown>[] {
  const db = new DatabaseSync(join(state, 'records.db'));
  try {
    return db.prepare(sql).all() as Record<string, unknown>[];
  } finally {
    db.close();
  }
}
