/**
 * Serves the streams that the inside begins on one data socket, one after the other. A message that does not fit the state
 * of the socket is a violation and ends the whole link.
 */
import type { Clock } from '../../shared/clock.ts';
import { type ErrorCode, SallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import {
  decodeFrame,
  FrameQueue,
  ProgressWatch,
  pump,
  type StreamFrame,
  type StreamTiming,
  sendFrame,
  stalled,
} from '../../shared/tunnel/data-stream.ts';
import type { StreamServing } from '../../shared/tunnel/handlers.ts';
import type { MessageSocket } from '../../shared/tunnel/message-socket.ts';
import { type StreamName, streams } from '../../shared/tunnel/messages.ts';
import { parseBy, violation } from '../../shared/tunnel/wire.ts';

export interface StreamServerDeps {
  readonly socket: MessageSocket;
  readonly serving: StreamServing;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onViolation: (detail: string) => void;
  readonly onClosed: () => void;
}

type Send = (params: unknown, signal: AbortSignal) => AsyncIterable<Buffer>;
type Receive = (params: unknown, source: AsyncIterable<Buffer>, signal: AbortSignal) => Promise<unknown>;

/** How long a sending stream may take to fail before its first byte and still be answered with its error instead of "ok". */
const firstWaitMs = 250;

export class StreamServer {
  readonly #deps: StreamServerDeps;
  readonly #timing: StreamTiming;
  #queue: FrameQueue | undefined;
  #watch: ProgressWatch | undefined;
  #active: AbortController | undefined;
  /** The inside has sent its `end`, or had nothing to send. */
  #heardEnd = true;

  constructor(deps: StreamServerDeps, timing: StreamTiming) {
    this.#deps = deps;
    this.#timing = timing;
  }

  start(): void {
    const { socket, onClosed } = this.#deps;
    socket.listen({
      onText: (text) => this.#guard(() => this.#onFrame(decodeFrame(text))),
      onBytes: (bytes) => this.#guard(() => this.#onBytes(bytes)),
      onViolation: (detail) => this.#violate(detail),
      onClosed: (_code, detail) => {
        this.#stop(new SallyportError('link-closed', `the data socket closed: ${detail}`));
        onClosed();
      },
    });
  }

  /** Ends whatever runs. */
  close(error: SallyportError): void {
    this.#stop(error);
    this.#deps.socket.close('stopped');
  }

  get busy(): boolean {
    return this.#active !== undefined;
  }

  #stop(error: Error): void {
    this.#watch?.stop();
    this.#queue?.fail(error);
    this.#active?.abort(error);
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#violate(error instanceof Error ? error.message : String(error));
    }
  }

  #violate(detail: string): void {
    this.#deps.onViolation(`on a data socket: ${detail}`);
  }

  #onBytes(bytes: Buffer): void {
    if (this.#heardEnd || !this.#active) throw violation('bytes where none belong');
    this.#watch?.touch();
    this.#queue?.push(bytes);
  }

  #onFrame(frame: StreamFrame): void {
    if (frame.k === 'open') {
      if (this.#active) throw violation('a stream was opened while another one runs');
      if (!Object.hasOwn(streams, frame.m)) throw violation('a stream that does not exist');
      const name = frame.m as StreamName;
      this.#open(name, parseBy(streams[name].params, frame.p, name));
    } else if (frame.k === 'end' && this.#active && !this.#heardEnd) {
      this.#heardEnd = true;
      this.#watch?.stop();
      this.#queue?.end();
    } else if (frame.k === 'wait' && this.#active && !this.#heardEnd) this.#watch?.touch();
    else throw violation(`the frame "${frame.k}" does not belong here`);
  }

  #open(name: StreamName, params: unknown): void {
    const active = new AbortController();
    this.#active = active;
    const serving = this.#deps.serving as unknown as Readonly<Record<string, unknown>>;
    const run =
      streams[name].flow === 'to-inside'
        ? this.#send(serving[name] as Send, params, active.signal)
        : this.#receive(serving[name] as Receive, name, params, active.signal);
    run.catch((error: unknown) => this.#fail(name, error, active.signal)).finally(() => this.#release(active));
  }

  /** The socket is free for the next stream, or of no more use when the inside was not heard out. */
  #release(active: AbortController): void {
    this.#watch?.stop();
    this.#watch = undefined;
    this.#queue = undefined;
    if (this.#active === active) this.#active = undefined;
    active.abort(new SallyportError('link-closed', 'the stream is over'));
    if (!this.#heardEnd) this.#deps.socket.close('stopped');
    this.#heardEnd = true;
  }

  #fail(name: StreamName, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const known = error instanceof SallyportError;
    if (!known) this.#deps.log.error({ err: error, stream: name }, 'a stream failed');
    const code: ErrorCode = known ? error.code : 'remote-failure';
    sendFrame(this.#deps.socket, { k: 'err', c: code });
    // Unsent frames may stand in front of the error, and the peer is the one who does not take them.
    if (code === 'request-timeout') this.#deps.socket.destroy();
  }

  async #send(serve: Send, params: unknown, signal: AbortSignal): Promise<void> {
    const { socket, clock } = this.#deps;
    const source = serve(params, signal)[Symbol.asyncIterator]();
    const first = source.next();
    first.catch(() => undefined);
    await settledOrLate(first, (action) => clock.after(firstWaitMs, action));
    sendFrame(socket, { k: 'ok' });
    await pump(socket, source, first, { clock, timing: this.#timing }, signal);
    sendFrame(socket, { k: 'end' });
  }

  async #receive(serve: Receive, name: StreamName, params: unknown, signal: AbortSignal): Promise<void> {
    const { socket, clock } = this.#deps;
    const queue = new FrameQueue(socket, () => undefined);
    this.#queue = queue;
    this.#heardEnd = false;
    const { stallMs } = this.#timing;
    this.#watch = new ProgressWatch(
      clock,
      stallMs,
      () => queue.paused,
      () => queue.fail(stalled(stallMs)),
    );
    const result = await serve(params, queue, signal);
    sendFrame(socket, { k: 'res', r: streams[name].result.parse(result) });
  }
}

/** Waits until `promise` settles or the timer fires; throws what it throws if that comes first. */
function settledOrLate(promise: Promise<unknown>, after: (action: () => void) => () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = after(resolve);
    promise.then(
      () => {
        cancel();
        resolve();
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });
}
