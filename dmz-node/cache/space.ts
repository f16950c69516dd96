/** The gate of free space: uploads and offers are refused before the disk is full (reliability.md §2.11). */
import { statfs } from 'node:fs/promises';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { event } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';

export interface SpaceDeps {
  readonly clock: Clock;
  readonly events: EventSink;
  readonly log: Logger;
  /** Bytes free for us and in all. Replaced in tests. */
  readonly measure?: (folder: string) => Promise<{ free: number; total: number }>;
}

export interface SpaceOptions {
  readonly folder: string;
  /** Nothing new is accepted when less is free: a part of the file system, or bytes. */
  readonly minimumFree: { readonly percent: number } | { readonly bytes: number };
  /** Kept for the records on top of that; an upload under way is cut at this. Bytes. */
  readonly reserveBytes: number;
}

const freshForMs = 1000;

async function measureFolder(folder: string): Promise<{ free: number; total: number }> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, total: blocks * bsize };
}

export class SpaceGate {
  readonly #deps: SpaceDeps;
  readonly #options: SpaceOptions;
  #measured: { readonly free: number; readonly gate: number; readonly atMs: number } | undefined;
  #measuring: Promise<void> | undefined;
  #low = false;

  constructor(deps: SpaceDeps, options: SpaceOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @throws SallyportError `no-space` when something new would go below the gate. */
  async admit(bytes = 0): Promise<void> {
    await this.#refresh();
    const { free = 0, gate = 0 } = this.#measured ?? {};
    if (free - bytes < gate) throw new SallyportError('no-space', 'less space is free than the gate asks', { free, gate });
  }

  /** Whether something new would be accepted now. */
  async isOpen(): Promise<boolean> {
    await this.#refresh();
    const { free = 0, gate = 0 } = this.#measured ?? {};
    return free >= gate;
  }

  /** For work under way: cheap, from the last measurement. @throws SallyportError `no-space` */
  goOn(): void {
    if (this.#deps.clock.monotonicMs() - (this.#measured?.atMs ?? 0) > freshForMs) this.#refresh().catch(() => {});
    const free = this.#measured?.free ?? Number.POSITIVE_INFINITY;
    if (free < this.#options.reserveBytes) throw new SallyportError('no-space', 'only the reserve is left', { free });
  }

  async freeBytes(): Promise<number> {
    await this.#refresh();
    return this.#measured?.free ?? 0;
  }

  /** What must be free for something new to be accepted. */
  async gateBytes(): Promise<number> {
    await this.#refresh();
    return this.#measured?.gate ?? 0;
  }

  async #refresh(): Promise<void> {
    const { clock } = this.#deps;
    if (this.#measured && clock.monotonicMs() - this.#measured.atMs <= freshForMs) return;
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined;
    });
    await this.#measuring;
  }

  async #measure(): Promise<void> {
    const { clock, log, events, measure = measureFolder } = this.#deps;
    const { folder, minimumFree, reserveBytes } = this.#options;
    const { free, total } = await measure(folder).catch((cause: unknown) => {
      throw new SallyportError('internal', `the free space of ${folder} cannot be read`, {}, { cause });
    });
    const minimum = 'percent' in minimumFree ? (total * minimumFree.percent) / 100 : minimumFree.bytes;
    const gate = Math.ceil(minimum) + reserveBytes;
    this.#measured = { free, gate, atMs: clock.monotonicMs() };
    const low = free < gate;
    if (low && !this.#low) {
      log.warn({ free, gate }, 'free space is below the gate');
      events.emit([event('space.low', clock.nowMs(), {}, { freeBytes: free, gateBytes: gate })]).catch(() => {});
    }
    this.#low = low;
  }
}
