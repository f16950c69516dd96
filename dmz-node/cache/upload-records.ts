/** The records behind one upload: turns what `Upload` decides into operations, and their answers into its surroundings. */
import type { SallyportError } from '../../shared/errors.ts';
import { belowInbox, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Grant } from '../../shared/policy.ts';
import type { Ruling } from '../cache-view.ts';
import type { CacheCore } from './core.ts';
import type { Account } from './quota.ts';
import type { Hold } from './records/hold.ts';
import type { UploadContent, UploadFacts, Usage } from './records/uploads.ts';
import type { UploadRecord } from './upload.ts';

export interface UploadRecordsDeps {
  readonly core: CacheCore;
  readonly account: Account;
  /** Called once, when the upload is over. */
  readonly onOver: () => void;
}

export interface UploadRecordsOptions {
  readonly facts: UploadFacts;
  readonly path: VirtualPath;
  readonly grant: Grant;
  /** Why it is not complete by closing it at the time of this ruling; null when it is. */
  readonly holdAt: (ruling: Ruling) => Hold | null;
}

export class UploadRecords implements UploadRecord {
  readonly #deps: UploadRecordsDeps;
  readonly #options: UploadRecordsOptions;
  #facts: UploadFacts;
  #usage: Usage | undefined;

  constructor(deps: UploadRecordsDeps, options: UploadRecordsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#facts = options.facts;
  }

  async begin(content: UploadContent): Promise<void> {
    const facts = this.#facts;
    this.#facts = { ...facts, recorded: true };
    const { records, clock } = this.#deps.core;
    await records.call('upload.begin', { facts, content, nowMs: clock.nowMs() });
  }

  async commit(content: UploadContent, modifiedMs: number, endUntold: boolean): Promise<void> {
    const { core } = this.#deps;
    const { path, grant, holdAt } = this.#options;
    const nowMs = core.clock.nowMs();
    const { partner } = this.#facts;
    const size = content.segments.reduce((sum, { plainBytes }) => sum + plainBytes, 0);
    const ruling = core.dispatcher.decide({ partner, path: belowInbox(path), size, atMs: nowMs });
    const { unlink, usage, announcement, dueMs } = await core.records.call('upload.commit', {
      facts: this.#facts,
      content,
      hold: holdAt(ruling),
      ruling,
      onExisting: grant.onExisting,
      leased: core.leases.ids(),
      modifiedMs,
      endUntold,
      nowMs,
    });
    this.#usage = usage;
    core.files.discard(unlink);
    if (dueMs !== null) core.expectRelease(dueMs);
    if (announcement) core.announce(announcement.id, announcement);
  }

  async keep(content: UploadContent, reason: string, modifiedMs: number): Promise<void> {
    const { core } = this.#deps;
    const { unlink, usage } = await core.records.call('upload.keep', {
      facts: this.#facts,
      content,
      maxPartials: this.#options.grant.maxPartials,
      reason,
      modifiedMs,
      nowMs: core.clock.nowMs(),
    });
    this.#usage = usage;
    core.files.discard(unlink);
  }

  async drop(content: UploadContent, why: SallyportError | undefined): Promise<void> {
    const { core } = this.#deps;
    const nothingThere = !this.#facts.recorded && content.nextFile === 0;
    if (nothingThere && !why) return;
    const { usage } = await core.records.call('upload.drop', {
      facts: this.#facts,
      refused: why ? { code: why.code, detail: why.message.slice(0, 1024) } : null,
      nowMs: core.clock.nowMs(),
    });
    this.#usage = usage;
    core.files.discard(Array.from({ length: content.nextFile }, (_, file) => `${this.#facts.object}.${file}`));
  }

  async refreshUsage(): Promise<void> {
    this.#deps.account.set(await this.#deps.core.records.call('upload.usage', { partner: this.#facts.partner }));
  }

  over(chargedBytes: number): void {
    this.#deps.account.end(chargedBytes, this.#usage);
    this.#deps.onOver();
  }
}
