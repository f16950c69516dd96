/**
 * One attempt at what an outgoing item needs next: seal it, offer it to the DMZ, clean up after it, or take it back. A
 * failed attempt never throws; the item waits for its next one. The source is removed or archived only when the DMZ has
 * stored the sealed copy for good, and only when it is still what was sealed.
 */
import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Backoff, type BackoffOptions } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { asSallyportError, type ErrorCode, SallyportError } from '../../shared/errors.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { lend } from '../../shared/memory.ts';
import { parseVirtualPath } from '../../shared/paths/virtual-path.ts';
import type { InsideLink } from '../../shared/tunnel/handlers.ts';
import type { StreamResult } from '../../shared/tunnel/messages.ts';
import { Pace, type PaceOptions, paceDefaults } from '../pace.ts';
import type { OutgoingFolder } from './outgoing-folder.ts';
import { type OutgoingItem, spoolName } from './outgoing-item.ts';
import type { OutgoingOperations } from './outgoing-operations.ts';
import { readWhole, type Sealer, type SealResult, sealStream } from './seal-file.ts';

export interface OutgoingWorkDeps {
  readonly records: Records<OutgoingOperations>;
  readonly link: Pick<InsideLink, 'request' | 'sendStream'>;
  /** Absent when no outgoing folder is configured: then there are only pushed files. */
  readonly folder: OutgoingFolder | undefined;
  /** Makes a new sealed file at `path`; to whom is known there. */
  readonly createSealer: (path: string) => Sealer;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface OutgoingWorkOptions {
  /** Folder of the sealed copies, private. */
  readonly spool: string;
  /** What becomes of a file once it is stored in the DMZ. */
  readonly after: 'delete' | 'archive';
  readonly retry: BackoffOptions;
  readonly pace: PaceOptions;
}

export const outgoingWorkDefaults = { after: 'delete', retry: { firstMs: 2000, maxMs: 300_000 }, pace: paceDefaults } as const;

const blockBytes = 256 * 1024;
const linkTroubles: readonly ErrorCode[] = ['tunnel-down', 'link-closed', 'stale-epoch'];

export class OutgoingWork {
  readonly #deps: OutgoingWorkDeps;
  readonly #options: OutgoingWorkOptions;

  constructor(deps: OutgoingWorkDeps, options: OutgoingWorkOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  spoolPath(id: string): string {
    return join(this.#options.spool, spoolName(id));
  }

  /** @param signal Ends sealing and sending. */
  async attempt(item: OutgoingItem, signal: AbortSignal): Promise<void> {
    try {
      // What was read as due may have been done meanwhile.
      const current = await this.#deps.records.call('outgoing.find', { id: item.id });
      if (current?.todo === item.todo) await this.#step(current, signal);
    } catch (error) {
      await this.#putOff(item, error, signal);
    }
  }

  /** Sends a sealed item and takes down that it is stored. @throws SallyportError what the DMZ answers, or link errors. */
  async offer(item: OutgoingItem, signal: AbortSignal): Promise<void> {
    const { records, link, clock } = this.#deps;
    const { id, partner, path, size, sha256, headerSha256, sealedBytes, modifiedAtMs, expiresAtMs, trace } = item;
    if (sha256 === null || headerSha256 === null || sealedBytes === null)
      throw new SallyportError('internal', 'the item is not sealed');
    using pace = new Pace(clock, sealedBytes, this.#options.pace);
    const source = readBlocks(this.spoolPath(id), pace);
    const params = { id, partner, path, size, sha256, headerSha256, sealedBytes, modifiedAtMs, expiresAtMs, trace };
    let answer: StreamResult<'outbox.offer'>;
    try {
      answer = await link.sendStream('outbox.offer', params, source, AbortSignal.any([signal, pace.signal]));
    } catch (error) {
      signal.throwIfAborted();
      throw pace.signal.aborted ? pace.signal.reason : error;
    }
    await records.call('outgoing.stored', { id, path: outboxPath(answer.path) ?? path, nowMs: clock.nowMs() });
  }

  async #step(item: OutgoingItem, signal: AbortSignal): Promise<void> {
    switch (item.todo) {
      case 'seal':
        return await this.#seal(item, signal);
      case 'offer':
        return await this.offer(item, signal);
      case 'clean':
        return await this.#clean(item, this.#options.after, 'clean');
      case 'withdraw':
        if (item.headerSha256 !== null) await this.#takeBack(item.id, signal);
        // Not everything that is withdrawn was stored: the source is kept.
        return await this.#clean(item, item.storedAtMs === null ? 'archive' : this.#options.after, 'withdraw');
      case '':
    }
  }

  async #seal(item: OutgoingItem, signal: AbortSignal): Promise<void> {
    const { id } = item;
    const path = this.spoolPath(id);
    await rm(path, { force: true });
    let sealed: SealResult;
    try {
      sealed = await this.#sealUnchanged(item, path, signal);
    } catch (error) {
      await rm(path, { force: true });
      if (asSallyportError(error).code !== 'source-changed') throw error;
      await this.#giveBack(item, asSallyportError(error).message);
      return;
    }
    const { sha256, headerSha256, sealedBytes } = sealed;
    await this.#deps.records.call('outgoing.sealed', { id, sha256, headerSha256, sealedBytes });
  }

  async #sealUnchanged(item: OutgoingItem, path: string, signal: AbortSignal): Promise<SealResult> {
    const claimed = await this.#deps.folder?.open(item.id, componentsOf(item));
    if (!claimed) throw new SallyportError('source-changed', 'the claimed file is gone', { item: item.id });
    await using file = claimed.file;
    const check = async (): Promise<void> => {
      if ((await claimed.stamp()) !== item.stamp)
        throw new SallyportError('source-changed', 'the file changed while it was taken');
    };
    await check();
    const sealed = await sealStream(readWhole(file, item.size), this.#deps.createSealer(path), signal);
    // Somebody may have held it open for writing since before it was moved.
    await check();
    return sealed;
  }

  async #giveBack(item: OutgoingItem, detail: string): Promise<void> {
    await this.#deps.folder?.putBack(item.id, componentsOf(item));
    await this.#deps.records.call('outgoing.giveBack', { id: item.id, detail, nowMs: this.#deps.clock.nowMs() });
  }

  async #takeBack(id: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.link.request('outbox.withdraw', { id }, signal);
    } catch (error) {
      if (asSallyportError(error).code !== 'item-unknown') throw error;
    }
  }

  async #clean(item: OutgoingItem, after: 'delete' | 'archive', todo: 'clean' | 'withdraw'): Promise<void> {
    const { folder, records, clock } = this.#deps;
    const { id } = item;
    let detail: string | null = null;
    if (item.file !== null && folder) {
      const changed = await isChanged(folder, item);
      if (changed && todo === 'clean') {
        // Somebody wrote on while it was on its way: nobody has got these bytes yet.
        await folder.putBack(id, componentsOf(item));
        detail = 'the file changed after it was sealed: it is offered again as it is now';
      } else if (changed || after === 'archive') await folder.archive(id, componentsOf(item));
      else await folder.remove(id, componentsOf(item));
    }
    await rm(this.spoolPath(id), { force: true });
    await records.call('outgoing.done', { id, todo, detail, nowMs: clock.nowMs() });
  }

  async #putOff(item: OutgoingItem, error: unknown, signal: AbortSignal): Promise<void> {
    const { records, clock, log } = this.#deps;
    const { code, message } = asSallyportError(error);
    const silent = signal.aborted || linkTroubles.includes(code);
    const nowMs = clock.nowMs();
    // The tunnel's troubles end for all items at once: that must not cost the long wait of a failing item.
    const attempts = linkTroubles.includes(code) ? Math.min(item.attempts, 2) : item.attempts;
    const nextAttemptMs = nowMs + delayMs(attempts, this.#options.retry);
    log.info({ item: item.id, code, detail: printable(message) }, 'an outgoing item waits for its next attempt');
    const detail = silent ? null : `${code}: ${printable(message)}`;
    await records
      .call('outgoing.retry', { id: item.id, nextAttemptMs, nowMs, detail })
      .catch((cause: unknown) => log.error({ item: item.id, err: cause }, 'a failure was not taken down'));
  }
}

/** Whether a claimed file is not what was sealed any more. */
async function isChanged(folder: OutgoingFolder, item: OutgoingItem): Promise<boolean> {
  try {
    const claimed = await folder.open(item.id, componentsOf(item));
    if (!claimed) return false;
    await using _file = claimed.file;
    return (await claimed.stamp()) !== item.stamp;
  } catch (error) {
    if (asSallyportError(error).code === 'source-changed') return true;
    throw error;
  }
}

/** What the DMZ says it named the item, unless that is no path of an Outbox. */
function outboxPath(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return text.startsWith('/Outbox/') && parseVirtualPath(text) === text ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Where the item came from, below the outgoing folder. */
export const componentsOf = (item: OutgoingItem): readonly string[] => (item.file === null ? [] : item.file.split('/'));

/** Opens the file only when the first block is asked for. Every block is the reader's own. */
async function* readBlocks(path: string, pace: Pace): AsyncIterable<Buffer> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  for (;;) {
    const block = Buffer.allocUnsafe(blockBytes);
    const { bytesRead } = await file.read(block, 0, blockBytes);
    if (bytesRead === 0) return;
    yield lend(block.subarray(0, bytesRead));
    pace.moved();
  }
}

/** The wait before the attempt after `attempts` failed ones, milliseconds. */
function delayMs(attempts: number, options: BackoffOptions): number {
  const backoff = new Backoff(options);
  let ms = backoff.nextMs();
  for (let n = 0; n < Math.min(attempts, 30); n += 1) ms = backoff.nextMs();
  return Math.ceil(ms);
}
