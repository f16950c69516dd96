/**
 * Who may read what from the DMZ: the question behind every release of a key. Two kinds of items can be read: what a rule
 * gave from one partner's inbox to another's outbox, and what was offered from inside.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { isWithin, nameOf, parseVirtualPath, type VirtualPath } from '../../shared/paths/virtual-path.ts';
import type { NoteParams } from '../../shared/tunnel/messages.ts';
import type { LedgerOperations } from './ledger-operations.ts';

export interface Readable {
  /** SHA-256 (hex) of each age header, in order. */
  readonly headers: readonly string[];
  /** As the reader sees it. */
  readonly path: string;
}

/** Items that were offered from inside. */
export interface OfferedItems {
  readableBy(item: string, partner: string): Promise<Readable | undefined>;
  /** @returns false when no such item was offered to this partner. @param reader Who read it, when it is shared. */
  fetched(item: string, partner: string, reader: string): Promise<boolean>;
}

export interface ItemsDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly offered: OfferedItems;
  /** The Outboxes that are shared with a partner, and the part of each that he sees. */
  readonly sharedWith: (partner: string) => readonly { readonly owner: string; readonly place: VirtualPath }[];
  readonly clock: Clock;
  readonly log: Logger;
}

export class Items {
  readonly #deps: ItemsDeps;

  constructor(deps: ItemsDeps) {
    this.#deps = deps;
  }

  /** @returns undefined when this partner may not read it, or it does not exist; the two are not told apart. */
  async readableBy(item: string, partner: string): Promise<Readable | undefined> {
    return (await this.#of(item, partner)) ?? (await this.#shared(item, partner))?.readable;
  }

  /** In the Outbox of this name. */
  async #of(item: string, name: string): Promise<Readable | undefined> {
    const moved = await this.#deps.ledger.call('ledger.readable', { id: item, partner: name });
    if (moved) return { headers: moved.headers, path: `/Outbox/${nameOf(moved.path)}` };
    return await this.#deps.offered.readableBy(item, name);
  }

  /** What is shared, only as far as he sees it. */
  async #shared(item: string, partner: string): Promise<{ readable: Readable; owner: string } | undefined> {
    for (const { owner, place } of this.#deps.sharedWith(partner)) {
      const readable = await this.#of(item, owner);
      if (readable && isWithin(parseVirtualPath(readable.path), place)) return { readable, owner };
    }
    return undefined;
  }

  /** The handler of `outbox.fetched`: a claim of the DMZ, taken down as such. Its time stamp is not used. */
  fetched(params: NoteParams<'outbox.fetched'>): void {
    const { item, partner } = params;
    const { ledger, offered, clock, log } = this.#deps;
    const take = async (): Promise<void> => {
      const owner = (await this.#shared(item, partner))?.owner ?? partner;
      const known =
        (await offered.fetched(item, owner, partner)) ||
        (await ledger.call('ledger.fetched', { id: item, partner: owner, reader: partner, nowMs: clock.nowMs() }));
      if (!known)
        log.warn({ item, partner: printable(partner) }, 'the DMZ reports a download of an item that this partner cannot have');
    };
    take().catch((cause: unknown) => log.warn({ item, err: cause }, 'a download was not taken down'));
  }
}
