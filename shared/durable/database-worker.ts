/**
 * The worker thread behind `Database`: batches jobs, commits once per batch, and writes the audit trail.
 *
 * A failed write of the database is final: after an I/O error nothing more is accepted until a restart, because the
 * kernel may have dropped the pages that a second fsync would then call durable.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { asSallyportError, SallyportError } from '../errors.ts';
import { AuditTrail } from '../events/audit-trail.ts';
import type { EventRecord } from '../events/event.ts';
import { eventMigration, insertEvent, readEventsAfter } from '../events/event-store.ts';
import type { DatabaseOptions, Job, JobAnswer, JobFailure } from './database.ts';
import type { OperationsModule, Store } from './operations.ts';

type Answer = Extract<JobAnswer, { kind: 'answers' }>['answers'][number];
type Settings = Omit<DatabaseOptions, 'operations'> & { readonly operations: string };

const port = parentPort;
if (!port) throw new Error('database-worker must run as a worker thread');
const post = (answer: JobAnswer): void => port.postMessage(answer);
const refuse = (jobs: readonly Job[], failure: JobFailure): void =>
  post({ kind: 'answers', answers: jobs.map(({ id }) => ({ id, failure })) });
const failureOf = (error: unknown): JobFailure => {
  // A full disk refuses a commit for certain; after other failures nobody knows.
  const { code, message, fields } = asSallyportError(error, isFull(error) ? 'no-space' : 'database-failed');
  return { code, detail: message, fields };
};

const auditRetryMs = 5000;
/** The audit file follows the records after so long, in one write for many commits. A crash before that loses nothing. */
const auditDelayMs = 50;

class DatabaseWorker {
  readonly #db: DatabaseSync;
  readonly #store: Store;
  readonly #operations: Readonly<Record<string, (store: Store, args: never) => unknown>>;
  readonly #audit: AuditTrail;
  #queue: Job[] = [];
  #scheduled = false;
  #dead: JobFailure | undefined;
  #lastSeq = 0;
  /** The batch under way recorded events. */
  #emitted = false;
  /** The batch under way asked for it, instead of the usual delay. */
  #auditDue = false;
  #closing = false;
  #auditTimer: NodeJS.Timeout | undefined;
  /** Events are committed that could not be written to the audit trail; warned about once. */
  #auditBehind = false;

  constructor(settings: Settings, module: OperationsModule) {
    this.#db = openDatabase(settings.file, module.migrations);
    const statements = new Map<string, StatementSync>();
    const sql = (text: string): StatementSync => {
      const known = statements.get(text);
      if (known) return known;
      const made = this.#db.prepare(text);
      statements.set(text, made);
      return made;
    };
    const emit = (event: EventRecord): void => {
      insertEvent(sql, event);
      this.#emitted = true;
    };
    this.#store = { db: this.#db, sql, emit };
    this.#operations = {
      ...module.operations,
      'events.emit': (store: Store, events: readonly EventRecord[]) => {
        for (const event of events) store.emit(event);
      },
      'audit.flush': () => {
        this.#auditDue = true;
      },
    };
    this.#audit = new AuditTrail(settings.audit, (error) =>
      this.#distrust(`flushing the audit trail failed: ${failureOf(error).detail}`),
    );
    this.#lastSeq = this.#audit.open();
    raiseEventNumber(this.#db, this.#lastSeq);
    this.#writeAudit();
  }

  accept(jobs: readonly Job[]): void {
    this.#queue.push(...jobs);
    this.#schedule();
  }

  close(): void {
    this.#closing = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#commitBatch();
      if (this.#closing) this.#shut();
    });
  }

  #commitBatch(): void {
    const jobs = this.#queue;
    if (jobs.length === 0) return;
    this.#queue = [];
    if (this.#dead) {
      refuse(jobs, this.#dead);
      return;
    }
    let answers: readonly Answer[];
    this.#emitted = false;
    try {
      this.#do('BEGIN IMMEDIATE');
      answers = this.#runTogether(jobs) ?? jobs.map((job) => this.#runApart(job));
      this.#do('COMMIT');
    } catch (error) {
      const failure = failureOf(error);
      this.#rollBack();
      if (isIoError(error)) this.#distrust(`the record store failed: ${failure.detail}`);
      refuse(jobs, this.#dead ?? failure);
      return;
    }
    if (this.#auditDue) this.#writeAudit();
    this.#auditDue = false;
    post({ kind: 'answers', answers });
    if (this.#emitted) this.#auditTimer ??= setTimeout(() => this.#writeAudit(), auditDelayMs);
  }

  /** @returns undefined when a call failed: then nothing of any has happened yet, and each must be run apart. */
  #runTogether(jobs: readonly Job[]): Answer[] | undefined {
    try {
      return jobs.map((job) => ({ id: job.id, result: this.#operation(job)(this.#store, job.args as never) }));
    } catch (error) {
      if (isIoError(error)) throw error;
      this.#rollBack();
      this.#do('BEGIN IMMEDIATE');
      return undefined;
    }
  }

  /** A call that fails is undone alone. */
  #runApart(job: Job): Answer {
    this.#do('SAVEPOINT job');
    try {
      const result = this.#operation(job)(this.#store, job.args as never);
      this.#do('RELEASE job');
      return { id: job.id, result };
    } catch (error) {
      if (isIoError(error)) throw error;
      this.#do('ROLLBACK TO job');
      this.#do('RELEASE job');
      return { id: job.id, failure: failureOf(error) };
    }
  }

  #operation(job: Job): (store: Store, args: never) => unknown {
    const operation = this.#operations[job.name];
    if (!operation) throw new SallyportError('internal', `no operation ${job.name}`);
    return operation;
  }

  #do(statement: string): void {
    this.#store.sql(statement).run();
  }

  /** A flush that failed is final: the kernel may have dropped what a second one would call durable. */
  #distrust(detail: string): void {
    const next = 'check the disk of the state folder, then restart the node';
    this.#dead ??= { code: 'store-suspect', detail: `${detail}; ${next}`, fields: {} };
  }

  #rollBack(): void {
    try {
      this.#do('ROLLBACK');
    } catch {
      // SQLite has already rolled back by itself
    }
  }

  /** Copies every event that is committed but not yet in the audit file. The records are the truth, the file follows. */
  #writeAudit(): void {
    clearTimeout(this.#auditTimer);
    this.#auditTimer = undefined;
    const before = this.#lastSeq;
    try {
      for (;;) {
        const events = readEventsAfter(this.#store.sql, this.#lastSeq, 500);
        if (events.length === 0) break;
        this.#lastSeq = this.#audit.append(events);
        this.#auditBehind = false;
      }
    } catch (error) {
      // A full disk must not stop the hand-over that frees it: the rows wait and are written when there is room.
      if (!this.#auditBehind) process.emitWarning(`audit trail not written: ${failureOf(error).detail}`);
      this.#auditBehind = true;
      this.#auditTimer = setTimeout(() => this.#writeAudit(), auditRetryMs);
    }
    if (this.#lastSeq > before) post({ kind: 'events', lastSeq: this.#lastSeq });
  }

  #shut(): void {
    this.#writeAudit();
    clearTimeout(this.#auditTimer);
    this.#audit.close();
    this.#db.close();
    post({ kind: 'closed' });
    port?.close();
  }
}

/**
 * A record store that is younger than its audit trail (restored or begun anew) goes on behind the trail's last number: a
 * number is never given twice, and no event is taken for one that was written already.
 */
function raiseEventNumber(db: DatabaseSync, least: number): void {
  const row = db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get() as { seq: number } | undefined;
  if ((row?.seq ?? 0) >= least) return;
  if (row === undefined) db.prepare("INSERT INTO sqlite_sequence(name, seq) VALUES ('events', ?)").run(least);
  else db.prepare("UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'").run(least);
}

function openDatabase(file: string, migrations: readonly string[]): DatabaseSync {
  // Made before SQLite opens it, which would follow the umask; the files beside it take over its mode.
  closeSync(openSync(file, 'a', 0o600));
  const db = new DatabaseSync(file, { timeout: 0 });
  try {
    // Exclusive: a second process on the same state folder fails here instead of corrupting anything later.
    db.exec('PRAGMA locking_mode=EXCLUSIVE');
    db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=4000');
    migrate(db, file, [eventMigration, ...migrations]);
    return db;
  } catch (cause) {
    db.close();
    if (isBusy(cause)) throw new SallyportError('already-running', `${file} is in use by another process`, {}, { cause });
    throw cause;
  }
}

function migrate(db: DatabaseSync, file: string, all: readonly string[]): void {
  const row = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (row.user_version > all.length) {
    throw new SallyportError('database-failed', `${file} was written by a newer version (${row.user_version} > ${all.length})`);
  }
  for (let version = row.user_version; version < all.length; version += 1) {
    db.exec(`BEGIN IMMEDIATE; ${all[version]}; PRAGMA user_version=${version + 1}; COMMIT`);
  }
}

const sqliteCode = (error: unknown): number => (error as { errcode?: number } | undefined)?.errcode ?? 0;
/** SQLITE_IOERR (10), SQLITE_CORRUPT (11), SQLITE_NOTADB (26); the low byte is the primary code. */
const isIoError = (error: unknown): boolean => [10, 11, 26].includes(sqliteCode(error) & 0xff);
/** SQLITE_FULL. */
const isFull = (error: unknown): boolean => (sqliteCode(error) & 0xff) === 13;
const isBusy = (error: unknown): boolean => [5, 6].includes(sqliteCode(error) & 0xff);

try {
  const settings = workerData as Settings;
  const worker = new DatabaseWorker(settings, (await import(settings.operations)) as OperationsModule);
  port.on('message', (message: readonly Job[] | 'close') => (message === 'close' ? worker.close() : worker.accept(message)));
  post({ kind: 'ready' });
} catch (error) {
  post({ kind: 'fatal', failure: failureOf(error) });
  port.close();
}
