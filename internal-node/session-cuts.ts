/**
 * Ends the sessions of partners who could not log in any more as they did. Their tokens are worth nothing at once; the DMZ node is
 * told to cut the connections, and told again when the tunnel is up if it could not be. With each new link it also learns which
 * sessions the DMZ node still has: the others are over, and those of them that are over here are cut there.
 */
import { limits } from '../shared/tunnel/messages.ts';
import type { Link } from './tunnel/link.ts';

interface Sessions {
  readonly connected: () => Promise<readonly { readonly partner: string }[]>;
  /** Whether the partner could log in as he did. */
  readonly mayStay: (partner: string) => boolean;
  readonly endPartner: (partner: string) => Promise<unknown>;
  /** Ends all that were opened before this link and are not among these. */
  readonly endOthers: (kept: readonly string[]) => Promise<unknown>;
  /** Those of these that are not live here. */
  readonly notLive: (sessions: readonly string[]) => Promise<readonly string[]>;
  /** Ends those that were opened with what does not count any more. */
  readonly withdraw: () => Promise<unknown>;
}

/** The most that `policy.limits.maxSessions` can say. */
const maxSessions = 100_000;

export class SessionCuts {
  readonly #sessions: Sessions;
  readonly #link: Pick<Link, 'request'>;
  /** Partners whose sessions the DMZ node is still to cut. */
  readonly #toCut = new Set<string>();

  constructor(sessions: Sessions, link: Pick<Link, 'request'>) {
    this.#sessions = sessions;
    this.#link = link;
  }

  async cut(partner: string): Promise<void> {
    this.#toCut.add(partner);
    await this.#sessions.endPartner(partner); // from now on its tokens are worth nothing
    try {
      await this.#link.request('session.revoke', { partner });
      this.#toCut.delete(partner);
    } catch {
      // Told as soon as the tunnel is up again.
    }
  }

  /** Has single sessions cut, which are over here. What cannot be told now is found out with the next link. */
  async cutSessions(sessions: readonly string[]): Promise<void> {
    for (let from = 0; from < sessions.length; from += limits.listedSessions) {
      const page = sessions.slice(from, from + limits.listedSessions);
      await this.#link.request('session.cut', { sessions: page }).catch(() => undefined);
    }
  }

  /** The DMZ node may hold sessions that were ended here while it could not be told. */
  async linkUp(): Promise<void> {
    for (const { partner } of await this.#sessions.connected()) {
      if (!this.#sessions.mayStay(partner)) this.#toCut.add(partner);
    }
    for (const partner of [...this.#toCut]) await this.cut(partner);
    await this.#sessions.withdraw();
    await this.#compare();
  }

  async #compare(): Promise<void> {
    const kept: string[] = [];
    for (let after = '', more = true; more; after = kept.at(-1) ?? '') {
      const page = await this.#link.request('session.list', { after });
      more = page.more && page.sessions.length > 0;
      kept.push(...page.sessions);
      if (kept.length > maxSessions) return; // more than a policy admits: nothing is concluded from that
    }
    await this.#sessions.endOthers(kept);
    await this.cutSessions(await this.#sessions.notLive(kept));
  }
}
