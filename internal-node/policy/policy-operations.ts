/** The durable number of the policy: it only rises, over restarts and changes of configuration. */
import type { Store } from '../../shared/durable/operations.ts';

export const migrations: readonly string[] = [
  `CREATE TABLE policy_issued (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     number INTEGER NOT NULL,
     contents TEXT NOT NULL,
     issued_ms INTEGER NOT NULL,
     expires_ms INTEGER NOT NULL
   ) STRICT;
   INSERT INTO policy_issued VALUES (1, 0, '', 0, 0)`,
];

export interface Issue {
  readonly number: number;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export interface IssueArgs {
  /** SHA-256 of everything in the bundle but its number and times. */
  readonly contents: string;
  readonly nowMs: number;
  readonly validMs: number;
  /** The number must be above this one. */
  readonly above: number;
}

/** The number and times for these contents: the same as before while they are young and unchanged, else the next. */
function issue(store: Store, { contents, nowMs, validMs, above }: IssueArgs): Issue {
  const last = store
    .sql('SELECT number, contents, issued_ms AS issuedAtMs, expires_ms AS expiresAtMs FROM policy_issued')
    .get() as unknown as Issue & { readonly contents: string };
  const young = nowMs >= last.issuedAtMs && nowMs < last.issuedAtMs + validMs / 2 && nowMs < last.expiresAtMs;
  if (last.contents === contents && young && last.number > above) {
    return { number: last.number, issuedAtMs: last.issuedAtMs, expiresAtMs: last.expiresAtMs };
  }
  const next: Issue = { number: Math.max(last.number, above) + 1, issuedAtMs: nowMs, expiresAtMs: nowMs + validMs };
  store
    .sql('UPDATE policy_issued SET number = ?, contents = ?, issued_ms = ?, expires_ms = ?')
    .run(next.number, contents, next.issuedAtMs, next.expiresAtMs);
  return next;
}

export const operations = { 'policy.issue': issue };
export type PolicyOperations = typeof operations;
