/**
 * The hidden folder in which drafts lie until they get their final name: on the destination's own file system, so that the
 * step is one link or rename, and private (0700), so that a missing draft proves that this program published it.
 *
 * It carries a mark, a random id made with the folder. An unmounted disk, or another one in its place, has no mark or
 * another, and is then "unavailable" instead of "everything was published".
 */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SallyportError } from '../../shared/errors.ts';
import { base32, idPattern, isId } from '../../shared/ids.ts';
import { entryOf, errnoOf, openFolder, unavailable } from '../folder-walk.ts';

export const stagingName = '.sallyport-staging';
const markName = 'place';

export interface Staging extends AsyncDisposable {
  readonly folder: FileHandle;
  /** The mark. */
  readonly place: string;
}

/** Path of a draft, for the one who writes it. */
export function draftPath(root: string, item: string): string {
  if (!isId(item)) throw new SallyportError('internal', 'drafts are named after item ids');
  return join(root, stagingName, item);
}

/**
 * Opens the staging folder below `root`, and makes it when it is missing and `create`.
 * @throws SallyportError `destination-unavailable` also when the folder belongs to somebody else or is open to others.
 */
export async function openStaging(root: string, create: boolean): Promise<Staging> {
  const parent = await openFolder(root, [], false);
  let folder: FileHandle;
  try {
    if (create) await makeStaging(parent);
    folder = await openFolder(`/proc/self/fd/${parent.fd}`, [stagingName], false);
  } catch (cause) {
    throw unavailable(`the staging folder of ${root} cannot be used`, cause);
  } finally {
    await parent.close();
  }
  try {
    await checkPrivate(folder);
    const place = await readMark(folder, create);
    return { folder, place, [Symbol.asyncDispose]: () => folder.close() };
  } catch (cause) {
    await folder.close();
    throw unavailable(`the staging folder of ${root} cannot be used`, cause);
  }
}

async function makeStaging(parent: FileHandle): Promise<void> {
  try {
    await mkdir(entryOf(parent, stagingName), { mode: 0o700 });
    await parent.sync();
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
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
    const mark = (await file.readFile('utf8')).trim();
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
