/**
 * What a partner can ask for, as permissions on paths. What cannot be done at all is here too: nobody can read back what he
 * uploaded, because the DMZ node holds no key to open it, and nothing is written into an Outbox but by the inside.
 */
import { Layout } from '../paths/layout.ts';
import { inbox, isWithin, outbox, parentOf, pathKey, root, type VirtualPath } from '../paths/virtual-path.ts';
import type { PermissionDecision, Permissions } from './permissions.ts';
import { type Permission, permissionNames } from './words.ts';

/** `inbox` and `outbox` are what lies below the two folders; `fixed` are the folders that are always there. */
export type Area = 'fixed' | 'inbox' | 'outbox' | 'nowhere';

const noFolders = new Layout();

export function areaOf(path: VirtualPath, layout: Layout = noFolders): Area {
  if (layout.isFixed(path)) return 'fixed';
  const place = layout.placeOf(path);
  if (isWithin(place, inbox)) return 'inbox';
  return isWithin(place, outbox) ? 'outbox' : 'nowhere';
}

/** Where each permission can be of any use. */
const places: Readonly<Record<Permission, readonly Area[]>> = {
  read: ['inbox', 'outbox'],
  list: ['fixed', 'inbox', 'outbox'],
  traverse: ['fixed', 'inbox', 'outbox'],
  'create-folder': ['inbox'],
  write: ['inbox'],
  rename: ['inbox'],
  'delete-folder': ['inbox'],
  'delete-file': ['inbox', 'outbox'],
  'set-attributes': ['inbox'],
};

/** Why a permission is worth nothing at a place, whatever the lines say. */
const impossible: Readonly<Record<Area, string>> = {
  fixed: 'this folder is always there and never changes',
  inbox: 'that cannot be done in the Inbox',
  outbox: 'only the inside puts files into the Outbox or changes them',
  nowhere: 'there is nothing outside of the folders of the partner',
};

export interface Answer extends PermissionDecision {
  /** Set when no line can change the answer. */
  readonly impossible: string | undefined;
}

/** The whole answer for one permission on one path: what is possible there, and what the lines allow. Pure. */
export function mayDo(permissions: Permissions, permission: Permission, path: VirtualPath, atMs: number): Answer {
  const area = areaOf(path, permissions.layout);
  const decision = permissions.decide(permission, pathKey(path), atMs);
  if (!places[permission].includes(area)) return { ...decision, allowed: false, impossible: impossible[area] };
  return { ...decision, impossible: undefined };
}

/** Whether the content of a file there can be fetched: reading in the Inbox is only looking. */
export const mayFetch = (permissions: Permissions, path: VirtualPath, atMs: number): boolean =>
  areaOf(path, permissions.layout) === 'outbox' && mayDo(permissions, 'read', path, atMs).allowed;

/** How much of a folder is shown. */
export function listingOf(permissions: Permissions, folder: VirtualPath, atMs: number): 'all' | 'folders' | 'nothing' {
  if (mayDo(permissions, 'list', folder, atMs).allowed) return 'all';
  return mayDo(permissions, 'traverse', folder, atMs).allowed ? 'folders' : 'nothing';
}

/** Whoever may do these to something has to be able to look at it by its name: programs do so before they ask. */
const lookedAtBefore: readonly Permission[] = ['read', 'list', 'rename', 'set-attributes'];

/** Whether the attributes of something may be looked at by its name: of what is listed, and of what may be read or changed. */
export function mayLook(permissions: Permissions, path: VirtualPath, kind: 'file' | 'folder', atMs: number): boolean {
  if (areaOf(path, permissions.layout) === 'fixed') return true;
  if (lookedAtBefore.some((permission) => mayDo(permissions, permission, path, atMs).allowed)) return true;
  const listing = listingOf(permissions, parentOf(path), atMs);
  return listing === 'all' || (kind === 'folder' && (listing === 'folders' || listingOf(permissions, path, atMs) !== 'nothing'));
}

/** Every permission on a path. */
export const allAnswers = (
  permissions: Permissions,
  path: VirtualPath,
  atMs: number,
): readonly (readonly [Permission, Answer])[] =>
  permissionNames.map((permission) => [permission, mayDo(permissions, permission, path, atMs)] as const);

/** The places that `can-i --list` tells of. */
export const usualPlaces: readonly VirtualPath[] = [root, inbox, outbox];
