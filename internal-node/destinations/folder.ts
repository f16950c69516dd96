/**
 * Delivery into a folder: `<folder>/<partner>/<path below the Inbox>`. A file gets its name by `link` (which never
 * replaces) from a draft in the hidden staging folder, is flushed, and then the draft's own name goes.
 *
 * It does not rename folders out of the way: where a partner sends a file `a` and later `a/b`, the second waits with
 * `destination-unavailable` until somebody makes room.
 */
import { constants, linkSync, lstatSync, renameSync } from 'node:fs';
import { type FileHandle, lstat, open, readdir, statfs, unlink } from 'node:fs/promises';
import { SallyportError } from '../../shared/errors.ts';
import { isId } from '../../shared/ids.ts';
import { withNumber } from '../../shared/paths/delivery-name.ts';
import type { DeliveryTarget, Destination, DraftFacts } from '../destination.ts';
import { entryOf, errnoOf, openFolder, unavailable } from '../folder-walk.ts';
import { draftPath, openStaging } from './staging-folder.ts';

export interface FolderOptions {
  readonly name: string;
  /** Absolute path; must exist. */
  readonly folder: string;
  /** When the name is taken: a numbered name, the new file in place of the old, or wait until the name is free. */
  readonly onExisting: 'number' | 'replace' | 'fail';
  /** Mode of delivered files. */
  readonly fileMode: number;
}

export const folderDefaults = { onExisting: 'number', fileMode: 0o640 } as const;
const maxNumber = 1000;

export class FolderDestination implements Destination {
  readonly name: string;
  readonly #options: FolderOptions;

  constructor(options: FolderOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.#options.folder).catch((cause: unknown) => {
      throw unavailable('the destination cannot be looked at', cause);
    });
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  async stage(item: string): Promise<string> {
    await using staging = await openStaging(this.#options.folder, true);
    await removeEntry(staging.folder, item);
    return this.draftPath(item);
  }

  draftPath(item: string): string {
    return draftPath(this.#options.folder, item);
  }

  async keep(item: string): Promise<DraftFacts> {
    await using staging = await openStaging(this.#options.folder, false);
    await staging.folder.sync();
    const { ino } = await lstat(entryOf(staging.folder, item), { bigint: true }).catch((cause: unknown) => {
      throw unavailable('the draft is missing', cause);
    });
    return { place: staging.place, inode: String(ino) };
  }

  async discard(item: string): Promise<void> {
    await using staging = await openStaging(this.#options.folder, true);
    await removeEntry(staging.folder, item);
  }

  async drafts(): Promise<readonly string[]> {
    await using staging = await openStaging(this.#options.folder, true);
    return (await readdir(`/proc/self/fd/${staging.folder.fd}`)).filter(isId);
  }

  async plan(target: DeliveryTarget): Promise<string> {
    const above = [target.partner, ...target.components.slice(0, -1)];
    const name = target.components.at(-1);
    if (name === undefined) throw new SallyportError('internal', 'a delivery needs a name');
    await using folder = await openFolder(this.#options.folder, above, true);
    if (this.#options.onExisting !== 'number') return [...above, name].join('/');
    for (let n = 1; n <= maxNumber; n += 1) {
      const candidate = n === 1 ? name : withNumber(name, n);
      if (!(await exists(folder, candidate))) return [...above, candidate].join('/');
    }
    throw unavailable(`the name exists ${maxNumber} times`);
  }

  async publish(item: string, file: string, allowed: () => void): Promise<'published' | 'taken'> {
    const parts = file.split('/');
    const name = parts.pop() ?? '';
    await using staging = await openStaging(this.#options.folder, false);
    await using folder = await openFolder(this.#options.folder, parts, true);
    const draft = entryOf(staging.folder, item);
    const final = entryOf(folder, name);
    const replace = this.#options.onExisting === 'replace';
    try {
      await this.#setMode(draft);
      allowed();
      if (replace) renameSync(draft, final);
      else linkSync(draft, final);
    } catch (cause) {
      if (errnoOf(cause) !== 'EEXIST') throw unavailable('the file cannot be put in place', cause);
      if (!sameFile(draft, final)) return this.#nameTaken(file);
    }
    // The new name must be on disk before the old one goes: a missing draft is later the proof of publication.
    await folder.sync();
    if (!replace) await removeEntry(staging.folder, item);
    await staging.folder.sync();
    return 'published';
  }

  async standing(item: string, facts: DraftFacts): Promise<'draft' | 'published'> {
    await using staging = await openStaging(this.#options.folder, false);
    if (staging.place !== facts.place) throw unavailable('another disk is mounted at the destination');
    const draft = await lstat(entryOf(staging.folder, item)).catch((cause: unknown) => {
      if (errnoOf(cause) === 'ENOENT') return undefined;
      throw unavailable('the draft cannot be looked at', cause);
    });
    if (draft === undefined) return 'published';
    // Nobody else makes links in the private staging folder: a second name is the final one, wherever its taker moved it.
    if (draft.nlink < 2) return 'draft';
    await removeEntry(staging.folder, item);
    await staging.folder.sync();
    return 'published';
  }

  async open(file: string): Promise<FileHandle> {
    const parts = file.split('/');
    const name = parts.pop() ?? '';
    await using folder = await openFolder(this.#options.folder, parts, false);
    try {
      const handle = await open(entryOf(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if ((await handle.stat()).isFile()) return handle;
      await handle.close();
    } catch (cause) {
      throw new SallyportError('no-such-file', 'the delivered file is no longer there', { file }, { cause });
    }
    throw new SallyportError('no-such-file', 'the delivered file is no longer a regular file', { file });
  }

  async #setMode(draft: string): Promise<void> {
    await using handle = await open(draft, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) throw unavailable('the draft is not a regular file');
    await handle.chmod(this.#options.fileMode);
  }

  #nameTaken(file: string): 'taken' {
    if (this.#options.onExisting === 'number') return 'taken';
    throw new SallyportError('destination-unavailable', `${JSON.stringify(file)} exists already and must not be replaced`);
  }
}

async function removeEntry(folder: FileHandle, item: string): Promise<void> {
  if (!isId(item)) throw new SallyportError('internal', 'drafts are named after item ids');
  try {
    await unlink(entryOf(folder, item));
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw unavailable('a draft cannot be removed', cause);
  }
}

async function exists(folder: FileHandle, name: string): Promise<boolean> {
  try {
    await lstat(entryOf(folder, name));
    return true;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false;
    throw unavailable('the destination cannot be looked at', cause);
  }
}

function sameFile(a: string, b: string): boolean {
  const [one, two] = [lstatSync(a, { bigint: true }), lstatSync(b, { bigint: true })];
  return one.ino === two.ino && one.dev === two.dev;
}
