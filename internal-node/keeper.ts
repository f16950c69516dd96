/**
 * Keeps the two processes of the internal node running on a host without a service manager: starts the staff door and the agent,
 * starts one again that died, hands signals on, and stops the agent before the door. It does no work of its own.
 *
 * What cannot even start the first time ends both: its exit code is the keeper's. The parts end with the keeper, however it ends:
 * each has a pipe from it as its standard input.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Signals } from '../shared/admin/serve.ts';
import { Backoff } from '../shared/backoff.ts';
import type { Clock } from '../shared/clock.ts';
import { exitCodes } from '../shared/exit-codes.ts';
import type { Logger } from '../shared/log.ts';

export type PartName = 'agent' | 'door';

export interface KeeperDeps {
  readonly clock: Pick<Clock, 'after' | 'monotonicMs'>;
  readonly log: Logger;
}

export interface KeeperOptions {
  /** The command that runs one part until SIGTERM, or until its standard input ends. */
  readonly command: (part: PartName) => readonly string[];
  /** A part that lived for so long had started well. */
  readonly startedWellMs?: number;
  readonly restart?: { readonly firstMs: number; readonly maxMs: number };
}

interface Part {
  readonly backoff: Backoff;
  child: ChildProcess | undefined;
  everWell: boolean;
  gone: Promise<void>;
}

export class Keeper {
  readonly #deps: KeeperDeps;
  readonly #options: Required<KeeperOptions>;
  readonly #parts: Readonly<Record<PartName, Part>>;
  readonly #gaveUp = Promise.withResolvers<number>();
  #stopping = false;

  constructor(deps: KeeperDeps, options: KeeperOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ startedWellMs: 5000, restart: { firstMs: 200, maxMs: 30_000 }, ...options });
    const part = (): Part => ({
      backoff: new Backoff(this.#options.restart),
      child: undefined,
      everWell: false,
      gone: Promise.resolve(),
    });
    this.#parts = { door: part(), agent: part() };
  }

  /** @returns the exit code of the whole: 0 after a stop by signal, else that of the part that cannot start. */
  async run(signals: Signals): Promise<number> {
    signals.onReload(() => void this.#parts.agent.child?.kill('SIGHUP'));
    this.#launch('door');
    this.#launch('agent');
    const code = await Promise.race([signals.stop.then(() => exitCodes.ok), this.#gaveUp.promise]);
    this.#stopping = true;
    void signals.stopNow.then(() => this.#parts.agent.child?.kill('SIGTERM'));
    // The agent drains; the door stays until nobody can ask any more.
    for (const { child, gone } of [this.#parts.agent, this.#parts.door]) {
      child?.kill('SIGTERM');
      await gone;
    }
    return code;
  }

  #launch(name: PartName): void {
    const [program = '', ...args] = this.#options.command(name);
    const part = this.#parts[name];
    const startedAtMs = this.#deps.clock.monotonicMs();
    // Not in our process group: Ctrl-C at a terminal is for us, and we stop them in order.
    const child = spawn(program, args, { stdio: ['pipe', 'inherit', 'inherit'], detached: true });
    part.child = child;
    part.gone = new Promise((resolve) => {
      const ended = (code: number | null, reason: string): void => {
        resolve();
        part.child = undefined;
        if (!this.#stopping) this.#lost(name, { code, reason, livedMs: this.#deps.clock.monotonicMs() - startedAtMs });
      };
      child.once('exit', (code, signal) => ended(code, signal ?? `exit code ${code}`));
      child.once('error', (error) => child.pid === undefined && ended(exitCodes.failed, error.message));
      child.stdin?.on('error', () => {}); // it ended: `exit` follows
    });
  }

  #lost(name: PartName, end: { readonly code: number | null; readonly reason: string; readonly livedMs: number }): void {
    const { log, clock } = this.#deps;
    const part = this.#parts[name];
    if (end.livedMs >= this.#options.startedWellMs) {
      part.everWell = true;
      part.backoff.reset();
    }
    if (!part.everWell && end.code !== null) {
      log.error({ part: name, reason: end.reason }, 'a part of the node cannot start');
      this.#gaveUp.resolve(end.code === 0 ? exitCodes.failed : end.code);
      return;
    }
    const waitMs = Math.round(part.backoff.nextMs());
    log.error({ part: name, reason: end.reason, waitMs }, 'a part of the node died; it is started again');
    // Does not keep the process alive by itself; the other part and the signals do.
    clock.after(waitMs, () => this.#stopping || this.#launch(name));
  }
}
