/**
 * The main thread's end of one sealing worker: numbers users and calls, routes answers, keeps blocks for reuse. When the
 * thread ends, for whatever reason, every user and every call of it fails.
 */
import type { Worker } from 'node:worker_threads';
import { SallyportError } from '../errors.ts';
import { freeNow } from '../memory.ts';
import { fromFailure } from './file-failure.ts';
import type { FromWorker, ToWorker, Unnumbered } from './worker-messages.ts';

/** Bytes of a full-size block: four chunks. */
export const blockBytes = 256 * 1024;
const maxSpareBlocks = 16;

export interface LinkUser {
  /** `bytes` of what was posted are worked off. */
  onDone(bytes: number): void;
  /** @param created The worker has said that the user's file exists and is its own; undefined: it said nothing. */
  onFailure(error: SallyportError, created: boolean | undefined): void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: SallyportError) => void;
}

export class WorkerLink {
  readonly #worker: Worker;
  readonly #onLost: (error: SallyportError) => void;
  readonly #users = new Map<number, LinkUser>();
  readonly #calls = new Map<number, Waiting>();
  readonly #spare: ArrayBuffer[] = [];
  readonly #ready = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<void>();
  #next = 1;
  #lost: SallyportError | undefined;
  #stopping = false;

  /** @param deps.onLost Called once when the thread ends without `stop`. */
  constructor(deps: { readonly worker: Worker; readonly onLost: (error: SallyportError) => void }) {
    this.#worker = deps.worker;
    this.#onLost = deps.onLost;
    this.#ready.promise.catch(() => {}); // who waits for it hears of it; a lost worker is reported by onLost
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (cause: unknown) => this.#lose(cause));
    this.#worker.on('exit', () => {
      this.#lose(undefined);
      this.#exited.resolve();
    });
  }

  /** Users that are bound to this worker. */
  get users(): number {
    return this.#users.size;
  }

  /** @throws SallyportError `internal` when the thread ends before it is ready */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  add(user: LinkUser): number {
    const id = this.#next++;
    this.#users.set(id, user);
    return id;
  }

  /** Forgets a user whose worker side is closed or finished. */
  remove(id: number): void {
    this.#users.delete(id);
  }

  post(message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
    if (!this.#lost && !this.#stopping) this.#worker.postMessage(message, transfer);
  }

  /** @throws SallyportError what the worker refused with; `internal` when it is lost */
  call<T extends ToWorker>(message: Unnumbered<T>, transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#lost || this.#stopping) return Promise.reject(this.#lost ?? stopped());
    const call = this.#next++;
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.#worker.postMessage({ ...message, call }, transfer);
    });
  }

  /** Memory to fill and give away with a message. */
  takeBlock(size: number): ArrayBuffer {
    const spare = size === blockBytes ? this.#spare.pop() : undefined;
    return spare ?? Buffer.allocUnsafeSlow(size).buffer;
  }

  /** Lets flushes under way end, then ends the thread. What its users still wait for fails. Idempotent. */
  async stop(): Promise<void> {
    if (!this.#stopping) this.post({ op: 'stop' });
    this.#stopping = true;
    await this.#exited.promise;
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.#ready.resolve();
        return;
      case 'done':
        if (message.block.byteLength === blockBytes && this.#spare.length < maxSpareBlocks) this.#spare.push(message.block);
        else freeNow(Buffer.from(message.block));
        this.#users.get(message.id)?.onDone(message.length);
        return;
      case 'failed':
        this.#users.get(message.id)?.onFailure(fromFailure(message.failure), message.created);
        return;
      case 'result':
        this.#takeCall(message.call)?.resolve(message.value);
        return;
      case 'refused':
        this.#takeCall(message.call)?.reject(fromFailure(message.failure));
        return;
    }
  }

  #takeCall(call: number): Waiting | undefined {
    const waiting = this.#calls.get(call);
    this.#calls.delete(call);
    return waiting;
  }

  #lose(cause: unknown): void {
    if (this.#lost) return;
    const crashed = (): SallyportError => new SallyportError('internal', 'a sealing worker ended unexpectedly', {}, { cause });
    const error = this.#stopping ? stopped() : crashed();
    this.#lost = error;
    this.#ready.reject(error);
    for (const waiting of this.#calls.values()) waiting.reject(error);
    this.#calls.clear();
    for (const user of [...this.#users.values()]) user.onFailure(error, undefined);
    this.#users.clear();
    this.#spare.length = 0;
    if (!this.#stopping) this.#onLost(error);
  }
}

const stopped = (): SallyportError => new SallyportError('internal', 'the sealing workers are stopped');
