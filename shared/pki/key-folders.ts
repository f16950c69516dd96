/**
 * Which set of keys a node uses. The first set lies in the keys folder itself, later ones in folders beside it (`identity-2`, …), and
 * one small file says which is in use and which comes next or went before. Each step of an exchange is one replacement of that
 * file: a crash leaves the step before or the step after.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../config/write-file.ts';
import { SallyportError } from '../errors.ts';

const folderName = z.string().regex(/^(\.|identity-[1-9][0-9]{0,5})$/);

const schema = z.strictObject({
  /** Rises with each set of keys that the other node has to know. */
  number: z.int().min(0),
  current: folderName,
  /** Made and announced, not used yet. */
  next: folderName.nullable(),
  /** Not used any more, still admitted by the other node. */
  previous: folderName.nullable(),
});
export type KeyFolders = z.infer<typeof schema>;

export const keyFoldersFile = 'identity.json';

const first: KeyFolders = { number: 0, current: '.', next: null, previous: null };

/** @throws SallyportError `key-file`. */
export async function readKeyFolders(keysFolder: string): Promise<KeyFolders> {
  const path = join(keysFolder, keyFoldersFile);
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return first;
    throw new SallyportError(
      'key-file',
      `${path} cannot be used, so it is not known which keys to take`,
      { file: path },
      { cause },
    );
  }
}

export const writeKeyFolders = (keysFolder: string, folders: KeyFolders): Promise<void> =>
  replaceFile(join(keysFolder, keyFoldersFile), `${JSON.stringify(folders)}\n`);
