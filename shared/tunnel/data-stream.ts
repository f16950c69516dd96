/**
 * Bytes on a data socket. One stream owns the socket while it lasts, so TCP is the flow control: the receiver stops reading
 * when its small queue is full, the sender waits when the socket has taken as much as it may hold. A stream that makes no
 * progress for a while fails; a sender that has nothing to send yet says so now and then.
 */
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { SallyportError } from '../errors.ts';
import { giveBack, lend } from '../memory.ts';
import type { MessageSocket } from './message-socket.ts';
import { decodeText, encodeText, parseBy, violation } from './wire.ts';

const name = z.string().max(64);

/** Text frames of a data socket; `wait` says that the sender is alive and has nothing yet. */
export const streamFrameSchema = z.discriminatedUnion('k', [
  z.strictObject({ k: z.literal('open'), m: name, p: z.unknown() }),
  z.strictObject({ k: z.literal('ok') }),
  z.strictObject({ k: z.literal('wait') }),
  z.strictObject({ k: z.literal('end') }),
  z.strictObject({ k: z.literal('res'), r: z.unknown() }),
  z.strictObject({ k: z.literal('err'), c: name }),
]);
export type StreamFrame = z.infer<typeof streamFrameSchema>;

/** Larger than any text that a stream needs, far below the largest data frame. */
const maxTextLength = 16 * 1024;
const frameBytes = 128 * 1024;
const queueBytes = 1024 * 1024;

export interface StreamTiming {
  /** A stream without progress for so long fails. */
  readonly stallMs: number;
  /** How often a sender that waits for its source says so. */
  readonly waitMs: number;
}
export const streamTiming: StreamTiming = { stallMs: 60_000, waitMs: 15_000 };

/** @throws SallyportError `protocol-violation`. */
export function decodeFrame(text: string): StreamFrame {
  if (text.length > maxTextLength) throw violation('a text frame on a data socket is too large');
  return parseBy(streamFrameSchema, decodeText(text), 'a stream frame');
}

export function sendFrame(socket: MessageSocket, frame: StreamFrame): void {
  socket.sendText(encodeText(frame));
}

/** Calls `onStalled` once when nothing was touched for `limitMs`; time in which `excused()` holds does not count. */
export class ProgressWatch {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #excused: () => boolean;
  readonly #onStalled: () => void;
  #touchedMs: number;
  #cancel: () => void;

  constructor(clock: Clock, limitMs: number, excused: () => boolean, onStalled: () => void) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#excused = excused;
    this.#onStalled = onStalled;
    this.#touchedMs = clock.monotonicMs();
    this.#cancel = clock.after(limitMs / 8, () => this.#tick());
  }

  touch(): void {
    this.#touchedMs = this.#clock.monotonicMs();
  }

  stop(): void {
    this.#cancel();
  }

  #tick(): void {
    if (this.#excused()) this.touch();
    if (this.#clock.monotonicMs() - this.#touchedMs >= this.#limitMs) {
      this.#onStalled();
      return;
    }
    this.#cancel = this.#clock.after(this.#limitMs / 8, () => this.#tick());
  }
}

export const stalled = (limitMs: number): SallyportError =>
  new SallyportError('request-timeout', `a stream made no progress for ${limitMs} ms`);

/** What the network hands in and one reader takes out, at most about 1 MiB of it. Frames are lent (`shared/memory.ts`). */
export class FrameQueue implements AsyncIterable<Buffer>, AsyncIterator<Buffer, undefined> {
  readonly #flow: Pick<MessageSocket, 'pause' | 'resume'>;
  readonly #onLeave: () => void;
  readonly #frames: Buffer[] = [];
  #bytes = 0;
  #paused = false;
  #state: 'flowing' | 'ended' | 'failed' = 'flowing';
  #error: Error | undefined;
  #waiting: { resolve(result: IteratorResult<Buffer, undefined>): void; reject(error: Error): void } | undefined;

  /** @param onLeave Called once when the reader leaves before the end. */
  constructor(flow: Pick<MessageSocket, 'pause' | 'resume'>, onLeave: () => void) {
    this.#flow = flow;
    this.#onLeave = onLeave;
  }

  /** Full: the network is not being read. */
  get paused(): boolean {
    return this.#paused;
  }

  push(frame: Buffer): void {
    if (this.#state !== 'flowing' || frame.length === 0) return;
    lend(frame);
    if (this.#waiting) {
      this.#waiting.resolve({ value: frame, done: false });
      this.#waiting = undefined;
      return;
    }
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (this.#bytes >= queueBytes && !this.#paused) {
      this.#paused = true;
      this.#flow.pause();
    }
  }

  /** All bytes came; the reader still gets those that are queued. */
  end(): void {
    if (this.#state !== 'flowing') return;
    this.#state = 'ended';
    this.#unpause();
    this.#waiting?.resolve({ value: undefined, done: true });
    this.#waiting = undefined;
  }

  fail(error: Error): void {
    if (this.#state !== 'flowing') return;
    this.#state = 'failed';
    this.#error = error;
    this.#frames.length = 0;
    this.#unpause();
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    const frame = this.#frames.shift();
    if (frame) {
      this.#bytes -= frame.length;
      if (this.#bytes <= queueBytes / 2) this.#unpause();
      return Promise.resolve({ value: frame, done: false });
    }
    if (this.#error) return Promise.reject(this.#error);
    if (this.#state === 'ended') return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#state === 'flowing') {
      this.#state = 'ended';
      this.#onLeave();
    }
    this.#frames.length = 0;
    this.#unpause();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #unpause(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#flow.resume();
  }
}

export interface PumpDeps {
  readonly clock: Clock;
  readonly timing: StreamTiming;
}

/**
 * Sends what `source` gives, cut into frames, as fast as the socket takes it. Each buffer belongs to the stream from then on.
 * @param first A `next()` of the source that was already called.
 * @param signal Ends it at once with the signal's reason; the source is told to return.
 * @throws what the source throws, or SallyportError `request-timeout` when the peer takes nothing for `stallMs`.
 */
export function pump(
  socket: MessageSocket,
  source: AsyncIterator<Buffer>,
  first: Promise<IteratorResult<Buffer>>,
  deps: PumpDeps,
  signal: AbortSignal,
): Promise<void> {
  const { clock, timing } = deps;
  return new Promise((resolve, reject) => {
    let waitingForSource = true;
    const watch = new ProgressWatch(
      clock,
      timing.stallMs,
      () => waitingForSource,
      () => finish(stalled(timing.stallMs)),
    );
    let cancelWait = clock.after(timing.waitMs, () => sayWait());
    const sayWait = () => {
      if (waitingForSource) sendFrame(socket, { k: 'wait' });
      cancelWait = clock.after(timing.waitMs, () => sayWait());
    };
    let over = false;
    const onAbort = () => finish(signal.reason);
    const finish = (error: unknown, failed = true) => {
      if (over) return;
      over = true;
      watch.stop();
      cancelWait();
      signal.removeEventListener('abort', onAbort);
      if (!failed) return resolve();
      // A source that is stuck must not keep the stream; it hears of it when it wakes up.
      void Promise.resolve(source.return?.()).catch(() => undefined);
      return reject(error);
    };
    const run = async () => {
      for (let next = await first; !next.done; next = await source.next()) {
        waitingForSource = false;
        const { value } = next;
        for (let at = 0; at < value.length && !over; at += frameBytes) {
          const last = at + frameBytes >= value.length;
          const room = socket.sendBytes(value.subarray(at, at + frameBytes), last ? () => giveBack(value) : undefined);
          if (room) await room;
          watch.touch();
        }
        if (over) return;
        waitingForSource = true;
      }
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    run().then(() => finish(undefined, false), finish);
  });
}
