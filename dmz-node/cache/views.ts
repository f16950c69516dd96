/** What a partner sees: one name, or the names of a folder page by page. */
import { SallyportError } from '../../shared/errors.ts';
import { inbox, isWithin, joinPath, nameOf, outbox, pathKey, root, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { CacheUser } from '../cache-view.ts';
import type { Digest, FileEntry, FolderHandle } from '../partner-view.ts';
import type { CacheCore } from './core.ts';
import { FixedListing, Listing, ReadAhead } from './listing.ts';
import { isFixedFolder, placeOf } from './place.ts';
import { type Entry, type ListedEntry, toListedEntry } from './records/entries.ts';

export class Views {
  readonly #core: CacheCore;
  readonly #startedAtMs: number;
  readonly #readAhead = new ReadAhead();

  constructor(core: CacheCore) {
    this.#core = core;
    this.#startedAtMs = core.clock.nowMs();
  }

  async stat(user: CacheUser, path: VirtualPath): Promise<FileEntry> {
    if (isFixedFolder(path)) return this.#fixed(user, path);
    const place = placeOf(path);
    const own = this.#core.live.find(user.partner, place.pathKey);
    if (own?.session === user.session && own.upload) return own.upload.stat();
    const entry = await this.#core.records.call('names.look', { partner: user.owner, ...place });
    return this.#named(user, entry);
  }

  /** Of a complete file, as the records have it; a ghost is known by its receipt. */
  async digest(user: CacheUser, path: VirtualPath): Promise<Digest> {
    const place = placeOf(path);
    const found = await this.#core.records.call('names.digest', { partner: user.owner, ...place });
    const shown = this.#named(user, found?.entry);
    if (shown.kind === 'folder') throw new SallyportError('is-a-folder', 'the path names a folder');
    const underWay = this.#core.live.find(user.partner, place.pathKey)?.session === user.session;
    if (!found?.sha256 || underWay) throw new SallyportError('unsupported', 'the records hold no digest of the whole file');
    return { sha256: found.sha256, size: shown.size };
  }

  async openFolder(user: CacheUser, path: VirtualPath): Promise<FolderHandle> {
    const shown = user.rights.listing(path);
    if (shown === 'nothing') throw new SallyportError('permission-denied', 'the grant allows no listing of this folder');
    if (path === root) return new FixedListing([this.#fixed(user, inbox), this.#fixed(user, outbox)], shown);
    const place = placeOf(path);
    const listing = new Listing(
      {
        page: async (after, limit) => {
          const page = await this.#core.records.call('names.page', {
            partner: user.owner,
            folderKey: place.pathKey,
            after,
            limit,
          });
          if (!page.folderExists && after === '') await this.#refuse(user, path);
          return page.rows.map((row) => toListedEntry(place.pathKey, row));
        },
        show: (entry) => (shown === 'folders' && entry.kind === 'file' ? undefined : this.show(user, entry)),
        readAhead: this.#readAhead,
      },
      shown === 'folders' ? [] : this.#core.live.inFolder(user.partner, user.session, place.pathKey),
      shown,
    );
    await listing.begin();
    return listing;
  }

  /** An entry as this session sees it; undefined when it does not. */
  show(user: CacheUser, entry: ListedEntry): FileEntry | undefined {
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
      writable: isInbox(entry.folderKey) && user.rights.may('write', pathOf(entry)),
    };
  }

  /** An entry that was asked for by its name. @throws SallyportError `no-such-file` when this session may not see it */
  #named(user: CacheUser, entry: Entry | undefined): FileEntry {
    const seen = entry && (isOwn(user, entry) || user.rights.mayLook(pathOf(entry), entry.kind));
    const shown = seen ? this.show(user, entry) : undefined;
    if (!shown) throw new SallyportError('no-such-file', 'nothing of that name');
    return shown;
  }

  #fixed(user: CacheUser, path: VirtualPath): FileEntry {
    return {
      name: nameOf(path),
      kind: 'folder',
      size: 0,
      modifiedAtMs: this.#startedAtMs,
      ghost: false,
      writable: pathKey(path) === inbox && user.rights.may('write', joinPath(inbox, 'x')),
    };
  }

  async #refuse(user: CacheUser, path: VirtualPath): Promise<never> {
    const entry = await this.stat(user, path);
    throw entry.kind === 'file'
      ? new SallyportError('not-a-folder', 'a file has this name')
      : new SallyportError('no-such-file', 'the folder does not exist');
  }
}

/** What may be looked at by whoever sends it, without any other right: the answer to an upload, and what can be resumed. */
function isOwn({ session, rights }: CacheUser, entry: Entry): boolean {
  if (entry.kind === 'folder' || !isInbox(entry.folderKey)) return false;
  return entry.session === session || (entry.partial && rights.may('write', pathOf(entry)));
}

const pathOf = ({ folderKey, name }: Pick<Entry, 'folderKey' | 'name'>): VirtualPath => joinPath(folderKey as VirtualPath, name);

const isInbox = (folderKey: string): boolean => isWithin(folderKey as VirtualPath, inbox);
