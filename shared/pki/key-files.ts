/**
 * Files that hold keys: made once, never overwritten, flushed with their folder, and read only when nobody else can.
 */
import { constants } from 'node:fs';
import { lstat, mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SallyportError } from '../errors.ts';

const octal = (mode: number): string => `0${(mode & 0o777).toString(8)}`;

/** Writes a new file of mode 0600, flushed with its folder. @throws SallyportError `key-file` when it is there already. */
export async function writeNewKeyFile(path: string, text: string): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600).catch((cause: NodeJS.ErrnoException) => {
    const detail =
      cause.code === 'EEXIST' ? `${path} is there already and is not overwritten` : `${path} cannot be made: ${cause.message}`;
    throw new SallyportError('key-file', detail, { file: path }, { cause });
  });
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Makes the folder (mode 0700) or accepts one that only its owner can enter. @returns the user id of its owner. */
export async function ensureKeyFolder(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return checkKeyFolder(folder);
}

/** @returns the user id of its owner. @throws SallyportError `key-file` that names the folder, its mode and the remedy. */
export async function checkKeyFolder(folder: string): Promise<number> {
  const stat = await lstat(folder).catch((cause: NodeJS.ErrnoException) => {
    throw new SallyportError(
      'key-file',
      `the key folder ${folder} cannot be read: ${cause.message}`,
      { file: folder },
      { cause },
    );
  });
  if (!stat.isDirectory()) throw new SallyportError('key-file', `${folder} is not a folder`, { file: folder });
  refuseOtherOwner(folder, stat.uid, process.getuid?.() === 0 ? stat.uid : (process.getuid?.() ?? stat.uid));
  if (stat.mode & 0o077) {
    const detail = `the key folder ${folder} has mode ${octal(stat.mode)}, others can enter it; run: chmod 0700 ${folder}`;
    throw new SallyportError('key-file', detail, { file: folder, mode: octal(stat.mode) });
  }
  return stat.uid;
}

/**
 * @param owner User id that the file must have.
 * @param secret Whether nobody but the owner may read it; otherwise nobody but the owner may write it.
 * @throws SallyportError `key-file` that names the file, its mode and the command that mends it.
 */
export async function readKeyFile(folder: string, name: string, owner: number, secret: boolean): Promise<string> {
  const path = join(folder, name);
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((cause: NodeJS.ErrnoException) => {
    throw new SallyportError('key-file', `${path} cannot be read: ${cause.message}`, { file: path }, { cause });
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new SallyportError('key-file', `${path} is not a file`, { file: path });
    refuseOtherOwner(path, stat.uid, owner);
    if (stat.mode & (secret ? 0o077 : 0o022)) {
      const detail = `${path} has mode ${octal(stat.mode)}, others can ${secret ? 'read' : 'change'} it; run: chmod 0600 ${path}`;
      throw new SallyportError('key-file', detail, { file: path, mode: octal(stat.mode) });
    }
    if (stat.size > 65_536) throw new SallyportError('key-file', `${path} is too large for a key or certificate`, { file: path });
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function refuseOtherOwner(path: string, uid: number, owner: number): void {
  if (uid === owner) return;
  const detail = `${path} belongs to user ${uid}, expected ${owner}; run: chown ${owner} ${path} && chmod 0600 ${path}`;
  throw new SallyportError('key-file', detail, { file: path, uid });
}
