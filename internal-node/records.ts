/** The record store of the internal node: the operations of its rooms in one SQLite file. Loaded by the store's worker. */
import * as overview from './admin/overview-operations.ts';
import * as audit from './audit/audit-operations.ts';
import * as directory from './auth/directory-operations.ts';
import * as passwords from './auth/passwords/password-operations.ts';
import * as sessions from './auth/session-operations.ts';
import * as totp from './auth/totp/totp-operations.ts';
import * as ledger from './inbound/ledger-operations.ts';
import * as headers from './known-headers.ts';
import * as outgoing from './outbound/outgoing-operations.ts';
import * as policy from './policy/policy-operations.ts';

export const migrations: readonly string[] = [
  ...audit.migrations,
  ...sessions.migrations,
  ...policy.migrations,
  ...ledger.migrations,
  ...outgoing.migrations,
  ...ledger.companionMigrations,
  ...directory.migrations,
  ...totp.migrations,
  ...ledger.dispatchMigrations,
  ...directory.homeMigrations,
  ...passwords.migrations,
  ...directory.emailMigrations,
  ...sessions.hostKeyMigrations,
  ...sessions.credentialMigrations,
  ...passwords.standingMigrations,
  ...passwords.goneMigrations,
  ...headers.migrations,
  ...ledger.goneMigrations,
];

export const operations = {
  ...overview.operations,
  ...audit.operations,
  ...sessions.operations,
  ...directory.operations,
  ...totp.operations,
  ...passwords.operations,
  ...policy.operations,
  ...ledger.operations,
  ...outgoing.operations,
};
export type InternalOperations = typeof operations;
