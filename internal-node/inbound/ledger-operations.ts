/**
 * The ledger: what the inside knows of every item that the DMZ ever presented, and what has become of it. It is what makes
 * delivery happen exactly once, so every step of an item is one transaction here, together with its event.
 */
import type { Store } from '../../shared/durable/operations.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';
import { dropTrigger, filesOf, triggerOf, twinUnderWay } from './ledger-companions.ts';
import { delivered, deliveries, destinationsMigration, next, resume, skipped, stops, tryAgain } from './ledger-destinations.ts';
import { counts, due, fetched, history, list, named, readable } from './ledger-queries.ts';
import { contest, redecide, register, type Sighting, sight } from './ledger-registration.ts';
import { find } from './ledger-rows.ts';
import {
  begin,
  confirmed,
  forget,
  gone,
  pulled,
  quarantine,
  reconcile,
  recover,
  retarget,
  retry,
  staged,
  unpark,
  unstage,
} from './ledger-steps.ts';

export const migrations = [
  `CREATE TABLE ledger_items (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL, partner TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT,
    segments TEXT NOT NULL, session TEXT NOT NULL, session_proof TEXT NOT NULL, trace TEXT NOT NULL,
    decision TEXT NOT NULL, reader TEXT, dmz_state TEXT NOT NULL,
    state TEXT NOT NULL, todo TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, mismatches INTEGER NOT NULL DEFAULT 0, next_attempt_ms INTEGER NOT NULL DEFAULT 0,
    place TEXT, inode TEXT, content_sha256 TEXT, file TEXT, outcome TEXT, reason TEXT,
    conflict INTEGER NOT NULL DEFAULT 0,
    registered_ms INTEGER NOT NULL, settled_ms INTEGER, confirmed_ms INTEGER
  ) STRICT;
  CREATE INDEX ledger_todo ON ledger_items(partner, next_attempt_ms) WHERE todo <> '';
  CREATE INDEX ledger_registered ON ledger_items(registered_ms) WHERE state = 'registered';
  CREATE INDEX ledger_set_aside ON ledger_items(number) WHERE state = 'quarantined';
  CREATE INDEX ledger_names ON ledger_items(partner, path, number);
  CREATE INDEX ledger_arrivals ON ledger_items(partner, number);
  CREATE INDEX ledger_confirmed ON ledger_items(confirmed_ms) WHERE confirmed_ms IS NOT NULL;

  -- Items of a partner that were not taken yet, so that each registration need not count them.
  CREATE TABLE ledger_waiting (partner TEXT PRIMARY KEY, items INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TRIGGER ledger_added AFTER INSERT ON ledger_items WHEN NEW.state IN ('registered', 'pulling') BEGIN
    INSERT INTO ledger_waiting VALUES (NEW.partner, 1) ON CONFLICT DO UPDATE SET items = items + 1;
  END;
  CREATE TRIGGER ledger_moved AFTER UPDATE OF state ON ledger_items
    WHEN (NEW.state IN ('registered', 'pulling')) <> (OLD.state IN ('registered', 'pulling')) BEGIN
    INSERT INTO ledger_waiting VALUES (NEW.partner, iif(NEW.state IN ('registered', 'pulling'), 1, -1))
      ON CONFLICT DO UPDATE SET items = items + excluded.items;
  END;
  CREATE TRIGGER ledger_removed AFTER DELETE ON ledger_items WHEN OLD.state IN ('registered', 'pulling') BEGIN
    UPDATE ledger_waiting SET items = items - 1 WHERE partner = OLD.partner;
  END`,
] as const;

/** Appended behind the migrations of all rooms: what was there before keeps its number. */
export const companionMigrations = [
  `
  ALTER TABLE ledger_items ADD COLUMN trigger_id TEXT;
  ALTER TABLE ledger_items ADD COLUMN releases INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ledger_items ADD COLUMN expected TEXT;
  ALTER TABLE ledger_items ADD COLUMN dup_of TEXT;
  CREATE INDEX ledger_triggered ON ledger_items(trigger_id) WHERE trigger_id IS NOT NULL`,
  // Some partners send thousands of files of one name: nothing may look through all of them for each.
  `CREATE INDEX ledger_contents ON ledger_items(content_sha256, partner, path, number) WHERE content_sha256 IS NOT NULL;
  CREATE INDEX ledger_unsettled ON ledger_items(partner, path, number) WHERE settled_ms IS NULL;
  CREATE INDEX ledger_put_off ON ledger_items(partner, path) WHERE next_attempt_ms > 0 AND todo = 'fetch'`,
  // When it was complete: the moment whose dates its rules mean.
  `ALTER TABLE ledger_items ADD COLUMN completed_ms INTEGER`,
] as const;

export const dispatchMigrations = [destinationsMigration] as const;

export const goneMigrations = [
  `CREATE INDEX ledger_gone ON ledger_items(settled_ms) WHERE state = 'gone';
  UPDATE ledger_items SET settled_ms = registered_ms WHERE state = 'gone'`,
] as const;

export const operations = {
  'ledger.sight': (
    store: Store,
    { claims, nowMs }: { readonly claims: readonly ItemDescription[]; readonly nowMs: number },
  ): Sighting[] => claims.map((claim) => sight(store, claim, nowMs)),
  'ledger.register': register,
  'ledger.redecide': redecide,
  'ledger.contest': contest,
  'ledger.due': due,
  'ledger.begin': begin,
  'ledger.staged': staged,
  'ledger.retarget': retarget,
  'ledger.next': next,
  'ledger.delivered': delivered,
  'ledger.skipped': skipped,
  'ledger.deliveries': deliveries,
  'ledger.stops': stops,
  'ledger.resume': resume,
  'ledger.tryAgain': tryAgain,
  'ledger.pulled': pulled,
  'ledger.confirmed': confirmed,
  'ledger.retry': retry,
  'ledger.unstage': unstage,
  'ledger.quarantine': quarantine,
  'ledger.gone': gone,
  'ledger.reconcile': reconcile,
  'ledger.recover': recover,
  'ledger.unpark': unpark,
  'ledger.forget': forget,
  'ledger.readable': readable,
  'ledger.fetched': fetched,
  'ledger.twinUnderWay': twinUnderWay,
  'ledger.triggerOf': triggerOf,
  'ledger.filesOf': filesOf,
  'ledger.dropTrigger': dropTrigger,
  'ledger.find': (store: Store, { id }: { readonly id: string }) => find(store, id),
  'ledger.named': named,
  'ledger.list': list,
  'ledger.counts': counts,
  'ledger.history': history,
} as const;

export type LedgerOperations = typeof operations;
