/**
 * Sealing and opening of contents, in threads of their own: all encryption, hashing and file input and output of contents
 * happens there, never on the event loop. Files are standard age v1 files, one per segment.
 *
 * Each writer, opener and reader is bound to the worker that has the fewest users. Memory is bounded per user and over all
 * users. When a worker crashes all its users fail, `onWorkerLost` is told, and a new worker takes its place.
 */
import { Worker } from 'node:worker_threads';
import { SallyportError } from '../errors.ts';
import { type FeedLimits, FileFeed } from './file-feed.ts';
import type { ExpectedSegment } from './opening-job.ts';
import type { ReadSegment } from './reading-job.ts';
import { type SealedReader, WorkerReader } from './sealed-reader.ts';
import { blockBytes, WorkerLink } from './worker-link.ts';

export { readSealedHeader, type ScannedFile, scanSealedFile } from './scan.ts';

/** One complete age file as a writer leaves it. */
export interface SealedSegment {
  /** All bytes up to and with the line feed after the MAC. */
  readonly header: Buffer;
  readonly headerSha256: string;
  readonly plainBytes: number;
  /** Bytes of the file. */
  readonly sealedBytes: number;
  /** SHA-256 of the plaintext, hex. */
  readonly sha256: string;
}

/**
 * Errors of all calls: SallyportError `no-space`, `store-suspect`, `key-file` (a recipient is none), `internal`. Whoever
 * makes one ends it: with `finish`, or with `destroy` when `finish` was not called or has rejected.
 */
export interface SealedWriter {
  /**
   * Copies `bytes` before it returns, so the caller may reuse them. Resolves when few enough bytes are queued. After a
   * failure this and every later call rejects.
   */
  write(bytes: Buffer): Promise<void>;
  /** Seals the last chunk; resolves after the file and its entry in the folder are durable. The key is forgotten. */
  finish(): Promise<SealedSegment>;
  /** Closes and unlinks. Does nothing once `finish` has resolved: the file is the caller's then. Idempotent. */
  destroy(): Promise<void>;
}

/**
 * The inside: sealed bytes in, one verified plaintext file out. Errors of all calls: SallyportError `sealed-damaged`,
 * `content-mismatch`, `key-file`, `no-space`, `store-suspect`, `internal`; after the first every later call rejects with it. It is ended as a `SealedWriter` is.
 */
export interface FileOpener {
  /**
   * @param args.plainBytes Bytes that count. @param args.sha256 Their hash: the segment must then be a complete file of just
   *   these bytes. null: it may be cut behind a whole chunk, and what lies behind the bytes that count is ignored.
   */
  beginSegment(args: { readonly headerSha256: string; readonly plainBytes: number; readonly sha256: string | null }): void;
  /** Copies at once. Resolves when few enough bytes are queued; damage may show only in a later call. */
  write(sealed: Buffer): Promise<void>;
  /** All bytes of the segment were given. */
  endSegment(): Promise<void>;
  /** Size and SHA-256 over all segments; resolves after the file is durable. Its folder is the caller's to flush. */
  finish(): Promise<{ size: number; sha256: string }>;
  /** Closes and unlinks. Does nothing once `finish` has resolved. Idempotent. */
  destroy(): Promise<void>;
}

export interface SealWorkersOptions {
  readonly threads: number;
  /** Called when a worker crashed, after its users were failed. */
  readonly onWorkerLost?: (error: SallyportError) => void;
}

const highWaterBytes = 2 * 1024 * 1024;
const readAheadBytes = 1024 * 1024;
/** Shared by all users: with many of them each gets less. */
const allQueuedBytes = 64 * 1024 * 1024;
const allBlockBytes = 32 * 1024 * 1024;
const allReadAheadBytes = 32 * 1024 * 1024;
const minBlockBytes = 16 * 1024;

const startWorker = (): Worker => new Worker(new URL('./seal-worker.ts', import.meta.url), { name: 'seal' });

export class SealWorkers {
  readonly #options: SealWorkersOptions;
  readonly #startWorker: () => Worker;
  readonly #links: (WorkerLink | undefined)[];
  readonly #limits: FeedLimits;
  #running = false;

  constructor(options: SealWorkersOptions, start: () => Worker = startWorker) {
    this.#options = options;
    this.#startWorker = start;
    this.#links = Array.from({ length: Math.max(1, options.threads) }, () => undefined);
    const share = (all: number): number => Math.floor(all / Math.max(1, this.#users()));
    this.#limits = {
      highWaterBytes: () => Math.max(minBlockBytes, Math.min(highWaterBytes, share(allQueuedBytes))),
      maxBlockBytes: () => Math.max(minBlockBytes, Math.min(blockBytes, share(allBlockBytes))),
    };
  }

  /** Starts the threads. @throws SallyportError `internal` when one does not come up */
  async start(): Promise<void> {
    this.#running = true;
    await Promise.all(this.#links.map((_, slot) => this.#spawn(slot).ready()));
  }

  /** Lets flushes under way end, closes all files and ends the threads. What users still wait for fails. Idempotent. */
  async stop(): Promise<void> {
    this.#running = false;
    const links = this.#links.splice(0, this.#links.length, ...this.#links.map(() => undefined));
    await Promise.all(links.map((link) => link?.stop()));
  }

  /** The file (0600) is made with the first byte or `finish`; a name that is taken, also by a link, is an error. */
  createWriter(args: { readonly path: string; readonly recipients: readonly string[] }): SealedWriter {
    const { path, recipients } = args;
    const feed = new FileFeed({ link: this.#leastLoaded(), limits: this.#limits }, { op: 'seal', path, recipients });
    return {
      write: (bytes) => feed.write(bytes),
      finish: async () => ownHeader((await feed.finish()) as SealedSegment),
      destroy: () => feed.destroy(),
    };
  }

  /**
   * @param segments In order. `fileKey` is copied and stays the caller's to fill with zeros. `plainBytes` bytes of each count.
   * @throws SallyportError `sealed-damaged` when a header, a key or a length does not fit; `store-suspect`, `internal`
   */
  async openReader(
    segments: readonly { readonly path: string; readonly fileKey: Buffer; readonly plainBytes: number }[],
  ): Promise<SealedReader> {
    const link = this.#leastLoaded();
    const reader = new WorkerReader(
      { link, aheadBytes: () => Math.min(readAheadBytes, Math.floor(allReadAheadBytes / Math.max(1, this.#users()))) },
      { plainBytes: segments.map(({ plainBytes }) => plainBytes) },
    );
    // Keys move to the worker instead of being copied by the message, so that no copy is left behind here.
    const moved: ReadSegment[] = segments.map((segment) => ({ ...segment, fileKey: new Uint8Array(segment.fileKey) }));
    const keys = moved.map(({ fileKey }) => fileKey.buffer as ArrayBuffer);
    try {
      await link.call({ op: 'open-reader', id: reader.id, segments: moved }, keys);
    } catch (error) {
      // Those that moved are the worker's to clear; a worker that is gone takes nothing.
      for (const key of keys) if (!key.detached) new Uint8Array(key).fill(0);
      await reader.close();
      throw error;
    }
    return reader;
  }

  /** Writes the plaintext to a new file (0600), made with the first segment or `finish`. */
  createOpener(args: { readonly path: string; readonly identity: string }): FileOpener {
    const { path, identity } = args;
    const feed = new FileFeed({ link: this.#leastLoaded(), limits: this.#limits }, { op: 'open', path, identity });
    return {
      beginSegment: (expected) => feed.post({ op: 'segment', id: feed.id, expected: { ...expected } }),
      write: (sealed) => feed.write(sealed),
      endSegment: async () => void (await feed.end('end-segment')),
      finish: async () => (await feed.finish()) as { size: number; sha256: string },
      destroy: () => feed.destroy(),
    };
  }

  /**
   * A small item whose sealed bytes are all here, opened with one message. As with a `FileOpener`, the folder is the caller's
   * to flush.
   * @param args.sealed All segments, one after the other. Copied at once.
   * @throws SallyportError as a `FileOpener` does; the file is gone then.
   */
  async openWhole(args: {
    readonly path: string;
    readonly identity: string;
    readonly segments: readonly (ExpectedSegment & { readonly sealedBytes: number })[];
    readonly sealed: Buffer;
  }): Promise<{ size: number; sha256: string }> {
    const { path, identity, segments } = args;
    const link = this.#leastLoaded();
    const block = new Uint8Array(args.sealed).buffer;
    const load = { block, length: args.sealed.length };
    const id = link.add({ onDone: () => {}, onFailure: () => {} });
    try {
      const opened = await link.call({ op: 'open-whole', id, path, identity, segments: segments.map(plain), load }, [block]);
      return opened as { size: number; sha256: string };
    } finally {
      link.remove(id);
    }
  }

  #users(): number {
    return this.#links.reduce((sum, link) => sum + (link?.users ?? 0), 0);
  }

  #leastLoaded(): WorkerLink {
    if (!this.#running) throw new SallyportError('internal', 'the sealing workers are not running');
    const links = this.#links.map((link, slot) => link ?? this.#spawn(slot));
    return links.reduce((best, link) => (link.users < best.users ? link : best));
  }

  #spawn(slot: number): WorkerLink {
    const link: WorkerLink = new WorkerLink({
      worker: this.#startWorker(),
      onLost: (error) => {
        // Replaced when next needed: a worker that cannot start must not be started in a loop.
        if (this.#links[slot] === link) this.#links[slot] = undefined;
        this.#options.onWorkerLost?.(error);
      },
    });
    this.#links[slot] = link;
    return link;
  }
}

/** Only what the worker needs of a description. */
const plain = (segment: ExpectedSegment & { readonly sealedBytes: number }): typeof segment => {
  const { headerSha256, plainBytes, sha256, sealedBytes } = segment;
  return { headerSha256, plainBytes, sha256, sealedBytes };
};

/** A message turns a Buffer into a plain Uint8Array. */
const ownHeader = (segment: SealedSegment): SealedSegment => ({ ...segment, header: Buffer.from(segment.header) });
