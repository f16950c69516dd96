/** Entries as FTP shows them: `ls -l` lines for LIST, names for NLST, facts for MLSD and MLST (RFC 3659 §7). */
import { longName } from '../entry-line.ts';
import type { FileEntry, FolderHandle } from '../partner-view.ts';

export type Fact = 'type' | 'size' | 'modify' | 'perm';
export const allFacts: readonly Fact[] = ['type', 'size', 'modify', 'perm'];

/** Entries of one page: enough to fill some TLS records. */
const pageEntries = 256;

/** RFC 3659 §2.3, in UTC. */
export function timeValue(timeMs: number): string {
  const time = new Date(Number.isFinite(timeMs) ? Math.min(253_402_300_799_000, Math.max(0, timeMs)) : 0);
  return time.toISOString().replace(/[-:T]/g, '').replace('.', '.').slice(0, 14);
}

/** @returns milliseconds since 1970, or undefined when `text` is not `YYYYMMDDHHMMSS[.sss]`. */
export function parseTimeValue(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d{1,9})?$/.exec(text);
  if (!match) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7).map(Number);
  const timeMs = Date.UTC(year, month - 1, day, hour, minute, second);
  return timeValue(timeMs) === text.slice(0, 14) && timeMs >= 0 ? timeMs : undefined;
}

function permissions(entry: FileEntry): string {
  if (entry.kind === 'folder') return entry.writable ? 'celmpdf' : 'el';
  return entry.writable ? 'adfw' : 'r';
}

const values: Readonly<Record<Fact, (entry: FileEntry) => string | undefined>> = {
  type: ({ kind }) => (kind === 'folder' ? 'dir' : 'file'),
  size: ({ kind, size }) => (kind === 'folder' ? undefined : String(size)),
  modify: ({ modifiedAtMs }) => timeValue(modifiedAtMs),
  perm: permissions,
};

/** `type=file;size=12;modify=20261121120000; name` */
export function factsLine(entry: FileEntry, facts: ReadonlySet<Fact>, name = entry.name): string {
  const shown = allFacts.flatMap((fact) => {
    const value = facts.has(fact) ? values[fact](entry) : undefined;
    return value === undefined ? [] : [`${fact}=${value};`];
  });
  return `${shown.join('')} ${name}`;
}

export type EntryLine = (entry: FileEntry) => string;

export const longLine =
  (nowMs: number): EntryLine =>
  (entry) =>
    longName(entry, nowMs);

/** Pages of a folder as lines, read as they are sent. */
export async function* folderLines(
  folder: FolderHandle,
  line: EntryLine,
  wanted: (entry: FileEntry) => boolean = () => true,
): AsyncGenerator<Buffer> {
  for (let page = await folder.next(pageEntries); page.length > 0; page = await folder.next(pageEntries)) {
    const lines = page.filter(wanted).map((entry) => `${line(entry)}\r\n`);
    if (lines.length > 0) yield Buffer.from(lines.join(''));
  }
}
