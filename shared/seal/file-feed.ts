/**
 * Feeds bytes to one file that a sealing worker writes: copies them once into blocks that move to the worker, counts what
 * is under way, and holds the caller back above the high-water mark. The first failure is final.
 */
import { unlink } from 'node:fs/promises';
import { SallyportError } from '../errors.ts';
import { blockBytes, type LinkUser, type WorkerLink } from './worker-link.ts';
import type { Load, ToWorker, Unnumbered } from './worker-messages.ts';

/** Limits that depend on how many users share the memory. */
export interface FeedLimits {
  /** Bytes under way for one file above which its caller waits. */
  highWaterBytes(): number;
  /** Largest block of one file. */
  maxBlockBytes(): number;
}

/** Blocks grow with the file, so that a small or slow one never holds a large block. */
const firstBlocks = [16 * 1024, 64 * 1024] as const;

type BeginMessage = Extract<ToWorker, { op: 'seal' | 'open' }>;
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
/** The message that makes the file, without the number that the link gives. */
export type Begin = WithoutId<BeginMessage>;
type EndMessage = Extract<ToWorker, { op: 'finish' | 'end-segment' }>;

export interface FileFeedDeps {
  readonly link: WorkerLink;
  readonly limits: FeedLimits;
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: SallyportError) => void;
}

type State = 'fresh' | 'open' | 'finishing' | 'finished' | 'destroyed';

export class FileFeed implements LinkUser {
  readonly #link: WorkerLink;
  readonly #limits: FeedLimits;
  readonly #begin: Begin;
  readonly #id: number;
  #state: State = 'fresh';
  #block: Buffer<ArrayBuffer> | undefined;
  #filled = 0;
  #blocksPosted = 0;
  #underWay = 0;
  #waiting: Waiting[] = [];
  #failure: SallyportError | undefined;
  #lost = false;
  #created = false;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(deps: FileFeedDeps, begin: Begin) {
    this.#link = deps.link;
    this.#limits = deps.limits;
    this.#begin = begin;
    this.#id = deps.link.add(this);
  }

  /** Copies `bytes` before it returns. Resolves when the caller may send more. */
  write(bytes: Buffer): Promise<void> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    this.#start();
    let at = 0;
    while (at < bytes.length) {
      this.#block ??= Buffer.from(this.#link.takeBlock(this.#nextBlockBytes(bytes.length - at)));
      const copied = bytes.copy(this.#block, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === this.#block.length) this.#postBlock();
    }
    if (this.#underWay < this.#limits.highWaterBytes()) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Sends a message of the file's own, behind all bytes so far. Failures show in the next call. */
  post(message: ToWorker): void {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    this.#start();
    const load = this.#takeLoad();
    if (load) this.#postLoad(load);
    this.#link.post(message);
  }

  /** The number that messages given to `post` carry. */
  get id(): number {
    return this.#id;
  }

  /** Sends what is left of the bytes with a call that ends a part of the file. */
  end(op: 'end-segment'): Promise<unknown> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    this.#start();
    return this.#callWithRest({ op, id: this.#id });
  }

  /** Completes the file. After this only `destroy` does anything. */
  finish(): Promise<unknown> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    this.#start();
    this.#state = 'finishing';
    const ended = this.#callWithRest({ op: 'finish', id: this.#id }).then((result) => {
      if (this.#state === 'finishing') this.#state = 'finished';
      this.#link.remove(this.#id);
      return result;
    });
    this.#ended = ended.catch(() => {});
    return ended;
  }

  /** Closes and unlinks; does nothing once `finish` has resolved. Idempotent; never rejects. */
  async destroy(): Promise<void> {
    if (this.#state === 'finished' || this.#state === 'destroyed') return;
    const before = this.#state;
    this.#state = 'destroyed';
    this.#block = undefined;
    this.#fail(new SallyportError('internal', 'the file was destroyed', { path: this.#begin.path }));
    if (before === 'fresh') return this.#link.remove(this.#id);
    // A flush cannot be called back: the file goes away behind it.
    const completed = await this.#ended.then((result) => result !== undefined);
    if (!this.#lost && !completed) {
      await this.#link.call({ op: 'close', id: this.#id, remove: true }).catch(() => {
        this.#lost = true;
      });
    }
    if (completed || (this.#lost && this.#created)) await unlink(this.#begin.path).catch(() => {});
    this.#link.remove(this.#id);
  }

  onDone(bytes: number): void {
    if (!this.#failure) this.#created = true;
    this.#underWay -= bytes;
    if (this.#underWay >= this.#limits.highWaterBytes()) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve();
  }

  onFailure(error: SallyportError, created: boolean | undefined): void {
    if (created === undefined) this.#lost = true;
    else this.#created = created;
    this.#fail(error);
  }

  #fail(error: SallyportError): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { reject } of waiting) reject(this.#failure);
  }

  #refusal(): SallyportError | undefined {
    if (this.#failure) return this.#failure;
    if (this.#state === 'fresh' || this.#state === 'open') return undefined;
    return new SallyportError('internal', 'the file is already complete', { path: this.#begin.path });
  }

  #start(): void {
    if (this.#state !== 'fresh') return;
    this.#state = 'open';
    this.#link.post({ ...this.#begin, id: this.#id } as BeginMessage);
  }

  #nextBlockBytes(wanted: number): number {
    const size = firstBlocks.find((bytes, stage) => stage >= this.#blocksPosted && bytes >= wanted);
    return Math.min(size ?? blockBytes, this.#limits.maxBlockBytes());
  }

  #postBlock(): void {
    const load = this.#takeLoad();
    if (load) this.#postLoad(load);
  }

  #postLoad(load: Load): void {
    this.#underWay += load.length;
    this.#blocksPosted += 1;
    this.#link.post({ op: 'bytes', id: this.#id, load }, [load.block]);
  }

  #takeLoad(): Load | undefined {
    if (!this.#block) return undefined;
    const load = { block: this.#block.buffer, length: this.#filled };
    this.#block = undefined;
    this.#filled = 0;
    return load;
  }

  #callWithRest(message: Omit<Unnumbered<EndMessage>, 'load'>): Promise<unknown> {
    const load = this.#takeLoad();
    return this.#link.call<EndMessage>({ ...message, load } as Unnumbered<EndMessage>, load ? [load.block] : []);
  }
}
