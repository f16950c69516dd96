/**
 * What other rooms know of the cache. The partner room asks on behalf of one session and has checked the grant before; the
 * cache keeps what it is told for that partner alone. Errors are `SallyportError`s.
 */
import type { VirtualPath } from '../shared/paths/virtual-path.ts';
import type { Permission } from '../shared/permissions/words.ts';
import type { Decision, Grant, PolicyBundle } from '../shared/policy.ts';
import type { UploadOverrides } from '../shared/uploads.ts';
import type { Digest, FileEntry, FolderHandle, OpenForWriting, ReadHandle, Space, WriteHandle } from './partner-view.ts';

/** One session as the cache sees it: whose files, and who answers for what it completes. */
export interface CacheUser {
  readonly partner: string;
  /** Whose files are meant: his own, or those of an Outbox that is shared with him. */
  readonly owner: string;
  readonly session: string;
  readonly trace: string;
  readonly sessionProof: string;
  /** Presented with each request for a key. */
  readonly token: string;
  readonly grant: Grant;
  /** What the grant allows, as the view asks for it too. */
  readonly rights: Rights;
}

/** What one session may do, at this moment. Paths as the partner sees them. */
export interface Rights {
  may(permission: Permission, path: VirtualPath): boolean;
  /** How much of a folder is shown. */
  listing(folder: VirtualPath): 'all' | 'folders' | 'nothing';
  /** Whether something that is not of this session may be looked at by its name. */
  mayLook(path: VirtualPath, kind: 'file' | 'folder'): boolean;
}

export interface CacheView {
  /** The session's ghosts stay until it leaves, and a while after. */
  enter(user: CacheUser): void;
  leave(user: CacheUser): Promise<void>;
  /** Makes folders of the Inbox that are not there, with those above them. A file in the way stays. Never rejects. */
  prepareFolders(user: CacheUser, folders: readonly VirtualPath[]): Promise<void>;
  stat(user: CacheUser, path: VirtualPath): Promise<FileEntry>;
  /** What the user's quota leaves. */
  space(user: CacheUser, path: VirtualPath): Promise<Omit<Space, 'writable'>>;
  /** @throws SallyportError `no-such-file`, `is-a-folder`, `unsupported` */
  digest(user: CacheUser, path: VirtualPath): Promise<Digest>;
  openFolder(user: CacheUser, path: VirtualPath): Promise<FolderHandle>;
  /** In the Outbox. @throws SallyportError `no-such-file`, `tunnel-down`, `key-refused`, … */
  openDownload(user: CacheUser, path: VirtualPath): Promise<ReadHandle>;
  /** In the Inbox. @throws SallyportError `upload-in-progress`, `quota-exceeded`, `no-space`, `already-exists`, … */
  openUpload(user: CacheUser, path: VirtualPath, options: OpenForWriting): Promise<WriteHandle>;
  setAttributes(
    user: CacheUser,
    path: VirtualPath,
    attributes: { readonly size?: number; readonly modifiedAtMs?: number },
  ): Promise<void>;
  remove(user: CacheUser, path: VirtualPath): Promise<void>;
  makeFolder(user: CacheUser, path: VirtualPath): Promise<void>;
  removeFolder(user: CacheUser, path: VirtualPath): Promise<void>;
  /** Without `rename` at both ends: only a file under a temporary name, whose rename completes the upload. */
  rename(user: CacheUser, from: VirtualPath, to: VirtualPath, overwrite: boolean): Promise<void>;
}

/** The policy in force; undefined when none is held or the last one is over. */
export interface PolicyInForce {
  current(): PolicyBundle | undefined;
}

/**
 * What the rules say of a file at one instant. That instant becomes the completion of the item and travels with it, so that
 * the inside decides by the same one: dates in rules mean the same day on both sides of midnight.
 */
export interface Ruling {
  readonly decision: Decision;
  readonly policyNumber: number;
  readonly atMs: number;
  /** How the rule wants the upload completed, where it says so. */
  readonly completion: Pick<UploadOverrides, 'complete' | 'quietMs'>;
}

/** Decides where a completed item goes. A proposal: the inside has the last word. */
export interface Deciding {
  decide(facts: { readonly partner: string; readonly path: string; readonly size: number; readonly atMs: number }): Ruling;
}
