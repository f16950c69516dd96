/**
 * Who may have a connection at all, before a byte is read: limits on connections, on those of one source, and on those that
 * are not logged in. As the last fill up, newcomers are refused at random with a rising probability (OpenSSH's MaxStartups),
 * so that a flood cannot shut everybody else out for certain; one source can take only a small part of those places.
 */
import { sourceOf } from '../peer-address.ts';

export interface AdmissionOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerSource: number;
  /** Not logged in yet. From a tenth of it (at least 10) on, newcomers are refused with 30 % and more. */
  readonly maxUnauthenticated: number;
  readonly maxUnauthenticatedPerSource: number;
}

export type Refusal = 'connections' | 'connections of one source' | 'connections without login';

/** A place that a connection holds. Both methods are idempotent. */
export interface Place {
  /** It is logged in. */
  loggedIn(): void;
  leave(): void;
}

const firstDropRate = 0.3;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #random: () => number;
  readonly #bySource = new Map<string, { all: number; unauthenticated: number }>();
  #all = 0;
  #unauthenticated = 0;

  /** @param random Uniform in [0, 1). */
  constructor(options: AdmissionOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  get connections(): number {
    return this.#all;
  }

  admit(peer: string): Place | Refusal {
    const source = sourceOf(peer);
    const counts = this.#bySource.get(source) ?? { all: 0, unauthenticated: 0 };
    if (this.#all >= this.#options.maxConnections) return 'connections';
    if (counts.all >= this.#options.maxConnectionsPerSource) return 'connections of one source';
    if (counts.unauthenticated >= this.#options.maxUnauthenticatedPerSource) return 'connections without login';
    if (this.#dropsEarly()) return 'connections without login';
    this.#bySource.set(source, counts);
    this.#count(counts, 1, 1);
    return this.#place(source, counts);
  }

  #dropsEarly(): boolean {
    const max = this.#options.maxUnauthenticated;
    const free = Math.min(max, Math.max(10, Math.floor(max / 10)));
    if (this.#unauthenticated < free) return false;
    if (this.#unauthenticated >= max) return true;
    const rate = firstDropRate + ((1 - firstDropRate) * (this.#unauthenticated - free)) / (max - free);
    return this.#random() < rate;
  }

  #place(source: string, counts: { all: number; unauthenticated: number }): Place {
    let state: 'new' | 'in' | 'gone' = 'new';
    return {
      loggedIn: () => {
        if (state !== 'new') return;
        state = 'in';
        this.#count(counts, 0, -1);
      },
      leave: () => {
        if (state === 'gone') return;
        this.#count(counts, -1, state === 'new' ? -1 : 0);
        state = 'gone';
        if (counts.all === 0) this.#bySource.delete(source);
      },
    };
  }

  #count(counts: { all: number; unauthenticated: number }, all: number, unauthenticated: number): void {
    counts.all += all;
    counts.unauthenticated += unauthenticated;
    this.#all += all;
    this.#unauthenticated += unauthenticated;
  }
}
