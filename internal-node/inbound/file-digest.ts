/** SHA-256 of a file that lies inside. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { asSallyportError } from '../../shared/errors.ts';

const blockBytes = 1024 * 1024;

/** In hex. No link is followed. @throws SallyportError `destination-unavailable` when it cannot be read. */
export async function fileSha256(path: string, signal: AbortSignal): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    return await handleSha256(file, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw asSallyportError(error, 'destination-unavailable');
  }
}

/** The same of an open file, from its beginning; the position of the handle is not used. */
export async function handleSha256(file: FileHandle, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(blockBytes);
  for (let position = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(block, 0, blockBytes, position);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(block.subarray(0, bytesRead));
    position += bytesRead;
  }
}
