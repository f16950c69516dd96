/**
 * What an operations module looks like. A node keeps its durable records in one SQLite file that a worker thread owns; the
 * module lists the migrations and the named operations, each a plain synchronous function inside one transaction.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { EventRecord } from '../events/event.ts';

export interface Store {
  readonly db: DatabaseSync;
  /** A prepared statement, made once per text. */
  sql(text: string): StatementSync;
  /** Records an event in the same transaction: it is in the audit trail if and only if the change is in the records. */
  emit(event: EventRecord): void;
}

/** `never` for the arguments lets every function type fit; the client recovers the real types with `Parameters`. */
export type OperationTable = Readonly<Record<string, (store: Store, args: never) => unknown>>;

export interface OperationsModule {
  /** SQL scripts; entry n brings a file from `user_version` n to n + 1. Never edited once released, only appended to. */
  readonly migrations: readonly string[];
  readonly operations: OperationTable;
}
