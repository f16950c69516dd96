/** What can be said of a sealed file on disk without its key. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SallyportError } from '../errors.ts';
import { fileFailure } from './file-failure.ts';
import { headerLength, headerSha256, maxHeaderBytes } from './header.ts';
import { chunkBytes, payloadNonceBytes, sealedChunkBytes } from './payload.ts';

export interface ScannedFile {
  readonly headerSha256: string;
  readonly header: Buffer;
  /** Plaintext bytes in chunks that are whole on disk: what counts of a file that a crash cut. A short tail does not. */
  readonly wholeChunkPlainBytes: number;
  readonly sealedBytes: number;
}

/**
 * For recovery after a crash. Whether the chunks are authentic only the inside can tell.
 * @returns undefined when the file is missing or holds no whole age header.
 * @throws SallyportError `store-suspect`, `internal`
 */
export async function scanSealedFile(path: string): Promise<ScannedFile | undefined> {
  const found = await readStart(path);
  if (!found?.header) return undefined;
  const { header, sealedBytes } = found;
  const payload = Math.max(0, sealedBytes - header.length - payloadNonceBytes);
  const wholeChunkPlainBytes = Math.floor(payload / sealedChunkBytes) * chunkBytes;
  return { headerSha256: headerSha256(header), header, wholeChunkPlainBytes, sealedBytes };
}

/** The header of a sealed file. @throws SallyportError `sealed-damaged` when there is none, `store-suspect`, `internal` */
export async function readSealedHeader(path: string): Promise<Buffer> {
  const found = await readStart(path);
  if (!found?.header) throw new SallyportError('sealed-damaged', `${path} holds no age header`, { path });
  return found.header;
}

async function readStart(path: string): Promise<{ header: Buffer | undefined; sealedBytes: number } | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { size } = await file.stat();
    const start = Buffer.alloc(Math.min(size, maxHeaderBytes));
    const { bytesRead } = await file.read(start, 0, start.length, 0);
    return { header: headerOf(start.subarray(0, bytesRead)), sealedBytes: size };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileFailure(error, 'read', path);
  } finally {
    await file?.close();
  }
}

function headerOf(start: Buffer): Buffer | undefined {
  try {
    const length = headerLength(start);
    return length === undefined ? undefined : Buffer.from(start.subarray(0, length));
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'sealed-damaged') return undefined;
    throw error;
  }
}
