/**
 * The service that brings files into partners' outboxes: takes finished files from the watcher and pushed ones from staff,
 * seals them inside, and offers them to the DMZ until it has stored them. It also withdraws and lets expire.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { newItemId, newTraceId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import type { Service } from '../../shared/service.ts';
import type { OutgoingFolder } from './outgoing-folder.ts';
import { type OutgoingItem, spoolName } from './outgoing-item.ts';
import type { OutgoingOperations, OutgoingQuery } from './outgoing-operations.ts';
import { componentsOf, type OutgoingWork } from './outgoing-work.ts';
import { type Sealer, sealStream } from './seal-file.ts';
import type { FinishedFile } from './watcher.ts';

export interface SenderDeps {
  readonly records: Records<OutgoingOperations>;
  readonly work: OutgoingWork;
  readonly folder: OutgoingFolder | undefined;
  readonly partners: { has(partner: string): boolean };
  readonly createSealer: (path: string) => Sealer;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface SenderOptions {
  /** Folder of the sealed copies, private; the same as that of the work. */
  readonly spool: string;
  readonly expiresMs: number;
  readonly pollMs: number;
  /** Items under way at the same time. */
  readonly concurrency: number;
  /** Sealed or claimed items that wait for the DMZ; at this number further files stay in the outgoing folder. */
  readonly maxBacklog: number;
  readonly forgetAfterMs: number;
}

export const senderDefaults = {
  expiresMs: 30 * 86_400_000,
  pollMs: 5000,
  concurrency: 2,
  maxBacklog: 64,
  forgetAfterMs: 35 * 86_400_000,
} as const;

export class Sender implements Service {
  readonly name = 'sender';
  readonly #deps: SenderDeps;
  readonly #options: SenderOptions;
  readonly #running = new Map<string, Promise<void>>();
  /** Recorded, but not yet moved out of the outgoing folder. */
  readonly #claiming = new Set<string>();
  readonly #ending = new AbortController();
  readonly #cut = new AbortController();
  #alarm = Promise.withResolvers<void>();
  #loop: Promise<void> | undefined;

  constructor(deps: SenderDeps, options: SenderOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Brings records and files of an earlier run together, then goes on with what was under way. */
  async start(): Promise<void> {
    await mkdir(this.#options.spool, { recursive: true, mode: 0o700 });
    await this.#recover();
    this.#loop = this.#run();
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#ending.abort();
    this.wake();
    const cut = () => this.#cut.abort();
    if (signal.aborted) cut();
    else signal.addEventListener('abort', cut, { once: true });
    await Promise.all([this.#loop, ...this.#running.values()]);
    signal.removeEventListener('abort', cut);
  }

  /** There may be something to do. */
  wake(): void {
    this.#alarm.resolve();
  }

  async hasRoom(): Promise<boolean> {
    return (await this.#deps.records.call('outgoing.backlog', null)) < this.#options.maxBacklog;
  }

  /** Takes a finished file out of its folder. @throws SallyportError when it cannot be moved; it then stays. */
  async claim(file: FinishedFile): Promise<void> {
    const { records, folder, clock } = this.#deps;
    if (!folder) throw new SallyportError('internal', 'there is no outgoing folder');
    const id = newItemId();
    const { partner, path, components, size, modifiedAtMs, stamp } = file;
    const nowMs = clock.nowMs();
    const expiresAtMs = nowMs + this.#options.expiresMs;
    const row = {
      id,
      trace: newTraceId(),
      partner,
      path,
      file: components.join('/'),
      size,
      modifiedAtMs: sane(modifiedAtMs),
      stamp,
    };
    // Until the file has moved its record is nobody's work: a look at the wrong moment would take it for gone.
    this.#claiming.add(id);
    try {
      await records.call('outgoing.claim', { ...row, expiresAtMs, nowMs });
      await this.#move(id, components, folder);
    } finally {
      this.#claiming.delete(id);
    }
    this.wake();
  }

  async #move(id: string, components: readonly string[], folder: OutgoingFolder): Promise<void> {
    const { records, clock } = this.#deps;
    try {
      await folder.claim(id, components);
    } catch (error) {
      // It may have been moved before the failure. While the record lives the next start looks after it.
      await folder.putBackAll(id);
      await records.call('outgoing.giveBack', { id, detail: null, nowMs: clock.nowMs() });
      throw error;
    }
  }

  /**
   * Offers a file that staff gives. Resolves when the DMZ has stored it. When that fails it is withdrawn again; only a crash
   * in between leaves it to be offered after the next start.
   * @param path Below the Outbox, without a leading slash.
   * @throws SallyportError `no-such-file` for an unknown partner, `bad-name`, what the DMZ answers, link errors.
   */
  async pushFile(partner: string, path: string, source: AsyncIterable<Buffer>, signal: AbortSignal): Promise<OutgoingItem> {
    const { records, work, partners, clock } = this.#deps;
    if (!partners.has(partner)) throw new SallyportError('no-such-file', 'there is no such partner', { partner });
    const outboxPath = `/Outbox/${path}`;
    if (path === '' || parseVirtualPath(outboxPath) !== outboxPath) {
      throw new SallyportError('bad-name', 'the path below the Outbox is not in its plain form');
    }
    const id = newItemId();
    const stop = AbortSignal.any([signal, this.#cut.signal]);
    const held = Promise.withResolvers<void>();
    this.#running.set(id, held.promise);
    try {
      const { plainBytes: size, ...sealed } = await sealStream(source, this.#deps.createSealer(work.spoolPath(id)), stop);
      const nowMs = clock.nowMs();
      const item = await records.call('outgoing.pushed', {
        ...{ id, trace: newTraceId(), partner, path: outboxPath, size, expiresAtMs: nowMs + this.#options.expiresMs, nowMs },
        ...{ sha256: sealed.sha256, headerSha256: sealed.headerSha256, sealedBytes: sealed.sealedBytes },
      });
      await this.#offerOrWithdraw(item, stop);
      return (await records.call('outgoing.find', { id })) ?? item;
    } finally {
      this.#finished(id);
      held.resolve();
    }
  }

  /** Takes an offered item back. @returns false when it is not there any more. */
  async withdraw(id: string, reason: string): Promise<boolean> {
    const withdrawn = await this.#deps.records.call('outgoing.withdraw', { id, reason, nowMs: this.#deps.clock.nowMs() });
    this.wake();
    return withdrawn;
  }

  /** Whose headers may be opened for whom: the part of key release that concerns offered items. */
  async readableBy(item: string, partner: string): Promise<{ headers: readonly string[]; path: string } | undefined> {
    return await this.#deps.records.call('outgoing.readable', { id: item, partner, nowMs: this.#deps.clock.nowMs() });
  }

  /** The DMZ says that the partner read it whole. @returns false when no such item was offered to this partner. */
  async fetched(item: string, partner: string, reader = partner): Promise<boolean> {
    return await this.#deps.records.call('outgoing.fetched', { id: item, partner, reader, nowMs: this.#deps.clock.nowMs() });
  }

  /** Newest first. */
  async list(query: OutgoingQuery): Promise<readonly OutgoingItem[]> {
    return await this.#deps.records.call('outgoing.list', query);
  }

  /** All work that is due now. The service does the same without end. */
  async pass(): Promise<void> {
    while (((await this.#fill()) > 0 || this.#running.size > 0) && !this.#ending.signal.aborted) {
      if (this.#running.size > 0) await Promise.race(this.#running.values());
    }
  }

  async #offerOrWithdraw(item: OutgoingItem, signal: AbortSignal): Promise<void> {
    const { records, work, clock } = this.#deps;
    try {
      await work.offer(item, signal);
    } catch (error) {
      await records.call('outgoing.withdraw', { id: item.id, reason: 'it could not be offered', nowMs: clock.nowMs() });
      throw error;
    }
  }

  async #recover(): Promise<void> {
    const { records, folder, clock, log } = this.#deps;
    const rows = await records.call('outgoing.unfinished', null);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const name of await readdir(this.#options.spool)) {
      const row = byId.get(name.slice(0, -spoolName('').length));
      if (!row || row.todo === 'seal') await rm(join(this.#options.spool, name), { recursive: true, force: true });
    }
    if (!folder) return;
    for (const id of await folder.claimed()) {
      if (byId.has(id)) continue;
      const files = await folder.putBackAll(id);
      if (files > 0) log.warn({ item: id, files }, 'claimed files without a record were put back');
    }
    for (const row of rows) {
      if (row.todo !== 'seal') continue;
      // Recorded, but the crash came before the file was moved: it is found again where it lies.
      if (!(await isMissing(folder, row))) continue;
      await folder.putBackAll(row.id);
      await records.call('outgoing.giveBack', { id: row.id, detail: null, nowMs: clock.nowMs() });
    }
  }

  /** Starts what is due and has a place. @returns how many items were due. */
  async #fill(): Promise<number> {
    const { records, work, clock } = this.#deps;
    const nowMs = clock.nowMs();
    await records.call('outgoing.expire', { nowMs });
    await records.call('outgoing.forget', { beforeMs: nowMs - this.#options.forgetAfterMs });
    const due = await records.call('outgoing.due', { nowMs, limit: 64 });
    for (const item of due) {
      if (this.#running.size >= this.#options.concurrency || this.#ending.signal.aborted) break;
      if (this.#running.has(item.id) || this.#claiming.has(item.id)) continue;
      const done = work.attempt(item, this.#cut.signal).finally(() => this.#finished(item.id));
      this.#running.set(item.id, done);
    }
    return due.length;
  }

  #finished(id: string): void {
    this.#running.delete(id);
    this.wake();
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      this.#alarm = Promise.withResolvers();
      try {
        await this.#fill();
      } catch (cause) {
        this.#deps.log.warn({ err: cause }, 'the sender could not look for work');
      }
      const timer = Promise.withResolvers<void>();
      const cancel = this.#deps.clock.after(this.#options.pollMs, () => timer.resolve());
      await Promise.race([this.#alarm.promise, timer.promise]);
      cancel();
    }
  }
}

async function isMissing(folder: OutgoingFolder, row: OutgoingItem): Promise<boolean> {
  try {
    const claimed = await folder.open(row.id, componentsOf(row));
    await claimed?.file.close();
    return claimed === undefined;
  } catch {
    return false; // it is there, but cannot be read now: the attempt will say so
  }
}

/** A time stamp of a file may be anything; the tunnel carries times from 1970 on. */
const sane = (ms: number): number => Math.min(Math.max(0, Math.trunc(ms)), 8.64e15);
