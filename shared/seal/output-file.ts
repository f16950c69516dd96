/**
 * A new file that a worker thread appends to with large synchronous writes: only worker threads may use it.
 *
 * It never opens a file that exists and follows no link. A descriptor is open between `create` and the first of `flush`
 * or `close`, whatever happens in between. A flush that failed is never tried again.
 */
import {
  closeSync,
  constants,
  fdatasync as fdatasyncCallback,
  fsync as fsyncCallback,
  openSync,
  unlinkSync,
  writevSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { fileFailure } from './file-failure.ts';

const fdatasync = promisify(fdatasyncCallback);
const fsync = promisify(fsyncCallback);
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, O_RDONLY, O_DIRECTORY } = constants;

const earlyFlushBytes = 32 * 1024 * 1024;

export class OutputFile {
  readonly path: string;
  #fd: number | undefined;
  #created = false;
  #length = 0;
  #flushedLength = 0;
  #earlyFlush: Promise<unknown> | undefined;
  #earlyFailure: unknown;

  constructor(path: string) {
    this.path = path;
  }

  /** Bytes appended so far. */
  get length(): number {
    return this.#length;
  }

  /** Whether the file on disk is ours. */
  get created(): boolean {
    return this.#created;
  }

  /** @throws SallyportError `no-space`, `store-suspect`, `internal` (also when the name is taken) */
  create(): void {
    try {
      this.#fd = openSync(this.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      this.#created = true;
    } catch (error) {
      throw fileFailure(error, 'create', this.path);
    }
  }

  /** Appends all of `buffers`. @throws SallyportError `no-space`, `store-suspect`, `internal` */
  append(buffers: readonly Buffer[]): void {
    let rest = buffers.filter((buffer) => buffer.length > 0);
    this.#checkEarlyFlush();
    try {
      while (rest.length > 0) {
        const written = writevSync(this.#opened(), rest, this.#length);
        this.#length += written;
        rest = without(rest, written);
      }
      if (this.#length - this.#flushedLength >= earlyFlushBytes) this.#flushEarly();
    } catch (error) {
      throw fileFailure(error, 'write', this.path);
    }
  }

  /** Makes the bytes durable and closes. The wait is in the thread pool: other files of this worker go on meanwhile. */
  async flush(): Promise<void> {
    try {
      await this.#earlyFlush;
      this.#checkEarlyFlush();
      await fdatasync(this.#opened());
    } catch (error) {
      throw fileFailure(error, 'flush', this.path);
    } finally {
      this.#close();
    }
  }

  /** Idempotent; never throws. @param remove Unlinks the file when it is ours. */
  close(remove: boolean): void {
    this.#close();
    if (!remove || !this.#created) return;
    this.#created = false;
    try {
      unlinkSync(this.path);
    } catch {
      // gone already, or the disk is failing: what is left is an orphan that recovery at the next start removes
    }
  }

  /** Lets the disk begin while bytes still come, so that the last flush of a large file does not take minutes. */
  #flushEarly(): void {
    if (this.#earlyFlush) return;
    this.#flushedLength = this.#length;
    this.#earlyFlush = fdatasync(this.#opened())
      .catch((error: unknown) => {
        this.#earlyFailure = error;
      })
      .finally(() => {
        this.#earlyFlush = undefined;
      });
  }

  /** The kernel reports an error of writing back once only: a later flush that succeeds would hide it. */
  #checkEarlyFlush(): void {
    if (this.#earlyFailure !== undefined) throw fileFailure(this.#earlyFailure, 'flush', this.path);
  }

  #opened(): number {
    if (this.#fd === undefined) throw new Error('the file is closed');
    return this.#fd;
  }

  #close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    // A descriptor that the thread pool still works with must not be given to another file.
    if (this.#earlyFlush) void this.#earlyFlush.then(() => closeQuietly(fd));
    else closeQuietly(fd);
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // Linux has released the descriptor; what matters was said by the flush
  }
}

/** Makes entries of folders durable. Callers that wait for the same folder share one flush that begins after they asked. */
export class FolderFlusher {
  readonly #running = new Map<string, Promise<void>>();
  readonly #queued = new Map<string, Promise<void>>();

  /** @throws SallyportError `store-suspect`, `no-space` */
  flush(folder: string): Promise<void> {
    const queued = this.#queued.get(folder);
    if (queued) return queued;
    const before = this.#running.get(folder);
    const next = (before ? before.catch(() => {}) : Promise.resolve()).then(() => this.#run(folder));
    this.#queued.set(folder, next);
    return next;
  }

  #run(folder: string): Promise<void> {
    this.#queued.delete(folder);
    const run = flushFolder(folder).finally(() => {
      if (this.#running.get(folder) === run) this.#running.delete(folder);
    });
    this.#running.set(folder, run);
    return run;
  }
}

async function flushFolder(folder: string): Promise<void> {
  let fd: number | undefined;
  try {
    fd = openSync(folder, O_RDONLY | O_DIRECTORY);
    await fsync(fd);
  } catch (error) {
    throw fileFailure(error, 'flush', folder);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function without(buffers: readonly Buffer[], written: number): Buffer[] {
  let skip = written;
  const rest: Buffer[] = [];
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return rest;
}
