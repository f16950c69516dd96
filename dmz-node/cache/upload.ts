/**
 * One upload under way: puts its writes in order, seals them as they come, and decides at the end whether the item is
 * complete, a partial, or nothing (reliability.md §2.8).
 *
 * `close` resolves only after bytes and record are durable. Whatever fails before leaves no item: what came is kept for
 * resuming when that can help, and removed when it cannot.
 */

import type { Clock } from '../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Grant } from '../../shared/policy.ts';
import type { SealedWriter } from '../../shared/seal/seal-workers.ts';
import type { FileEntry, WriteHandle } from '../partner-view.ts';
import { Progress, type StallRule } from '../progress.ts';
import { type Account, exceeded } from './quota.ts';
import type { StoredSegment } from './records/items.ts';
import type { UploadContent } from './records/uploads.ts';
import { type Memory, Reorder } from './reorder.ts';

/** The records of this upload. */
export interface UploadRecord {
  /** Notes that it runs and which file it writes. */
  begin(content: UploadContent): Promise<void>;
  commit(content: UploadContent, modifiedMs: number, endUntold: boolean): Promise<void>;
  keep(content: UploadContent, reason: string, modifiedMs: number): Promise<void>;
  drop(content: UploadContent, why: SallyportError | undefined): Promise<void>;
  /** What the records say is used now, for a second look before a refusal. */
  refreshUsage(): Promise<void>;
  /** It is over, however it ended. */
  over(chargedBytes: number): void;
}

export interface UploadDeps {
  readonly record: UploadRecord;
  readonly budget: Memory;
  readonly account: Account;
  readonly space: { goOn(): void };
  readonly health: { note(error: unknown): void };
  readonly clock: Clock;
  /** A sealed file of its own for the segment of this number. */
  readonly writer: (file: number) => SealedWriter;
  /** Unlinks segments whose removal is recorded. */
  readonly discard: (files: readonly number[]) => void;
}

export interface UploadOptions {
  readonly path: VirtualPath;
  readonly name: string;
  readonly grant: Grant;
  readonly append: boolean;
  readonly windowBytes: number;
  readonly stall: StallRule;
  /** It goes on with a partial, which may be empty. */
  readonly resumed: boolean;
  /** What a partial of this name has; empty for a new upload. */
  readonly segments: readonly StoredSegment[];
  readonly nextFile: number;
  /** It was a whole file before: whatever happens, what there was of it is kept. */
  readonly reopened: boolean;
  /**
   * A complete file has the name, and the client did not ask to cut it (OpenSSH's `scp` does so): whoever writes from the
   * beginning sends a new file, whoever does not would continue the complete one and is refused.
   */
  readonly anew: boolean;
}

/** Smaller uploads need no record before they are complete: a crash leaves a file that recovery removes. */
const recordAfterBytes = 256 * 1024;
/** An upload never gets further ahead of its record than this: recovery tells leftovers from losses by their size. */
export const maxUnrecordedBytes = 4 * 1024 * 1024;
/** Segments of one item: what one description and one request for keys can hold. */
export const maxSegments = 60;
/** Of these, how many flushes may make. The others are for resuming. */
const maxFlushedSegments = 40;

/** After these the segment under way is worth nothing, or is in the way. */
const hopeless = new Set(['no-space', 'store-suspect', 'quota-exceeded', 'internal', 'database-failed', 'key-file']);
/** The commit found that the name may not be taken: nothing to resume. */
const refused = new Set(['already-exists', 'is-a-folder']);
/** Nobody knows whether the commit happened: only the next start can tell. */
export const undecided: ReadonlySet<string> = new Set(['database-failed', 'store-suspect', 'internal']);

export class Upload implements WriteHandle {
  readonly path: VirtualPath;
  readonly #deps: UploadDeps;
  readonly #options: UploadOptions;
  readonly #order: Reorder;
  readonly #pending = new Set<Promise<unknown>>();
  #segments: readonly StoredSegment[];
  #nextFile: number;
  #live: { readonly sealed: SealedWriter; readonly file: number } | undefined;
  #assigned: number;
  #begun = false;
  #keepEmpty = false;
  #recorded: Promise<void> | undefined;
  #gate: Promise<unknown> | undefined;
  #charged = 0;
  #modifiedMs: number | undefined;
  #lastByteMs: number;
  readonly #progress: Progress;
  #failure: SallyportError | undefined;
  #ending: Promise<void> | undefined;
  #abandoned = false;
  #committing = false;

  constructor(deps: UploadDeps, options: UploadOptions) {
    this.#deps = deps;
    this.#options = options;
    this.path = options.path;
    this.#segments = options.segments;
    this.#nextFile = options.nextFile;
    const start = options.segments.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
    this.#order = new Reorder({ budget: deps.budget }, { start, windowBytes: options.windowBytes });
    this.#assigned = start;
    this.#lastByteMs = deps.clock.monotonicMs();
    this.#progress = new Progress(deps.clock, options.stall);
  }

  get size(): number {
    return this.#order.next;
  }

  get isStalled(): boolean {
    return this.#progress.isStalled;
  }

  get idleMs(): number {
    return this.#deps.clock.monotonicMs() - this.#lastByteMs;
  }

  stat(): FileEntry {
    return {
      name: this.#options.name,
      kind: 'file',
      size: this.size,
      modifiedAtMs: this.#modifiedMs ?? this.#deps.clock.nowMs(),
      ghost: false,
      writable: true,
    };
  }

  async write(offset: number, bytes: Buffer): Promise<void> {
    this.#refuseIfOver();
    if (bytes.length === 0) return;
    let at = offset;
    if (this.#options.append) {
      at = this.#assigned;
      this.#assigned += bytes.length;
    }
    await this.#track(this.#accept(at, bytes));
  }

  async setAttributes(attributes: { readonly size?: number; readonly modifiedAtMs?: number }): Promise<void> {
    this.#refuseIfOver();
    const { size, modifiedAtMs } = attributes;
    if (modifiedAtMs !== undefined) this.#modifiedMs = modifiedAtMs;
    if (size === undefined) return;
    if (this.#options.anew) this.#begun = true;
    if (this.#gate) await this.#gate;
    if (size === this.size) return;
    if (size > this.size) throw new SallyportError('unsupported', 'an upload cannot be made longer without its bytes');
    this.#begun = true;
    await this.#track(this.#cutBehindGate(size));
  }

  /** A segment that is not ended cannot be opened after a crash, so each flush ends one; its last chunk may be any size. */
  async flush(): Promise<void> {
    this.#refuseIfOver();
    const refusal = await this.#track(this.#behindGate(() => this.#flushSoFar()));
    if (refusal) throw refusal;
  }

  close(endUntold = false): Promise<void> {
    if (this.#abandoned) return Promise.reject(this.#overError());
    this.#ending ??= this.#complete(endUntold);
    return this.#ending;
  }

  keepEmpty(): void {
    this.#keepEmpty = true;
  }

  async abandon(reason: string): Promise<void> {
    if (!this.#ending) {
      this.#abandoned = true;
      this.#ending = this.#leave(reason);
    }
    await this.#ending.catch(() => {}); // whoever closed hears of its failure
  }

  /** Takes bytes in the order of the calls: nothing awaits before the gate. */
  async #accept(at: number, bytes: Buffer): Promise<void> {
    if (this.#options.anew && !this.#begun && at > 0) {
      throw new SallyportError('already-exists', 'a complete file cannot be continued; it must be sent anew');
    }
    const firstOfResumed = !this.#begun && this.#segments.length > 0;
    this.#begun = true;
    if (firstOfResumed && at < this.size) await this.#cutBehindGate(at);
    else if (this.#gate) await this.#gate;
    if (this.#failure) throw this.#overError();
    await this.#checkLimits(at + bytes.length, bytes.length);
    const ready = this.#order.put(at, bytes);
    this.#deps.account.charge(bytes.length);
    this.#charged += bytes.length;
    this.#lastByteMs = this.#deps.clock.monotonicMs();
    this.#progress.moved(bytes.length);
    const written = ready.map((piece) => this.#writer().write(piece));
    await Promise.all([...written, this.#recordIfLong()]);
  }

  /** Asks the records again only when the account says no, so that the usual write awaits nothing here. */
  #checkLimits(end: number, bytes: number): Promise<void> | undefined {
    const { account, space, record } = this.#deps;
    const { grant } = this.#options;
    if (end > grant.maxFileBytes) throw exceeded('maxFileBytes', grant.maxFileBytes);
    space.goOn();
    if (account.fits(grant, bytes)) return undefined;
    return record.refreshUsage().then(() => {
      if (!account.fits(grant, bytes)) throw exceeded('quotaBytes', grant.quotaBytes);
    });
  }

  #writer(): SealedWriter {
    if (!this.#live) {
      if (this.#segments.length >= maxSegments) {
        throw new SallyportError('resume-mismatch', `an item has at most ${maxSegments} segments; it must be sent anew`);
      }
      this.#live = { sealed: this.#deps.writer(this.#nextFile), file: this.#nextFile };
      this.#nextFile += 1;
    }
    return this.#live.sealed;
  }

  #recordIfLong(): Promise<void> | undefined {
    if (this.#charged < recordAfterBytes && this.#segments.length === 0 && !this.#options.resumed) return undefined;
    if (!this.#recorded && this.#live) {
      this.#recorded = this.#deps.record.begin(this.#content());
      this.#recorded.catch((error: unknown) => this.#fail(error));
    }
    return this.#charged > maxUnrecordedBytes ? this.#recorded : undefined;
  }

  #content(): UploadContent {
    return { segments: this.#segments, liveFile: this.#live?.file ?? null, nextFile: this.#nextFile };
  }

  #cutBehindGate(size: number): Promise<void> {
    return this.#behindGate(() => this.#cut(size));
  }

  /** Runs `work` after every write so far. Later writes wait for it; they go on in the order of their calls. */
  #behindGate<T>(work: () => Promise<T>): Promise<T> {
    const gate: Promise<T> = Promise.allSettled([...this.#pending])
      .then(work)
      .finally(() => {
        if (this.#gate === gate) this.#gate = undefined;
      });
    this.#gate = gate;
    return gate;
  }

  /** @returns why it cannot be done; the upload goes on then. */
  async #flushSoFar(): Promise<SallyportError | undefined> {
    if (this.#failure) throw this.#overError();
    if (this.#order.hasHoles) return new SallyportError('upload-has-holes', 'bytes before those that wait are missing');
    if (!this.#live) return undefined;
    if (this.#segments.length >= maxFlushedSegments) {
      return new SallyportError('limit-reached', 'an upload is flushed only so often', { maxFlushedSegments });
    }
    await this.#seal();
    await this.#noteSegments();
    return undefined;
  }

  /** Makes the records say what is complete of it; from then on they count its bytes. */
  async #noteSegments(): Promise<void> {
    this.#recorded = this.#deps.record.begin(this.#content());
    await this.#recorded;
    this.#recorded = undefined;
    this.#deps.account.charge(-this.#charged);
    this.#charged = 0;
    await this.#deps.record.refreshUsage();
  }

  async #cut(size: number): Promise<void> {
    if (this.#failure) throw this.#overError();
    await this.#seal();
    const dropped: number[] = [];
    const kept: StoredSegment[] = [];
    let left = size;
    for (const segment of this.#segments) {
      const plainBytes = Math.min(segment.plainBytes, left);
      left -= plainBytes;
      if (plainBytes === 0) dropped.push(segment.file);
      else kept.push(plainBytes === segment.plainBytes ? segment : { ...segment, plainBytes, sha256: null });
    }
    this.#segments = kept;
    this.#order.reset(size);
    this.#assigned = size;
    // The record must say so before a file follows that continues at the cut.
    await this.#noteSegments();
    this.#deps.discard(dropped);
  }

  /** Ends the sealed file under way and adds it to the segments. */
  async #seal(): Promise<void> {
    const live = this.#live;
    if (!live) return;
    const done = await live.sealed.finish();
    this.#live = undefined;
    const { headerSha256, plainBytes, sealedBytes, sha256 } = done;
    this.#segments = [...this.#segments, { file: live.file, headerSha256, plainBytes, sealedBytes, sha256 }];
  }

  async #complete(endUntold: boolean): Promise<void> {
    await Promise.allSettled([...this.#pending]);
    try {
      if (this.#failure) throw this.#overError();
      if (this.#order.hasHoles) {
        throw new SallyportError('upload-has-holes', 'closed with bytes missing', { size: this.size });
      }
      if (this.#options.anew && !this.#begun) return await this.#giveUp('nothing was written');
      if (this.#segments.length === 0) this.#writer();
      await this.#seal();
      this.#committing = true;
      await this.#deps.record.commit(this.#content(), this.#modifiedMs ?? this.#deps.clock.nowMs(), endUntold);
      this.#over();
    } catch (error) {
      const failure = this.#fail(error);
      await this.#giveUp(failure.code === 'upload-has-holes' ? 'closed with bytes missing' : 'an operation failed');
      throw failure;
    }
  }

  async #leave(reason: string): Promise<void> {
    await Promise.allSettled([...this.#pending]);
    await this.#giveUp(reason);
  }

  /** Keeps what can be resumed, removes the rest. Never throws: what fails here is finished by recovery. */
  async #giveUp(reason: string): Promise<void> {
    const failure = this.#failure;
    try {
      if (this.#committing && failure && undecided.has(failure.code)) return;
      await this.#sealOrDestroy();
      if (failure && refused.has(failure.code)) await this.#deps.record.drop(this.#content(), failure);
      else await this.#keepOrDrop(reason, failure);
    } catch (error) {
      this.#deps.health.note(error);
      // Not even that could be recorded. Nothing was promised: what no record tells of must not fill the disk further.
      if (asSallyportError(error).code === 'no-space' && this.#options.segments.length === 0) this.#discardAll();
    } finally {
      this.#over();
    }
  }

  #discardAll(): void {
    this.#deps.discard(Array.from({ length: this.#nextFile }, (_, file) => file));
  }

  async #sealOrDestroy(): Promise<void> {
    try {
      if (this.#failure && hopeless.has(this.#failure.code)) await this.#live?.sealed.destroy();
      else await this.#seal();
    } catch (error) {
      this.#deps.health.note(error);
      await this.#live?.sealed.destroy();
    }
    this.#live = undefined;
  }

  async #keepOrDrop(reason: string, failure: SallyportError | undefined): Promise<void> {
    const { record, clock } = this.#deps;
    const { resumed, reopened } = this.#options;
    if (!this.#begun && resumed && !reopened) return; // a partial that was only looked at
    const content = this.#content();
    const size = content.segments.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
    const worthKeeping = size > 0 || reopened || (this.#keepEmpty && !failure);
    if (worthKeeping) await record.keep(content, reason, this.#modifiedMs ?? clock.nowMs());
    else await record.drop(content, failure);
  }

  #over(): void {
    this.#order.reset(this.size);
    this.#deps.record.over(this.#charged);
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.catch((error: unknown) => {
      throw this.#fail(error);
    });
    this.#pending.add(tracked);
    try {
      return await tracked;
    } finally {
      this.#pending.delete(tracked);
    }
  }

  /** The first failure is the one that counts. */
  #fail(error: unknown): SallyportError {
    const failure = asSallyportError(error);
    if (!this.#failure) {
      this.#failure = failure;
      this.#deps.health.note(failure);
    }
    return failure;
  }

  #refuseIfOver(): void {
    if (this.#ending || this.#failure) throw this.#overError();
  }

  #overError(): SallyportError {
    const cause = this.#failure;
    return new SallyportError(
      'upload-failed',
      cause ? 'an earlier write failed' : 'the upload is over',
      {},
      cause ? { cause } : {},
    );
  }
}
