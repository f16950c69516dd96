/**
 * The folders that a partner sees beside `/Inbox` and `/Outbox`: other names of folders in them, or of an Outbox that several
 * partners share. A path below such a folder means the path below its place; the folder itself and those above it are always
 * there and never change.
 */
import { SallyportError } from '../errors.ts';
import {
  componentsOf,
  inbox,
  isWithin,
  outbox,
  parentOf,
  parseVirtualPath,
  pathKey,
  root,
  type VirtualPath,
} from './virtual-path.ts';

/** As it travels with a grant. */
export interface FolderGrant {
  /** As the partner sees it: `/reports`. */
  readonly path: string;
  /** What it stands for: `/Inbox/…` or `/Outbox/…`. */
  readonly place: string;
  /** Whose Outbox that is; absent: his own. */
  readonly owner?: string | undefined;
}

export interface VirtualFolder {
  readonly path: VirtualPath;
  readonly place: VirtualPath;
  readonly owner: string | undefined;
}

const own = new Set<string>([root, inbox, outbox]);

export class Layout {
  readonly folders: readonly VirtualFolder[];
  /** Keys of the folders and of what is above them, without the root. */
  readonly #fixed = new Set<string>();

  /** @throws SallyportError `config-invalid` when two cannot be together, `bad-name` */
  constructor(folders: readonly FolderGrant[] = []) {
    this.folders = folders.map(({ path, place, owner }) => {
      const folder = { path: parseVirtualPath(path), place: parseVirtualPath(place), owner };
      check(folder);
      return folder;
    });
    for (const { path } of this.folders) {
      for (let above = path; above !== root; above = parentOf(above)) this.#fixed.add(pathKey(above));
    }
    this.#refuseNested();
  }

  /** `/`, the two boxes, and every folder of this layout with those above it. */
  isFixed(path: VirtualPath): boolean {
    return own.has(pathKey(path)) || this.isVirtual(path);
  }

  /** A folder of this layout, or one above such a folder. */
  isVirtual(path: VirtualPath): boolean {
    return this.#fixed.has(pathKey(path));
  }

  /** The folder that a path is, or lies below. */
  folderOf(path: VirtualPath): VirtualFolder | undefined {
    return this.folders.find((folder) => isWithin(path, folder.path));
  }

  /** What a path means. */
  placeOf(path: VirtualPath): VirtualPath {
    const folder = this.folderOf(path);
    return folder ? moved(path, folder.path, folder.place) : path;
  }

  /** The names that this layout adds to a folder. */
  namesIn(path: VirtualPath): readonly string[] {
    const depth = componentsOf(path).length;
    const below = this.folders.filter((folder) => isWithin(folder.path, path)).map((folder) => componentsOf(folder.path)[depth]);
    return [...new Set(below.filter((name) => name !== undefined))].sort();
  }

  #refuseNested(): void {
    for (const [index, { path }] of this.folders.entries()) {
      const other = this.folders.find((folder, at) => at !== index && isWithin(path, folder.path));
      if (other) throw new SallyportError('config-invalid', `the folder ${path} would be within the folder ${other.path}`);
    }
  }
}

function check({ path, place, owner }: VirtualFolder): void {
  if (path === root || isWithin(path, inbox) || isWithin(path, outbox)) {
    throw new SallyportError('config-invalid', `${path} is there already: a folder of its own needs another name`);
  }
  if (!isWithin(place, outbox) && (owner !== undefined || !isWithin(place, inbox))) {
    throw new SallyportError('config-invalid', `${path} stands for ${place}, which is in no Inbox or Outbox`);
  }
}

/** A path below one folder as the path below another. */
export function moved(path: VirtualPath, from: VirtualPath, to: VirtualPath): VirtualPath {
  const rest = componentsOf(path).slice(componentsOf(from).length);
  return rest.length === 0 ? to : parseVirtualPath([to, ...rest].join('/'));
}
