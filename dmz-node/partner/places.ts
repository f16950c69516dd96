/**
 * Where the paths of one session lie in the cache: what a folder beside `/Inbox` and `/Outbox` stands for, and whose it is.
 * Rights are always asked for the path as the partner sees it; the cache knows only places.
 */
import { type Layout, moved, type VirtualFolder } from '../../shared/paths/layout.ts';
import type { VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { CacheUser, Rights } from '../cache-view.ts';

/** A path as the cache knows it, and on whose behalf it is asked. */
export interface Place {
  readonly user: CacheUser;
  readonly path: VirtualPath;
}

export class Places {
  readonly #user: CacheUser;
  readonly #layout: Layout;
  readonly #users = new Map<VirtualFolder, CacheUser>();

  constructor(user: CacheUser, layout: Layout) {
    this.#user = user;
    this.#layout = layout;
  }

  of(path: VirtualPath): Place {
    const folder = this.#layout.folderOf(path);
    if (!folder) return { user: this.#user, path };
    return { user: this.#userIn(folder), path: moved(path, folder.path, folder.place) };
  }

  /** For a rename. Both ends are in the Inbox of the partner, or his rights refuse it. */
  both(from: VirtualPath, to: VirtualPath): { readonly user: CacheUser; readonly from: VirtualPath; readonly to: VirtualPath } {
    const [source, target] = [this.of(from).path, this.of(to).path];
    const { rights } = this.#user;
    const seen = (path: VirtualPath): VirtualPath => (path === source ? from : to);
    return { user: { ...this.#user, rights: seenAs(rights, seen) }, from: source, to: target };
  }

  #userIn(folder: VirtualFolder): CacheUser {
    const known = this.#users.get(folder);
    if (known) return known;
    const { partner, rights } = this.#user;
    const seen = (path: VirtualPath): VirtualPath => moved(path, folder.place, folder.path);
    const user = { ...this.#user, owner: folder.owner ?? partner, rights: seenAs(rights, seen) };
    this.#users.set(folder, user);
    return user;
  }
}

/** Rights for places, from those for what the partner sees. */
const seenAs = (rights: Rights, seen: (path: VirtualPath) => VirtualPath): Rights => ({
  may: (permission, path) => rights.may(permission, seen(path)),
  listing: (folder) => rights.listing(seen(folder)),
  mayLook: (path, kind) => rights.mayLook(seen(path), kind),
});
