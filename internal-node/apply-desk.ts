/**
 * Puts another configuration in force while the node runs: checked as a whole first, its files in place second, then published
 * like after any change. With a time to confirm it goes back by itself when nobody says that it is good, also when the node was
 * killed meanwhile (`ConfigSwap.recover` does it at the next start).
 */
import { dirname, resolve } from 'node:path';
import type { Clock } from '../shared/clock.ts';
import type { EventSink } from '../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../shared/errors.ts';
import { event } from '../shared/events/event.ts';
import type { Logger } from '../shared/log.ts';
import type { Service } from '../shared/service.ts';
import type { InternalSettings } from './config.ts';
import { type ConfigSwap, namesBelow } from './config-swap.ts';

export interface ApplyDeskDeps {
  readonly swap: Pick<ConfigSwap, 'gather' | 'gathered' | 'discard' | 'put' | 'keep' | 'confirm' | 'rollBack' | 'unconfirmed'>;
  /** The settings in force. */
  readonly present: () => InternalSettings;
  /** Loads a folder as it would be in place. @throws ConfigError */
  readonly load: (folder: string) => Promise<InternalSettings>;
  /** Files in use as they are on disk now. */
  readonly filesInUse: () => Promise<readonly string[]>;
  /** Whether a policy can be made of it. @throws SallyportError `config-invalid` */
  readonly check: (settings: InternalSettings) => void;
  /** Reads what is in place and puts it in force. */
  readonly reload: () => Promise<unknown>;
  /** The policy that the DMZ node holds. */
  readonly held: () => number;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Applied {
  /** The policy that the DMZ node holds; it may be an older one while the tunnel is down. */
  readonly policy: number;
  /** When it goes back, unless it is confirmed; null: it stays. */
  readonly confirmUntilMs: number | null;
}

const longestTimerMs = 3_600_000;
/** A disk that was full, or read-only, may have room by then. */
const tryAgainMs = 10_000;

export class ApplyDesk implements Service {
  readonly name = 'apply desk';
  readonly #deps: ApplyDeskDeps;
  #cancelTimer: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #deadlineMs: number | undefined;

  constructor(deps: ApplyDeskDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    this.#watch((await this.#deps.swap.unconfirmed())?.deadlineMs);
  }

  async stop(): Promise<void> {
    this.#cancelTimer?.();
    await this.#turn;
  }

  /** When the configuration in force goes back; undefined when it stays. */
  get deadlineMs(): number | undefined {
    return this.#deadlineMs;
  }

  /**
   * @param confirmMs How long it waits to be confirmed; null: it stays.
   * @throws SallyportError `config-invalid` with every problem; `already-exists` while another one waits; nothing has changed then.
   */
  apply(folder: string, confirmMs: number | null): Promise<Applied> {
    return this.#inTurn(() => this.#apply(resolve(folder), confirmMs));
  }

  /** @returns false when nothing waited. */
  confirm(): Promise<boolean> {
    return this.#inTurn(async () => {
      const confirmed = await this.#deps.swap.confirm();
      this.#watch(undefined);
      if (confirmed) await this.#deps.events.emit([event('config.confirmed', this.#deps.clock.nowMs(), {}, {})]);
      return confirmed;
    });
  }

  /** @returns false when there is nothing to go back to. */
  rollBack(reason: string): Promise<boolean> {
    return this.#inTurn(() => this.#rollBack(reason));
  }

  async #apply(folder: string, confirmMs: number | null): Promise<Applied> {
    const { swap, clock, events } = this.#deps;
    const files = await this.#gather(folder);
    const present = this.#deps.present();
    const home = dirname(present.file);
    const main = namesBelow(home, [present.file]);
    const inUse = namesBelow(home, await this.#deps.filesInUse()).filter((file) => !main.includes(file) || files.includes(file));
    const nowMs = Math.floor(clock.nowMs());
    const confirmUntilMs = confirmMs === null ? null : nowMs + confirmMs;
    await swap.put(files, inUse, nowMs, confirmUntilMs).finally(() => swap.discard());
    try {
      await this.#deps.reload();
      if (confirmUntilMs === null) await swap.keep();
    } catch (error) {
      if (await swap.rollBack()) await this.#deps.reload().catch(() => {});
      throw error;
    }
    this.#watch(confirmUntilMs ?? undefined);
    const policy = this.#deps.held();
    const fields = { folder: folder.slice(0, 1024), policy, confirmUntilMs: confirmUntilMs ?? 0 };
    await events.emit([event('config.applied', clock.nowMs(), {}, fields)]);
    return { policy, confirmUntilMs };
  }

  /** Copies what the folder holds and checks the copy: what is put in place is what was looked at. @returns names of files. */
  async #gather(folder: string): Promise<readonly string[]> {
    const { swap, load, check } = this.#deps;
    const found = (await load(folder)).files.filter((file) => file.startsWith(`${folder}/`));
    const files = namesBelow(folder, found);
    await swap.gather(folder, files);
    try {
      const settings = await load(swap.gathered);
      check(settings);
      this.#refuseOtherPlace(settings);
      return files;
    } catch (error) {
      await swap.discard();
      throw error;
    }
  }

  /** What ties a running node to its place cannot go back and forth under it. */
  #refuseOtherPlace(planned: InternalSettings): void {
    const present = this.#deps.present();
    const moved = (['name', 'state', 'keys'] as const).filter((key) => planned[key] !== present[key]);
    const socket = planned.admin.socket === present.admin.socket ? [] : ['admin.socket'];
    if (moved.length + socket.length === 0) return;
    throw new SallyportError('usage', `${[...moved, ...socket].join(', ')} cannot be changed while the node runs`, {
      next: 'change it in place and restart the node',
    });
  }

  async #rollBack(reason: string): Promise<boolean> {
    const { swap, events, clock, log } = this.#deps;
    const wasThere = await swap.rollBack();
    this.#watch(undefined);
    if (!wasThere) return false;
    await this.#deps.reload().catch((error: unknown) => log.error({ err: error }, 'the files are back, but cannot be read anew'));
    await events.emit([event('config.rolled-back', clock.nowMs(), {}, { reason })]);
    return true;
  }

  /** One timer that looks again: a deadline may be days away. @param leastMs Not before that. */
  #watch(deadlineMs: number | undefined, leastMs = 0): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#deadlineMs = deadlineMs;
    if (deadlineMs === undefined) return;
    const leftMs = deadlineMs - this.#deps.clock.nowMs();
    const look = (): void => {
      if (this.#deps.clock.nowMs() < deadlineMs) {
        this.#watch(deadlineMs);
        return;
      }
      this.rollBack('it was not confirmed in time').catch((error: unknown) => {
        this.#deps.log.error(
          { err: asSallyportError(error) },
          'a configuration that nobody confirmed could not be taken back yet',
        );
        if (this.#deadlineMs === deadlineMs) this.#watch(deadlineMs, tryAgainMs);
      });
    };
    this.#cancelTimer = this.#deps.clock.after(Math.max(leastMs, Math.min(leftMs, longestTimerMs)), look);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}
