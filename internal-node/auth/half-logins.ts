/** Sessions that have shown a good key and still owe the password. In memory, few, and for a short time. */
import type { Clock } from '../../shared/clock.ts';
import type { Credential } from './credential.ts';

export interface HalfLoginsOptions {
  readonly lifeMs: number;
  readonly most: number;
}

export class HalfLogins {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #options: HalfLoginsOptions;
  /** In the order they end: all live equally long. */
  readonly #bySession = new Map<string, { readonly partner: string; readonly shown: Credential; readonly endsMs: number }>();

  constructor(
    deps: { readonly clock: Pick<Clock, 'monotonicMs'> },
    options: HalfLoginsOptions = { lifeMs: 120_000, most: 1024 },
  ) {
    this.#clock = deps.clock;
    this.#options = options;
  }

  /** @returns false when there are too many. */
  add(session: string, partner: string, shown: Credential = {}): boolean {
    const nowMs = this.#clock.monotonicMs();
    for (const [id, { endsMs }] of this.#bySession) {
      if (endsMs > nowMs) break;
      this.#bySession.delete(id);
    }
    this.#bySession.delete(session);
    if (this.#bySession.size >= this.#options.most) return false;
    this.#bySession.set(session, { partner, shown, endsMs: nowMs + this.#options.lifeMs });
    return true;
  }

  /** Whether this session has shown a key of this partner. */
  has(session: string, partner: string): boolean {
    const half = this.#bySession.get(session);
    return half?.partner === partner && half.endsMs > this.#clock.monotonicMs();
  }

  /** What the session has shown. */
  shownBy(session: string): Credential {
    return this.#bySession.get(session)?.shown ?? {};
  }

  remove(session: string): void {
    this.#bySession.delete(session);
  }
}
