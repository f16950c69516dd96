/**
 * The durable records behind `SessionBook`: sessions by the SHA-256 of their token, SSH session identifiers that were used,
 * and since when the link is up or down. Tokens themselves are never stored.
 */
import { createHmac } from 'node:crypto';
import type { Store } from '../../shared/durable/operations.ts';
import { event } from '../../shared/events/event.ts';

export const migrations: readonly string[] = [
  `CREATE TABLE auth_sessions (
     proof TEXT PRIMARY KEY,
     session TEXT NOT NULL UNIQUE,
     trace TEXT NOT NULL,
     partner TEXT NOT NULL,
     opened_ms INTEGER NOT NULL,
     expires_ms INTEGER NOT NULL,
     ended_ms INTEGER,
     provable_until_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX auth_sessions_by_partner ON auth_sessions(partner, expires_ms) WHERE ended_ms IS NULL;
   CREATE INDEX auth_sessions_by_end ON auth_sessions(provable_until_ms);
   CREATE TABLE auth_identifiers (digest BLOB PRIMARY KEY, used_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   CREATE TABLE auth_identifier_key (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL) STRICT;
   INSERT INTO auth_identifier_key VALUES (1, randomblob(32));
   CREATE TABLE auth_link (id INTEGER PRIMARY KEY CHECK (id = 1), seen_ms INTEGER NOT NULL, down_ms INTEGER) STRICT;
   INSERT INTO auth_link VALUES (1, 0, 0)`,
];

export const hostKeyMigrations: readonly string[] = [
  'CREATE TABLE auth_host_keys (fingerprint TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID',
];

export const credentialMigrations: readonly string[] = [
  "ALTER TABLE auth_sessions ADD COLUMN credential TEXT NOT NULL DEFAULT ''",
];

export interface SessionRow {
  readonly partner: string;
  readonly session: string;
  readonly trace: string;
  readonly expiresMs: number;
  readonly endedMs: number | null;
  readonly provableUntilMs: number;
}

export interface NewSession {
  readonly proof: string;
  readonly session: string;
  readonly trace: string;
  readonly partner: string;
  readonly method: string;
  readonly peer: string;
  readonly protocol: string;
  /** Base64 of the SSH session identifier that the key login signed. */
  readonly identifier?: string | undefined;
  /** `SHA256:…` of the SSH host key that a key login went over. */
  readonly hostKey?: string | undefined;
  /** Which key or certificate it was, for the audit trail. */
  readonly key?: string | undefined;
  /** As `credentialText` gives it. */
  readonly credential?: string | undefined;
}

export interface OpenArgs extends NewSession {
  readonly nowMs: number;
  readonly maxLifeMs: number;
  readonly graceMs: number;
  readonly maxLivePerPartner: number;
}

export type OpenOutcome = 'opened' | 'replayed' | 'session-reused' | 'too-many';

interface At {
  readonly nowMs: number;
}
interface Ending extends At {
  readonly graceMs: number;
}

const changed = (result: { readonly changes: number | bigint }): number => Number(result.changes);

/** @returns false when the identifier was used before. */
function useIdentifier(store: Store, identifier: string, nowMs: number): boolean {
  const row = store.sql('SELECT value FROM auth_identifier_key').get() as { value: Uint8Array };
  const digest = createHmac('sha256', row.value).update(identifier, 'base64').digest();
  const insert = store.sql('INSERT INTO auth_identifiers(digest, used_ms) VALUES (?, ?) ON CONFLICT DO NOTHING');
  return changed(insert.run(digest, nowMs)) === 1;
}

/** The DMZ node has few. A new one was put in place by staff, or by whoever has taken the host. */
function rememberHostKey(store: Store, fingerprint: string, { nowMs, trace, session, partner }: OpenArgs): void {
  const insert = store.sql('INSERT INTO auth_host_keys(fingerprint, seen_ms) VALUES (?, ?) ON CONFLICT DO NOTHING');
  if (changed(insert.run(fingerprint, nowMs)) === 0) return;
  store.emit(event('auth.host-key', nowMs, { trace, session, partner }, { hostKey: fingerprint }));
}

/** All checks before the first lasting write: a refusal leaves nothing in the records. */
function open(store: Store, args: OpenArgs): OpenOutcome {
  const { proof, session, trace, partner, nowMs } = args;
  const live = store
    .sql('SELECT COUNT(*) AS count FROM auth_sessions WHERE partner = ? AND ended_ms IS NULL AND expires_ms > ?')
    .get(partner, nowMs) as { count: number };
  if (live.count >= args.maxLivePerPartner) return 'too-many';
  if (store.sql('SELECT 1 FROM auth_sessions WHERE session = ?').get(session)) return 'session-reused';
  if (args.identifier !== undefined && !useIdentifier(store, args.identifier, nowMs)) return 'replayed';
  const expiresMs = nowMs + args.maxLifeMs;
  store
    .sql(
      `INSERT INTO auth_sessions(proof, session, trace, partner, opened_ms, expires_ms, provable_until_ms, credential)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(proof, session, trace, partner, nowMs, expiresMs, expiresMs + args.graceMs, args.credential ?? '');
  if (args.hostKey !== undefined) rememberHostKey(store, args.hostKey, args);
  const { method, peer, protocol, key = '' } = args;
  store.emit(event('auth.accepted', nowMs, { trace, session, partner }, { method, peer, protocol, key }));
  return 'opened';
}

function linkUp(store: Store, { nowMs, graceMs }: Ending): number {
  const link = store.sql('SELECT down_ms FROM auth_link').get() as { down_ms: number | null };
  store.sql('UPDATE auth_link SET seen_ms = ?, down_ms = NULL').run(nowMs);
  if (link.down_ms === null) return 0;
  // Grace runs only while the link is up: what was left of it when the link dropped is given again, and no more.
  // So neither a long outage loses uploads that were complete, nor does a flapping link keep a dead session provable.
  const result = store
    .sql(
      `UPDATE auth_sessions SET provable_until_ms = MAX(provable_until_ms, ?1 + MIN(?2, provable_until_ms - ?3))
       WHERE provable_until_ms > ?3`,
    )
    .run(nowMs, graceMs, link.down_ms);
  return changed(result);
}

const ending = `UPDATE auth_sessions SET ended_ms = ?1, provable_until_ms = MIN(provable_until_ms, ?1 + ?2)
  WHERE ended_ms IS NULL AND expires_ms > ?1 AND`;

interface OpenedWith {
  readonly partner: string;
  readonly credential: string;
}

/** @returns the ids of the sessions that ended. */
function withdraw(store: Store, args: Ending & OpenedWith & { readonly why: string }): readonly string[] {
  const { partner, credential, nowMs, graceMs, why } = args;
  const ended = store
    .sql(`${ending} partner = ?3 AND credential = ?4 RETURNING session, trace`)
    .all(nowMs, graceMs, partner, credential) as unknown as readonly { readonly session: string; readonly trace: string }[];
  for (const { session, trace } of ended) {
    store.emit(event('auth.withdrawn', nowMs, { trace, session, partner }, { reason: why }));
  }
  return ended.map(({ session }) => session);
}

export const operations = {
  'auth.open': open,
  'auth.useIdentifier': (store: Store, { identifier, nowMs }: At & { readonly identifier: string }): boolean =>
    useIdentifier(store, identifier, nowMs),
  'auth.find': (store: Store, { proof }: { readonly proof: string }): SessionRow | undefined =>
    store
      .sql(
        `SELECT partner, session, trace, expires_ms AS expiresMs, ended_ms AS endedMs, provable_until_ms AS provableUntilMs
         FROM auth_sessions WHERE proof = ?`,
      )
      .get(proof) as SessionRow | undefined,
  'auth.end': (store: Store, { proof, nowMs, graceMs }: Ending & { readonly proof: string }): boolean =>
    changed(store.sql(`${ending} proof = ?3`).run(nowMs, graceMs, proof)) === 1,
  'auth.endPartner': (store: Store, { partner, nowMs, graceMs }: Ending & { readonly partner: string }): number =>
    changed(store.sql(`${ending} partner = ?3`).run(nowMs, graceMs, partner)),
  /** @returns how many ended: those that were opened before, and are not `kept`. */
  'auth.endOthers': (
    store: Store,
    { kept, openedBeforeMs, nowMs, graceMs }: Ending & { readonly kept: readonly string[]; readonly openedBeforeMs: number },
  ): number =>
    changed(
      store
        .sql(`${ending} opened_ms < ?3 AND session NOT IN (SELECT value FROM json_each(?4))`)
        .run(nowMs, graceMs, openedBeforeMs, JSON.stringify(kept)),
    ),
  /** With what the live sessions were opened. */
  'auth.credentials': (store: Store, { nowMs }: At): readonly OpenedWith[] =>
    store
      .sql(
        `SELECT DISTINCT partner, credential FROM auth_sessions
         WHERE ended_ms IS NULL AND expires_ms > ? AND credential <> ''`,
      )
      .all(nowMs) as unknown as readonly OpenedWith[],
  'auth.withdraw': withdraw,
  /** @returns those of these sessions that are not live. */
  'auth.notLive': (store: Store, { sessions, nowMs }: At & { readonly sessions: readonly string[] }): readonly string[] =>
    (
      store
        .sql(
          `SELECT value FROM json_each(?1) WHERE value NOT IN
           (SELECT session FROM auth_sessions WHERE ended_ms IS NULL AND expires_ms > ?2)`,
        )
        .all(JSON.stringify(sessions), nowMs) as unknown as readonly { readonly value: string }[]
    ).map(({ value }) => value),
  'auth.linkUp': linkUp,
  'auth.linkDown': (store: Store, { nowMs }: At): void => {
    store.sql('UPDATE auth_link SET seen_ms = ?1, down_ms = COALESCE(down_ms, ?1)').run(nowMs);
  },
  /** While the link is up: the last time it was known to be. */
  'auth.linkSeen': (store: Store, { nowMs }: At): void => {
    store.sql('UPDATE auth_link SET seen_ms = ? WHERE down_ms IS NULL').run(nowMs);
  },
  /** At start-up: a link that was up when the process died went down when it was last seen. */
  'auth.recover': (store: Store): void => {
    store.sql('UPDATE auth_link SET down_ms = COALESCE(down_ms, seen_ms)').run();
  },
  /** Forgets sessions that prove nothing any more (never while the link is down) and identifiers of long ago. */
  'auth.prune': (store: Store, args: { readonly sessionsBeforeMs: number; readonly identifiersBeforeMs: number }): number => {
    const link = store.sql('SELECT down_ms FROM auth_link').get() as { down_ms: number | null };
    const identifiers = store.sql('DELETE FROM auth_identifiers WHERE used_ms < ?').run(args.identifiersBeforeMs);
    if (link.down_ms !== null) return changed(identifiers);
    const sessions = store.sql('DELETE FROM auth_sessions WHERE provable_until_ms < ?').run(args.sessionsBeforeMs);
    return changed(sessions) + changed(identifiers);
  },
};
export type SessionOperations = typeof operations;
