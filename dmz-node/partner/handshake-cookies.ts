/**
 * Random numbers of the inside for the next SSH handshakes, kept ahead so that no login waits for them. Each is used once, and none
 * is kept for longer than half its life: the other half is for the handshake and the login. A new link throws away what the one
 * before gave, which a restarted inside would not know.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Asking } from '../../shared/tunnel/handlers.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import type { HandshakeCookieSource } from '../partner-view.ts';

export interface HandshakeCookiesDeps {
  readonly asking: Pick<Asking<'dmz'>, 'request'>;
  readonly clock: Pick<Clock, 'monotonicMs' | 'after'>;
  readonly log: Logger;
}

export interface HandshakeCookiesOptions {
  /** More are asked for when fewer are left. */
  readonly least: number;
  /** How long a handshake may wait for one; then it goes on without. */
  readonly waitMs: number;
}
export const handshakeCookieDefaults: HandshakeCookiesOptions = { least: limits.handshakeCookies / 2, waitMs: 2000 };

interface Kept {
  readonly cookie: Buffer;
  readonly staleMs: number;
}

export class HandshakeCookies implements HandshakeCookieSource {
  readonly #deps: HandshakeCookiesDeps;
  readonly #options: HandshakeCookiesOptions;
  /** The oldest first. */
  #kept: Kept[] = [];
  #waiting: ((cookie: Buffer | undefined) => void)[] = [];
  /** Counts links; undefined while there is none. */
  #link: number | undefined;
  #links = 0;
  #asking = false;
  #cancelRenewal: () => void = () => undefined;

  constructor(deps: HandshakeCookiesDeps, options: HandshakeCookiesOptions = handshakeCookieDefaults) {
    this.#deps = deps;
    this.#options = options;
  }

  take(): Buffer | undefined | Promise<Buffer | undefined> {
    this.#dropStale();
    const first = this.#kept.shift();
    if (this.#link === undefined) return undefined;
    if (this.#kept.length < this.#options.least) this.#ask();
    return first ? first.cookie : this.#wait();
  }

  linkUp(): void {
    this.#kept = [];
    this.#link = ++this.#links;
    this.#asking = false;
    this.#ask();
  }

  linkDown(): void {
    this.#kept = [];
    this.#link = undefined;
    this.#cancelRenewal();
    this.#giveUp();
  }

  #dropStale(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    while (this.#kept[0] && this.#kept[0].staleMs <= nowMs) this.#kept.shift();
  }

  #wait(): Promise<Buffer | undefined> {
    return new Promise((resolve) => {
      const settle = (cookie: Buffer | undefined): void => {
        cancel();
        resolve(cookie);
      };
      const cancel = this.#deps.clock.after(this.#options.waitMs, () => {
        this.#waiting = this.#waiting.filter((other) => other !== settle);
        resolve(undefined);
      });
      this.#waiting.push(settle);
    });
  }

  #giveUp(): void {
    for (const settle of this.#waiting.splice(0)) settle(undefined);
  }

  #ask(): void {
    const link = this.#link;
    if (this.#asking || link === undefined) return;
    this.#asking = true;
    this.#deps.asking
      .request('auth.cookies', { count: limits.handshakeCookies })
      .then(({ cookies, lifeMs }) => {
        if (link === this.#link) this.#received(cookies, lifeMs);
      })
      .catch((error: unknown) => {
        const { code, message } = asSallyportError(error);
        this.#deps.log.warn({ code, err: message }, 'the inside gave no cookies for handshakes; key logins have to wait');
        if (link === this.#link) this.#failed();
      });
  }

  #received(cookies: readonly string[], lifeMs: number): void {
    const { clock } = this.#deps;
    if (cookies.length === 0) {
      this.#failed();
      return;
    }
    this.#asking = false;
    const staleMs = clock.monotonicMs() + lifeMs / 2;
    for (const text of cookies) {
      const cookie = Buffer.from(text, 'base64');
      const next = this.#waiting.shift();
      if (next) next(cookie);
      else this.#kept.push({ cookie, staleMs });
    }
    this.#renewAfter(lifeMs / 4);
    if (this.#waiting.length > 0) this.#ask();
  }

  #failed(): void {
    this.#asking = false;
    this.#giveUp();
    this.#renewAfter(this.#options.waitMs);
  }

  /** Before the last ones are stale, and again when the inside gave none. */
  #renewAfter(ms: number): void {
    this.#cancelRenewal();
    this.#cancelRenewal = this.#deps.clock.after(ms, () => {
      this.#dropStale();
      this.#ask();
    });
  }
}
