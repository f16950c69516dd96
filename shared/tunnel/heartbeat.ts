/** Notices a dead link: asks regularly, and counts any byte from the other side as life. */
import type { Clock } from '../clock.ts';

export interface HeartbeatDeps {
  readonly clock: Clock;
  /** Bytes received so far. */
  readonly receivedBytes: () => number;
  /** Resolves when the other side answered. */
  readonly ping: () => Promise<void>;
  readonly onSilent: (detail: string) => void;
}

export interface HeartbeatOptions {
  readonly everyMs: number;
  readonly deadAfterMs: number;
}

export class Heartbeat {
  readonly #deps: HeartbeatDeps;
  readonly #options: HeartbeatOptions;
  #cancel: (() => void) | undefined;
  #heardAtMs = 0;
  #heardBytes = 0;
  #pingedAtMs: number | undefined;
  /** Round trip of the last ping, milliseconds. */
  rttMs: number | undefined;

  constructor(deps: HeartbeatDeps, options: HeartbeatOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  start(): void {
    this.#heardAtMs = this.#deps.clock.monotonicMs();
    this.#beat();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #beat(): void {
    const { clock, receivedBytes, onSilent } = this.#deps;
    const { everyMs, deadAfterMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const bytes = receivedBytes();
    if (bytes !== this.#heardBytes) this.#heardAtMs = nowMs;
    this.#heardBytes = bytes;
    if (nowMs - this.#heardAtMs >= deadAfterMs) {
      onSilent(`nothing heard for ${deadAfterMs} ms`);
      return;
    }
    // Bytes may trickle in without ever answering: a slow line gets more time, not for ever.
    if (this.#pingedAtMs !== undefined && nowMs - this.#pingedAtMs >= deadAfterMs * 10) {
      onSilent(`a heartbeat was not answered for ${deadAfterMs * 10} ms`);
      return;
    }
    if (this.#pingedAtMs === undefined) this.#ping(nowMs);
    this.#cancel = clock.after(everyMs, () => this.#beat());
  }

  #ping(nowMs: number): void {
    this.#pingedAtMs = nowMs;
    this.#deps.ping().then(
      () => {
        this.rttMs = this.#deps.clock.monotonicMs() - nowMs;
        this.#pingedAtMs = undefined;
      },
      () => undefined, // the link is closing, or the check above will see it
    );
  }
}
