/** The durable record of which entry of which directory has which partner's name. */
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';

export const migrations: readonly string[] = [
  `CREATE TABLE auth_directory_users (
     partner TEXT PRIMARY KEY,
     directory TEXT NOT NULL,
     entry TEXT NOT NULL,
     groups TEXT NOT NULL,
     seen_ms INTEGER NOT NULL,
     UNIQUE (directory, entry)
   ) STRICT, WITHOUT ROWID`,
];
/** Later ones: they follow those of other rooms. */
export const homeMigrations: readonly string[] = ['ALTER TABLE auth_directory_users ADD COLUMN home TEXT'];

export const emailMigrations: readonly string[] = ['ALTER TABLE auth_directory_users ADD COLUMN email TEXT'];

/** A user of a directory who has logged in. */
export interface DirectoryUser {
  readonly partner: string;
  readonly directory: string;
  /** Names the entry for as long as it exists. */
  readonly entry: string;
  readonly groups: readonly string[];
  /** Below a destination. */
  readonly home?: string;
  readonly email?: string;
}

interface Row {
  readonly partner: string;
  readonly directory: string;
  readonly entry: string;
  readonly groups: string;
  readonly home: string | null;
  readonly email: string | null;
}

const select = 'SELECT partner, directory, entry, groups, home, email FROM auth_directory_users';

function ownerOf(store: Store, partner: string): Row | undefined {
  return store.sql(`${select} WHERE partner = ?`).get(partner) as Row | undefined;
}

/** @returns false when the name is another entry's. An entry that was renamed gives its old name free. */
function claim(store: Store, { nowMs, ...user }: DirectoryUser & { readonly nowMs: number }): boolean {
  const { partner, directory, entry } = user;
  const owner = ownerOf(store, partner);
  if (owner && (owner.directory !== directory || owner.entry !== entry)) return false;
  const groups = JSON.stringify(user.groups);
  store.sql('DELETE FROM auth_directory_users WHERE directory = ? AND entry = ? AND partner <> ?').run(directory, entry, partner);
  store
    .sql(
      `INSERT INTO auth_directory_users(partner, directory, entry, groups, home, email, seen_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (partner) DO UPDATE
       SET groups = excluded.groups, home = excluded.home, email = excluded.email, seen_ms = excluded.seen_ms`,
    )
    .run(partner, directory, entry, groups, user.home ?? null, user.email ?? null, nowMs);
  if (!owner) store.emit(event('partner.adopted', nowMs, { partner }, { directory, entry }));
  return true;
}

export const operations = {
  'directory.claim': claim,
  'directory.owns': (store: Store, { partner, directory, entry }: Omit<DirectoryUser, 'groups'>): boolean => {
    const owner = ownerOf(store, partner);
    return !owner || (owner.directory === directory && owner.entry === entry);
  },
  'directory.all': (store: Store): readonly DirectoryUser[] =>
    (store.sql(`${select} ORDER BY partner`).all() as unknown as readonly Row[]).map(({ home, email, groups, ...row }) => ({
      ...row,
      groups: JSON.parse(groups) as readonly string[],
      ...(home === null ? {} : { home }),
      ...(email === null ? {} : { email }),
    })),
  'directory.forget': (store: Store, { partner, nowMs }: { readonly partner: string; readonly nowMs: number }): boolean => {
    const forgotten = Number(store.sql('DELETE FROM auth_directory_users WHERE partner = ?').run(partner).changes) === 1;
    if (forgotten) store.emit(event('partner.forgotten', nowMs, { partner }, {}));
    return forgotten;
  },
};
export type DirectoryOperations = typeof operations;
