/**
 * Finds finished files in the outgoing folder. The file system's notices (chokidar) only say "look soon", for they get lost;
 * a look through the whole folder every few seconds is the truth. A file is finished when its size, time and identity have
 * not changed for a while and its name is not a temporary one.
 */
import { watch } from 'chokidar';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { asSallyportError } from '../../shared/errors.ts';
import { event } from '../../shared/events/event.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { isWithin, outbox, parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Service } from '../../shared/service.ts';
import type { FoundFile, Misfit, OutgoingFolder } from './outgoing-folder.ts';

export interface FinishedFile extends FoundFile {
  readonly partner: string;
  /** As the partner will see it. */
  readonly path: string;
}

/** Starts watching; `look` is called at every notice. The result stops it. */
export type Notices = (folder: string, look: () => void) => Promise<() => Promise<void>>;

export interface WatcherDeps {
  readonly folder: OutgoingFolder;
  readonly partners: { names(): readonly string[] };
  readonly sender: { hasRoom(): Promise<boolean>; claim(file: FinishedFile): Promise<void> };
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface WatcherOptions {
  /** The same folder, for the notices. */
  readonly path: string;
  readonly settleMs: number;
  readonly rescanMs: number;
  /** Names that are never offered: temporary ones. */
  readonly ignored: (name: string) => boolean;
  /** Files that are looked at in one go; more wait for the next. */
  readonly maxFiles: number;
  readonly notices: Notices;
}

/** Least time between two looks, however many notices come. */
const breathMs = 500;
const maxTold = 10_000;

export const chokidarNotices: Notices = async (folder, look) => {
  const watcher = watch(folder, {
    ignoreInitial: true,
    followSymlinks: false,
    // By default it hides names that look like those of editors; our own rule decides.
    atomic: false,
    ignored: (path) => path.includes('/.sallyport'),
  });
  watcher.on('all', look);
  watcher.on('error', look);
  return () => watcher.close();
};

export const watcherDefaults = { settleMs: 2000, rescanMs: 10_000, maxFiles: 100_000, notices: chokidarNotices } as const;

interface Seen {
  readonly stamp: string;
  readonly sinceMs: number;
}

export class OutgoingWatcher implements Service {
  readonly name = 'outgoing watcher';
  readonly #deps: WatcherDeps;
  readonly #options: WatcherOptions;
  readonly #ending = new AbortController();
  readonly #told = new Set<string>();
  #seen = new Map<string, Seen>();
  #notice = Promise.withResolvers<void>();
  #stopNotices: (() => Promise<void>) | undefined;
  #loop: Promise<void> | undefined;

  constructor(deps: WatcherDeps, options: WatcherOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#deps.folder.prepare(this.#deps.partners.names());
    this.#stopNotices = await this.#options.notices(this.#options.path, () => this.#notice.resolve());
    this.#loop = this.#run();
  }

  async stop(_signal: AbortSignal): Promise<void> {
    this.#ending.abort();
    await this.#stopNotices?.();
    await this.#loop;
  }

  /** One look through the folder. @returns how many files are not yet known to be finished. */
  async pass(): Promise<number> {
    const { folder, partners, sender } = this.#deps;
    const known = partners.names();
    await folder.prepare(known);
    for (const name of await folder.partnerFolders()) {
      if (!known.includes(name)) await this.#tellOnce({ file: name, detail: 'there is no partner of this name' });
    }
    const next = new Map<string, Seen>();
    let unsettled = 0;
    for (const partner of known) {
      for await (const found of folder.look(partner, (name) => this.#isIgnored(name))) {
        if (this.#ending.signal.aborted) return unsettled;
        if (next.size >= this.#options.maxFiles) break;
        if (!('components' in found)) await this.#tellOnce(found, partner);
        else if (!this.#isSettled(found, next)) unsettled += 1;
        else if (await sender.hasRoom()) await this.#claim(partner, found, next);
      }
    }
    this.#seen = next;
    return unsettled;
  }

  #isIgnored(name: string): boolean {
    return name.toLowerCase().startsWith('.sallyport') || this.#options.ignored(name);
  }

  #isSettled(found: FoundFile, next: Map<string, Seen>): boolean {
    const key = found.components.join('/');
    const nowMs = this.#deps.clock.monotonicMs();
    const before = this.#seen.get(key);
    const sinceMs = before?.stamp === found.stamp ? before.sinceMs : nowMs;
    next.set(key, { stamp: found.stamp, sinceMs });
    return before !== undefined && nowMs - sinceMs >= this.#options.settleMs;
  }

  async #claim(partner: string, found: FoundFile, next: Map<string, Seen>): Promise<void> {
    const file = found.components.join('/');
    try {
      const path = parseVirtualPath(['', 'Outbox', ...found.components.slice(1)].join('/'));
      if (!isWithin(path, outbox) || path === outbox) throw new Error('the path leads out of the outbox');
      await this.#deps.sender.claim({ ...found, partner, path });
      next.delete(file);
      this.#told.delete(file);
    } catch (error) {
      await this.#tellOnce({ file, detail: asSallyportError(error).message }, partner);
    }
  }

  async #tellOnce({ file, detail }: Misfit, partner?: string): Promise<void> {
    if (this.#told.has(file) || this.#told.size >= maxTold) return;
    this.#told.add(file);
    const fields = { file: printable(file, 1024), detail: printable(detail) };
    await this.#deps.events.emit([event('outgoing.failed', this.#deps.clock.nowMs(), { partner }, fields)]);
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      this.#notice = Promise.withResolvers();
      let waitMs = this.#options.rescanMs;
      try {
        if ((await this.pass()) > 0) waitMs = Math.min(waitMs, this.#options.settleMs);
      } catch (cause) {
        this.#deps.log.warn({ err: cause }, 'the outgoing folder could not be looked through');
      }
      await this.#rest(Math.min(breathMs, waitMs));
      await this.#rest(waitMs, this.#notice.promise);
    }
  }

  async #rest(ms: number, notice?: Promise<void>): Promise<void> {
    const over = Promise.withResolvers<void>();
    const end = () => over.resolve();
    const cancel = this.#deps.clock.after(ms, end);
    const { signal } = this.#ending;
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    await Promise.race(notice ? [over.promise, notice] : [over.promise]);
    signal.removeEventListener('abort', end);
    cancel();
  }
}
