/**
 * The files of one session: every rule about what a partner sees and may do, for whatever protocol asks. It checks the
 * grant, counts handles and bytes, and cleans up behind the session; the cache does the work.
 */

import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { inbox, isWithin, joinPath, parseVirtualPath, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import { areaOf } from '../../shared/permissions/acts.ts';
import type { CacheUser, CacheView } from '../cache-view.ts';
import type { Digest, FileEntry, FolderHandle, OpenForWriting, ReadHandle, Space, WriteHandle } from '../partner-view.ts';
import { SessionRights } from './permissions.ts';
import type { EndableView, SessionIdentity } from './session-identity.ts';
import type { PartnerTurns, Turns } from './turns.ts';

export interface FileViewDeps {
  readonly cache: CacheView;
  /** Of all sessions of the node. */
  readonly turns: PartnerTurns;
  /** Handles that one session may have open. */
  readonly maxHandles: () => number;
  readonly clock: Pick<Clock, 'nowMs'>;
}

export class FileView implements EndableView {
  readonly #cache: CacheView;
  readonly #turns: PartnerTurns;
  readonly #maxHandles: () => number;
  readonly #user: CacheUser;
  readonly #rights: SessionRights;
  /** What ends an open handle when the session ends without closing it. */
  readonly #open = new Set<(reason: string) => Promise<void>>();
  #opening = 0;
  #received = 0;
  #sent = 0;
  #ended: Promise<void> | undefined;

  constructor(deps: FileViewDeps, identity: SessionIdentity) {
    this.#cache = deps.cache;
    this.#turns = deps.turns;
    this.#maxHandles = deps.maxHandles;
    const { partner, session, trace, sessionProof, token, grant } = identity;
    this.#rights = new SessionRights(grant, deps.clock);
    this.#user = { partner, session, trace, sessionProof, token, grant, rights: this.#rights };
    this.#cache.enter(this.#user);
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

  resolve(raw: Buffer, base?: VirtualPath): VirtualPath {
    return parseVirtualPath(raw, base);
  }

  async stat(path: VirtualPath): Promise<FileEntry> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    return await this.#turn(() => this.#cache.stat(this.#user, path));
  }

  async space(path: VirtualPath): Promise<Space> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    const space = await this.#turn(() => this.#cache.space(this.#user, path));
    return { ...space, writable: isWithin(path, inbox) && this.#rights.may('write', joinPath(path, 'x')) };
  }

  async digest(path: VirtualPath): Promise<Digest> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    if (areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.need(path, 'read', 'write');
    return await this.#turn(() => this.#cache.digest(this.#user, path));
  }

  async openFolder(path: VirtualPath): Promise<FolderHandle> {
    this.#refuseIfEnded();
    this.#refuseNowhere(path);
    const folder = await this.#turn(() => this.#cache.openFolder(this.#user, path));
    return { shown: folder.shown, next: (max) => this.#turn(() => folder.next(max), this.#turns.listings) };
  }

  async openForReading(path: VirtualPath): Promise<ReadHandle> {
    this.#refuseIfEnded();
    if (areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.needFetch(path);
    return await this.#opened(async () => {
      const handle = await this.#turn(() => this.#cache.openDownload(this.#user, path), this.#turns.downloads);
      const cut = (): Promise<void> => handle.abandon();
      return {
        cut,
        handle: {
          path: handle.path,
          size: handle.size,
          sha256: handle.sha256,
          stat: () => handle.stat(),
          read: async (offset, length) => {
            const bytes = await handle.read(offset, length);
            this.#sent += bytes.length;
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
    if (areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.need(path, 'write');
    return await this.#opened(async () => {
      const upload = await this.#turn(() => this.#cache.openUpload(this.#user, path, options));
      const end = (work: () => Promise<void>): Promise<void> => this.#turns.endings.run(this.#user.partner, work);
      const cut = (reason: string): Promise<void> => end(() => upload.abandon(reason));
      return {
        cut,
        handle: {
          path: upload.path,
          get size() {
            return upload.size;
          },
          stat: () => upload.stat(),
          write: async (offset, bytes) => {
            await upload.write(offset, bytes);
            this.#received += bytes.length;
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
    if (empty && areaOf(path) === 'fixed') return;
    // Programs set the time of what they sent; of what else is there they know nothing with that right alone.
    const known = this.#rights.may('set-attributes', path);
    if (!known) this.#rights.need(path, 'write');
    if (!known || empty) await this.stat(path);
    if (!empty) await this.#turn(() => this.#cache.setAttributes(this.#user, path, attributes));
  }

  async removeFile(path: VirtualPath): Promise<void> {
    this.#refuseIfEnded();
    if (areaOf(path) === 'fixed') throw new SallyportError('is-a-folder', 'the path names a folder');
    this.#rights.need(path, 'delete-file');
    await this.#turn(() => this.#cache.remove(this.#user, path));
  }

  async makeFolder(path: VirtualPath): Promise<void> {
    this.#refuseIfEnded();
    if (areaOf(path) === 'fixed') throw new SallyportError('already-exists', 'the folder is always there');
    this.#rights.need(path, 'create-folder');
    await this.#turn(() => this.#cache.makeFolder(this.#user, path));
  }

  async removeFolder(path: VirtualPath): Promise<void> {
    this.#refuseIfEnded();
    this.#rights.need(path, 'delete-folder');
    await this.#turn(() => this.#cache.removeFolder(this.#user, path));
  }

  async rename(from: VirtualPath, to: VirtualPath, overwrite: boolean): Promise<void> {
    this.#refuseIfEnded();
    // The rename that completes an upload under a temporary name belongs to writing; the cache knows those names.
    this.#rights.need(from, 'rename', 'write');
    this.#rights.need(to, 'rename', 'write');
    await this.#turn(() => this.#cache.rename(this.#user, from, to, overwrite));
  }

  /** Uploads under way become partials, and the time of the session's ghosts begins to run. Idempotent. */
  end(reason: string): Promise<void> {
    this.#ended ??= this.#end(reason);
    return this.#ended;
  }

  async #end(reason: string): Promise<void> {
    await Promise.allSettled([...this.#open].map((cut) => cut(reason)));
    this.#open.clear();
    await this.#cache.leave(this.#user);
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
      this.#refuseIfEnded();
      return work();
    });
  }

  /** Outside of the two folders there is nothing, and nothing can be made. */
  #refuseNowhere(path: VirtualPath): void {
    if (areaOf(path) === 'nowhere') throw new SallyportError('no-such-file', 'nothing can be there');
  }

  #refuseIfEnded(): void {
    if (this.#ended) throw new SallyportError('session-unknown', 'the session is over');
  }
}
