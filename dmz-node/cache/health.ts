/** Whether the store can be trusted. A failed flush is final: nothing more is accepted until a restart. */
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { event } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';

export class StoreHealth {
  readonly #deps: { readonly clock: Clock; readonly events: EventSink; readonly log: Logger };
  #failure: SallyportError | undefined;

  constructor(deps: { readonly clock: Clock; readonly events: EventSink; readonly log: Logger }) {
    this.#deps = deps;
  }

  /** Why nothing is accepted any more; null when all is well. */
  get suspect(): string | null {
    return this.#failure?.message ?? null;
  }

  /** @throws SallyportError `store-suspect` */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Looks at an error that came from the disk. */
  note(error: unknown): void {
    if (this.#failure || !(error instanceof SallyportError) || error.code !== 'store-suspect') return;
    this.#failure = new SallyportError('store-suspect', error.message, error.fields, { cause: error });
    const { clock, events, log } = this.#deps;
    log.error({ err: error }, 'a flush failed, nothing more is accepted');
    const detail = error.message.slice(0, 1024);
    events.emit([event('store.suspect', clock.nowMs(), {}, { detail })]).catch(() => {});
  }
}
