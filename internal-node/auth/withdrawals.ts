/**
 * Ends the sessions that were opened with a key, a certificate or a password that does not count any more: removed or replaced in the
 * configuration, revoked in a list, changed by the partner. It looks when it is told to, and when one of the lists has changed.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';
import { readCredential } from './credential.ts';
import type { SessionBook } from './session-book.ts';
import type { Standing } from './standing.ts';

export interface WithdrawalsDeps {
  readonly book: Pick<SessionBook, 'credentials' | 'withdraw'>;
  readonly standing: Pick<Standing, 'objection'>;
  /** The lists as they are now: other objects once they have changed. Never rejects. */
  readonly lists: () => Promise<readonly unknown[]>;
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Logger;
}

/** A revoked key ends its sessions within two seconds: half of that to see the list, the rest to tell the DMZ node. */
const lookEveryMs = 1000;

export class Withdrawals implements Service {
  readonly name = 'withdrawals';
  readonly #deps: WithdrawalsDeps;
  #cut: (sessions: readonly string[]) => Promise<void> = async () => {};
  #seen: readonly unknown[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #cancel: () => void = () => {};
  #stopped = false;

  constructor(deps: WithdrawalsDeps) {
    this.#deps = deps;
  }

  /** @param cut Has the connections of these sessions cut, whose tokens are worth nothing any more. */
  onWithdrawn(cut: (sessions: readonly string[]) => Promise<void>): void {
    this.#cut = cut;
  }

  async start(): Promise<void> {
    this.#seen = await this.#deps.lists();
    this.#later();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#last;
  }

  /** Judges all live sessions, as things are now or later. Never rejects. */
  look(): Promise<void> {
    const done = this.#last.then(() => this.#judge());
    this.#last = done;
    return done;
  }

  #later(): void {
    if (this.#stopped) return;
    this.#cancel = this.#deps.clock.after(lookEveryMs, () => void this.#lookAtLists().finally(() => this.#later()));
  }

  async #lookAtLists(): Promise<void> {
    const lists = await this.#deps.lists();
    const before = this.#seen;
    this.#seen = lists;
    if (lists.some((list, index) => list !== before[index])) await this.look();
  }

  async #judge(): Promise<void> {
    const { book, log } = this.#deps;
    try {
      for (const { partner, credential } of await book.credentials()) {
        const why = await this.#objection(partner, credential);
        const ended = why === undefined ? [] : await book.withdraw(partner, credential, why);
        if (ended.length > 0) await this.#cut(ended);
      }
    } catch (error) {
      log.error({ err: error }, 'sessions could not be ended');
    }
  }

  /** A list that cannot be read lets nobody in and ends no session. */
  async #objection(partner: string, credential: string): Promise<string | undefined> {
    try {
      return await this.#deps.standing.objection(partner, readCredential(credential));
    } catch (error) {
      this.#deps.log.warn({ partner, err: asSallyportError(error).message }, 'it cannot be told whether a session may go on');
      return undefined;
    }
  }
}
