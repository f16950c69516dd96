/**
 * The outgoing folder on disk: finds files, takes them out of staff's sight into a hidden folder of the same file system,
 * puts them back, or lays them into the archive. It never follows a link, and never replaces a file.
 *
 * A claimed file lies at `.sallyport-claimed/<id>/<partner>/<path>`, so that it finds its way back even without a record.
 */
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { isId } from '../../shared/ids.ts';
import { withNumber } from '../../shared/paths/delivery-name.ts';
import { entryOf, errnoOf, openFolder, unavailable } from '../folder-walk.ts';

export const claimedName = '.sallyport-claimed';
export const archiveName = '.sallyport-archive';
const maxDepth = 30;
const maxNumber = 1000;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A regular file below the outgoing folder. */
export interface FoundFile {
  /** The partner's folder, the folders below, the name. */
  readonly components: readonly string[];
  readonly size: number;
  readonly modifiedAtMs: number;
  /** Changes whenever the file is written, replaced or touched. */
  readonly stamp: string;
}

/** Something that cannot be offered, in words for people. */
export interface Misfit {
  readonly file: string;
  readonly detail: string;
}

export class OutgoingFolder {
  readonly #root: string;

  /** @param root Absolute path. */
  constructor(root: string) {
    this.#root = root;
  }

  /** Makes the folder, the hidden one in it, and one for each partner. */
  async prepare(partners: readonly string[]): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o750 });
    await mkdir(join(this.#root, claimedName), { mode: 0o700 }).catch(unlessExists);
    for (const partner of partners) await mkdir(join(this.#root, partner), { mode: 0o770 }).catch(unlessExists);
  }

  /** Names directly below the outgoing folder that are folders and not ours. */
  async partnerFolders(): Promise<readonly string[]> {
    const entries = await readdir(this.#root, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map(({ name }) => name);
  }

  /**
   * Looks through one partner's folder.
   * @param skip Names that are passed over, with all that is below them.
   */
  async *look(partner: string, skip: (name: string) => boolean): AsyncIterable<FoundFile | Misfit> {
    yield* this.#lookAt([partner], skip);
  }

  async *#lookInto(above: readonly string[], skip: (name: string) => boolean): AsyncIterable<FoundFile | Misfit> {
    // As bytes: a name that is no valid UTF-8 cannot be opened again by its text.
    const path = join(this.#root, ...above);
    const names = await readdir(path, { encoding: 'buffer' });
    for (const raw of names) {
      const name = decode(raw);
      if (name === undefined) yield { file: join(...above, raw.toString('latin1')), detail: 'the name is not valid UTF-8' };
      else if (!skip(name)) yield* this.#lookAt([...above, name], skip);
    }
  }

  async *#lookAt(components: readonly string[], skip: (name: string) => boolean): AsyncIterable<FoundFile | Misfit> {
    const stat = await lstat(join(this.#root, ...components), { bigint: true }).catch(() => undefined);
    if (!stat) return; // gone meanwhile
    if (stat.isFile()) yield { components, size: Number(stat.size), modifiedAtMs: Number(stat.mtimeMs), stamp: stampOf(stat) };
    else if (stat.isDirectory() && components.length < maxDepth) yield* this.#lookInto(components, skip);
    else yield { file: components.join('/'), detail: 'neither a file nor a folder, or too deep' };
  }

  /** Moves a file out of sight; durable when this resolves. @throws SallyportError `destination-unavailable` */
  async claim(id: string, components: readonly string[]): Promise<void> {
    const [above, name] = split(components);
    try {
      await using source = await openFolder(this.#root, above, 'none');
      await using target = await openFolder(this.#root, [claimedName, id, ...above], 'all');
      await rename(entryOf(source, name), entryOf(target, name));
      await target.sync();
      await source.sync();
    } catch (cause) {
      await this.#removeEmpty(id, above);
      throw unavailable('the file cannot be moved out of its folder', cause);
    }
  }

  /** A claimed file for reading; undefined when it is not there. */
  async open(id: string, components: readonly string[]): Promise<{ file: FileHandle; stamp: () => Promise<string> } | undefined> {
    const [above, name] = split(components);
    await using folder = await this.#claimedFolder(id, above);
    if (!folder) return undefined;
    try {
      const file = await open(entryOf(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      return { file, stamp: async () => stampOf(await file.stat({ bigint: true })) };
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return undefined;
      throw new SallyportError('source-changed', 'it is no regular file any more', {}, { cause });
    }
  }

  /** Puts a claimed file back where it was, beside a newer one of its name if there is one. */
  async putBack(id: string, components: readonly string[]): Promise<void> {
    await this.#move(id, components, []);
  }

  async archive(id: string, components: readonly string[]): Promise<void> {
    await this.#move(id, components, [archiveName]);
  }

  async remove(id: string, components: readonly string[]): Promise<void> {
    const [above, name] = split(components);
    await using folder = await this.#claimedFolder(id, above);
    if (folder) {
      await unlink(entryOf(folder, name)).catch(unlessMissing);
      await folder.sync();
    }
    await this.#removeEmpty(id, above);
  }

  /** Ids that have claimed files. */
  async claimed(): Promise<readonly string[]> {
    return (await readdir(join(this.#root, claimedName)).catch(() => [])).filter(isId);
  }

  /** Puts back whatever lies under an id that no record knows, and removes its folders. @returns how many files. */
  async putBackAll(id: string): Promise<number> {
    const folder = join(this.#root, claimedName, id);
    const below = new OutgoingFolder(folder);
    let files = 0;
    if (await isFolder(folder)) {
      for await (const found of below.#lookInto([], () => false)) {
        if (!('components' in found)) continue;
        await this.putBack(id, found.components);
        files += 1;
      }
    }
    await removeEmptyFolders(folder);
    return files;
  }

  async #move(id: string, components: readonly string[], into: readonly string[]): Promise<void> {
    const [above, name] = split(components);
    await using source = await this.#claimedFolder(id, above);
    if (source) {
      await using target = await openFolder(this.#root, [...into, ...above], 'all');
      await place(entryOf(source, name), target, name);
      await target.sync();
      await unlink(entryOf(source, name)).catch(unlessMissing);
      await source.sync();
    }
    await this.#removeEmpty(id, above);
  }

  /** Where a claimed file lies; undefined when a crash left only some of its folders, or none. */
  async #claimedFolder(id: string, above: readonly string[]): Promise<FileHandle | undefined> {
    try {
      return await openFolder(this.#root, [claimedName, id, ...above], 'none');
    } catch (error) {
      // Without the hidden folder itself nothing can be told: its disk may not be mounted.
      const isMissing = asSallyportError(error).fields.errno === 'ENOENT';
      if (isMissing && (await isFolder(join(this.#root, claimedName)))) return undefined;
      throw error;
    }
  }

  /** Only folders that are empty can be removed this way, so nothing is lost by it. */
  async #removeEmpty(id: string, above: readonly string[]): Promise<void> {
    for (let depth = above.length; depth >= 0; depth -= 1) {
      await rmdir(join(this.#root, claimedName, id, ...above.slice(0, depth))).catch(() => undefined);
    }
  }
}

/** Links `source` into `folder` under the first free name. A missing source was moved before; so was one that is there. */
async function place(source: string, folder: FileHandle, name: string): Promise<void> {
  for (let n = 1; n <= maxNumber; n += 1) {
    const target = entryOf(folder, n === 1 ? name : withNumber(name, n));
    try {
      await link(source, target);
      return;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      if (errnoOf(error) !== 'EEXIST') throw unavailable('a claimed file cannot be moved', error);
      if (await isSameFile(source, target)) return;
    }
  }
  throw unavailable('a claimed file finds no free name');
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, two] = await Promise.all([a, b].map((path) => lstat(path, { bigint: true }).catch(() => undefined)));
  return one !== undefined && two !== undefined && one.ino === two.ino && one.dev === two.dev;
}

const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (stat) => stat.isDirectory(),
    () => false,
  );

/** Depth first; stops at whatever still holds a file. */
async function removeEmptyFolders(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeEmptyFolders(join(folder, entry.name));
  await rmdir(folder).catch(() => undefined);
}

function split(components: readonly string[]): [readonly string[], string] {
  const name = components.at(-1);
  if (name === undefined) throw new SallyportError('internal', 'a file needs a name');
  return [components.slice(0, -1), name];
}

function decode(raw: Buffer): string | undefined {
  try {
    return decoder.decode(raw);
  } catch {
    return undefined;
  }
}

// Not the change time: moving the file changes that.
const stampOf = (stat: { ino: bigint; size: bigint; mtimeNs: bigint }): string => `${stat.ino}:${stat.size}:${stat.mtimeNs}`;

const unlessExists = (error: unknown): void => {
  if (errnoOf(error) !== 'EEXIST') throw error;
};
const unlessMissing = (error: unknown): void => {
  if (errnoOf(error) !== 'ENOENT') throw error;
};
