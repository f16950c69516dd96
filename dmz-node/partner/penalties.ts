/**
 * Bans sources that misbehave, after OpenSSH's PerSourcePenalties: every offence adds seconds, seconds run off with time, and
 * a source is refused as long as it has any once they had reached the minimum. No address is special, the loopback neither;
 * exceptions are configured. A source from which a partner logged in lately is banned for failed logins only: connections
 * that come to nothing are capped anyway, and many a partner shares his address with strangers.
 *
 * At most `maxSources` are remembered. When all are in use, a new source is let off (OpenSSH's "permissive"): forgetting a
 * banned one instead would let an attacker with many addresses free himself.
 */
import { BlockList, isIPv6 } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { sourceOf } from '../peer-address.ts';

export type Offence = 'login-failed' | 'no-attempt' | 'grace-exceeded' | 'broken-protocol';

export interface PenaltyOptions {
  readonly enabled: boolean;
  /** Multiplies every penalty. */
  readonly scale: number;
  /** Addresses or networks (`10.0.0.0/8`) that are never refused. */
  readonly exempt: readonly string[];
  /** Seconds that must come together before a source is refused. */
  readonly minimumSeconds: number;
  readonly maximumSeconds: number;
  readonly maxSources: number;
  /** How long a login vouches for its source. */
  readonly trustSeconds: number;
}

/** OpenSSH 9.8: authfail 5 s, noauth 1 s, grace-exceeded 10 s; enforced from 15 s, at most 10 min, 65,536 sources. */
export const penaltyDefaults: PenaltyOptions = {
  enabled: true,
  scale: 1,
  exempt: [],
  minimumSeconds: 15,
  maximumSeconds: 600,
  maxSources: 65_536,
  trustSeconds: 86_400,
};

/** A broken protocol is OpenSSH's "grace-exceeded" and not its "crash": nothing of ours crashes from it. */
const secondsFor: Readonly<Record<Offence, number>> = {
  'login-failed': 5,
  'no-attempt': 1,
  'grace-exceeded': 10,
  'broken-protocol': 10,
};

interface Account {
  untilMs: number;
  refused: boolean;
}

export interface PenaltiesDeps {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** A source is refused from now on. */
  readonly onBanned: (peer: string, seconds: number, offence: Offence) => void;
}

export class Penalties {
  readonly #deps: PenaltiesDeps;
  readonly #options: PenaltyOptions;
  readonly #exempt = new BlockList();
  readonly #accounts = new Map<string, Account>();
  /** Until when a source is trusted; the oldest login first. */
  readonly #trusted = new Map<string, number>();
  #sweepAtMs = 0;

  constructor(deps: PenaltiesDeps, options: PenaltyOptions) {
    this.#deps = deps;
    this.#options = options;
    for (const network of options.exempt) this.#addExempt(network);
  }

  get sources(): number {
    return this.#accounts.size;
  }

  /** Sources that are refused now. */
  get banned(): number {
    const now = this.#deps.clock.monotonicMs();
    let count = 0;
    for (const account of this.#accounts.values()) if (account.refused && account.untilMs > now) count += 1;
    return count;
  }

  refuses(peer: string): boolean {
    const source = sourceOf(peer);
    const account = this.#accounts.get(source);
    if (!account) return false;
    if (account.untilMs > this.#deps.clock.monotonicMs()) return account.refused;
    this.#accounts.delete(source);
    return false;
  }

  add(peer: string, offence: Offence): void {
    const { enabled, scale, minimumSeconds, maximumSeconds } = this.#options;
    if (!enabled || this.#isExempt(peer)) return;
    const now = this.#deps.clock.monotonicMs();
    if (offence !== 'login-failed' && (this.#trusted.get(sourceOf(peer)) ?? 0) > now) return;
    const account = this.#account(sourceOf(peer), now);
    if (!account) return;
    const from = Math.max(now, account.untilMs);
    account.untilMs = Math.min(now + maximumSeconds * 1000, from + secondsFor[offence] * scale * 1000);
    const seconds = (account.untilMs - now) / 1000;
    if (account.refused || seconds < minimumSeconds) return;
    account.refused = true;
    this.#deps.onBanned(peer, Math.ceil(seconds), offence);
  }

  /** Takes one offence back, because the login succeeded after all. A ban stays. */
  forgive(peer: string, offence: Offence): void {
    const account = this.#accounts.get(sourceOf(peer));
    if (account && !account.refused) account.untilMs -= secondsFor[offence] * this.#options.scale * 1000;
  }

  /** A partner has logged in from there. */
  trust(peer: string): void {
    const source = sourceOf(peer);
    this.#trusted.delete(source);
    this.#trusted.set(source, this.#deps.clock.monotonicMs() + this.#options.trustSeconds * 1000);
    const [oldest] = this.#trusted.keys();
    if (oldest !== undefined && this.#trusted.size > this.#options.maxSources) this.#trusted.delete(oldest);
  }

  #account(source: string, now: number): Account | undefined {
    const known = this.#accounts.get(source);
    if (known && known.untilMs > now) return known;
    if (!known && this.#accounts.size >= this.#options.maxSources) {
      this.#sweep(now);
      if (this.#accounts.size >= this.#options.maxSources) return undefined;
    }
    const fresh = { untilMs: now, refused: false };
    this.#accounts.set(source, fresh);
    return fresh;
  }

  /** At most once a second, so that a full table does not cost a walk for every stranger. */
  #sweep(now: number): void {
    if (now < this.#sweepAtMs) return;
    this.#sweepAtMs = now + 1000;
    for (const [source, account] of this.#accounts) if (account.untilMs <= now) this.#accounts.delete(source);
  }

  #addExempt(network: string): void {
    const [address = '', prefix] = network.split('/');
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    if (prefix === undefined) this.#exempt.addAddress(address, family);
    else this.#exempt.addSubnet(address, Number(prefix), family);
  }

  #isExempt(peer: string): boolean {
    return this.#exempt.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4');
  }
}
