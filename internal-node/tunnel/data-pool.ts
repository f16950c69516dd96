/**
 * The data sockets of one link: made when needed, kept a while when idle, never more than the maximum. Who finds all of them
 * in use waits in line.
 */
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { MessageSocket } from '../../shared/tunnel/message-socket.ts';

export interface DataPoolDeps {
  readonly clock: Clock;
  /** Opens one more data socket of this link. */
  readonly dial: (signal: AbortSignal) => Promise<MessageSocket>;
  readonly onViolation: (detail: string) => void;
}

export interface DataPoolOptions {
  readonly max: number;
  readonly idleMs: number;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const maxWaiting = 1024;

export class DataPool {
  readonly #deps: DataPoolDeps;
  readonly #options: DataPoolOptions;
  readonly #idle: { readonly socket: MessageSocket; readonly cancel: () => void }[] = [];
  readonly #inUse = new Set<MessageSocket>();
  readonly #waiting: Waiter[] = [];
  readonly #closing = new AbortController();
  #dialing = 0;

  constructor(deps: DataPoolDeps, options: DataPoolOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ ...options });
  }

  get size(): { readonly idle: number; readonly inUse: number } {
    return { idle: this.#idle.length, inUse: this.#inUse.size };
  }

  /**
   * A socket for one stream; give it back with `release`.
   * @throws SallyportError `link-closed`, `limit-reached`, `peer-refused`, `tunnel-down`; the signal's reason.
   */
  async acquire(signal: AbortSignal): Promise<MessageSocket> {
    for (;;) {
      signal.throwIfAborted();
      this.#closing.signal.throwIfAborted();
      const idle = this.#idle.pop();
      if (idle) {
        idle.cancel();
        if (!idle.socket.open) continue;
        this.#inUse.add(idle.socket);
        return idle.socket;
      }
      if (this.#inUse.size + this.#dialing < this.#options.max) return this.#dial(signal);
      await this.#wait(signal);
    }
  }

  /** Gives a socket back. @param reusable Whether its stream ended cleanly; otherwise it is cut. */
  release(socket: MessageSocket, reusable: boolean): void {
    if (!this.#inUse.delete(socket)) return;
    if (reusable && socket.open && !this.#closing.signal.aborted) this.#keep(socket);
    else socket.destroy();
    this.#waiting.shift()?.resolve();
  }

  /** Cuts all sockets and fails those who wait. */
  close(error: Error): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort(error);
    for (const { socket, cancel } of this.#idle.splice(0)) {
      cancel();
      socket.close('stopped');
    }
    for (const socket of this.#inUse) socket.destroy();
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }

  async #dial(signal: AbortSignal): Promise<MessageSocket> {
    this.#dialing += 1;
    try {
      const socket = await this.#deps.dial(AbortSignal.any([signal, this.#closing.signal]));
      this.#inUse.add(socket);
      return socket;
    } catch (error) {
      this.#waiting.shift()?.resolve();
      throw error;
    } finally {
      this.#dialing -= 1;
    }
  }

  #keep(socket: MessageSocket): void {
    const forget = () => {
      const at = this.#idle.findIndex((entry) => entry.socket === socket);
      if (at >= 0) this.#idle.splice(at, 1)[0]?.cancel();
    };
    const unwanted = () => this.#deps.onViolation('on a data socket: a message that belongs to no stream');
    const cancel = this.#deps.clock.after(this.#options.idleMs, () => {
      forget();
      socket.close('stopped');
    });
    this.#idle.push({ socket, cancel });
    socket.listen({ onText: unwanted, onBytes: unwanted, onViolation: unwanted, onClosed: forget });
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= maxWaiting) throw new SallyportError('limit-reached', 'too many streams wait for a data socket');
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
        reject,
      };
      const onAbort = () => {
        const at = this.#waiting.indexOf(waiter);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }
}
