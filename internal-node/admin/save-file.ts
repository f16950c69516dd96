/** Writes what was pulled: a hidden file first, checked, flushed, then its name in one step. */
import { createHash } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { flushFolder } from '../../shared/config/write-file.ts';
import { type ErrorCode, SallyportError } from '../../shared/errors.ts';
import { newItemId } from '../../shared/ids.ts';

export interface Expected {
  readonly size: number;
  readonly sha256: string;
}

/**
 * @param overwrite Whether an existing file may be replaced; otherwise it is never touched, even when it appears meanwhile.
 * @throws SallyportError `content-mismatch`, `already-exists`, `usage`, `permission-denied`, `no-space`, `link-closed`; then nothing is left behind.
 */
export async function saveFile(
  target: string,
  content: AsyncIterable<Buffer>,
  expected: Expected,
  overwrite: boolean,
): Promise<void> {
  const folder = dirname(target);
  const draft = join(folder, `.${basename(target).slice(0, 200)}.${newItemId()}`);
  try {
    await writeChecked(draft, content, expected);
    if (overwrite) await rename(draft, target);
    else await link(draft, target);
  } catch (error) {
    throw explained(error, target);
  } finally {
    await rm(draft, { force: true });
  }
  await flushFolder(folder);
}

/** In words for whoever named the target; what is no error of the file system stays as it is. */
function explained(error: unknown, target: string): unknown {
  const folder = dirname(target);
  const because = (code: ErrorCode, detail: string): SallyportError => new SallyportError(code, detail, {}, { cause: error });
  switch ((error as NodeJS.ErrnoException).code) {
    case 'EEXIST':
      return because('already-exists', `${target} exists already and was left as it is`);
    case 'ENOENT':
    case 'ENOTDIR':
      return because('usage', `there is no folder ${folder}`);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return because('permission-denied', `nothing can be written to ${folder}`);
    case 'ENOSPC':
    case 'EDQUOT':
      return because('no-space', `there is no room for the file in ${folder}`);
    default:
      return error;
  }
}

async function writeChecked(path: string, content: AsyncIterable<Buffer>, expected: Expected): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const chunk of content) {
      hash.update(chunk);
      size += chunk.length;
      for (let written = 0; written < chunk.length; ) {
        written += (await file.write(chunk, written)).bytesWritten;
      }
    }
    const sha256 = hash.digest('hex');
    if (size !== expected.size || sha256 !== expected.sha256) {
      const detail = `${size} bytes with SHA-256 ${sha256} came, ${expected.size} with ${expected.sha256} were promised`;
      throw new SallyportError('content-mismatch', detail);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
