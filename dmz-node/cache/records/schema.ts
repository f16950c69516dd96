/**
 * The tables of the DMZ node. `items` are stored objects and what happens to them; `entries` are what partners see;
 * `tombstones` remember items that are gone, so that a repeated confirm or offer is answered like the first.
 *
 * A script is never edited once released, only appended to.
 */

export const itemsMigration = `
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
  INSERT INTO counters(name, value) VALUES ('epoch', 0), ('seq', 0);

  CREATE TABLE items (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL UNIQUE,
    seq INTEGER UNIQUE,
    origin TEXT NOT NULL CHECK (origin IN ('partner', 'inside')),
    partner TEXT NOT NULL,
    outbox_partner TEXT,
    path TEXT NOT NULL,
    path_key TEXT NOT NULL,
    session TEXT,
    session_proof TEXT,
    trace TEXT NOT NULL,
    segments TEXT NOT NULL,
    live_file INTEGER,
    next_file INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT,
    state TEXT NOT NULL CHECK (state IN
      ('receiving', 'partial', 'temporary', 'ready', 'held', 'unrouted', 'offered', 'dropped', 'quarantined')),
    decision TEXT,
    policy_number INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    completed_ms INTEGER,
    expires_ms INTEGER,
    waiting INTEGER GENERATED ALWAYS AS (state IN ('ready', 'held', 'unrouted')) VIRTUAL,
    unfinished INTEGER GENERATED ALWAYS AS (state IN ('receiving', 'partial')) VIRTUAL
  ) STRICT;
  CREATE INDEX items_waiting ON items(waiting, seq);
  CREATE INDEX items_by_state ON items(state, seq);
  CREATE INDEX items_to_register ON items(seq) WHERE registered = 0 AND seq IS NOT NULL;
  CREATE INDEX items_unfinished ON items(unfinished, partner, path_key);
  CREATE INDEX items_by_age ON items(state, updated_ms);
  CREATE INDEX items_by_expiry ON items(expires_ms) WHERE expires_ms IS NOT NULL;

  CREATE TABLE entries (
    row INTEGER PRIMARY KEY,
    partner TEXT NOT NULL,
    folder_key TEXT NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('file', 'folder')),
    item TEXT,
    size INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    partial INTEGER NOT NULL DEFAULT 0,
    hidden INTEGER NOT NULL DEFAULT 0,
    ghost_until INTEGER,
    session TEXT,
    UNIQUE (partner, folder_key, name_key)
  ) STRICT;
  CREATE INDEX entries_by_item ON entries(item) WHERE item IS NOT NULL;
  CREATE INDEX entries_by_ghost ON entries(ghost_until) WHERE ghost_until IS NOT NULL;
  CREATE INDEX ghosts_by_session ON entries(session) WHERE ghost_until IS NOT NULL;

  CREATE TABLE tombstones (
    id TEXT PRIMARY KEY,
    object TEXT NOT NULL,
    sha256 TEXT,
    outcome TEXT NOT NULL,
    at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX tombstones_by_object ON tombstones(object);
  CREATE INDEX tombstones_by_age ON tombstones(at_ms);

  CREATE TABLE usage (
    partner TEXT NOT NULL,
    origin TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    partials INTEGER NOT NULL,
    folders INTEGER NOT NULL,
    PRIMARY KEY (partner, origin)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER items_added AFTER INSERT ON items BEGIN
    INSERT INTO usage VALUES (NEW.partner, NEW.origin, NEW.size, NEW.state <> 'receiving', NEW.state = 'partial', 0)
      ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, files = files + excluded.files,
        partials = partials + excluded.partials;
  END;
  CREATE TRIGGER items_changed AFTER UPDATE OF size, state ON items BEGIN
    UPDATE usage SET bytes = bytes + NEW.size - OLD.size,
      files = files + (NEW.state <> 'receiving') - (OLD.state <> 'receiving'),
      partials = partials + (NEW.state = 'partial') - (OLD.state = 'partial')
      WHERE partner = NEW.partner AND origin = NEW.origin;
  END;
  CREATE TRIGGER items_removed AFTER DELETE ON items BEGIN
    UPDATE usage SET bytes = bytes - OLD.size, files = files - (OLD.state <> 'receiving'),
      partials = partials - (OLD.state = 'partial')
      WHERE partner = OLD.partner AND origin = OLD.origin;
  END;
  CREATE TRIGGER folders_added AFTER INSERT ON entries WHEN NEW.kind = 'folder' BEGIN
    INSERT INTO usage VALUES (NEW.partner, 'partner', 0, 0, 0, 1) ON CONFLICT DO UPDATE SET folders = folders + 1;
  END;
  CREATE TRIGGER folders_removed AFTER DELETE ON entries WHEN OLD.kind = 'folder' BEGIN
    UPDATE usage SET folders = folders - 1 WHERE partner = OLD.partner AND origin = 'partner';
  END`;

/** Why an item is held back, until when, and how long its ghost stays. */
export const holdsMigration = `
  ALTER TABLE items ADD COLUMN hold TEXT;
  ALTER TABLE items ADD COLUMN due_ms INTEGER;
  ALTER TABLE items ADD COLUMN alarm_ms INTEGER;
  ALTER TABLE items ADD COLUMN ghost_ms INTEGER NOT NULL DEFAULT 600000;
  UPDATE items SET hold = 'name', alarm_ms = updated_ms + 86400000 WHERE state = 'temporary';
  CREATE INDEX items_by_due ON items(due_ms) WHERE due_ms IS NOT NULL;
  CREATE INDEX items_by_alarm ON items(alarm_ms) WHERE alarm_ms IS NOT NULL`;

export const sessionHoldsMigration = `
  CREATE INDEX items_of_session ON items(session) WHERE hold = 'session-end' AND due_ms IS NULL`;

/** The trigger that completed an item, and how many a trigger completed. */
export const triggersMigration = `
  ALTER TABLE items ADD COLUMN trigger_id TEXT;
  ALTER TABLE items ADD COLUMN releases INTEGER NOT NULL DEFAULT 0`;
