/**
 * The hidden folder in which drafts lie until they get their final name: on the destination's own file system, so that the
 * step is one link or rename, and private (0700), so that a missing draft proves that this program published it.
 *
 * It carries a mark, a random id made with the folder. An unmounted disk, or another one in its place, has no mark or
 * another, and is then "unavailable" instead of "everything was published".
 */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SallyportError } from '../../shared/errors.ts';
import { base32, idPattern, isId } from '../../shared/ids.ts';
import { entryOf, errnoOf, folderFlags, openFolder, unavailable } from '../folder-walk.ts';
import { type FolderUse, SharedFolder } from './shared-folder.ts';

export const stagingName = '.sallyport-staging';
const markName = 'place';

interface OpenStaging {
  readonly folder: FileHandle;
  /** The mark. */
  readonly place: string;
}

export type Staging = OpenStaging & FolderUse;

/** Path of a draft, for the one who writes it. */
export function draftPath(root: string, item: string): string {
  if (!isId(item)) throw new SallyportError('internal', 'drafts are named after item ids');
  return join(root, stagingName, item);
}

/** The staging folder below `root`, opened and checked once for all who use it at the same time. Nothing stays open when idle. */
export class StagingFolder {
  readonly #root: string;
  readonly #shared = new SharedFolder<OpenStaging>();
  /** It was there once: a disk that is gone must not be taken for a fresh folder. */
  #seen = false;

  constructor(root: string) {
    this.#root = root;
  }

  async exists(): Promise<boolean> {
    try {
      await lstat(join(this.#root, stagingName));
      return true;
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return false;
      throw unavailable(`the staging folder of ${this.#root} cannot be looked at`, cause);
    }
  }

  /**
   * @param create Makes it when it is missing, unless it was there since this process began.
   * @throws SallyportError `destination-unavailable` also when the folder belongs to somebody else or is open to others.
   */
  async enter(create: boolean): Promise<Staging> {
    const staging = await this.#shared.enter(() => openStaging(this.#root, create && !this.#seen));
    this.#seen = true;
    return staging;
  }
}

async function openStaging(root: string, create: boolean): Promise<OpenStaging> {
  let folder: FileHandle | undefined;
  try {
    folder = await open(join(root, stagingName), folderFlags).catch((error: unknown) => {
      if (!create || errnoOf(error) !== 'ENOENT') throw error;
      return makeStaging(root);
    });
    await checkPrivate(folder);
    return { folder, place: await readMark(folder, create) };
  } catch (cause) {
    await folder?.close();
    const detail = `the staging folder of ${root} cannot be used; is its disk mounted? When it is gone for good, restart the node`;
    throw unavailable(detail, cause);
  }
}

async function makeStaging(root: string): Promise<FileHandle> {
  await using parent = await openFolder(root, [], 'none');
  try {
    await mkdir(entryOf(parent, stagingName), { mode: 0o700 });
    await parent.sync();
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  return await open(entryOf(parent, stagingName), folderFlags);
}

async function checkPrivate(folder: FileHandle): Promise<void> {
  const { uid, mode } = await folder.stat();
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
    throw unavailable(`${stagingName} must belong to this user with mode 0700`);
  }
}

async function readMark(folder: FileHandle, create: boolean): Promise<string> {
  const path = entryOf(folder, markName);
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
    const mark = buffer.toString('utf8', 0, bytesRead).trim();
    if (idPattern.test(mark)) return mark;
    if (mark !== '') throw unavailable('the mark of the staging folder is damaged');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || !create) throw error;
  }
  // Without a mark and with drafts, this is not a fresh folder: do not adopt it. An empty mark is a crash while making it.
  const others = (await readdir(`/proc/self/fd/${folder.fd}`)).filter((name) => name !== markName);
  if (others.length > 0 || !create) throw unavailable('the staging folder has lost its mark');
  return await writeMark(folder, path);
}

async function writeMark(folder: FileHandle, path: string): Promise<string> {
  const mark = base32(randomBytes(16));
  await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o600);
  await file.writeFile(`${mark}\n`);
  await file.datasync();
  await folder.sync();
  return mark;
}
