/**
 * Delivery into a folder: `<folder>/<partner>/<path below the Inbox>`. A file gets its name by `link` (which never
 * replaces) from a draft in the hidden staging folder, and the folder is flushed.
 *
 * Only what is there proves anything: until the publication is recorded, a second name of the file in the staging folder
 * (`<item>.done`) tells of it. A draft that is missing without that was removed by somebody else, and was not published.
 *
 * It does not rename folders out of the way: where a partner sends a file `a` and later `a/b`, the second waits with
 * `destination-unavailable` until somebody makes room.
 */
import { type BigIntStats, chmodSync, constants, linkSync, lstatSync, renameSync } from 'node:fs';
import { type FileHandle, link, lstat, open, readdir, rename, statfs, unlink } from 'node:fs/promises';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { isId } from '../../shared/ids.ts';
import { withNumber } from '../../shared/paths/delivery-name.ts';
import type { DeliveryTarget, Destination, DraftFacts } from '../destination.ts';
import { entryOf, errnoOf, openFolder, unavailable } from '../folder-walk.ts';
import { type FolderUse, SharedFolder } from './shared-folder.ts';
import { draftPath, StagingFolder } from './staging-folder.ts';

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
  readonly #staging: StagingFolder;
  /** Folders that are being delivered to, by their path. */
  readonly #targets = new Map<string, SharedFolder<{ readonly folder: FileHandle }>>();

  constructor(options: FolderOptions) {
    this.name = options.name;
    this.#options = options;
    this.#staging = new StagingFolder(options.folder);
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.#options.folder).catch((cause: unknown) => {
      throw unavailable('the destination cannot be looked at', cause);
    });
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  async stage(item: string): Promise<string> {
    await using staging = await this.#staging.enter(true);
    await removeDraft(staging.folder, item);
    return this.draftPath(item);
  }

  draftPath(item: string): string {
    return draftPath(this.#options.folder, item);
  }

  async keep(item: string): Promise<DraftFacts> {
    await using staging = await this.#staging.enter(false);
    await staging.sync();
    const draft = await lstat(entryOf(staging.folder, item), { bigint: true }).catch((cause: unknown) => {
      throw unavailable('the draft is missing', cause);
    });
    if (!draft.isFile()) throw unavailable('the draft is not a regular file');
    return { place: staging.place, inode: String(draft.ino) };
  }

  async discard(item: string): Promise<void> {
    if (!(await this.#staging.exists())) return;
    await using staging = await this.#staging.enter(false);
    await removeDraft(staging.folder, item);
  }

  async forget(item: string): Promise<void> {
    await using staging = await this.#staging.enter(false);
    await removeEntry(staging.folder, item, proofEnding);
  }

  async drafts(): Promise<readonly string[]> {
    if (!(await this.#staging.exists())) return [];
    await using staging = await this.#staging.enter(false);
    const names = await readdir(`/proc/self/fd/${staging.folder.fd}`);
    return [...new Set(names.map((name) => name.replace(/\.done$/, '')))].filter(isId);
  }

  async plan(target: DeliveryTarget, look = true): Promise<string> {
    const above = [...(target.partner === undefined ? [] : [target.partner]), ...target.components.slice(0, -1)];
    const name = target.components.at(-1);
    if (name === undefined) throw new SallyportError('internal', 'a delivery needs a name');
    if (!look) return [...above, name].join('/');
    await using folder = await openFolder(this.#options.folder, above, true);
    if (this.#options.onExisting !== 'number') return [...above, name].join('/');
    for (let n = 1; n <= maxNumber; n += 1) {
      const candidate = n === 1 ? name : withNumber(name, n);
      if (!(await exists(folder, candidate))) return [...above, candidate].join('/');
    }
    throw unavailable(`the name exists ${maxNumber} times`);
  }

  async publish(item: string, facts: DraftFacts, file: string, allowed: () => void): Promise<'published' | 'taken'> {
    const parts = file.split('/');
    const name = parts.pop() ?? '';
    await using staging = await this.#staging.enter(false);
    await using target = await this.#enter(parts);
    const draft = entryOf(staging.folder, item);
    const final = entryOf(target.folder, name);
    const replace = this.#options.onExisting === 'replace';
    try {
      if (replace) await link(draft, proofOf(staging.folder, item));
      allowed();
      // Another internal node with this one's name and keys may be at work on the same item.
      if (String(lstatSync(draft, { bigint: true }).ino) !== facts.inode) throw unavailable('the draft is not ours any more');
      // No link can be there: the folder is private, and the draft was just looked at.
      chmodSync(draft, this.#options.fileMode);
      if (replace) renameSync(draft, final);
      else linkSync(draft, final);
    } catch (cause) {
      if (replace) await removeEntry(staging.folder, item, proofEnding);
      // The folder may have been removed or renamed since others began to use it.
      if (errnoOf(cause) !== 'EEXIST') target.leaveForGood();
      if (replace || errnoOf(cause) !== 'EEXIST') throw unavailable('the file cannot be put in place', cause);
      if (!sameFile(draft, final)) return this.#nameTaken(file);
    }
    await settled(async () => {
      await target.sync();
      if (!replace) await rename(draft, proofOf(staging.folder, item));
      await staging.sync();
    });
    return 'published';
  }

  /** The folder of a final name, made when it is missing. */
  async #enter(parts: readonly string[]): Promise<{ readonly folder: FileHandle } & FolderUse> {
    const key = parts.join('/');
    const target = this.#targets.get(key) ?? new SharedFolder(() => this.#targets.delete(key));
    this.#targets.set(key, target);
    return await target.enter(async () => ({ folder: await openFolder(this.#options.folder, parts, true) }));
  }

  async standing(item: string, facts: DraftFacts, file: string): Promise<'draft' | 'published' | 'missing'> {
    await using staging = await this.#staging.enter(false);
    if (staging.place !== facts.place) throw unavailable('another disk is mounted at the destination');
    const isOurs = (found: BigIntStats | undefined) => String(found?.ino) === facts.inode;
    const draft = await look(staging.folder, item);
    const hasProof = isOurs(await look(staging.folder, item, proofEnding));
    if (draft && !draft.isFile()) throw unavailable('the draft is not a regular file');
    if (!draft || !isOurs(draft)) {
      if (!hasProof) return 'missing';
      await settled(() => this.#flushFolderOf(file));
      return 'published';
    }
    if (hasProof || draft.nlink < 2n) {
      // A proof beside the draft was made before the step that it is to prove (`replace`).
      await removeEntry(staging.folder, item, proofEnding);
      return 'draft';
    }
    // Nobody else makes links in the private staging folder: a second name is the final one, wherever its taker moved it.
    await settled(async () => {
      await this.#flushFolderOf(file);
      await rename(entryOf(staging.folder, item), proofOf(staging.folder, item));
      await staging.sync();
    });
    return 'published';
  }

  /** A crash may have come before the flush of `publish`. A folder that its taker removed needs none. */
  async #flushFolderOf(file: string): Promise<void> {
    const parts = file.split('/').slice(0, -1);
    const folder = await openFolder(this.#options.folder, parts, false).catch((error: unknown) => {
      if (asSallyportError(error).fields.errno === 'ENOENT') return undefined;
      throw error;
    });
    await using _folder = folder;
    await folder?.sync();
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

  #nameTaken(file: string): 'taken' {
    if (this.#options.onExisting === 'number') return 'taken';
    throw new SallyportError('destination-unavailable', `${JSON.stringify(file)} exists already and must not be replaced`);
  }
}

/** Behind the item id, in the name of the proof. */
const proofEnding = '.done';
const proofOf = (folder: FileHandle, item: string): string => entryOf(folder, `${item}${proofEnding}`);

async function removeEntry(folder: FileHandle, item: string, ending = ''): Promise<void> {
  if (!isId(item)) throw new SallyportError('internal', 'drafts are named after item ids');
  try {
    await unlink(entryOf(folder, `${item}${ending}`));
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw unavailable('a draft cannot be removed', cause);
  }
}

/** The steps behind the one that publishes; after a failure they are gone through again. */
async function settled(steps: () => Promise<void>): Promise<void> {
  try {
    await steps();
  } catch (cause) {
    throw unavailable('a delivered file cannot be made durable', cause);
  }
}

async function removeDraft(folder: FileHandle, item: string): Promise<void> {
  await removeEntry(folder, item);
  await removeEntry(folder, item, proofEnding);
}

async function look(folder: FileHandle, item: string, ending = ''): Promise<BigIntStats | undefined> {
  return await lstat(entryOf(folder, `${item}${ending}`), { bigint: true }).catch((cause: unknown) => {
    if (errnoOf(cause) === 'ENOENT') return undefined;
    throw unavailable('the draft cannot be looked at', cause);
  });
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
