/**
 * Start-up: brings records and files together before anything is accepted (reliability.md §2.6). What was acknowledged has a
 * record and durable files; everything else is the remains of something interrupted.
 */
import { lstat } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { scanSealedFile } from '../../shared/seal/seal-workers.ts';
import type { CacheCore } from './core.ts';
import { flush, objectFilePattern, prefixes } from './object-files.ts';
import type { StoredSegment } from './records/items.ts';
import { type StoredObject, toStoredObject } from './records/upkeep.ts';
import { maxUnrecordedBytes } from './upload.ts';

type RecoveryCore = Pick<CacheCore, 'records' | 'files' | 'clock' | 'log'>;

export interface Census {
  readonly partials: number;
  readonly removed: number;
  readonly damaged: number;
  readonly items: number;
}

/** A leftover above this cannot be the beginning of an upload without a record. Sealing adds little. */
const largestLeftoverBytes = 2 * maxUnrecordedBytes + 1024 * 1024;

/** A start with very many files would otherwise wait for one after the other. */
const looksAtOnce = 64;
/** Costs two thirds of what the one of `node:fs/promises` does. */
const facts = promisify(lstat);

export class Recovery {
  readonly #core: RecoveryCore;
  #partials = 0;
  #removed = 0;
  #damaged = 0;

  constructor(core: RecoveryCore) {
    this.#core = core;
  }

  async run(): Promise<Census> {
    const { records, clock, log } = this.#core;
    const recorded = new Set(await records.call('recovery.prefixes', null));
    for (const prefix of prefixes) await this.#folder(prefix, recorded.has(prefix));
    const counts = { partials: this.#partials, removed: this.#removed, damaged: this.#damaged };
    const items = await records.call('recovery.done', { ...counts, nowMs: clock.nowMs() });
    const census = { ...counts, items };
    log.info(census, 'recovered');
    return census;
  }

  async #folder(prefix: string, recorded: boolean): Promise<void> {
    const { records, files, log } = this.#core;
    const names = await readdir(files.folderOf(prefix));
    if (names.length === 0 && !recorded) return;
    const sizes = new Map<string, number>();
    const look = async (name: string): Promise<void> => {
      if (objectFilePattern.test(name)) sizes.set(name, (await facts(files.path(name))).size);
      else log.warn({ prefix, name }, 'a foreign file in the objects folder is left alone');
    };
    for (let at = 0; at < names.length; at += looksAtOnce) await Promise.all(names.slice(at, at + looksAtOnce).map(look));
    const items = (await records.call('recovery.items', { prefix })).map(toStoredObject);
    for (const item of items) {
      if (item.state === 'receiving') await this.#interrupted(item, sizes);
      else if (item.state !== 'quarantined') await this.#check(item, sizes);
      for (const { file } of item.segments) sizes.delete(`${item.object}.${file}`);
      if (item.liveFile !== null) sizes.delete(`${item.object}.${item.liveFile}`);
      if (item.state === 'quarantined')
        for (const name of [...sizes.keys()]) if (name.startsWith(item.object)) sizes.delete(name);
    }
    if (sizes.size > 0) await this.#leftovers(sizes, new Set(items.map(({ object }) => object)));
  }

  /** Whole chunks of the file that was being written count: nothing was promised, but the partner need not send them again. */
  async #interrupted(item: StoredObject, sizes: ReadonlyMap<string, number>): Promise<void> {
    const { records, files, clock } = this.#core;
    const segments: StoredSegment[] = item.segments.filter((segment) => isWhole(item, segment, sizes));
    const intact = segments.length === item.segments.length;
    let counts = false;
    if (item.liveFile !== null && intact) {
      const path = files.path(`${item.object}.${item.liveFile}`);
      const scan = await scanSealedFile(path);
      counts = scan !== undefined && scan.wholeChunkPlainBytes > 0;
      if (scan && counts) {
        await flush(path);
        const { headerSha256, wholeChunkPlainBytes, sealedBytes } = scan;
        segments.push({ file: item.liveFile, headerSha256, plainBytes: wholeChunkPlainBytes, sealedBytes, sha256: null });
      }
    }
    const usable = intact ? segments : [];
    const nowMs = clock.nowMs();
    const unlink = await records.call('recovery.interrupted', { object: item.object, segments: usable, nowMs });
    if (usable.length > 0) this.#partials += 1;
    else this.#removed += 1;
    files.discard(item.liveFile !== null && !counts ? [...unlink, `${item.object}.${item.liveFile}`] : unlink);
  }

  async #check(item: StoredObject, sizes: ReadonlyMap<string, number>): Promise<void> {
    const bad = item.segments.find((segment) => !isWhole(item, segment, sizes));
    if (!bad && (item.segments.length > 0 || item.state === 'partial')) return;
    const { records, clock, log } = this.#core;
    const reason = bad ? `the file ${item.object}.${bad.file} is missing or has another length` : 'no segments are recorded';
    this.#damaged += 1;
    log.error({ item: item.id, reason }, 'an item is damaged and was set aside');
    await records.call('recovery.damaged', { object: item.object, reason, nowMs: clock.nowMs() });
  }

  async #leftovers(sizes: ReadonlyMap<string, number>, known: ReadonlySet<string>): Promise<void> {
    const { records, files, clock, log } = this.#core;
    const objectOf = (file: string): string => file.slice(0, file.indexOf('.'));
    const unknown = [...new Set([...sizes.keys()].map(objectOf))].filter((object) => !known.has(object));
    const buried = new Set(await records.call('recovery.buried', { objects: unknown }));
    for (const [file, size] of sizes) {
      const object = objectOf(file);
      if (known.has(object) || buried.has(object) || size <= largestLeftoverBytes) {
        this.#removed += 1;
        files.discard([file]);
        continue;
      }
      this.#damaged += 1;
      log.error({ file, size }, 'a file without a record was moved to quarantine/');
      await files.setAside(file);
      await records.call('recovery.orphan', { file, nowMs: clock.nowMs() });
    }
    await files.settled();
  }
}

const isWhole = (item: StoredObject, segment: StoredSegment, sizes: ReadonlyMap<string, number>): boolean =>
  sizes.get(`${item.object}.${segment.file}`) === segment.sealedBytes;
