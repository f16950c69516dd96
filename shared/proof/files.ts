/** The files below some folders with their modes and owners; and what in them is open to others. Follows no links. */
import { lstatSync, readdirSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';

export interface FileEntry {
  /** Absolute. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'socket' | 'link' | 'other';
  readonly mode: number;
  readonly uid: number;
  readonly size: number;
}

/** So many entries are looked at; a folder with more is not proven. */
const mostEntries = 500_000;

/**
 * Asks the system synchronously: a command has nothing else to do, and a cache has a thousand folders.
 * @throws when a folder cannot be read, or holds more than can be looked at.
 */
export function listTrees(folders: readonly string[]): FileEntry[] {
  const entries: FileEntry[] = [];
  for (const root of distinctRoots(folders)) {
    const queue = [root];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      const entry = entryOf(path);
      if (!entry) continue; // removed meanwhile: the caches are in use
      entries.push(entry);
      if (entries.length > mostEntries) throw new Error(`more than ${mostEntries} entries below ${root}`);
      if (entry.kind === 'folder') for (const name of namesIn(path)) queue.push(join(path, name));
    }
  }
  return entries;
}

/** Without those that lie in another one. */
function distinctRoots(folders: readonly string[]): string[] {
  const roots = [...new Set(folders.map((folder) => resolve(folder)))];
  return roots.filter((root) => !roots.some((other) => root !== other && root.startsWith(`${other}${sep}`)));
}

/** The folder of a configuration file; where it lies among the files of other programs, the file alone. */
export function configFolder(file: string): string {
  const folder = dirname(file);
  return ['/', '/etc', '/root', '/usr/local/etc'].includes(folder) ? file : folder;
}

function entryOf(path: string): FileEntry | undefined {
  try {
    const found = lstatSync(path);
    const kind = found.isFile()
      ? 'file'
      : found.isDirectory()
        ? 'folder'
        : found.isSocket()
          ? 'socket'
          : found.isSymbolicLink()
            ? 'link'
            : 'other';
    return { path, kind, mode: found.mode & 0o7777, uid: found.uid, size: found.size };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

export const modeText = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');

/** Others can enter a folder, or read or change a file; sockets are kept by their folder. @returns one line for each. */
export function openToOthers(entries: readonly FileEntry[]): string[] {
  return entries
    .filter(({ kind, mode }) => (kind === 'file' || kind === 'folder') && (mode & 0o077) !== 0)
    .map(({ path, kind, mode }) => `${path}: mode ${modeText(mode)}; run: chmod ${kind === 'folder' ? '700' : '600'} ${path}`);
}

/** @param uids Users that may own them. @returns one line for each entry of another owner. */
export function strangeOwners(entries: readonly FileEntry[], uids: readonly number[]): string[] {
  return entries.filter(({ uid }) => !uids.includes(uid)).map(({ path, uid }) => `${path}: belongs to user ${uid}`);
}
