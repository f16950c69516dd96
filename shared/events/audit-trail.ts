/**
 * The audit trail: one file of JSON lines per UTC day, each line carrying the SHA-256 of the line before, so that a line
 * cannot be changed, removed or inserted without breaking every later one. It is copied from the events table after each
 * commit; a torn last line (power cut) is cut off and written again from there.
 */
import { hash } from 'node:crypto';
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { SallyportError } from '../errors.ts';
import { printableJson } from '../printable-json.ts';
import { eventCatalogue } from './catalogue.ts';
import type { NumberedEvent } from './event.ts';

export interface AuditOptions {
  readonly folder: string;
  readonly node: string;
}

const flushEveryMs = 1000;
const lineFeed = 0x0a;
/** How much of a file's end is read at first to find its last line: a trail may be larger than memory. */
const tailBytes = 64 * 1024;
const genesis = '0'.repeat(64);
const dayFile = /^\d{4}-\d{2}-\d{2}\.jsonl$/;

export const lineHash = (line: string): string => hash('sha256', line);

/** One line of the trail, without its line feed. */
export function auditLine(event: NumberedEvent, node: string, prev: string): string {
  const { seq, name, atMs, trace, session, item, partner, origin, fields } = event;
  const own = {
    seq,
    time: new Date(atMs).toISOString(),
    node: origin?.node ?? node,
    originSeq: origin?.seq,
    event: eventCatalogue[name]?.id ?? 'SP-0000',
    name,
    trace,
    session,
    item,
    partner,
  };
  // Twice: the first time for the order in the line, the second so that no field of an event can speak for the trail.
  return printableJson({ ...own, ...fields, ...own, prev });
}

export class AuditTrail {
  readonly #options: AuditOptions;
  readonly #onFlushFailed: (error: unknown) => void;
  readonly #now: () => Date;
  #fd: number | undefined;
  #day = '';
  #prev = genesis;
  #flushTimer: NodeJS.Timeout | undefined;

  /** @param onFlushFailed What was written may be lost. Never tried again. */
  constructor(options: AuditOptions, onFlushFailed: (error: unknown) => void, now = () => new Date()) {
    this.#options = options;
    this.#onFlushFailed = onFlushFailed;
    this.#now = now;
  }

  /** Finds the end of the chain. @returns the number of the last event that is in the trail, 0 when there is none. */
  open(): number {
    mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
    const names = readdirSync(this.#options.folder).filter((name) => dayFile.test(name));
    names.sort().reverse();
    this.#day = names[0]?.slice(0, 10) ?? '';
    for (const name of names) {
      const last = this.#lastLine(join(this.#options.folder, name));
      if (!last) continue;
      this.#prev = lineHash(last);
      return seqOf(last, name);
    }
    return 0;
  }

  /** @returns the number of the last event written. */
  append(events: readonly NumberedEvent[]): number {
    let seq = 0;
    let text = '';
    let prev = this.#prev;
    for (const event of events) {
      const line = auditLine(event, this.#options.node, prev);
      text += `${line}\n`;
      prev = lineHash(line);
      seq = event.seq;
    }
    const fd = this.#fileOfToday();
    const start = fstatSync(fd).size;
    const bytes = Buffer.from(text);
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
    } catch (error) {
      ftruncateSync(fd, start); // no half lines: the whole batch is written again later
      throw error;
    }
    this.#prev = prev;
    this.#flushTimer ??= setTimeout(() => this.#flush(), flushEveryMs).unref();
    return seq;
  }

  close(): void {
    this.#flush();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #fileOfToday(): number {
    const today = this.#now().toISOString().slice(0, 10);
    if (this.#fd !== undefined && today <= this.#day) return this.#fd;
    this.close();
    // The chain runs through the files in the order of their names: where the clock went back, the newest file goes on.
    if (today > this.#day) this.#day = today;
    this.#fd = openSync(join(this.#options.folder, `${this.#day}.jsonl`), 'a', 0o600);
    return this.#fd;
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    if (this.#fd === undefined) return;
    try {
      fdatasyncSync(this.#fd);
    } catch (error) {
      this.#onFlushFailed(error);
    }
  }

  /** The last whole line of a file; a torn one behind it is cut off. */
  #lastLine(path: string): string | undefined {
    const fd = openSync(path, 'r+');
    try {
      const size = fstatSync(fd).size;
      for (let length = tailBytes; ; length *= 2) {
        const start = Math.max(0, size - length);
        const tail = readRange(fd, start, size - start);
        const end = tail.lastIndexOf(lineFeed);
        const begin = end > 0 ? tail.lastIndexOf(lineFeed, end - 1) + 1 : 0;
        if (begin === 0 && start > 0) continue; // not even one whole line in this piece
        if (end + 1 < tail.length) ftruncateSync(fd, start + end + 1);
        return end < 0 ? undefined : tail.subarray(begin, end).toString('utf8');
      }
    } finally {
      closeSync(fd);
    }
  }
}

function seqOf(line: string, file: string): number {
  try {
    const { seq } = JSON.parse(line) as { seq: unknown };
    if (Number.isSafeInteger(seq)) return seq as number;
  } catch {
    // said below
  }
  // Cutting off a whole line that somebody changed would destroy the evidence of it.
  throw new SallyportError(
    'database-failed',
    `the last line of ${file} in the audit trail is damaged; move the file away to go on`,
  );
}

function readRange(fd: number, start: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, start + filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/**
 * Checks a chain of lines. @returns the line number (from 1) of the first line that does not follow from the one before,
 * or undefined when the chain holds. The first line's `prev` is taken as given.
 */
export function firstBrokenLine(lines: readonly string[]): number | undefined {
  let expected: string | undefined;
  for (const [index, line] of lines.entries()) {
    const { prev } = JSON.parse(line) as { prev: string };
    if (expected !== undefined && prev !== expected) return index + 1;
    expected = lineHash(line);
  }
  return undefined;
}
