/**
 * The durable records of passwords that partners set themselves, and of invitations to do so. A password here stands in place of
 * that of the configuration as long as the configuration's stays what it was: whatever staff writes there later counts again.
 */
import type { Store } from '../../../shared/durable/operations.ts';
import { event } from '../../../shared/events/event.ts';

export const migrations: readonly string[] = [
  `CREATE TABLE auth_password (
     partner TEXT PRIMARY KEY,
     hash TEXT NOT NULL,
     instead_of TEXT NOT NULL,
     former TEXT NOT NULL,
     since_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE auth_invitation (
     partner TEXT PRIMARY KEY,
     digest TEXT NOT NULL,
     expires_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
];

export const standingMigrations: readonly string[] = ["ALTER TABLE auth_password ADD COLUMN standing TEXT NOT NULL DEFAULT ''"];

export const goneMigrations: readonly string[] = [
  `ALTER TABLE auth_password ADD COLUMN gone_ms INTEGER;
   ALTER TABLE auth_invitation ADD COLUMN gone_ms INTEGER`,
];

export interface KeptPassword {
  readonly partner: string;
  /** PHC string. */
  readonly hash: string;
  /** Digest of the configuration's hash that it stands in place of; empty for none. */
  readonly insteadOf: string;
  /** PHC strings, the latest first. */
  readonly former: readonly string[];
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
  /** Names the password, also when it is hashed anew. */
  readonly standing: string;
}

export interface Invitation {
  readonly partner: string;
  /** SHA-256 of the code, in hex: 100 random bits need no slow hash. */
  readonly digest: string;
  readonly expiresMs: number;
}

interface PasswordRow {
  readonly partner: string;
  readonly hash: string;
  readonly instead_of: string;
  readonly former: string;
  readonly since_ms: number;
  readonly standing: string;
}

const changed = (result: { readonly changes: number | bigint }): boolean => Number(result.changes) > 0;

function keep(store: Store, { partner, hash, insteadOf, former, sinceMs, standing }: KeptPassword): void {
  store
    .sql(
      `INSERT OR REPLACE INTO auth_password(partner, hash, instead_of, former, since_ms, standing)
       VALUES (?, ?, ?, ?, ?, ?)`,
    )
    .run(partner, hash, insteadOf, JSON.stringify(former), sinceMs, standing);
}

/** @returns whose were forgotten: the configuration did not have them for as long as that. */
function keepOnly(
  store: Store,
  { partners, nowMs, forgetMs }: { readonly partners: readonly string[]; readonly nowMs: number; readonly forgetMs: number },
): readonly string[] {
  const known = JSON.stringify(partners);
  const forgotten = (['auth_password', 'auth_invitation'] as const).flatMap((table) => {
    // First those who come back too late: whoever has the name now may be somebody else.
    const gone = store.sql(`DELETE FROM ${table} WHERE gone_ms <= ? RETURNING partner`).all(nowMs - forgetMs);
    store.sql(`UPDATE ${table} SET gone_ms = NULL WHERE partner IN (SELECT value FROM json_each(?))`).run(known);
    store
      .sql(`UPDATE ${table} SET gone_ms = ? WHERE gone_ms IS NULL AND partner NOT IN (SELECT value FROM json_each(?))`)
      .run(nowMs, known);
    return (gone as unknown as readonly { readonly partner: string }[]).map(({ partner }) => partner);
  });
  return [...new Set(forgotten)];
}

export const operations = {
  'password.keepOnly': keepOnly,
  'password.all': (
    store: Store,
  ): { readonly passwords: readonly KeptPassword[]; readonly invitations: readonly Invitation[] } => ({
    passwords: (store.sql('SELECT * FROM auth_password').all() as unknown as PasswordRow[]).map(
      ({ partner, hash, instead_of: insteadOf, former, since_ms: sinceMs, standing }) => ({
        ...{ partner, hash, insteadOf, sinceMs, standing },
        former: JSON.parse(former) as string[],
      }),
    ),
    invitations: store
      .sql('SELECT partner, digest, expires_ms AS expiresMs FROM auth_invitation')
      .all() as unknown as Invitation[],
  }),
  /** The same password, better hashed. */
  'password.rehash': (store: Store, { kept, nowMs }: { readonly kept: KeptPassword; readonly nowMs: number }): void => {
    keep(store, kept);
    store.emit(event('password.rehashed', nowMs, { partner: kept.partner }, {}));
  },
  /**
   * A partner has another password. The invitation that he used is void, and so is any other of his.
   * @param invited Digest of the invitation it was set with, if it was.
   * @returns false when that one is not good any more.
   */
  'password.set': (
    store: Store,
    { kept, invited, nowMs }: { readonly kept: KeptPassword; readonly invited?: string; readonly nowMs: number },
  ): boolean => {
    const { partner } = kept;
    if (invited !== undefined) {
      const used = store.sql('DELETE FROM auth_invitation WHERE partner = ? AND digest = ? AND expires_ms > ?');
      if (!changed(used.run(partner, invited, nowMs))) return false;
    }
    store.sql('DELETE FROM auth_invitation WHERE partner = ?').run(partner);
    keep(store, kept);
    store.emit(event('password.changed', nowMs, { partner }, { with: invited === undefined ? 'the old one' : 'an invitation' }));
    return true;
  },
  'invitation.make': (store: Store, { partner, digest, expiresMs, nowMs }: Invitation & { readonly nowMs: number }): void => {
    store
      .sql('INSERT OR REPLACE INTO auth_invitation(partner, digest, expires_ms) VALUES (?, ?, ?)')
      .run(partner, digest, expiresMs);
    store.emit(event('password.invited', nowMs, { partner }, { expiresAtMs: expiresMs }));
  },
  /** @returns whether there was one. */
  'invitation.withdraw': (store: Store, { partner, nowMs }: { readonly partner: string; readonly nowMs: number }): boolean => {
    const gone = changed(store.sql('DELETE FROM auth_invitation WHERE partner = ?').run(partner));
    if (gone) store.emit(event('password.uninvited', nowMs, { partner }, {}));
    return gone;
  },
};
export type PasswordOperations = typeof operations;
