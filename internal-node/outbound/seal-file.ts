/** Seals a stream or a claimed file into the spool. The result is a complete age file that only the inside can open. */
import type { FileHandle } from 'node:fs/promises';
import { SallyportError } from '../../shared/errors.ts';

/** Seals into one new file; the part of `SealedWriter` (shared/seal) that this room needs. */
export interface Sealer {
  write(bytes: Buffer): Promise<void>;
  finish(): Promise<SealResult>;
  /** Closes and removes the file; no effect after `finish`. */
  destroy(): Promise<void>;
}

export interface SealResult {
  readonly headerSha256: string;
  /** Bytes of the content. */
  readonly plainBytes: number;
  /** Bytes of the sealed file. */
  readonly sealedBytes: number;
  /** Of the content. */
  readonly sha256: string;
}

const blockBytes = 256 * 1024;

/** @param signal Ends it early; the sealed file is removed before this rejects. */
export async function sealStream(source: AsyncIterable<Buffer>, sealer: Sealer, signal: AbortSignal): Promise<SealResult> {
  try {
    for await (const bytes of source) {
      signal.throwIfAborted();
      await sealer.write(bytes);
    }
    signal.throwIfAborted();
    return await sealer.finish();
  } catch (error) {
    await sealer.destroy();
    throw error;
  }
}

/**
 * @param size What the file was when it was found finished, bytes.
 * @throws SallyportError `source-changed` when more or fewer bytes came.
 */
export async function* readWhole(file: FileHandle, size: number): AsyncIterable<Buffer> {
  const block = Buffer.allocUnsafe(blockBytes);
  let position = 0;
  for (;;) {
    const { bytesRead } = await file.read(block, 0, blockBytes, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    if (position > size) break;
    yield block.subarray(0, bytesRead);
  }
  if (position !== size)
    throw new SallyportError('source-changed', 'the file has another size than when it was found', { size, position });
}
