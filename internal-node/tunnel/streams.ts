/**
 * Streams as the inside begins them, each on a data socket of its own while it lasts. Everything that comes back is checked
 * against the state the stream is in; a message that does not fit is a violation and ends the whole link.
 */
import type { Clock } from '../../shared/clock.ts';
import { isErrorCode, SallyportError } from '../../shared/errors.ts';
import type { CloseCode } from '../../shared/tunnel/close-reason.ts';
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
import type { MessageSocket } from '../../shared/tunnel/message-socket.ts';
import { type StreamName, streams } from '../../shared/tunnel/messages.ts';
import { parseBy, violation } from '../../shared/tunnel/wire.ts';

export interface StreamDeps {
  readonly clock: Clock;
  readonly timing: StreamTiming;
  readonly onViolation: (detail: string) => void;
  /** Gives the socket back; once. */
  readonly release: (socket: MessageSocket, reusable: boolean) => void;
}

/** What both directions share: one owner of one socket, one end, one watch. */
class StreamOwner {
  readonly #socket: MessageSocket;
  readonly #deps: StreamDeps;
  readonly #signal: AbortSignal;
  readonly #watch: ProgressWatch;
  readonly #onEnd: (error: unknown) => void;
  readonly #onAbort = () => this.end(this.#signal.reason);
  #over = false;

  /** @param onEnd Called once with what ended the stream early, or undefined after a clean end. */
  constructor(
    socket: MessageSocket,
    deps: StreamDeps,
    signal: AbortSignal,
    handlers: { readonly excused: () => boolean; readonly onEnd: (error: unknown) => void },
  ) {
    this.#socket = socket;
    this.#deps = deps;
    this.#signal = signal;
    this.#onEnd = handlers.onEnd;
    const { stallMs } = deps.timing;
    this.#watch = new ProgressWatch(deps.clock, stallMs, handlers.excused, () => this.end(stalled(stallMs)));
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  listen(onFrame: (frame: StreamFrame) => void, onBytes: (bytes: Buffer) => void): void {
    const guard = (action: () => void) => {
      if (this.#over) return;
      this.#watch.touch();
      try {
        action();
      } catch (error) {
        this.violate(error instanceof Error ? error.message : String(error));
      }
    };
    this.#socket.listen({
      onText: (text) => guard(() => onFrame(decodeFrame(text))),
      onBytes: (bytes) => guard(() => onBytes(bytes)),
      onViolation: (detail) => this.violate(detail),
      onClosed: (code: CloseCode | undefined, detail) =>
        this.end(new SallyportError('link-closed', `the data socket closed: ${code ?? detail}`)),
    });
  }

  /** @param reusable Whether the socket may serve the next stream. */
  end(error: unknown, reusable = false): void {
    if (this.#over) return;
    this.#over = true;
    this.#watch.stop();
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#deps.release(this.#socket, reusable);
    this.#onEnd(error);
  }

  violate(detail: string): void {
    this.end(violation(detail));
    this.#deps.onViolation(`on a data socket: ${detail}`);
  }
}

function remoteError(method: StreamName, code: string): SallyportError {
  if (!isErrorCode(code)) throw violation(`an unknown error code from ${method}`);
  return new SallyportError(code, `the other side answered ${method} with ${code}`, { method, remote: true });
}

/** Checked here as well: what this side gets wrong must fail for its caller, not for the link. */
function openFrame(method: StreamName, params: unknown): StreamFrame {
  const parsed = streams[method].params.safeParse(params);
  if (parsed.success) return { k: 'open', m: method, p: parsed.data };
  throw new SallyportError('internal', `the parameters of ${method} do not fit its schema`, { method });
}

/**
 * Begins a stream of bytes from the DMZ. Must be iterated once, or ended by `signal`.
 * @throws SallyportError the code that the DMZ answered, `request-timeout`, `link-closed`; the signal's reason.
 */
export function receiveStream(
  socket: MessageSocket,
  method: StreamName,
  params: unknown,
  deps: StreamDeps,
  signal: AbortSignal,
): Promise<AsyncIterable<Buffer>> {
  return new Promise((resolve, reject) => {
    let opened = false;
    const queue = new FrameQueue(socket, () => owner.end(undefined));
    const owner = new StreamOwner(socket, deps, signal, {
      excused: () => queue.paused,
      onEnd: (error) => {
        if (error === undefined) return queue.end();
        queue.fail(error instanceof Error ? error : new SallyportError('link-closed', String(error)));
        return reject(error);
      },
    });
    owner.listen(
      (frame) => {
        if (frame.k === 'err') owner.end(remoteError(method, frame.c), true);
        else if (frame.k === 'wait' && opened) return;
        else if (frame.k === 'end' && opened) owner.end(undefined, true);
        else if (frame.k === 'ok' && !opened) {
          opened = true;
          resolve(queue);
        } else throw violation(`the frame "${frame.k}" does not belong here`);
      },
      (bytes) => {
        if (!opened) throw violation('bytes before the answer');
        queue.push(bytes);
      },
    );
    try {
      sendFrame(socket, openFrame(method, params));
    } catch (error) {
      owner.end(error, true);
    }
  });
}

/**
 * Sends bytes to the DMZ, then waits for its answer. The DMZ may answer before all bytes are sent; the source is then left.
 * @throws SallyportError the code that the DMZ answered, `request-timeout`, `link-closed`; the signal's reason; what the
 * source throws.
 */
export function sendStream(
  socket: MessageSocket,
  method: StreamName,
  params: unknown,
  source: AsyncIterable<Buffer>,
  deps: StreamDeps,
  signal: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const answered = new AbortController();
    let sent = false;
    let result: unknown;
    const owner = new StreamOwner(socket, deps, signal, {
      // While bytes go out, the pump watches the progress.
      excused: () => !sent,
      onEnd: (error) => {
        answered.abort(error);
        if (error === undefined) resolve(result);
        else reject(error);
      },
    });
    owner.listen(
      (frame) => {
        if (frame.k === 'err') owner.end(remoteError(method, frame.c), sent);
        else if (frame.k === 'res') {
          result = parseBy(streams[method].result, frame.r, `the answer to ${method}`);
          owner.end(undefined, sent);
        } else throw violation(`the frame "${frame.k}" does not belong here`);
      },
      () => {
        throw violation('bytes on a sending stream');
      },
    );
    const run = async () => {
      sendFrame(socket, openFrame(method, params));
      const iterator = source[Symbol.asyncIterator]();
      await pump(socket, iterator, iterator.next(), deps, answered.signal);
      sent = true;
      sendFrame(socket, { k: 'end' });
    };
    run().catch((error: unknown) => owner.end(error));
  });
}
