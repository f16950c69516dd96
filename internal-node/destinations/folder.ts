/**
 * Delivery into a folder: `<folder>/<partner>/<path below the Inbox>`. A file gets its name by `link` (which never
 * replaces) from a draft in the hidden staging folder, and the folder is flushed.
 *
 * It does not rename folders out of the way: where a partner sends a file `a` and later `a/b`, the second waits with
 * `destination-unavailable` until somebody makes room.
 */
import { chmodSync, constants, linkSync, lstatSync, renameSync } from 'node:fs';
import { type FileHandle, link, lstat, open, statfs } from 'node:fs/promises';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { OnExisting } from '../../shared/matching/actions.ts';
import { withNumber } from '../../shared/paths/delivery-name.ts';
import type { DeliveryTarget, Destination, DraftFacts, Published } from '../destination.ts';
import { entryOf, errnoOf, type MakeFolders, openFolder, unavailable } from '../folder-walk.ts';
import { Drafts, proofOf, prove, removeProof, standingOf } from './drafts.ts';
import { type FolderUse, SharedFolder } from './shared-folder.ts';

export interface FolderOptions {
  readonly name: string;
  /** Absolute path; must exist. */
  readonly folder: string;
  /** When the name is taken: a numbered name, the new file in place of the old, wait until the name is free, or pass it over. */
  readonly onExisting: OnExisting;
  /** Which missing folders above a file are made. */
  readonly makeFolders: MakeFolders;
  /** Mode of delivered files. */
  readonly fileMode: number;
}

export const folderDefaults = { onExisting: 'number', makeFolders: 'all', fileMode: 0o640 } as const;
const maxNumber = 1000;

export class FolderDestination implements Destination {
  readonly name: string;
  readonly #options: FolderOptions;
  readonly #drafts: Drafts;
  /** Folders that are being delivered to, by their path. */
  readonly #targets = new Map<string, SharedFolder<{ readonly folder: FileHandle }>>();

  constructor(options: FolderOptions) {
    this.name = options.name;
    this.#options = options;
    this.#drafts = new Drafts(options.folder);
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.#options.folder).catch((cause: unknown) => {
      throw unavailable('the destination cannot be looked at', cause);
    });
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  stage(item: string): Promise<string> {
    return this.#drafts.stage(item);
  }

  draftPath(item: string): string {
    return this.#drafts.path(item);
  }

  keep(item: string): Promise<DraftFacts> {
    return this.#drafts.keep(item);
  }

  discard(item: string): Promise<void> {
    return this.#drafts.discard(item);
  }

  forget(item: string): Promise<void> {
    return this.#drafts.forget(item);
  }

  drafts(): Promise<readonly string[]> {
    return this.#drafts.all();
  }

  async plan(target: DeliveryTarget, look = true, onExisting = this.#options.onExisting): Promise<string> {
    const above = [...(target.partner === undefined ? [] : [target.partner]), ...target.components.slice(0, -1)];
    const name = target.components.at(-1);
    if (name === undefined) throw new SallyportError('internal', 'a delivery needs a name');
    if (!look) return [...above, name].join('/');
    await using folder = await openFolder(this.#options.folder, above, this.#options.makeFolders);
    if (onExisting !== 'number') return [...above, name].join('/');
    for (let n = 1; n <= maxNumber; n += 1) {
      const candidate = n === 1 ? name : withNumber(name, n);
      if (!(await exists(folder, candidate))) return [...above, candidate].join('/');
    }
    throw unavailable(`the name exists ${maxNumber} times`);
  }

  async publish(
    item: string,
    facts: DraftFacts,
    file: string,
    allowed: () => void,
    onExisting = this.#options.onExisting,
  ): Promise<Published> {
    const parts = file.split('/');
    const name = parts.pop() ?? '';
    await using staging = await this.#drafts.enter();
    await using target = await this.#enter(parts);
    const draft = entryOf(staging.folder, item);
    const final = entryOf(target.folder, name);
    const replace = onExisting === 'replace';
    const isThere = replace && (await exists(target.folder, name));
    try {
      if (replace) await link(draft, proofOf(staging.folder, item));
      allowed();
      // Another internal node with this one's name and keys may be at work on the same item.
      if (String(lstatSync(draft, { bigint: true }).ino) !== facts.inode) throw unavailable('the draft is not ours any more');
      // No link can be there: the folder is private, and the draft was just looked at.
      chmodSync(draft, this.#options.fileMode);
      if (replace) renameSync(draft, final);
      else linkSync(draft, final);
    } catch (cause) {
      if (replace) await removeProof(staging.folder, item);
      // The folder may have been removed or renamed since others began to use it.
      if (errnoOf(cause) !== 'EEXIST') target.leaveForGood();
      if (replace || errnoOf(cause) !== 'EEXIST') throw unavailable('the file cannot be put in place', cause);
      if (!sameFile(draft, final)) return nameTaken(file, onExisting);
    }
    await settled(async () => {
      await target.sync();
      if (replace) await staging.sync();
      else await prove(staging, item);
    });
    return isThere ? 'replaced' : 'published';
  }

  /** The folder of a final name, made when it is missing. */
  async #enter(parts: readonly string[]): Promise<{ readonly folder: FileHandle } & FolderUse> {
    const key = parts.join('/');
    const target = this.#targets.get(key) ?? new SharedFolder(() => this.#targets.delete(key));
    this.#targets.set(key, target);
    return await target.enter(async () => ({ folder: await openFolder(this.#options.folder, parts, this.#options.makeFolders) }));
  }

  async standing(item: string, facts: DraftFacts, file: string): Promise<'draft' | 'published' | 'missing'> {
    await using staging = await this.#drafts.enter();
    const { draft, hasProof } = await standingOf(staging, item, facts);
    if (!draft) {
      if (!hasProof) return 'missing';
      await settled(() => this.#flushFolderOf(file));
      return 'published';
    }
    if (hasProof || draft.nlink < 2n) {
      // A proof beside the draft was made before the step that it is to prove (`replace`).
      await removeProof(staging.folder, item);
      return 'draft';
    }
    // Nobody else makes links in the private staging folder: a second name is the final one, wherever its taker moved it.
    await settled(async () => {
      await this.#flushFolderOf(file);
      await prove(staging, item);
    });
    return 'published';
  }

  /** A crash may have come before the flush of `publish`. A folder that its taker removed needs none. */
  async #flushFolderOf(file: string): Promise<void> {
    const parts = file.split('/').slice(0, -1);
    const folder = await openFolder(this.#options.folder, parts, 'none').catch((error: unknown) => {
      if (asSallyportError(error).fields.errno === 'ENOENT') return undefined;
      throw error;
    });
    await using _folder = folder;
    await folder?.sync();
  }

  async open(file: string): Promise<FileHandle> {
    const parts = file.split('/');
    const name = parts.pop() ?? '';
    await using folder = await openFolder(this.#options.folder, parts, 'none');
    try {
      const handle = await open(entryOf(folder, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      if ((await handle.stat()).isFile()) return handle;
      await handle.close();
    } catch (cause) {
      throw new SallyportError('no-such-file', 'the delivered file is no longer there', { file }, { cause });
    }
    throw new SallyportError('no-such-file', 'the delivered file is no longer a regular file', { file });
  }
}

function nameTaken(file: string, onExisting: OnExisting): 'taken' | 'skipped' {
  if (onExisting === 'number') return 'taken';
  if (onExisting === 'skip') return 'skipped';
  throw new SallyportError('destination-unavailable', `${JSON.stringify(file)} exists already and must not be replaced`);
}

/** The steps behind the one that publishes; after a failure they are gone through again. */
async function settled(steps: () => Promise<void>): Promise<void> {
  try {
    await steps();
  } catch (cause) {
    throw unavailable('a delivered file cannot be made durable', cause);
  }
}

async function exists(folder: FileHandle, name: string): Promise<boolean> {
  try {
    await lstat(entryOf(folder, name));
    return true;
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return false;
    throw unavailable('the destination cannot be looked at', cause);
  }
}

function sameFile(a: string, b: string): boolean {
  const [one, two] = [lstatSync(a, { bigint: true }), lstatSync(b, { bigint: true })];
  return one.ino === two.ino && one.dev === two.dev;
}
