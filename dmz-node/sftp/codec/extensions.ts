/**
 * The extensions of SFTP version 3 that are offered, and their requests: those of OpenSSH (its PROTOCOL file) and
 * `check-file` (draft-ietf-secsh-filexfer-extensions-00 §3).
 *
 * One table says what VERSION names and what is understood, so that neither can be without the other. What is missing here on
 * purpose: links (`hardlink@openssh.com`) and copies on the server (`copy-data`), because a relay has no second place to put
 * bytes, and digests other than the one that the records hold (`md5-hash`).
 */
import type { FieldReader } from './field-reader.ts';
import { readAttributes, type WantedAttributes } from './wanted-attributes.ts';

export interface CheckFileRequest {
  readonly type: 'check-file';
  readonly id: number;
  readonly target: { readonly path: Buffer } | { readonly handle: Buffer };
  /** Names of digests, best first, separated by commas. */
  readonly algorithms: string;
  readonly offset: number;
  /** Bytes; 0 means up to the end. */
  readonly length: number;
  /** Bytes for which one digest is wanted; 0 means one digest for all. */
  readonly blockBytes: number;
  /** Older programs expect the name of the extension before the answer. */
  readonly named: boolean;
}

export type ExtendedRequest =
  | { readonly type: 'rename'; readonly id: number; readonly from: Buffer; readonly to: Buffer; readonly overwrite: boolean }
  | { readonly type: 'setstat'; readonly id: number; readonly path: Buffer; readonly attributes: WantedAttributes }
  | { readonly type: 'limits'; readonly id: number }
  | { readonly type: 'fsync'; readonly id: number; readonly handle: Buffer }
  | { readonly type: 'statvfs'; readonly id: number; readonly path: Buffer }
  | { readonly type: 'fstatvfs'; readonly id: number; readonly handle: Buffer }
  | { readonly type: 'expand-path'; readonly id: number; readonly path: Buffer }
  | { readonly type: 'home-directory'; readonly id: number; readonly user: Buffer }
  | { readonly type: 'names-by-id'; readonly id: number; readonly users: readonly number[]; readonly groups: readonly number[] }
  | CheckFileRequest;

type Reader = (fields: FieldReader, id: number) => ExtendedRequest;

interface Extension {
  /** What VERSION says beside the name; an extension without it is understood but not announced. */
  readonly version?: string;
  readonly read: Reader;
}

/** Numbers in one question for names: more than the owners of any listing of ours. */
const maxIds = 1024;

const checkFile =
  (target: 'path' | 'handle', named: boolean): Reader =>
  (f, id) => {
    const what = f.string();
    return {
      type: 'check-file',
      id,
      target: target === 'path' ? { path: what } : { handle: what },
      algorithms: f.string().toString('latin1'),
      offset: f.uint64(),
      length: f.uint64(),
      blockBytes: f.uint32(),
      named,
    };
  };

const extensions: Readonly<Record<string, Extension>> = {
  'posix-rename@openssh.com': {
    version: '1',
    read: (f, id) => ({ type: 'rename', id, from: f.string(), to: f.string(), overwrite: true }),
  },
  'statvfs@openssh.com': { version: '2', read: (f, id) => ({ type: 'statvfs', id, path: f.string() }) },
  'fstatvfs@openssh.com': { version: '2', read: (f, id) => ({ type: 'fstatvfs', id, handle: f.string() }) },
  'fsync@openssh.com': { version: '1', read: (f, id) => ({ type: 'fsync', id, handle: f.string() }) },
  // Nothing here is a link, so there is nothing that it would not follow.
  'lsetstat@openssh.com': {
    version: '1',
    read: (f, id) => ({ type: 'setstat', id, path: f.string(), attributes: readAttributes(f) }),
  },
  'limits@openssh.com': { version: '1', read: (_f, id) => ({ type: 'limits', id }) },
  'expand-path@openssh.com': { version: '1', read: (f, id) => ({ type: 'expand-path', id, path: f.string() }) },
  'home-directory': { version: '1', read: (f, id) => ({ type: 'home-directory', id, user: f.string() }) },
  'users-groups-by-id@openssh.com': {
    version: '1',
    read: (f, id) => ({ type: 'names-by-id', id, users: readIds(f), groups: readIds(f) }),
  },
  // Programs look for this name and then ask by one of the other two; older ones ask by this one, with a handle.
  'check-file': { version: 'sha256', read: checkFile('handle', true) },
  'check-file-handle': { read: checkFile('handle', false) },
  'check-file-name': { read: checkFile('path', false) },
};

/** Names and versions for VERSION, in turn. */
export const announced: readonly string[] = Object.entries(extensions).flatMap(([name, { version }]) =>
  version === undefined ? [] : [name, version],
);

/** @returns undefined for an extension that is not offered. @throws Error as `readRequest` */
export function readExtended(fields: FieldReader, id: number): ExtendedRequest | undefined {
  const name = fields.string().toString('latin1');
  return Object.hasOwn(extensions, name) ? extensions[name]?.read(fields, id) : undefined;
}

function readIds(fields: FieldReader): number[] {
  const bytes = fields.string();
  const count = bytes.length / 4;
  if (!Number.isInteger(count) || count > maxIds) throw new Error(`a question for ${count} names`);
  return Array.from({ length: count }, (_, n) => bytes.readUInt32BE(4 * n));
}
