/**
 * What makes SSH handshakes of partners fresh: random numbers that only the inside makes. The DMZ node puts one into its KEXINIT
 * message (RFC 4253 §7.1, "cookie"), so that it goes into the session identifier that a partner's key signs. A login whose
 * handshake holds none of them, an old one, or one of another handshake was not made now, through this DMZ node.
 *
 * They live in memory and for a few minutes: a restart forgets them, and who was in the middle of a handshake begins anew.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';

export interface HandshakeCookiesOptions {
  /** From the making of one to the login with it. */
  readonly lifeMs: number;
  /** So many at once; the oldest give way, which are those whose handshakes are longest under way. */
  readonly most: number;
}
export const cookieDefaults: HandshakeCookiesOptions = { lifeMs: 300_000, most: 16_384 };

const cookieBytes = 16;

export class HandshakeCookies {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #options: HandshakeCookiesOptions;
  /** In the order they end: all live equally long. By base64. */
  readonly #given = new Map<string, { readonly endsMs: number; identifier?: Buffer }>();

  constructor(deps: { readonly clock: Pick<Clock, 'monotonicMs'> }, options: HandshakeCookiesOptions = cookieDefaults) {
    this.#clock = deps.clock;
    this.#options = options;
  }

  /** @param count The caller bounds it. */
  make(count: number): { readonly cookies: string[]; readonly lifeMs: number } {
    const { lifeMs, most } = this.#options;
    const endsMs = this.#clock.monotonicMs() + lifeMs;
    const cookies = Array.from({ length: count }, () => randomBytes(cookieBytes).toString('base64'));
    for (const cookie of cookies) this.#given.set(cookie, { endsMs });
    for (const [cookie, given] of this.#given) {
      if (this.#given.size <= most && given.endsMs > this.#clock.monotonicMs()) break;
      this.#given.delete(cookie);
    }
    return { cookies, lifeMs };
  }

  /** Whether a handshake with this cookie is fresh. From now on the cookie belongs to that one handshake. */
  claim(cookie: Buffer, identifier: Buffer): boolean {
    const given = this.#given.get(cookie.toString('base64'));
    if (!given || given.endsMs <= this.#clock.monotonicMs()) return false;
    given.identifier ??= Buffer.from(identifier);
    return given.identifier.equals(identifier);
  }
}
