/**
 * The durable records of second factors: secrets (sealed), recovery codes (as SHA-256), and the last step whose code was used.
 * All doors and all DMZ nodes ask here, so a code is good once, wherever it is shown.
 */
import type { Store } from '../../../shared/durable/operations.ts';
import { event } from '../../../shared/events/event.ts';

export const migrations: readonly string[] = [
  `CREATE TABLE auth_totp (partner TEXT PRIMARY KEY, sealed BLOB NOT NULL, since_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE auth_totp_recovery (
     partner TEXT NOT NULL REFERENCES auth_totp(partner) ON DELETE CASCADE,
     digest TEXT NOT NULL,
     PRIMARY KEY (partner, digest)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE auth_totp_used (subject TEXT PRIMARY KEY, step INTEGER NOT NULL, used_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
];

interface At {
  readonly nowMs: number;
}
interface Of {
  readonly partner: string;
}

const dayMs = 86_400_000;
const changed = (result: { readonly changes: number | bigint }): number => Number(result.changes);

/** @returns false when this step's code, or a later one, was used before. */
function use(store: Store, { subject, step, nowMs }: At & { readonly subject: string; readonly step: number }): boolean {
  store.sql('DELETE FROM auth_totp_used WHERE used_ms < ?').run(nowMs - dayMs);
  const used = store.sql(
    `INSERT INTO auth_totp_used(subject, step, used_ms) VALUES (?, ?, ?)
     ON CONFLICT (subject) DO UPDATE SET step = excluded.step, used_ms = excluded.used_ms WHERE excluded.step > step`,
  );
  return changed(used.run(subject, step, nowMs)) === 1;
}

function remove(store: Store, { partner }: Of): boolean {
  store.sql('DELETE FROM auth_totp_recovery WHERE partner = ?').run(partner);
  return changed(store.sql('DELETE FROM auth_totp WHERE partner = ?').run(partner)) === 1;
}

export const operations = {
  'totp.all': (store: Store): readonly { readonly partner: string; readonly sealed: Uint8Array }[] =>
    store.sql('SELECT partner, sealed FROM auth_totp').all() as unknown as { partner: string; sealed: Uint8Array }[],
  'totp.enrol': (
    store: Store,
    { partner, sealed, recovery, nowMs }: At & Of & { readonly sealed: Uint8Array; readonly recovery: readonly string[] },
  ): void => {
    remove(store, { partner });
    store.sql('INSERT INTO auth_totp(partner, sealed, since_ms) VALUES (?, ?, ?)').run(partner, sealed, nowMs);
    for (const digest of recovery) {
      store.sql('INSERT INTO auth_totp_recovery(partner, digest) VALUES (?, ?)').run(partner, digest);
    }
    store.emit(event('totp.enrolled', nowMs, { partner }, { recoveryCodes: recovery.length }));
  },
  'totp.remove': (store: Store, { partner, nowMs }: At & Of): boolean => {
    const removed = remove(store, { partner });
    if (removed) store.emit(event('totp.removed', nowMs, { partner }, {}));
    return removed;
  },
  'totp.use': use,
  /** @returns false when it is none of his, or was used. */
  'totp.recover': (store: Store, { partner, digest, nowMs }: At & Of & { readonly digest: string }): boolean => {
    const left = store.sql('DELETE FROM auth_totp_recovery WHERE partner = ? AND digest = ?').run(partner, digest);
    if (changed(left) === 0) return false;
    const row = store.sql('SELECT COUNT(*) AS left FROM auth_totp_recovery WHERE partner = ?').get(partner) as { left: number };
    store.emit(event('totp.recovered', nowMs, { partner }, { left: row.left }));
    return true;
  },
};
export type TotpOperations = typeof operations;
