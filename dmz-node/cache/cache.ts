/**
 * The cache of the DMZ node: what partners put into their Inbox and find in their Outbox, sealed on disk, with its records.
 *
 * It promises what reliability.md §2.1 says for the DMZ: an upload that was acknowledged survives any stop, nothing is
 * visible half-written, and what the inside confirmed is gone but for a tombstone. It decides nothing about rights; the
 * partner room has asked the grant before.
 */

import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { isWithin, outbox, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Service } from '../../shared/service.ts';
import type { CacheUser, CacheView } from '../cache-view.ts';
import type { Digest, FileEntry, FolderHandle, OpenForWriting, Space } from '../partner-view.ts';
import { type StallRule, stallRule } from '../progress.ts';
import { Completion } from './completion.ts';
import type { CacheCore, CacheDeps } from './core.ts';
import { StoreHealth } from './health.ts';
import { actorOf, Inbox, maxFolders } from './inbox.ts';
import { Leases } from './leases.ts';
import { LiveUploads } from './live-uploads.ts';
import { ObjectFiles } from './object-files.ts';
import { type Download, Outbox } from './outbox.ts';
import { foldersDownTo, isFixedFolder, placeOf } from './place.ts';
import { Recovery } from './recovery.ts';
import { Releaser } from './releaser.ts';
import { Retention } from './retention.ts';
import { SpaceGate, type SpaceOptions } from './space.ts';
import type { Upload } from './upload.ts';
import { Views } from './views.ts';

export interface CacheOptions {
  /** The state folder; `objects/` and `quarantine/` are made in it. */
  readonly folder: string;
  readonly minimumFree: SpaceOptions['minimumFree'];
  readonly reserveBytes: number;
  readonly reorderWindowBytes: number;
  readonly reorderBudgetBytes: number;
  readonly stall: StallRule;
  readonly sweepEveryMs: number;
  readonly leaseMs: number;
  readonly maxLeases: number;
}

export const cacheDefaults: Omit<CacheOptions, 'folder'> = {
  minimumFree: { percent: 5 },
  reserveBytes: 64 * 1024 * 1024,
  reorderWindowBytes: 8 * 1024 * 1024,
  reorderBudgetBytes: 64 * 1024 * 1024,
  stall: stallRule(10 * 60_000, 0),
  sweepEveryMs: 30_000,
  leaseMs: 15 * 60_000,
  maxLeases: 1000,
};

export class Cache implements CacheView, Service {
  readonly name = 'cache';
  /** For the hand-over, which shares files, leases and the gate. */
  readonly core: CacheCore;
  readonly #inbox: Inbox;
  readonly #outbox: Outbox;
  readonly #views: Views;
  readonly #retention: Retention;
  readonly #releaser: Releaser;

  constructor(deps: CacheDeps, options: CacheOptions) {
    const { folder, minimumFree, reserveBytes } = options;
    this.core = {
      ...deps,
      files: new ObjectFiles(deps, { folder }),
      completion: new Completion(deps.policy),
      expectRelease: (dueMs) => this.#releaser.expect(dueMs),
      leases: new Leases(deps, options),
      live: new LiveUploads(),
      space: new SpaceGate(deps, { folder, minimumFree, reserveBytes }),
      health: new StoreHealth(deps),
      sessions: new Set(),
    };
    this.#releaser = new Releaser(this.core);
    this.#inbox = new Inbox(this.core, {
      windowBytes: options.reorderWindowBytes,
      budgetBytes: options.reorderBudgetBytes,
      stall: options.stall,
    });
    this.#views = new Views(this.core);
    this.#outbox = new Outbox(this.core, this.#views);
    this.#retention = new Retention(this.core, { everyMs: options.sweepEveryMs });
  }

  /** Recovers from whatever stop came before. @throws SallyportError `store-suspect`, `database-failed` */
  async start(): Promise<void> {
    await this.core.files.prepare();
    await this.nextEpoch();
    await new Recovery(this.core).run();
    await this.#releaser.start();
    this.#retention.start();
  }

  /** Uploads still under way become partials. */
  async stop(): Promise<void> {
    await this.#retention.stop();
    await this.#releaser.stop();
    await Promise.all(this.core.live.all().map(({ upload }) => upload?.abandon('the node stops')));
    await this.core.files.settled();
  }

  /** For a new link: voids all leases. Resolves when the number is durable. */
  async nextEpoch(): Promise<number> {
    const epoch = await this.core.records.call('epoch.next', null);
    this.core.leases.begin(epoch);
    return epoch;
  }

  /** The link of this epoch is gone and its leases with it. */
  linkDown(epoch: number): void {
    this.core.leases.end(epoch);
  }

  /** One round of retention now, and of completing what is due. */
  async sweep(): Promise<void> {
    await this.#retention.sweep();
    await this.#releaser.run();
  }

  /** Resolves when what was due a moment ago is completed. */
  async settle(): Promise<void> {
    await this.#releaser.run();
  }

  enter(user: CacheUser): void {
    this.core.sessions.add(user.session);
  }

  async leave(user: CacheUser): Promise<void> {
    const { sessions, records, clock, completion } = this.core;
    if (!sessions.delete(user.session)) return;
    const ghostUntilMs = clock.nowMs() + completion.settingsOf(user).ghostMs;
    const held = await records.call('names.endSession', { session: user.session, ghostUntilMs });
    if (held > 0) await this.#releaser.run();
  }

  async prepareFolders(user: CacheUser, folders: readonly VirtualPath[]): Promise<void> {
    const { records, clock, log } = this.core;
    const places = folders.flatMap(foldersDownTo).map(placeOf);
    try {
      await records.call('names.prepareFolders', { actor: actorOf(user), places, maxFolders, nowMs: clock.nowMs() });
    } catch (error) {
      log.error({ err: error, partner: user.partner }, 'the folders of a partner could not be made');
    }
  }

  stat(user: CacheUser, path: VirtualPath): Promise<FileEntry> {
    return this.#views.stat(user, path);
  }

  async space(user: CacheUser, path: VirtualPath): Promise<Omit<Space, 'writable'>> {
    await this.#views.stat(user, path);
    return this.#inbox.space(user);
  }

  digest(user: CacheUser, path: VirtualPath): Promise<Digest> {
    return this.#views.digest(user, path);
  }

  openFolder(user: CacheUser, path: VirtualPath): Promise<FolderHandle> {
    return this.#views.openFolder(user, path);
  }

  openDownload(user: CacheUser, path: VirtualPath): Promise<Download> {
    return this.#outbox.openDownload(user, path);
  }

  openUpload(user: CacheUser, path: VirtualPath, options: OpenForWriting): Promise<Upload> {
    return this.#inbox.openUpload(user, path, options);
  }

  async setAttributes(
    user: CacheUser,
    path: VirtualPath,
    attributes: { readonly size?: number; readonly modifiedAtMs?: number },
  ): Promise<void> {
    const { live, records, clock } = this.core;
    const place = placeOf(path);
    const own = live.find(user.partner, place.pathKey);
    if (own?.session === user.session && own.upload) return own.upload.setAttributes(attributes);
    const entry = await this.#views.stat(user, path);
    if (attributes.size !== undefined && attributes.size !== entry.size) {
      throw new SallyportError('unsupported', 'only an upload under way can be cut');
    }
    if (attributes.modifiedAtMs === undefined || isFixedFolder(path)) return;
    await records.call('names.touch', {
      actor: actorOf(user),
      place,
      modifiedMs: attributes.modifiedAtMs,
      nowMs: clock.nowMs(),
    });
  }

  async remove(user: CacheUser, path: VirtualPath): Promise<void> {
    const { live, records, leases, files, clock } = this.core;
    const place = placeOf(path);
    if (!isWithin(path, outbox)) live.refuseIfLive(user.partner, place.pathKey);
    const [actor, { owner }] = [actorOf(user), user];
    files.discard(await records.call('names.remove', { actor, owner, place, leased: leases.ids(), nowMs: clock.nowMs() }));
  }

  async makeFolder(user: CacheUser, path: VirtualPath): Promise<void> {
    const { live, records, clock } = this.core;
    if (isFixedFolder(path)) throw new SallyportError('already-exists', 'the folder is always there');
    const place = placeOf(path);
    live.refuseIfLive(user.partner, place.pathKey);
    await records.call('names.makeFolder', { actor: actorOf(user), place, maxFolders, nowMs: clock.nowMs() });
  }

  async removeFolder(user: CacheUser, path: VirtualPath): Promise<void> {
    const { live, records, clock } = this.core;
    if (isFixedFolder(path)) throw new SallyportError('permission-denied', 'the folder is always there');
    const place = placeOf(path);
    live.refuseIfLive(user.partner, place.pathKey);
    await records.call('names.removeFolder', { actor: actorOf(user), place, nowMs: clock.nowMs() });
  }

  async rename(user: CacheUser, from: VirtualPath, to: VirtualPath, overwrite: boolean): Promise<void> {
    try {
      await this.#inbox.rename(user, from, to, overwrite);
    } catch (error) {
      this.core.health.note(asSallyportError(error));
      throw error;
    }
  }
}
