/** Takes sealed items that the inside offers to a partner (reliability.md §2.7, O4). The bytes are stored as they come. */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { newItemId } from '../../shared/ids.ts';
import { giveBack } from '../../shared/memory.ts';
import { parentOf, parseVirtualPath, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import { headerLength, headerSha256 } from '../../shared/seal/header.ts';
import type { StreamParams, StreamResult } from '../../shared/tunnel/messages.ts';
import type { CacheCore } from './core.ts';
import { flush } from './object-files.ts';
import { foldersDownTo, isBelowOutbox, placeOf } from './place.ts';
import { maxUnrecordedBytes, undecided } from './upload.ts';

type Offer = StreamParams<'outbox.offer'>;
type Stored = StreamResult<'outbox.offer'>;
const maxHeaderBytes = 16 * 1024;

export class Offers {
  readonly #core: CacheCore;
  readonly #underWay = new Set<string>();

  constructor(core: CacheCore) {
    this.#core = core;
  }

  /**
   * Idempotent by id. Resolves when bytes and record are durable.
   * @throws SallyportError `content-mismatch`, `no-space`, `bad-name`, `upload-in-progress`, `store-suspect`
   */
  async receive(offer: Offer, source: AsyncIterable<Buffer>, signal: AbortSignal): Promise<Stored> {
    const { records, health, space, clock } = this.#core;
    const path = outboxPath(offer.path);
    const known = await records.call('outbox.known', { id: offer.id, sha256: offer.sha256, nowMs: clock.nowMs() });
    if (known !== undefined) return answerTo(offer, known);
    if (this.#underWay.has(offer.id)) throw new SallyportError('upload-in-progress', 'this offer is being received');
    this.#underWay.add(offer.id);
    try {
      health.check();
      await space.admit(offer.sealedBytes);
      return answerTo(offer, await this.#store(offer, path, source, signal));
    } catch (error) {
      health.note(error);
      throw error;
    } finally {
      this.#underWay.delete(offer.id);
    }
  }

  async #store(offer: Offer, path: VirtualPath, source: AsyncIterable<Buffer>, signal: AbortSignal): Promise<string> {
    const { files, records, clock } = this.#core;
    const object = newItemId();
    const file = files.path(`${object}.0`);
    // Of a larger leftover without a record the next start would have to believe that something was lost.
    if (offer.sealedBytes > maxUnrecordedBytes) await records.call('outbox.begin', { object, nowMs: clock.nowMs() });
    try {
      await writeSealed(file, offer, source, signal);
      signal.throwIfAborted();
    } catch (error) {
      await unlink(file).catch(() => {});
      throw error;
    }
    try {
      return await records.call('outbox.store', {
        id: offer.id,
        object,
        partner: offer.partner,
        place: placeOf(path),
        folders: foldersDownTo(parentOf(path)).map(placeOf),
        segment: {
          file: 0,
          headerSha256: offer.headerSha256,
          plainBytes: offer.size,
          sealedBytes: offer.sealedBytes,
          sha256: offer.sha256,
        },
        sha256: offer.sha256,
        modifiedMs: offer.modifiedAtMs,
        expiresMs: offer.expiresAtMs,
        trace: offer.trace,
        nowMs: clock.nowMs(),
      });
    } catch (error) {
      // A commit that may have happened keeps its file: the next start compares.
      if (!undecided.has(asSallyportError(error).code)) await unlink(file).catch(() => {});
      throw error;
    }
  }
}

/** The path is told only when it is not the one that was asked for. */
const answerTo = (offer: Offer, path: string | null): Stored =>
  path === null || path === offer.path ? { stored: true } : { stored: true, path };

function outboxPath(text: string): VirtualPath {
  const path = parseVirtualPath(text);
  if (!isBelowOutbox(path)) throw new SallyportError('bad-name', 'an offer belongs below /Outbox', {});
  return path;
}

async function writeSealed(path: string, offer: Offer, source: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  await using file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600).catch(asDiskFailure);
  const header = new HeaderCheck(offer.headerSha256);
  let length = 0;
  for await (const bytes of source) {
    signal.throwIfAborted();
    length += bytes.length;
    if (length > offer.sealedBytes) throw new SallyportError('content-mismatch', 'more bytes than announced', { item: offer.id });
    header.feed(bytes);
    await writeAll(file, bytes);
    giveBack(bytes);
  }
  if (length !== offer.sealedBytes || !header.passed) {
    throw new SallyportError('content-mismatch', 'the bytes are not the announced ones', { item: offer.id, length });
  }
  await flushNew(file, path);
}

/** A flush that fails is final: the kernel may have dropped the pages that a second one would call durable. */
async function flushNew(file: FileHandle, path: string): Promise<void> {
  try {
    await file.datasync();
    await flush(dirname(path));
  } catch (cause) {
    throw new SallyportError('store-suspect', `flushing ${path} failed`, {}, { cause });
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
  } catch (error) {
    asDiskFailure(error);
  }
}

function asDiskFailure(cause: unknown): never {
  const errno = (cause as NodeJS.ErrnoException).code ?? 'unknown';
  if (errno === 'ENOSPC' || errno === 'EDQUOT') throw new SallyportError('no-space', 'no space for an offer', {}, { cause });
  if (errno === 'EIO' || errno === 'EROFS') throw new SallyportError('store-suspect', `the disk failed: ${errno}`, {}, { cause });
  throw new SallyportError('internal', `could not write an offer: ${errno}`, {}, { cause });
}

/** Whether the file begins with the age header that was announced. */
class HeaderCheck {
  readonly #expected: string;
  #start: Buffer = Buffer.alloc(0);
  #passed = false;

  constructor(expected: string) {
    this.#expected = expected;
  }

  get passed(): boolean {
    return this.#passed;
  }

  feed(bytes: Buffer): void {
    if (this.#passed) return;
    this.#start = Buffer.concat([this.#start, bytes.subarray(0, maxHeaderBytes + 1 - this.#start.length)]);
    const length = headerLength(this.#start);
    if (length === undefined) return;
    if (headerSha256(this.#start.subarray(0, length)) !== this.#expected) {
      throw new SallyportError('content-mismatch', 'the header is not the announced one');
    }
    this.#passed = true;
    this.#start = Buffer.alloc(0);
  }
}
