/**
 * Items that somebody is fetching over the admin socket. The bytes go out first; only when the other end has them for good
 * does it come back with the ticket, and the item counts as pulled. A ticket that nobody uses runs out.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { OpenedItem } from './api.ts';

export interface PullTicketOptions {
  readonly most: number;
  /** Counted from the last byte. */
  readonly lifeMs: number;
}

interface Held {
  readonly item: OpenedItem;
  cancel: () => void;
  sent: boolean;
}

export class PullTickets {
  readonly #clock: Clock;
  readonly #options: PullTicketOptions;
  readonly #held = new Map<string, Held>();

  constructor(deps: { readonly clock: Clock }, options: PullTicketOptions = { most: 16, lifeMs: 10 * 60_000 }) {
    this.#clock = deps.clock;
    this.#options = options;
  }

  /** Whether another item may be opened. @throws SallyportError `limit-reached`. */
  assertRoom(): void {
    if (this.#held.size >= this.#options.most) {
      throw new SallyportError('limit-reached', `${this.#options.most} items are being pulled already`);
    }
  }

  /** @returns the ticket, and the content that keeps it: leaving the content early gives the item back. */
  issue(item: OpenedItem): { readonly ticket: string; readonly content: AsyncIterable<Buffer> } {
    const ticket = randomUUID();
    const held: Held = { item, cancel: () => {}, sent: false };
    this.#held.set(ticket, held);
    return { ticket, content: this.#sent(ticket, held) };
  }

  /** @throws SallyportError `item-unknown` when the ticket ran out or its bytes were not all sent. */
  async commit(ticket: string): Promise<void> {
    const held = this.#held.get(ticket);
    if (!held?.sent) throw new SallyportError('item-unknown', 'this pull is not open any more; the item stays as it was');
    this.#held.delete(ticket);
    held.cancel();
    try {
      await held.item.commit();
    } catch (error) {
      await held.item.release();
      throw error;
    }
  }

  /** Gives all items back; for the end of the node. */
  async releaseAll(): Promise<void> {
    await Promise.allSettled([...this.#held.keys()].map((ticket) => this.#giveBack(ticket)));
  }

  async *#sent(ticket: string, held: Held): AsyncIterable<Buffer> {
    try {
      yield* held.item.content;
      held.sent = true;
      held.cancel = this.#clock.after(this.#options.lifeMs, () => void this.#giveBack(ticket));
    } finally {
      if (!held.sent) await this.#giveBack(ticket);
    }
  }

  async #giveBack(ticket: string): Promise<void> {
    const held = this.#held.get(ticket);
    if (!held) return;
    this.#held.delete(ticket);
    held.cancel();
    await held.item.release();
  }
}
