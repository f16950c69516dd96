/** What a partner sees: one name, or the names of a folder page by page. */
import { SallyportError } from '../../shared/errors.ts';
import { inbox, isWithin, nameOf, outbox, pathKey, root, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { CacheUser } from '../cache-view.ts';
import type { FileEntry, FolderHandle } from '../partner-view.ts';
import type { CacheCore } from './core.ts';
import type { LiveSlot } from './live-uploads.ts';
import { isFixedFolder, placeOf } from './place.ts';
import type { Entry } from './records/entries.ts';

/** Entries that one question to the records brings. */
const pageSize = 256;

export class Views {
  readonly #core: CacheCore;
  readonly #startedAtMs: number;

  constructor(core: CacheCore) {
    this.#core = core;
    this.#startedAtMs = core.clock.nowMs();
  }

  async stat(user: CacheUser, path: VirtualPath): Promise<FileEntry> {
    if (isFixedFolder(path)) return this.#fixed(user, path);
    const place = placeOf(path);
    const own = this.#core.live.find(user.partner, place.pathKey);
    if (own?.session === user.session && own.upload) return own.upload.stat();
    const entry = await this.#core.records.call('names.look', { partner: user.partner, ...place });
    const shown = entry && this.show(user, entry);
    if (!shown) throw new SallyportError('no-such-file', 'nothing of that name');
    return shown;
  }

  async openFolder(user: CacheUser, path: VirtualPath): Promise<FolderHandle> {
    if (path === root) return new FixedListing([this.#fixed(user, inbox), this.#fixed(user, outbox)]);
    const place = placeOf(path);
    const listing = new Listing(
      {
        page: async (after) => {
          const page = await this.#core.records.call('names.page', {
            partner: user.partner,
            folderKey: place.pathKey,
            after,
            limit: pageSize,
          });
          if (!page.folderExists && after === '') await this.#refuse(user, path);
          return page.entries;
        },
        show: (entry) => this.show(user, entry),
      },
      this.#core.live.inFolder(user.partner, user.session, place.pathKey),
    );
    await listing.begin();
    return listing;
  }

  /** An entry as this session sees it; undefined when it does not. */
  show(user: CacheUser, entry: Entry): FileEntry | undefined {
    const { leases, clock, sessions } = this.#core;
    const { ghostUntil, session } = entry;
    if (entry.hidden) return undefined;
    if (ghostUntil !== null && ghostUntil <= clock.nowMs() && (session === null || !sessions.has(session))) return undefined;
    return {
      name: entry.name,
      kind: entry.kind,
      size: entry.size,
      modifiedAtMs: entry.modifiedMs,
      ghost: ghostUntil !== null || (entry.item !== null && leases.holds(entry.item)),
      writable: isInbox(entry.folderKey) && user.grant.mayUpload,
    };
  }

  #fixed(user: CacheUser, path: VirtualPath): FileEntry {
    return {
      name: nameOf(path),
      kind: 'folder',
      size: 0,
      modifiedAtMs: this.#startedAtMs,
      ghost: false,
      writable: pathKey(path) === inbox && user.grant.mayUpload,
    };
  }

  async #refuse(user: CacheUser, path: VirtualPath): Promise<never> {
    const entry = await this.stat(user, path);
    throw entry.kind === 'file'
      ? new SallyportError('not-a-folder', 'a file has this name')
      : new SallyportError('no-such-file', 'the folder does not exist');
  }
}

const isInbox = (folderKey: string): boolean => isWithin(folderKey as VirtualPath, inbox);

class FixedListing implements FolderHandle {
  #left: readonly FileEntry[];

  constructor(entries: readonly FileEntry[]) {
    this.#left = entries;
  }

  async next(max: number): Promise<readonly FileEntry[]> {
    const part = this.#left.slice(0, max);
    this.#left = this.#left.slice(max);
    return part;
  }
}

interface ListingDeps {
  readonly page: (after: string) => Promise<readonly Entry[]>;
  readonly show: (entry: Entry) => FileEntry | undefined;
}

/** Reads by name, one page ahead of nobody: what vanishes or appears meanwhile is not seen twice. */
class Listing implements FolderHandle {
  readonly #deps: ListingDeps;
  /** The session's own uploads under way, which the records do not show. */
  readonly #own: Map<string, LiveSlot>;
  #ready: FileEntry[] = [];
  #after = '';
  #done = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: ListingDeps, own: readonly LiveSlot[]) {
    this.#deps = deps;
    this.#own = new Map(own.map((slot) => [slot.place.nameKey, slot]));
  }

  async begin(): Promise<void> {
    await this.#fetch();
  }

  next(max: number): Promise<readonly FileEntry[]> {
    const result = this.#turn.then(() => this.#take(max));
    this.#turn = result.catch(() => {});
    return result;
  }

  async #take(max: number): Promise<readonly FileEntry[]> {
    while (this.#ready.length === 0 && !this.#done) await this.#fetch();
    return this.#ready.splice(0, Math.max(1, max));
  }

  async #fetch(): Promise<void> {
    const entries = await this.#deps.page(this.#after);
    for (const entry of entries) {
      const own = this.#own.get(entry.nameKey);
      this.#own.delete(entry.nameKey);
      const shown = own?.upload ? own.upload.stat() : this.#deps.show(entry);
      if (shown) this.#ready.push(shown);
    }
    const last = entries.at(-1);
    if (last) this.#after = last.nameKey;
    if (entries.length >= pageSize) return;
    this.#done = true;
    for (const { upload } of this.#own.values()) if (upload) this.#ready.push(upload.stat());
    this.#own.clear();
  }
}
