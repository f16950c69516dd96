/**
 * Drafts and proofs in the staging folder of a destination. Only what is there proves anything: until a publication is
 * recorded, a second name of the draft (`<item>.done`) tells of it. A draft that is missing without that was removed by
 * somebody else, and was not published.
 */
import type { BigIntStats } from 'node:fs';
import { type FileHandle, lstat, readdir, rename, unlink } from 'node:fs/promises';
import { SallyportError } from '../../shared/errors.ts';
import { isId } from '../../shared/ids.ts';
import type { DraftFacts } from '../destination.ts';
import { entryOf, errnoOf, unavailable } from '../folder-walk.ts';
import { draftPath, type Staging, StagingFolder } from './staging-folder.ts';

/** Behind the item id, in the name of the proof. */
const proofEnding = '.done';
export const proofOf = (folder: FileHandle, item: string): string => entryOf(folder, `${item}${proofEnding}`);

export class Drafts {
  readonly #root: string;
  readonly #staging: StagingFolder;

  constructor(root: string) {
    this.#root = root;
    this.#staging = new StagingFolder(root);
  }

  enter(create = false): Promise<Staging> {
    return this.#staging.enter(create);
  }

  path(item: string): string {
    return draftPath(this.#root, item);
  }

  async stage(item: string): Promise<string> {
    await using staging = await this.enter(true);
    await removeBoth(staging.folder, item);
    return this.path(item);
  }

  async keep(item: string): Promise<DraftFacts> {
    await using staging = await this.enter();
    await staging.sync();
    const draft = await lstat(entryOf(staging.folder, item), { bigint: true }).catch((cause: unknown) => {
      throw unavailable('the draft is missing', cause);
    });
    if (!draft.isFile()) throw unavailable('the draft is not a regular file');
    return { place: staging.place, inode: String(draft.ino) };
  }

  async discard(item: string): Promise<void> {
    if (!(await this.#staging.exists())) return;
    await using staging = await this.enter();
    await removeBoth(staging.folder, item);
  }

  /** Removes the proof. */
  async forget(item: string): Promise<void> {
    await using staging = await this.enter();
    await removeProof(staging.folder, item);
  }

  async all(): Promise<readonly string[]> {
    if (!(await this.#staging.exists())) return [];
    await using staging = await this.enter();
    const names = await readdir(`/proc/self/fd/${staging.folder.fd}`);
    return [...new Set(names.map((name) => name.replace(/\.done$/, '')))].filter(isId);
  }
}

/** What is there of a kept draft. */
export interface DraftStanding {
  /** Undefined: it is not there, or is not the one that was kept. */
  readonly draft: BigIntStats | undefined;
  readonly hasProof: boolean;
}

/** @throws SallyportError `destination-unavailable` when this is not the place of `facts`. */
export async function standingOf({ folder, place }: Staging, item: string, facts: DraftFacts): Promise<DraftStanding> {
  if (place !== facts.place) throw unavailable('another disk is mounted at the destination');
  const isOurs = (found: BigIntStats | undefined) => String(found?.ino) === facts.inode;
  const draft = await look(entryOf(folder, item));
  const hasProof = isOurs(await look(proofOf(folder, item)));
  if (draft && !draft.isFile()) throw unavailable('the draft is not a regular file');
  return { draft: isOurs(draft) ? draft : undefined, hasProof };
}

/** The draft becomes the proof that it was published. */
export async function prove(staging: Staging, item: string): Promise<void> {
  await rename(entryOf(staging.folder, item), proofOf(staging.folder, item));
  await staging.sync();
}

export const removeProof = (folder: FileHandle, item: string): Promise<void> => removeEntry(folder, item, proofEnding);

async function removeBoth(folder: FileHandle, item: string): Promise<void> {
  await removeEntry(folder, item);
  await removeProof(folder, item);
}

async function removeEntry(folder: FileHandle, item: string, ending = ''): Promise<void> {
  if (!isId(item)) throw new SallyportError('internal', 'drafts are named after item ids');
  try {
    await unlink(entryOf(folder, `${item}${ending}`));
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw unavailable('a draft cannot be removed', cause);
  }
}

async function look(path: string): Promise<BigIntStats | undefined> {
  return await lstat(path, { bigint: true }).catch((cause: unknown) => {
    if (errnoOf(cause) === 'ENOENT') return undefined;
    throw unavailable('the draft cannot be looked at', cause);
  });
}
