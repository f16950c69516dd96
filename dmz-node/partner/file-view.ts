/**
 * The files of one session: every rule about what a partner sees and may do, for whatever protocol asks. It checks the
 * grant, counts handles and bytes, and cleans up behind the session; the cache does the work.
 */

import type { Clock } from '../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { inbox, isWithin, joinPath, nameOf, parseVirtualPath, root, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { CacheUser, CacheView } from '../cache-view.ts';
import type { Digest, FileEntry, FolderHandle, OpenForWriting, ReadHandle, Space, WriteHandle } from '../partner-view.ts';
import { SessionRights } from './permissions.ts';
import { Places } from './places.ts';
import type { Rates, Way } from './rates.ts';
import type { EndableView, SessionIdentity } from './session-identity.ts';
import type { PartnerTurns, Turns } from './turns.ts';

export interface FileViewDeps {
  readonly cache: CacheView;
  /** Of all sessions of the node. */
  readonly turns: PartnerTurns;
  readonly rates: Rates;
  /** Handles that one session may have open. */
  readonly maxHandles: () => number;
  readonly clock: Pick<Clock, 'nowMs'>;
}

export class FileView implements EndableView {
  readonly home: VirtualPath;
  readonly #cache: CacheView;
  readonly #turns: PartnerTurns;
  readonly #rates: Rates;
  readonly #over = new AbortController();
  /** Settles when the folders that the grant wants are there; what fails is told in the log of the records. */
  readonly #prepared: Promise<void> | undefined;
  readonly #maxHandles: () => number;
  readonly #user: CacheUser;
  readonly #rights: SessionRights;
  readonly #places: Places;
  /** Of folders that are always there. */
  readonly #enteredAtMs: number;
  /** What ends an open handle when the session ends without closing it. */
  readonly #open = new Set<(reason: string) => Promise<void>>();
  #opening = 0;
  #received = 0;
  #sent = 0;
  #ended: Promise<void> | undefined;

  constructor(deps: FileViewDeps, identity: SessionIdentity) {
    this.#cache = deps.cache;
    this.#turns = deps.turns;
    this.#rates = deps.rates;
    this.#maxHandles = deps.maxHandles;
    const { partner, session, trace, sessionProof, token, grant } = identity;
    this.#rights = new SessionRights(grant, deps.clock);
    this.#user = { partner, owner: partner, session, trace, sessionProof, token, grant, rights: this.#rights };
    this.home = parseVirtualPath(grant.startIn ?? root);
    this.#places = new Places(this.#user, this.#rights.layout);
    this.#enteredAtMs = deps.clock.nowMs();
    this.#cache.enter(this.#user);
    const places = [...this.#rights.layout.folders.map(({ place }) => place), this.#places.of(this.home).path];
    const sendingTo = places.filter((place) => isWithin(place, inbox) && place !== inbox);
    const folders = [...(grant.makeFolders ?? []).map((folder) => parseVirtualPath(folder)), ...sendingTo];
    if (folders.length > 0) this.#prepared = this.#cache.prepareFolders(this.#user, folders);
  }

  get partner(): string {
    return this.#user.partner;
  }

  get receivedBytes(): number {
    return this.#received;
  }

  get sentBytes(): number {
    return this.#sent;
  }

  resolve(raw: Buffer, base: VirtualPath = this.home): VirtualPath {
    return parseVirtualPath(raw, base);
  }

  async stat(path: VirtualPath): Promise<FileEntry> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    if (this.#rights.layout.isVirtual(path)) return this.#alwaysThere(path);
    const place = this.#places.of(path);
    return await this.#turn(() => this.#cache.stat(place.user, place.path));
  }

  async space(path: VirtualPath): Promise<Space> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    // What a folder of its own stands for need not be there yet.
    const place = this.#rights.layout.isVirtual(path) ? { user: this.#user, path: root } : this.#places.of(path);
    const space = await this.#turn(() => this.#cache.space(place.user, place.path));
    return { ...space, writable: this.#rights.may('write', joinPath(path, 'x')) };
  }

  async digest(path: VirtualPath): Promise<Digest> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    if (this.#rights.areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.need(path, 'read', 'write');
    const place = this.#places.of(path);
    return await this.#turn(() => this.#cache.digest(place.user, place.path));
  }

  async openFolder(path: VirtualPath): Promise<FolderHandle> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    const { layout } = this.#rights;
    const added = layout.namesIn(path).map((name) => this.#alwaysThere(joinPath(path, name)));
    const folder = await this.#turn(() => this.#listed(path));
    return {
      shown: folder.shown,
      next: (max) => {
        const first = added.splice(0, max);
        return first.length > 0 ? Promise.resolve(first) : this.#turn(() => folder.next(max), this.#turns.listings);
      },
    };
  }

  /** What the cache has in a folder: nothing where the place of a folder of its own is not there yet. */
  async #listed(path: VirtualPath): Promise<FolderHandle> {
    const { layout } = this.#rights;
    const shown = this.#rights.listing(path);
    if (shown === 'nothing') throw new SallyportError('permission-denied', 'the grant allows no listing of this folder');
    const nothing: FolderHandle = { shown, next: async () => [] };
    if (layout.isVirtual(path) && !layout.folderOf(path)) return nothing;
    const place = this.#places.of(path);
    try {
      return await this.#cache.openFolder(place.user, place.path);
    } catch (error) {
      if (layout.isVirtual(path) && asSallyportError(error).code === 'no-such-file') return nothing;
      throw error;
    }
  }

  async openForReading(path: VirtualPath): Promise<ReadHandle> {
    this.#refuseIfEnded();
    if (this.#rights.areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.needFetch(path);
    const place = this.#places.of(path);
    return await this.#opened(async () => {
      const handle = await this.#turn(() => this.#cache.openDownload(place.user, place.path), this.#turns.downloads);
      const cut = (): Promise<void> => handle.abandon();
      return {
        cut,
        handle: {
          path,
          size: handle.size,
          sha256: handle.sha256,
          stat: () => handle.stat(),
          read: async (offset, length) => {
            const bytes = await handle.read(offset, length);
            this.#sent += bytes.length;
            await this.#pay('download', bytes.length);
            return bytes;
          },
          close: () => this.#closing(cut, () => handle.close()),
          abandon: () => this.#closing(cut, cut),
        } satisfies ReadHandle,
      };
    });
  }

  async openForWriting(path: VirtualPath, options: OpenForWriting): Promise<WriteHandle> {
    this.#refuseIfEnded();
    if (this.#rights.areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.need(path, 'write');
    const place = this.#places.of(path);
    return await this.#opened(async () => {
      const upload = await this.#turn(() => this.#cache.openUpload(place.user, place.path, options));
      const end = (work: () => Promise<void>): Promise<void> => this.#turns.endings.run(this.#user.partner, work);
      const cut = (reason: string): Promise<void> => end(() => upload.abandon(reason));
      return {
        cut,
        handle: {
          path,
          get size() {
            return upload.size;
          },
          stat: () => upload.stat(),
          write: async (offset, bytes) => {
            const { length } = bytes;
            await upload.write(offset, bytes);
            this.#received += length;
            // Only now: what waits has its place in the file, whatever comes after it.
            await this.#pay('upload', length);
          },
          // A cut flushes like an end.
          setAttributes: (attributes) => end(() => upload.setAttributes(attributes)),
          flush: () => end(() => upload.flush()),
          close: (endUntold) => this.#closing(cut, () => end(() => upload.close(endUntold))),
          keepEmpty: () => upload.keepEmpty(),
          abandon: (reason) => this.#closing(cut, () => cut(reason)),
        } satisfies WriteHandle,
      };
    });
  }

  async setAttributes(path: VirtualPath, attributes: { readonly size?: number; readonly modifiedAtMs?: number }): Promise<void> {
    this.#refuseIfEnded();
    const empty = attributes.size === undefined && attributes.modifiedAtMs === undefined;
    if (empty && this.#rights.areaOf(path) === 'fixed') return;
    // Programs set the time of what they sent; of what else is there they know nothing with that right alone.
    const known = this.#rights.may('set-attributes', path);
    if (!known) this.#rights.need(path, 'write');
    if (!known || empty) await this.stat(path);
    const place = this.#places.of(path);
    if (!empty) await this.#turn(() => this.#cache.setAttributes(place.user, place.path, attributes));
  }

  async removeFile(path: VirtualPath): Promise<void> {
    this.#refuseIfEnded();
    if (this.#rights.areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.need(path, 'delete-file');
    const place = this.#places.of(path);
    await this.#turn(() => this.#cache.remove(place.user, place.path));
  }

  async makeFolder(path: VirtualPath): Promise<void> {
    this.#refuseIfEnded();
    if (this.#rights.areaOf(path) === 'fixed') throw new SallyportError('already-exists', 'the folder is always there');
    this.#rights.need(path, 'create-folder');
    const place = this.#places.of(path);
    await this.#turn(() => this.#cache.makeFolder(place.user, place.path));
  }

  async removeFolder(path: VirtualPath): Promise<void> {
    this.#refuseIfEnded();
    this.#rights.need(path, 'delete-folder');
    const place = this.#places.of(path);
    await this.#turn(() => this.#cache.removeFolder(place.user, place.path));
  }

  async rename(from: VirtualPath, to: VirtualPath, overwrite: boolean): Promise<void> {
    this.#refuseIfEnded();
    // The rename that completes an upload under a temporary name belongs to writing; the cache knows those names.
    this.#rights.need(from, 'rename', 'write');
    this.#rights.need(to, 'rename', 'write');
    const places = this.#places.both(from, to);
    await this.#turn(() => this.#cache.rename(places.user, places.from, places.to, overwrite));
  }

  /** Uploads under way become partials, and the time of the session's ghosts begins to run. Idempotent. */
  end(reason: string): Promise<void> {
    this.#ended ??= this.#end(reason);
    return this.#ended;
  }

  async #end(reason: string): Promise<void> {
    this.#over.abort();
    await Promise.allSettled([...this.#open].map((cut) => cut(reason)));
    this.#open.clear();
    await this.#cache.leave(this.#user);
    this.#rates.tidy(this.partner);
  }

  async #opened<H>(open: () => Promise<{ handle: H; cut: (reason: string) => Promise<void> }>): Promise<H> {
    const maxHandles = this.#maxHandles();
    if (this.#open.size + this.#opening >= maxHandles) {
      throw new SallyportError('limit-reached', 'the session has too many files open', { maxHandles });
    }
    this.#opening += 1;
    try {
      const { handle, cut } = await open();
      if (this.#ended) {
        await cut('the session ended');
        this.#refuseIfEnded();
      }
      this.#open.add(cut);
      return handle;
    } finally {
      this.#opening -= 1;
    }
  }

  async #closing(cut: (reason: string) => Promise<void>, close: () => Promise<void>): Promise<void> {
    try {
      await close();
    } finally {
      this.#open.delete(cut);
    }
  }

  /** Runs `work` when it is this partner's turn, if the session still lives then. */
  #turn<T>(work: () => Promise<T>, turns: Turns = this.#turns.names): Promise<T> {
    return turns.run(this.#user.partner, async () => {
      if (this.#prepared) await this.#prepared;
      this.#refuseIfEnded();
      return work();
    });
  }

  #pay(way: Way, bytes: number): Promise<void> {
    const { uploadBytesPerS, downloadBytesPerS } = this.#user.grant;
    return this.#rates.pay(this.partner, way, bytes, way === 'upload' ? uploadBytesPerS : downloadBytesPerS, this.#over.signal);
  }

  #alwaysThere(path: VirtualPath): FileEntry {
    const writable = this.#rights.may('write', joinPath(path, 'x'));
    return { name: nameOf(path), kind: 'folder', size: 0, modifiedAtMs: this.#enteredAtMs, ghost: false, writable };
  }

  /** Outside of his folders there is nothing for a partner, and nothing can be made. */
  #refuseNowhere(path: VirtualPath): void {
    if (this.#rights.areaOf(path) === 'nowhere') throw new SallyportError('no-such-file', 'nothing can be there');
  }

  #refuseIfEnded(): void {
    if (this.#ended) throw new SallyportError('session-unknown', 'the session is over');
  }
}
