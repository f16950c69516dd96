/**
 * The contract of a place where files are delivered to. An item becomes a hidden draft there, is checked, and gets its
 * final name in one step; a look at the place after a crash tells whether that step had happened.
 *
 * Promises of every implementation (test/conformance/destination.ts): nothing is visible under a final name before it is
 * whole; nothing outside the place is touched whatever the components are; an existing file is never silently replaced
 * unless its policy says so. Errors are `destination-unavailable` (retryable): a file waits, it is never dropped.
 */
import type { FileHandle } from 'node:fs/promises';
import type { OnExisting } from '../shared/matching/actions.ts';

export interface DeliveryTarget {
  /** Below a folder of this name; absent: below the place itself. */
  readonly partner?: string;
  /** Folders and name, from `deliveryComponents()`. At least one. */
  readonly components: readonly string[];
}

/** What is remembered of a finished draft, so that its fate can be told after a crash. */
export interface DraftFacts {
  /** Identity of the place that holds the draft: another disk mounted there has another. */
  readonly place: string;
  /** Identity of the file within the place. */
  readonly inode: string;
}

/** `replaced`: in the place of another file. */
export type Published = 'published' | 'replaced' | 'taken' | 'skipped';

export interface Destination {
  readonly name: string;
  /** Bytes that can still be written, and bytes of the whole file system. */
  space(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }>;
  /** The path at which a new draft of this item may be created; an older draft of the item is removed. */
  stage(item: string): Promise<string>;
  /** The path of a finished draft. */
  draftPath(item: string): string;
  /** Makes the entry of a finished (already flushed) draft durable. */
  keep(item: string): Promise<DraftFacts>;
  /** Removes a draft, and the proof of its publication, if there is one. */
  discard(item: string): Promise<void>;
  /** The items that have drafts or proofs here. */
  drafts(): Promise<readonly string[]>;
  /**
   * The file, `/`-separated below the place, that the target would get now. Makes the folders. Nothing is reserved.
   * @param look false: the plain name without a look at the place; `publish` tells when it is taken.
   * @param onExisting Instead of what the destination does with names that are taken.
   */
  plan(target: DeliveryTarget, look?: boolean, onExisting?: OnExisting): Promise<string>;
  /**
   * Gives the draft its final name; durable when this resolves. `taken`: the name is in use meanwhile, plan again; `skipped`:
   * it is in use, and such files are passed over.
   * A proof of it stays behind until `forget`.
   * @param allowed Called right before the name is given, with nothing awaited in between; what it throws stops the step.
   * @throws SallyportError `destination-unavailable` also when the draft is not the one of `facts`.
   */
  publish(item: string, facts: DraftFacts, file: string, allowed: () => void, onExisting?: OnExisting): Promise<Published>;
  /**
   * What became of a kept draft: it still waits, it has got its final name (durable when this resolves), or somebody else
   * removed it before that. A second look after `published` says the same, whatever the taker of the file did with it.
   * @param file The name that was decided.
   * @throws SallyportError `destination-unavailable` when this is not the place of `facts`.
   */
  standing(item: string, facts: DraftFacts, file: string): Promise<'draft' | 'published' | 'missing'>;
  /** The publication is recorded: its proof is no longer needed. */
  forget(item: string): Promise<void>;
  /** A delivered file for reading, no link of any kind followed. @throws SallyportError `no-such-file` */
  open(file: string): Promise<FileHandle>;
}
