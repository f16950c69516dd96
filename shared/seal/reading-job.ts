/**
 * Random access to the plaintext of sealed segments inside a worker thread. Each chunk is authentic before a byte of it is
 * returned. The first segments keep their file open, so that a file unlinked while it is read can be read to its end.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { SallyportError } from '../errors.ts';
import { freeNow } from '../memory.ts';
import { fileFailure } from './file-failure.ts';
import { headerLength, maxHeaderBytes, verifyHeader } from './header.ts';
import { chunkBytes, PayloadCipher, payloadNonceBytes, sealedChunkBytes, tagBytes } from './payload.ts';

export interface ReadSegment {
  readonly path: string;
  /** Filled with zeros by `begin`. */
  readonly fileKey: Uint8Array;
  /** Plaintext bytes that count. */
  readonly plainBytes: number;
}

interface Opened {
  readonly path: string;
  readonly cipher: PayloadCipher;
  readonly plainBytes: number;
  /** Offset of the first chunk in the file. */
  readonly payloadAt: number;
  readonly payloadBytes: number;
  fd: number | undefined;
}

const maxOpenFiles = 64;

export class ReadingJob {
  readonly #segments: Opened[] = [];

  /** @throws SallyportError `sealed-damaged`, `store-suspect`, `internal` */
  begin(segments: readonly ReadSegment[]): void {
    try {
      for (const segment of segments) {
        const opened = this.#open(segment);
        this.#segments.push(opened);
        if (this.#segments.length > maxOpenFiles) closeFile(opened);
      }
    } finally {
      for (const { fileKey } of segments) fileKey.fill(0);
    }
  }

  /**
   * @param first Index of the first chunk of the segment to open.
   * @param scratch At least `count` sealed chunks long.
   * @returns The plaintext of up to `count` chunks, cut at the bytes that count, in memory of its own; fewer when a chunk
   *   behind the first is damaged, which is an error only for who asks for that one first.
   * @throws SallyportError `sealed-damaged`, `store-suspect`, `internal`
   */
  read(segmentIndex: number, first: number, count: number, scratch: Buffer): Uint8Array<ArrayBuffer> {
    const segment = this.#segments[segmentIndex];
    if (!segment) throw new SallyportError('internal', 'no such segment');
    const start = first * sealedChunkBytes;
    const wanted = Math.min(count * sealedChunkBytes, segment.payloadBytes - start);
    const sealed = scratch.subarray(0, Math.max(0, wanted));
    if (this.#pread(segment, sealed, segment.payloadAt + start) < wanted) throw damaged(segment, 'shrank while it was read');
    const length = Math.min(count * chunkBytes, segment.plainBytes - first * chunkBytes);
    const plain = Buffer.allocUnsafeSlow(Math.max(0, length));
    for (let index = first, at = 0; at < plain.length; index += 1, at += chunkBytes) {
      try {
        const chunk = openChunk(segment, sealed.subarray((index - first) * sealedChunkBytes), index);
        chunk.copy(plain, at);
        freeNow(chunk);
      } catch (error) {
        if (index === first) throw error;
        return plain.subarray(0, at);
      }
    }
    return plain;
  }

  /** Idempotent. */
  close(): void {
    for (const segment of this.#segments) closeFile(segment);
  }

  #open({ path, fileKey, plainBytes }: ReadSegment): Opened {
    const key = Buffer.from(fileKey.buffer, fileKey.byteOffset, fileKey.byteLength);
    let fd: number | undefined;
    try {
      fd = openFile(path);
      const start = Buffer.alloc(maxHeaderBytes + payloadNonceBytes);
      const known = start.subarray(0, readFully(fd, start, 0));
      const headerEnd = headerLength(known);
      if (headerEnd === undefined) throw damaged({ path }, 'ends inside its header');
      verifyHeader(known.subarray(0, headerEnd), key);
      const payloadAt = headerEnd + payloadNonceBytes;
      const payloadBytes = Math.max(0, fstatSync(fd).size - payloadAt);
      const cipher = new PayloadCipher(key, known.subarray(headerEnd, payloadAt));
      const opened = { path, cipher, plainBytes, payloadAt, payloadBytes, fd };
      checkLength(opened);
      if (payloadBytes === tagBytes) openChunk(opened, readEnd(opened), 0);
      return opened;
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      throw fileFailure(error, 'read', path);
    }
  }

  #pread(segment: Opened, into: Buffer, position: number): number {
    const lasting = segment.fd !== undefined;
    try {
      segment.fd ??= openFile(segment.path);
      return readFully(segment.fd, into, position);
    } catch (error) {
      throw fileFailure(error, 'read', segment.path);
    } finally {
      if (!lasting) closeFile(segment);
    }
  }
}

const damaged = ({ path }: { readonly path: string }, what: string): SallyportError =>
  new SallyportError('sealed-damaged', `${path} ${what}`, { path });

const openFile = (path: string): number => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);

function closeFile(segment: Opened): void {
  if (segment.fd === undefined) return;
  const fd = segment.fd;
  segment.fd = undefined;
  closeSync(fd);
}

function checkLength(segment: Opened): void {
  const { payloadBytes, plainBytes } = segment;
  const whole = Math.floor(payloadBytes / sealedChunkBytes);
  const tail = payloadBytes - whole * sealedChunkBytes;
  const available = whole * chunkBytes + Math.max(0, tail - tagBytes);
  if (plainBytes > available) throw damaged(segment, `holds at most ${available} of ${plainBytes} plaintext bytes`);
}

/** The sealed bytes of a file whose whole payload is one empty chunk. */
function readEnd(segment: Opened): Buffer {
  const tag = Buffer.alloc(tagBytes);
  if (segment.fd !== undefined) readFully(segment.fd, tag, segment.payloadAt);
  return tag;
}

/** @param from Sealed bytes from the start of this chunk on. */
function openChunk(segment: Opened, from: Buffer, index: number): Buffer {
  const left = segment.payloadBytes - index * sealedChunkBytes;
  const plain =
    left > sealedChunkBytes
      ? segment.cipher.open(from.subarray(0, sealedChunkBytes), index, false)
      : segment.cipher.openAtEnd(from.subarray(0, left), index, true);
  if (!plain) throw damaged(segment, `is damaged in chunk ${index}`);
  return plain;
}

function readFully(fd: number, into: Buffer, position: number): number {
  let done = 0;
  while (done < into.length) {
    const read = readSync(fd, into, done, into.length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}
