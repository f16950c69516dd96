/** Configuration files written by commands: whole or not at all, on disk when it returns, never over an existing file by accident. */
import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SallyportError } from '../errors.ts';
import { newItemId } from '../ids.ts';

const modeText = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');

/** Writes a new file, mode 0600. @throws SallyportError `already-exists`. */
export async function writeNewFile(path: string, text: string | Buffer): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  let file: FileHandle;
  try {
    file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new SallyportError('already-exists', `${path} exists already`, {}, { cause });
    throw new SallyportError('usage', `${path} cannot be written: ${message}`, {}, { cause });
  }
  await filled(file, text);
  await flushFolder(dirname(path));
}

/** Puts new text in place of a file's, or makes it (0600). The mode of an existing file is kept. Readers see old or new, never a mix. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode & 0o777,
    () => 0o600,
  );
  const draft = join(dirname(path), `.${basename(path)}.${newItemId()}`);
  try {
    const file = await open(draft, 'wx', mode);
    await file.chmod(mode);
    await filled(file, text);
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await flushFolder(dirname(path));
}

async function filled(file: FileHandle, text: string | Buffer): Promise<void> {
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes a folder that only this user can enter, or checks that it is one.
 * @throws SallyportError `key-file` naming the folder, its mode and what to do.
 */
export async function privateFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory()) throw new SallyportError('key-file', `${folder} is not a folder`);
  refuseMode(folder, found.mode, 0o077, 'chmod 700');
  const uid = process.getuid?.();
  if (uid !== undefined && uid !== 0 && found.uid !== uid) {
    throw new SallyportError('key-file', `${folder} belongs to user ${found.uid}, this process runs as ${uid}`);
  }
}

/** A file that holds hashes of passwords: nobody but its owner and group may read it. @throws SallyportError `key-file`. */
export async function checkPrivateFile(path: string): Promise<void> {
  refuseMode(path, (await stat(path)).mode, 0o027, 'chmod 600');
}

/** A file or folder that decides over the node: nobody but its owner may change it. @throws SallyportError `key-file`. */
export async function checkNotWritableByOthers(path: string): Promise<void> {
  refuseMode(path, (await stat(path)).mode, 0o022, 'chmod go-w');
}

function refuseMode(path: string, mode: number, forbidden: number, remedy: string): void {
  if ((mode & forbidden) === 0) return;
  const detail = `${path} has mode ${modeText(mode)}, which lets others in. Run: ${remedy} ${path}`;
  throw new SallyportError('key-file', detail, { path, mode: modeText(mode) });
}
