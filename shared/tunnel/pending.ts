/**
 * Requests that wait for an answer. One that was given up (deadline, caller's signal) keeps its place until the late answer
 * comes, so that an answer nobody asked for can always be told apart and the number of both is limited.
 */
import type { Clock } from '../clock.ts';
import { SallyportError } from '../errors.ts';
import type { RequestName } from './messages.ts';

interface Waiting {
  readonly method: RequestName;
  settle(outcome: { readonly result: unknown } | { readonly error: Error }): void;
}

export class PendingRequests {
  readonly #clock: Clock;
  readonly #byId = new Map<number, Waiting>();
  #nextId = 1;
  #active = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Those that somebody still waits for. */
  get active(): number {
    return this.#active;
  }

  /** Begins to wait. @returns the request's id and the promise of its result. */
  add(method: RequestName, deadlineMs: number, signal: AbortSignal | undefined): { id: number; answer: Promise<unknown> } {
    const id = this.#nextId++;
    const answer = new Promise<unknown>((resolve, reject) => {
      const giveUp = (reason: unknown) => {
        stop();
        reject(reason);
      };
      const onAbort = () => giveUp(signal?.reason);
      const cancel = this.#clock.after(deadlineMs, () =>
        giveUp(new SallyportError('request-timeout', `no answer to ${method} within ${deadlineMs} ms`, { method })),
      );
      let over = false;
      this.#active += 1;
      const stop = () => {
        if (!over) this.#active -= 1;
        over = true;
        cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#byId.set(id, {
        method,
        settle: (outcome) => {
          stop();
          if ('error' in outcome) reject(outcome.error);
          else resolve(outcome.result);
        },
      });
    });
    return { id, answer };
  }

  methodOf(id: number): RequestName | undefined {
    return this.#byId.get(id)?.method;
  }

  settle(id: number, outcome: { readonly result: unknown } | { readonly error: Error }): void {
    const waiting = this.#byId.get(id);
    this.#byId.delete(id);
    waiting?.settle(outcome);
  }

  failAll(error: Error): void {
    for (const waiting of this.#byId.values()) waiting.settle({ error });
    this.#byId.clear();
  }
}
