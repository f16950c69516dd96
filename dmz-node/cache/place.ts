/** A path of a view as the keys that the records know it by. */
import { inbox, isWithin, nameOf, outbox, parentOf, pathKey, root, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { NamePlace } from './records/entries.ts';

export function placeOf(path: VirtualPath): NamePlace {
  const name = nameOf(path);
  return { path, pathKey: pathKey(path), folderKey: pathKey(parentOf(path)), nameKey: name.normalize('NFC'), name };
}

const fixed = new Set<string>([root, inbox, outbox]);

/** `/`, `/Inbox` and `/Outbox` are there without a record. */
export const isFixedFolder = (path: VirtualPath): boolean => fixed.has(pathKey(path));

export const isBelowInbox = (path: VirtualPath): boolean => path !== inbox && isWithin(path, inbox);
export const isBelowOutbox = (path: VirtualPath): boolean => path !== outbox && isWithin(path, outbox);

/** A folder below the Inbox or the Outbox and those above it, the highest first. */
export function foldersDownTo(folder: VirtualPath): VirtualPath[] {
  const folders: VirtualPath[] = [];
  for (let next = folder; isBelowInbox(next) || isBelowOutbox(next); next = parentOf(next)) folders.unshift(next);
  return folders;
}
