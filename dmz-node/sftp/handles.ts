/**
 * The open files and folders of one SFTP channel. A handle is four bytes that mean nothing outside their channel; numbers are
 * not used twice, so a handle that was closed stays unknown.
 */
import { SallyportError } from '../../shared/errors.ts';
import type { FolderHandle, ReadHandle, VirtualPath, WriteHandle } from '../partner-view.ts';

export interface OpenFolder {
  readonly kind: 'folder';
  readonly path: VirtualPath;
  readonly handle: FolderHandle;
  /** The last READDIR; the next one waits for it. */
  tail: Promise<unknown>;
}

export interface OpenRead {
  readonly kind: 'read';
  readonly path: VirtualPath;
  readonly handle: ReadHandle;
  readonly answers: Answers;
  /** The client has asked beyond the last byte and was told that this is the end. */
  toldEnd: boolean;
}

export interface OpenWrite {
  readonly kind: 'write';
  readonly path: VirtualPath;
  readonly handle: WriteHandle;
  readonly answers: Answers;
  /** A change of size or time that later writes and the close wait for. */
  barrier: Promise<unknown> | undefined;
  /** The first write that failed: the upload can no longer be completed. */
  failed: SallyportError | undefined;
}

export type OpenHandle = OpenFolder | OpenRead | OpenWrite;

/**
 * Reads or writes of one handle: they run at the same time, and are answered in the order in which they came. The protocol
 * leaves the order open, but OpenSSH's `scp` (9.0 and later) takes an answer out of order for a gap and cuts the file there.
 */
export class Answers {
  #last: Promise<void> = Promise.resolve();

  give<T>(work: Promise<T>): Promise<T> {
    const answer = this.#last.then(() => work);
    this.#last = answer.then(ignore, ignore);
    work.catch(ignore); // whoever waits for the answer hears of it
    return answer;
  }

  /** Resolves when everything that came so far is answered. */
  given(): Promise<void> {
    return this.#last;
  }
}

const ignore = (): void => undefined;

/** Handles of one connection, whatever its channels: they share one limit. */
export interface HandleBudget {
  used: number;
  readonly max: number;
}

export class HandleTable {
  readonly #open = new Map<number, OpenHandle>();
  readonly #budget: HandleBudget;
  #last = 0;

  constructor(budget: HandleBudget) {
    this.#budget = budget;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Takes a place before anything is opened.
   * @throws SallyportError `limit-reached`
   */
  reserve(): void {
    if (this.#budget.used >= this.#budget.max) {
      throw new SallyportError('limit-reached', 'the session has too many open handles', { max: this.#budget.max });
    }
    this.#budget.used++;
  }

  /** Gives a reserved place back. */
  unreserve(): void {
    this.#budget.used--;
  }

  /** Fills a reserved place. @returns the handle as the client will name it. */
  add(handle: OpenHandle): Buffer {
    this.#last = (this.#last + 1) >>> 0;
    this.#open.set(this.#last, handle);
    const name = Buffer.allocUnsafe(4);
    name.writeUInt32BE(this.#last, 0);
    return name;
  }

  /** @throws SallyportError `no-such-handle` when nothing of this name is open. */
  find(name: Buffer): OpenHandle {
    const found = name.length === 4 ? this.#open.get(name.readUInt32BE(0)) : undefined;
    if (!found) throw new SallyportError('no-such-handle', 'the client named a handle that is not open');
    return found;
  }

  take(name: Buffer): OpenHandle {
    const found = this.find(name);
    this.#open.delete(name.readUInt32BE(0));
    this.#budget.used--;
    return found;
  }

  takeAll(): OpenHandle[] {
    const all = [...this.#open.values()];
    this.#open.clear();
    this.#budget.used -= all.length;
    return all;
  }
}
