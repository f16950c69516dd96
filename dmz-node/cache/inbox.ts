/** The Inbox of all partners: begins uploads, renames and removes (reliability.md §2.8, §2.9). */

import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { event } from '../../shared/events/event.ts';
import { newItemId } from '../../shared/ids.ts';
import { belowInbox, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { CacheUser } from '../cache-view.ts';
import type { OpenForWriting, Space } from '../partner-view.ts';
import type { StallRule } from '../progress.ts';
import type { CacheCore } from './core.ts';
import type { LiveSlot } from './live-uploads.ts';
import { placeOf } from './place.ts';
import { type Account, Accounts } from './quota.ts';
import type { Entry, NamePlace } from './records/entries.ts';
import type { Kept, Usage } from './records/uploads.ts';
import { Budget } from './reorder.ts';
import { maxSegments, Upload } from './upload.ts';
import { UploadRecords } from './upload-records.ts';

export interface InboxOptions {
  /** How far ahead of the contiguous end a write may lie, bytes. */
  readonly windowBytes: number;
  /** What stalls becomes a partial. */
  readonly stall: StallRule;
  /** Memory of all uploads for writes out of order, bytes. */
  readonly budgetBytes: number;
}

interface Found {
  readonly folderExists: boolean;
  readonly entry: Entry | undefined;
  readonly partial: Kept | undefined;
  readonly usage: Usage;
  /** Of the entry: held until it is renamed, so that it gives way to a newer one. */
  readonly givesWay: boolean;
  /** Of the entry: whole, but not complete yet. */
  readonly held: boolean;
}

/** Folders of one partner. */
export const maxFolders = 10_000;
/** Refusals that an operator wants to see. */
const worthTelling = new Set(['quota-exceeded', 'no-space', 'store-suspect']);

export class Inbox {
  readonly #core: CacheCore;
  readonly #options: InboxOptions;
  readonly #budget: Budget;
  readonly #accounts = new Accounts();

  constructor(core: CacheCore, options: InboxOptions) {
    this.#core = core;
    this.#options = options;
    this.#budget = new Budget(options.budgetBytes);
  }

  async openUpload(user: CacheUser, path: VirtualPath, options: OpenForWriting): Promise<Upload> {
    const { live, completion } = this.#core;
    const place = placeOf(path);
    const { takeOverMs, idleUploadMs } = completion.settingsOf(user);
    await this.#takeOver(user, place, takeOverMs);
    const slot = live.claim(user, place, idleUploadMs);
    try {
      const upload = await this.#open(user, path, options, slot);
      slot.upload = upload;
      return upload;
    } catch (error) {
      slot.release();
      this.#tellRefusal(user, path, asSallyportError(error));
      throw error;
    }
  }

  /** Gives a file or an empty folder another name; that of a file under a temporary name completes it. */
  async rename(user: CacheUser, from: VirtualPath, to: VirtualPath, overwrite: boolean): Promise<void> {
    const { records, live, clock, files, leases, completion } = this.#core;
    const [source, target] = [placeOf(from), placeOf(to)];
    const both = (permission: 'rename' | 'write'): boolean =>
      user.rights.may(permission, from) && user.rights.may(permission, to);
    const mayRename = both('rename');
    const completes = both('write') && !completion.isTemporary(user, target.name);
    if (!mayRename && !completes) throw new SallyportError('permission-denied', 'the grant allows no changes');
    const entry = await records.call('names.look', { partner: user.partner, ...source });
    if (!entry) throw new SallyportError('no-such-file', 'no entry of that name');
    if (source.pathKey === target.pathKey) return;
    live.refuseIfLive(user.partner, source.pathKey);
    live.refuseIfLive(user.partner, target.pathKey);
    const nowMs = clock.nowMs();
    if (entry.kind === 'folder') {
      if (!mayRename) throw new SallyportError('permission-denied', 'the grant allows no changes');
      await records.call('names.renameFolder', { actor: actorOf(user), from: source, to: target, nowMs });
      return;
    }
    const facts = { partner: user.partner, path: belowInbox(to), size: entry.size, atMs: nowMs };
    const ruling = this.#core.dispatcher.decide(facts);
    const hold = completion.holdOf(user, target.name, 'rename', ruling);
    const newId = newItemId();
    const { unlink, dueMs } = await records.call('names.rename', {
      actor: actorOf(user),
      from: source,
      to: target,
      expected: entry.item ?? '',
      newId,
      mayRename: mayRename || completion.isTemporary(user, source.name),
      hold,
      ruling,
      overwrite,
      onExisting: user.grant.onExisting,
      leased: leases.ids(),
      ghostMs: completion.settingsOf(user).ghostMs,
      nowMs,
    });
    files.discard(unlink);
    if (dueMs !== null) this.#core.expectRelease(dueMs);
    if (hold) return;
    // Only one of the two has become an item; the other is passed over.
    this.#core.announce(newId);
    if (entry.item) this.#core.announce(entry.item);
  }

  /** What the user's quota leaves; nothing while the node takes no uploads. */
  async space(user: CacheUser): Promise<Omit<Space, 'writable'>> {
    const { records, space } = this.#core;
    const [usage, open] = await Promise.all([records.call('upload.usage', { partner: user.partner }), space.isOpen()]);
    const left = this.#accounts.look(user.partner, usage).left(user.grant);
    const { quotaBytes: totalBytes, quotaFiles: totalFiles } = user.grant;
    return { totalBytes, totalFiles, freeBytes: open ? left.bytes : 0, freeFiles: left.files };
  }

  /** Cuts an upload of the name that is dead: of a session that is over, or silent for too long. What it sent stays a partial. */
  async #takeOver(user: CacheUser, { pathKey }: NamePlace, takeOverMs: number | null): Promise<void> {
    const { live, sessions } = this.#core;
    const other = live.find(user.partner, pathKey);
    if (!other?.upload || other.session === user.session) return;
    const isSilent = takeOverMs !== null && other.upload.idleMs >= takeOverMs;
    if (isSilent || !sessions.has(other.session)) await other.upload.abandon('another session took the name over');
  }

  async #open(user: CacheUser, path: VirtualPath, options: OpenForWriting, slot: LiveSlot): Promise<Upload> {
    const core = this.#core;
    core.health.check();
    const policy = core.policy.current();
    if (!policy) throw new SallyportError('policy-refused', 'no policy is in force, uploads wait for one');
    const { place } = slot;
    const [found] = await Promise.all([
      core.records.call('upload.look', { partner: user.partner, place, nowMs: core.clock.nowMs() }),
      core.space.admit(),
    ]);
    const toResume = this.#whatToResume(user, found, options);
    const account = this.#accounts.of(user.partner, found.usage);
    account.admit(user.grant, found.partial !== undefined || toResume === 'reopen');
    account.admitAnnounced(user.grant, options.announcedBytes ?? 0);
    const anew = toResume === 'anew';
    const kept = toResume === 'reopen' ? await this.#reopen(user, found, slot, account) : anew ? undefined : toResume;
    account.begin();
    const id = kept?.id ?? newItemId();
    const object = kept?.object ?? id;
    const record = new UploadRecords(
      {
        core,
        account,
        onOver: () => {
          slot.release();
          this.#accounts.tidy(user.partner);
        },
      },
      {
        facts: {
          id,
          object,
          ...actorOf(user),
          place,
          startedMs: core.clock.nowMs(),
          ghostMs: core.completion.settingsOf(user).ghostMs,
          offset: kept?.size ?? 0,
          recorded: false,
        },
        path,
        grant: user.grant,
        holdAt: (ruling) => core.completion.holdOf(user, place.name, 'close', ruling),
      },
    );
    return new Upload(
      {
        record,
        account,
        budget: this.#budget.of(user.partner),
        space: core.space,
        health: core.health,
        clock: core.clock,
        writer: (file) => core.seal.createWriter({ path: core.files.path(`${object}.${file}`), recipients: policy.recipients }),
        discard: (numbers) => core.files.discard(numbers.map((file) => `${object}.${file}`)),
      },
      {
        path,
        name: place.name,
        grant: user.grant,
        append: options.append,
        windowBytes: this.#options.windowBytes,
        stall: this.#options.stall,
        resumed: kept !== undefined,
        segments: kept?.segments ?? [],
        nextFile: kept?.nextFile ?? 0,
        reopened: toResume === 'reopen',
        anew,
      },
    );
  }

  /** A whole file goes back to being received. */
  async #reopen(user: CacheUser, { entry }: Found, { place }: LiveSlot, account: Account): Promise<Kept> {
    const { records, leases, clock } = this.#core;
    const { kept, usage } = await records.call('upload.reopen', {
      actor: actorOf(user),
      place,
      expected: entry?.item ?? '',
      newId: newItemId(),
      leased: leases.ids(),
      nowMs: clock.nowMs(),
    });
    account.set(usage);
    return kept;
  }

  /** @returns the partial that is continued, `reopen` for a whole file that is, `anew` beside a whole file, or undefined. */
  #whatToResume(user: CacheUser, found: Found, options: OpenForWriting): Kept | 'reopen' | 'anew' | undefined {
    const { entry, partial, givesWay, held } = found;
    if (!found.folderExists) throw new SallyportError('no-such-file', 'the folder does not exist');
    if (entry?.kind === 'folder') throw new SallyportError('is-a-folder', 'the name is a folder');
    const taken = entry !== undefined && this.isTaken(entry);
    const complete = entry !== undefined && !entry.partial && !taken;
    if (!entry && !partial && !options.create) throw new SallyportError('no-such-file', 'nothing of that name');
    if (options.exclusive && (complete || partial)) throw new SallyportError('already-exists', 'the name is taken');
    if (complete && !options.truncate) {
      // What is only held back is not complete yet: its partner may go on with it.
      if (held || this.#core.completion.settingsOf(user).continueComplete) return 'reopen';
      if (!options.create || options.append) {
        throw new SallyportError('already-exists', 'a complete file cannot be continued; it must be sent anew');
      }
    }
    if (complete && user.grant.onExisting === 'refuse' && !givesWay) {
      throw new SallyportError('already-exists', 'the grant does not allow to replace a file');
    }
    if (complete && !options.truncate && !partial) return 'anew';
    if (taken && options.append && !options.truncate && !partial) {
      throw new SallyportError('already-collected', 'the file was taken; it must be sent anew');
    }
    if (!partial || options.truncate) return undefined;
    if (partial.segments.length >= maxSegments) {
      throw new SallyportError('resume-mismatch', 'this upload was interrupted too often; it must be sent anew');
    }
    return partial;
  }

  /** Only a ghost of it is left, or the inside is about to have it. */
  isTaken(entry: Entry): boolean {
    return entry.ghostUntil !== null || (entry.item !== null && this.#core.leases.mayBeTaken(entry.item));
  }

  #tellRefusal(user: CacheUser, path: VirtualPath, error: SallyportError): void {
    const { events, clock, health } = this.#core;
    health.note(error);
    if (!worthTelling.has(error.code)) return;
    const { trace, session, partner } = user;
    const fields = { path, code: error.code, detail: error.message.slice(0, 1024) };
    events.emit([event('upload.refused', clock.nowMs(), { trace, session, partner }, fields)]).catch(() => {});
  }
}

export const actorOf = ({ partner, session, sessionProof, trace }: CacheUser) => ({
  partner,
  session,
  sessionProof,
  trace,
});
