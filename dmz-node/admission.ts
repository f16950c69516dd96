/**
 * Who may have a connection: limits on connections, on those of one source, and on those that are not logged in.
 *
 * A connection counts from its first line on. Before that it costs little and is held apart: those that say nothing have
 * room of their own, in which the oldest gives way to a newcomer. An honest client speaks at once, so a crowd of silent
 * strangers keeps nobody out, not even others behind the same address. As the last places without login fill up, newcomers
 * are refused at random with a rising probability (OpenSSH's MaxStartups), so that a flood cannot shut everybody else out
 * for certain; one source can take only a small part of those places.
 */
import { sourceOf } from './peer-address.ts';

export interface AdmissionOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerSource: number;
  /** Not logged in yet. From half of it (at least 10) on, newcomers are refused with 30 % and more. */
  readonly maxUnauthenticated: number;
  /** Below the half of `maxUnauthenticated`, one source alone costs the others nothing. */
  readonly maxUnauthenticatedPerSource: number;
  /** Accepted, but without a first line. Not counted in the others. */
  readonly maxSilent: number;
}

export type Refusal = 'connections' | 'connections of one source' | 'connections without login';

/** A place that a connection holds. All methods are idempotent. */
export interface Place {
  /** Its first line has come. @returns why it cannot stay, and then it must go. */
  spoke(): Refusal | undefined;
  /** It is logged in. */
  loggedIn(): void;
  leave(): void;
}

interface Silent {
  readonly source: Source;
  readonly giveWay: () => void;
}

interface Source {
  all: number;
  unauthenticated: number;
  readonly silent: Set<Silent>;
}

const firstDropRate = 0.3;
/** Of the silent places; a source with more makes room for its own newcomers. */
const fairPart = 0.25;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #random: () => number;
  readonly #bySource = new Map<string, Source>();
  /** The oldest first. */
  readonly #silent = new Set<Silent>();
  #all = 0;
  #unauthenticated = 0;

  /** @param random Uniform in [0, 1). */
  constructor(options: AdmissionOptions, random: () => number = Math.random) {
    this.#options = options;
    this.#random = random;
  }

  get connections(): number {
    return this.#all + this.#silent.size;
  }

  /** @param giveWay Called at most once, when a silent connection must make room: it must go. */
  admit(peer: string, giveWay: () => void): Place {
    const name = sourceOf(peer);
    const source = this.#bySource.get(name) ?? { all: 0, unauthenticated: 0, silent: new Set() };
    if (this.#silent.size >= this.#options.maxSilent) this.#makeRoomFor(source);
    this.#bySource.set(name, source);
    const silent: Silent = { source, giveWay };
    source.silent.add(silent);
    this.#silent.add(silent);
    return this.#place(name, silent);
  }

  #makeRoomFor(newcomer: Source): void {
    const own = newcomer.silent.size > this.#options.maxSilent * fairPart;
    const [oldest] = own ? newcomer.silent : this.#silent;
    if (!oldest) return;
    this.#forget(oldest);
    oldest.giveWay();
  }

  #forget(silent: Silent): boolean {
    silent.source.silent.delete(silent);
    return this.#silent.delete(silent);
  }

  #refusal(source: Source): Refusal | undefined {
    if (this.#all >= this.#options.maxConnections) return 'connections';
    if (source.all >= this.#options.maxConnectionsPerSource) return 'connections of one source';
    if (source.unauthenticated >= this.#options.maxUnauthenticatedPerSource) return 'connections without login';
    return this.#dropsEarly() ? 'connections without login' : undefined;
  }

  #dropsEarly(): boolean {
    const max = this.#options.maxUnauthenticated;
    const free = Math.min(max, Math.max(10, Math.floor(max / 2)));
    if (this.#unauthenticated < free) return false;
    if (this.#unauthenticated >= max) return true;
    const rate = firstDropRate + ((1 - firstDropRate) * (this.#unauthenticated - free)) / (max - free);
    return this.#random() < rate;
  }

  #place(name: string, silent: Silent): Place {
    const { source } = silent;
    let state: 'silent' | 'speaking' | 'in' | 'gone' = 'silent';
    return {
      spoke: () => {
        if (state !== 'silent' || !this.#forget(silent)) return undefined;
        const refusal = this.#refusal(source);
        state = refusal ? 'gone' : 'speaking';
        if (!refusal) this.#count(source, 1, 1);
        this.#tidy(name, source);
        return refusal;
      },
      loggedIn: () => {
        if (state !== 'speaking') return;
        state = 'in';
        this.#count(source, 0, -1);
      },
      leave: () => {
        if (state === 'silent') this.#forget(silent);
        else if (state !== 'gone') this.#count(source, -1, state === 'speaking' ? -1 : 0);
        state = 'gone';
        this.#tidy(name, source);
      },
    };
  }

  #count(source: Source, all: number, unauthenticated: number): void {
    source.all += all;
    source.unauthenticated += unauthenticated;
    this.#all += all;
    this.#unauthenticated += unauthenticated;
  }

  #tidy(name: string, source: Source): void {
    if (source.all === 0 && source.silent.size === 0 && this.#bySource.get(name) === source) this.#bySource.delete(name);
  }
}
