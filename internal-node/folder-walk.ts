/**
 * Walking down a folder tree without ever following a link: each folder is opened by the handle of the one above, so what
 * was checked is what is used, whoever renames things meanwhile. Linux only: it names open folders through /proc/self/fd.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { SallyportError } from '../shared/errors.ts';

/** For a folder itself, not what a link leads to. */
export const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Path of an entry of an open folder. Valid while the handle is open. */
export const entryOf = (folder: FileHandle, name: string): string => `/proc/self/fd/${folder.fd}/${name}`;

export const errnoOf = (error: unknown): string => (error as { code?: string } | undefined)?.code ?? '';

/** Any failure of the file system at a destination, as the retryable error that makes the item wait. */
export function unavailable(detail: string, cause?: unknown): SallyportError {
  if (cause instanceof SallyportError) return cause;
  const errno = errnoOf(cause);
  return new SallyportError('destination-unavailable', errno ? `${detail}: ${errno}` : detail, { errno }, { cause });
}

/** `parent`: only the last one. */
export type MakeFolders = 'all' | 'parent' | 'none';

/**
 * Opens the folder `components` below `root`; the caller closes it.
 * @param root Absolute path from the configuration; the only one in which links are followed.
 * @param make Which missing folders are made (0750); the folder that they are in is flushed.
 * @throws SallyportError `destination-unavailable`: missing, not a folder, a link, not permitted.
 */
export async function openFolder(root: string, components: readonly string[], make: MakeFolders): Promise<FileHandle> {
  let folder = await open(root, constants.O_RDONLY | constants.O_DIRECTORY).catch((cause: unknown) => {
    throw unavailable(`the folder ${root} cannot be opened`, cause);
  });
  for (const [index, component] of components.entries()) {
    const create = make === 'all' || (make === 'parent' && index === components.length - 1);
    try {
      const child = await openChild(folder, component, create);
      await folder.close();
      folder = child;
    } catch (cause) {
      await folder.close();
      throw unavailable(`${JSON.stringify(component)} is not a folder that may be used`, cause);
    }
  }
  return folder;
}

async function openChild(folder: FileHandle, name: string, create: boolean): Promise<FileHandle> {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
    throw new SallyportError('internal', 'a component of a path must be one plain name');
  }
  const path = entryOf(folder, name);
  try {
    return await open(path, folderFlags);
  } catch (error) {
    if (!create || errnoOf(error) !== 'ENOENT') throw error;
  }
  try {
    await mkdir(path, { mode: 0o750 });
    await folder.sync();
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  return await open(path, folderFlags);
}
