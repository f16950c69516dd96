/**
 * A SQLite file owned by a worker thread, with group commit: all calls that arrive while one commit is on its way to the
 * disk share the next one. The event loop never waits for a disk, and a call resolves only after its commit is durable
 * (WAL, `synchronous=FULL`). A call that throws is rolled back alone; the others of its batch stand.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, type ErrorFields, SallyportError } from '../errors.ts';
import type { EventRecord } from '../events/event.ts';
import type { OperationTable } from './operations.ts';

export interface DatabaseOptions {
  /** Path of the SQLite file; its folder must exist. */
  readonly file: string;
  /** URL of a module of the shape `OperationsModule`. */
  readonly operations: URL;
  /** Folder of the audit files and the node's name in each line. */
  readonly audit: { readonly folder: string; readonly node: string };
}

export interface Job {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}

export interface JobFailure {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields: ErrorFields;
}

export type JobAnswer =
  | { readonly kind: 'answers'; readonly answers: readonly { id: number; result?: unknown; failure?: JobFailure }[] }
  | { readonly kind: 'ready' }
  | { readonly kind: 'fatal'; readonly failure: JobFailure }
  | { readonly kind: 'events'; readonly lastSeq: number }
  | { readonly kind: 'closed' };

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Operations that every database has. */
interface BuiltIn {
  'events.emit': (events: readonly EventRecord[]) => void;
  'audit.flush': (none: null) => void;
}

/** The part of a record store that one room works with: its own operations. */
export interface Records<T extends OperationTable> {
  /** Runs one operation in a transaction. Resolves after the commit is on disk. */
  call<K extends keyof T & string>(name: K, args: Parameters<T[K]>[1]): Promise<ReturnType<T[K]>>;
}

/** Where a room records events that belong to no change of records. */
export interface EventSink {
  emit(events: readonly EventRecord[]): Promise<void>;
}

export class Database<T extends OperationTable> implements Records<T>, EventSink {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  /** Calls of the present turn of the event loop: they go to the worker in one message. */
  #unsent: Job[] = [];
  #failure: SallyportError | undefined;
  #onEvents: ((lastSeq: number) => void) | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /**
   * Opens or creates the file, runs the migrations and completes the audit trail from the records.
   * @throws SallyportError `database-failed`, or `already-running` when another process holds the file.
   */
  static async open<T extends OperationTable>(options: DatabaseOptions): Promise<Database<T>> {
    const worker = new Worker(new URL('./database-worker.ts', import.meta.url), {
      name: 'records',
      workerData: { ...options, operations: options.operations.href },
    });
    const database = new Database<T>(worker);
    await new Promise<void>((resolve, reject) => {
      worker.on('message', (answer: JobAnswer) => {
        if (answer.kind === 'ready') resolve();
        else if (answer.kind === 'fatal') reject(toError(answer.failure));
        else database.#settle(answer);
      });
      worker.on('error', (cause: unknown) => {
        const error = new SallyportError('database-failed', 'the worker of the record store died', {}, { cause });
        reject(error);
        database.#fail(error);
      });
      worker.on('exit', () => database.#fail(new SallyportError('database-failed', 'the record store is closed')));
    });
    return database;
  }

  /**
   * Runs one operation in a transaction. Resolves after the commit is on disk.
   * @throws SallyportError what the operation threw, or `database-failed`.
   */
  call<K extends keyof T & string>(name: K, args: Parameters<T[K]>[1]): Promise<ReturnType<T[K]>> {
    return this.#post(name, args) as Promise<ReturnType<T[K]>>;
  }

  /** The same store, seen by a room that knows only operations `S`. */
  room<S extends OperationTable>(this: T extends S ? Database<T> : never): Records<S> {
    return this as unknown as Records<S>;
  }

  /** Records events that belong to no change of records. Resolves when they are durable; callers need not wait. */
  emit(events: Parameters<BuiltIn['events.emit']>[0]): Promise<void> {
    return this.#post('events.emit', events) as Promise<void>;
  }

  /** Resolves when the audit trail holds every event recorded so far; it follows the records with a short delay. */
  auditWritten(): Promise<void> {
    return this.#post('audit.flush', null) as Promise<void>;
  }

  /** Called with the newest event number soon after events were recorded. One listener. */
  onEvents(listener: (lastSeq: number) => void): void {
    this.#onEvents = listener;
  }

  /** Lets the calls under way commit, then closes the file. Idempotent. */
  async close(): Promise<void> {
    if (this.#failure) return;
    const done = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    this.#send();
    this.#worker.postMessage('close');
    await done;
  }

  #post(name: string, args: unknown): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#unsent.push({ id, name, args });
      if (this.#unsent.length === 1) process.nextTick(() => this.#send());
    });
  }

  #send(): void {
    const jobs = this.#unsent;
    this.#unsent = [];
    if (jobs.length === 0 || this.#failure) return;
    try {
      this.#worker.postMessage(jobs);
    } catch (cause) {
      const error = new SallyportError('internal', 'arguments that cannot be sent to the record store', {}, { cause });
      for (const { id } of jobs) this.#take(id)?.reject(error);
    }
  }

  #settle(answer: JobAnswer): void {
    if (answer.kind === 'events') this.#onEvents?.(answer.lastSeq);
    if (answer.kind !== 'answers') return;
    for (const { id, result, failure } of answer.answers) {
      const waiting = this.#take(id);
      if (failure) waiting?.reject(toError(failure));
      else waiting?.resolve(result);
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #fail(error: SallyportError): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}

const toError = (failure: JobFailure): SallyportError => new SallyportError(failure.code, failure.detail, failure.fields);
