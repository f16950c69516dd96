/**
 * How much a client may send ahead on one channel. It begins with 2 MiB, which over a long line is slow
 * whatever the line could carry. It grows when, and only when, a client that sends as fast as it may could
 * have sent more within the shortest round trip that was ever measured. On a short line nothing grows: a window larger than
 * needed is slower, because what waits in it has left the caches of the processor.
 *
 * What the window is larger than usual is memory that a client may fill at any time. It is taken from what all sessions share,
 * and given back with the channel.
 */
import type { Clock } from '../../shared/clock.ts';
import type { SharedMemory } from './shared-memory.ts';
import { openWindow, type SshChannel, type SshClient } from './ssh2-seam.ts';

/** What the package announces for every channel. */
export const usualWindowBytes = 2 * 1024 * 1024;

export interface ReceiveWindowDeps {
  readonly client: SshClient;
  readonly channel: SshChannel;
  readonly memory: SharedMemory;
  readonly roundTrip: Pick<RoundTrip, 'shortestMs' | 'measure'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** The time from asking the client for a sign of life to its answer; the shortest is the line, longer ones are queues. */
export class RoundTrip {
  readonly #ask: () => void;
  #shortestMs: number | undefined;
  #asked = 0;

  /** @param ask Sends a question, unless one is unanswered. */
  constructor(ask: () => void) {
    this.#ask = ask;
  }

  /** Undefined before the first answer. */
  get shortestMs(): number | undefined {
    return this.#shortestMs;
  }

  /** A few times in the life of a connection; a client that does not answer is not asked again. */
  measure(): void {
    if (this.#asked < mostQuestions) {
      this.#asked++;
      this.#ask();
    }
  }

  answered(ms: number): void {
    this.#shortestMs = Math.min(ms, this.#shortestMs ?? ms);
  }
}
const mostQuestions = 20;
/** Shorter ones say little about the rate. */
const leastPeriodMs = 20;

export class ReceiveWindow {
  readonly #deps: ReceiveWindowDeps;
  readonly #mostBytes: number;
  #bytes = usualWindowBytes;
  #sinceMs: number;
  #taken = 0;
  #closed = false;

  /** @param mostBytes The largest window; not more than the usual one: it never grows. */
  constructor(deps: ReceiveWindowDeps, mostBytes: number) {
    this.#deps = deps;
    this.#mostBytes = mostBytes;
    this.#sinceMs = deps.clock.monotonicMs();
    if (mostBytes > usualWindowBytes) deps.roundTrip.measure();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** So many bytes have come on the channel. */
  took(bytes: number): void {
    if (this.#closed || this.#mostBytes <= usualWindowBytes) return;
    this.#taken += bytes;
    this.#review();
  }

  /** The session has room: lets the client send on when enough of the window is used up. */
  reopen(): void {
    const { client, channel } = this.#deps;
    const missing = this.#bytes - channel.incoming.window;
    // In smaller steps over a long line, where each step comes late.
    const step = this.#bytes > usualWindowBytes ? this.#bytes / 8 : usualWindowBytes / 2;
    if (missing >= step) openWindow(client, channel, missing);
  }

  close(): void {
    this.#closed = true;
    this.#deps.memory.giveBack(this.#bytes - usualWindowBytes);
    this.#bytes = usualWindowBytes;
  }

  #review(): void {
    const { clock, roundTrip } = this.#deps;
    const lineMs = roundTrip.shortestMs;
    const elapsedMs = clock.monotonicMs() - this.#sinceMs;
    if (elapsedMs < Math.max(leastPeriodMs, lineMs ?? 0)) return;
    // Twice what came in the time of a round trip: a window that was filled doubles, one that was not stays.
    const wanted = lineMs === undefined ? 0 : (2 * this.#taken * lineMs) / elapsedMs;
    this.#sinceMs += elapsedMs;
    this.#taken = 0;
    const most = Math.min(this.#mostBytes, Math.ceil(wanted));
    if (most <= this.#bytes) return;
    this.#bytes += this.#deps.memory.reserve(most - this.#bytes);
    roundTrip.measure();
  }
}
