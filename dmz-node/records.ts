/**
 * All durable records of the DMZ node, as one operations module for `Database`: what the worker thread loads. Rooms use
 * only the type, and call the operations by name.
 */
import { dispatchOperations } from './cache/records/dispatch.ts';
import { handOverOperations } from './cache/records/hand-over.ts';
import { holdOperations } from './cache/records/holds.ts';
import { nameOperations } from './cache/records/names.ts';
import { holdsMigration, itemsMigration, sessionHoldsMigration, triggersMigration } from './cache/records/schema.ts';
import { upkeepOperations } from './cache/records/upkeep.ts';
import { uploadOperations } from './cache/records/uploads.ts';

export const migrations: readonly string[] = [itemsMigration, holdsMigration, sessionHoldsMigration, triggersMigration];

export const operations = {
  ...uploadOperations,
  ...nameOperations,
  ...holdOperations,
  ...handOverOperations,
  ...dispatchOperations,
  ...upkeepOperations,
};

export type DmzOperations = typeof operations;
