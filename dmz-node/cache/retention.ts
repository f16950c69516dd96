/** Lets go of what is over: partials, ghosts, offers, tombstones; and turns uploads that stall into partials. */
import type { CacheCore } from './core.ts';

export interface RetentionOptions {
  readonly everyMs: number;
}

/** Used while no policy is in force: nothing is let go sooner than by the usual policy. */
const fallback = { partialTtlMs: 7 * 86_400_000, tombstoneTtlMs: 30 * 86_400_000 };
const batch = 200;
const maxGhosts = 200_000;

export class Retention {
  readonly #core: CacheCore;
  readonly #options: RetentionOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(core: CacheCore, options: RetentionOptions) {
    this.#core = core;
    this.#options = options;
  }

  start(): void {
    this.#running = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** One whole round, in bounded batches. */
  async sweep(): Promise<void> {
    const { records, policy, clock, files, sessions, live } = this.#core;
    for (const { upload, idleLimitMs } of live.all()) {
      if (upload && upload.idleMs > idleLimitMs) void upload.abandon('no byte came for too long');
      else if (upload?.isStalled) void upload.abandon('too few bytes came for too long');
    }
    const limits = policy.current()?.limits ?? fallback;
    for (let more = true; more && !this.#stop.signal.aborted; ) {
      const answer = await records.call('retention.sweep', {
        nowMs: clock.nowMs(),
        partialTtlMs: limits.partialTtlMs,
        tombstoneTtlMs: limits.tombstoneTtlMs,
        liveSessions: [...sessions],
        maxGhosts,
        limit: batch,
      });
      files.discard(answer.unlink);
      more = answer.more;
    }
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      try {
        await this.#core.clock.sleep(this.#options.everyMs, signal);
        await this.sweep();
      } catch (error) {
        if (signal.aborted) return;
        this.#core.log.warn({ err: error }, 'a round of retention failed');
      }
    }
  }
}
