/** What the grant of a session allows, asked anew each time: expressions may speak of the date. */
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { Layout } from '../../shared/paths/layout.ts';
import type { VirtualPath } from '../../shared/paths/virtual-path.ts';
import { type Area, areaOf, listingOf, mayDo, mayFetch, mayLook } from '../../shared/permissions/acts.ts';
import { Permissions } from '../../shared/permissions/permissions.ts';
import type { Permission } from '../../shared/permissions/words.ts';
import type { Grant } from '../../shared/policy.ts';
import type { Rights } from '../cache-view.ts';

export class SessionRights implements Rights {
  readonly #permissions: Permissions;
  readonly #clock: Pick<Clock, 'nowMs'>;

  /** @throws SallyportError `config-invalid` when a line of the grant cannot be read: nobody gets in with half of it. */
  constructor(grant: Grant, clock: Pick<Clock, 'nowMs'>) {
    this.#permissions = new Permissions(grant.permissions, grant.folders);
    this.#clock = clock;
  }

  get layout(): Layout {
    return this.#permissions.layout;
  }

  areaOf(path: VirtualPath): Area {
    return areaOf(path, this.layout);
  }

  may(permission: Permission, path: VirtualPath): boolean {
    return mayDo(this.#permissions, permission, path, this.#clock.nowMs()).allowed;
  }

  listing(folder: VirtualPath): 'all' | 'folders' | 'nothing' {
    return listingOf(this.#permissions, folder, this.#clock.nowMs());
  }

  mayLook(path: VirtualPath, kind: 'file' | 'folder'): boolean {
    return mayLook(this.#permissions, path, kind, this.#clock.nowMs());
  }

  /** @throws SallyportError `permission-denied` unless one of the permissions is given. */
  need(path: VirtualPath, ...permissions: readonly Permission[]): void {
    if (permissions.some((permission) => this.may(permission, path))) return;
    const needed = permissions.join(' or ');
    throw new SallyportError('permission-denied', `the grant does not allow ${needed} there`, {
      needed,
      area: this.areaOf(path),
    });
  }

  /** @throws SallyportError `permission-denied`; `no-such-file` for a path where nothing can be. */
  needFetch(path: VirtualPath): void {
    if (this.areaOf(path) === 'nowhere') throw new SallyportError('no-such-file', 'nothing can be there');
    if (!mayFetch(this.#permissions, path, this.#clock.nowMs())) {
      throw new SallyportError('permission-denied', 'the grant allows no reading there', {
        needed: 'read',
        area: this.areaOf(path),
      });
    }
  }
}
