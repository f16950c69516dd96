/** What the parts of the cache share. */
import type { Clock } from '../../shared/clock.ts';
import type { EventSink, Records } from '../../shared/durable/database.ts';
import type { Logger } from '../../shared/log.ts';
import type { SealWorkers } from '../../shared/seal/seal-workers.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import type { ItemDescription } from '../../shared/tunnel/messages.ts';
import type { Deciding, PolicyInForce } from '../cache-view.ts';
import type { DmzOperations } from '../records.ts';
import type { Completion } from './completion.ts';
import type { StoreHealth } from './health.ts';
import type { Leases } from './leases.ts';
import type { LiveUploads } from './live-uploads.ts';
import type { ObjectFiles } from './object-files.ts';
import type { SpaceGate } from './space.ts';

export interface CacheDeps {
  readonly records: Records<DmzOperations>;
  readonly events: EventSink;
  readonly seal: Pick<SealWorkers, 'createWriter' | 'openReader'>;
  readonly policy: PolicyInForce;
  readonly dispatcher: Deciding;
  /** An item is complete and the inside should hear of it; `description` when it is known and of this moment. */
  readonly announce: (id: string, description?: ItemDescription) => void;
  /** The inside: asked for keys, told of downloads. */
  readonly inside: Asking<'dmz'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface CacheCore extends CacheDeps {
  readonly files: ObjectFiles;
  readonly completion: Completion;
  /** Something that is held back will be complete then. */
  readonly expectRelease: (dueMs: number) => void;
  readonly leases: Leases;
  readonly live: LiveUploads;
  readonly space: SpaceGate;
  readonly health: StoreHealth;
  /** Sessions that are logged in. */
  readonly sessions: Set<string>;
}
