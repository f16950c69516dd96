/**
 * Bans sources that misbehave, after OpenSSH's PerSourcePenalties: every offence adds seconds, seconds run off with time, and
 * a source is refused as long as it has any once they had reached the minimum. No address is special, the loopback neither;
 * exceptions are configured. On top of that, so many failed logins in a row may ban a source for a fixed time. A source from which a partner logged in lately is banned for failed logins only: connections
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
  /** Failed logins in a row, over all connections and protocols, after which a source is refused for `banSeconds`; 0: never. */
  readonly banAfter: number;
  readonly banSeconds: number;
  /** The first network that holds an address decides: it is never refused, or always. */
  readonly sources: readonly SourceRule[];
}

export interface SourceRule {
  readonly allow: boolean;
  readonly network: string;
}

/** A source that is refused now. */
export interface Ban {
  /** One address, or an IPv6 /64. */
  readonly source: string;
  readonly secondsLeft: number;
  readonly reason: Offence;
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
  banAfter: 0,
  banSeconds: 3600,
  sources: [],
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
  reason: Offence;
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
  /** Failed logins in a row, the source that failed last at the end. */
  readonly #inARow = new Map<string, number>();
  readonly #rules: readonly { readonly allow: boolean; readonly list: BlockList }[];
  #sweepAtMs = 0;

  constructor(deps: PenaltiesDeps, options: PenaltyOptions) {
    this.#deps = deps;
    this.#options = options;
    for (const network of options.exempt) addNetwork(this.#exempt, network);
    this.#rules = options.sources.map(({ allow, network }) => ({ allow, list: addNetwork(new BlockList(), network) }));
  }

  get sources(): number {
    return this.#accounts.size;
  }

  /** Sources that are refused now. */
  get banned(): number {
    return this.bans().length;
  }

  /** What is refused now, what will be so for longest first. */
  bans(): readonly Ban[] {
    const now = this.#deps.clock.monotonicMs();
    return [...this.#accounts]
      .filter(([, account]) => account.refused && account.untilMs > now)
      .map(([source, { untilMs, reason }]) => ({ source, secondsLeft: Math.ceil((untilMs - now) / 1000), reason }))
      .sort((a, b) => b.secondsLeft - a.secondsLeft);
  }

  /** Forgets all that counts against a source. @param peer An address, or a source as `bans` names it. @returns whether it was refused. */
  lift(peer: string): boolean {
    const source = sourceOf(peer.replace(/::\/64$/, '::'));
    const account = this.#accounts.get(source);
    this.#accounts.delete(source);
    this.#inARow.delete(source);
    return account?.refused === true && account.untilMs > this.#deps.clock.monotonicMs();
  }

  refuses(peer: string): boolean {
    const rule = this.#ruleFor(peer);
    if (rule) return !rule.allow;
    const source = sourceOf(peer);
    const account = this.#accounts.get(source);
    if (!account) return false;
    if (account.untilMs > this.#deps.clock.monotonicMs()) return account.refused;
    this.#accounts.delete(source);
    return false;
  }

  add(peer: string, offence: Offence): void {
    const { scale, maximumSeconds } = this.#options;
    if (!this.#counts(peer)) return;
    const now = this.#deps.clock.monotonicMs();
    if (offence !== 'login-failed' && (this.#trusted.get(sourceOf(peer)) ?? 0) > now) return;
    const account = this.#account(sourceOf(peer), now);
    if (!account) return;
    const from = Math.max(now, account.untilMs);
    const most = Math.max(account.untilMs, now + maximumSeconds * 1000);
    account.untilMs = Math.min(most, from + secondsFor[offence] * scale * 1000);
    this.#judge(peer, account, offence, now);
  }

  /** Another wrong password or code, whichever connection it came on. */
  failedLogin(peer: string): void {
    const { banAfter, banSeconds, maxSources } = this.#options;
    if (banAfter === 0 || !this.#counts(peer)) return;
    const source = sourceOf(peer);
    const count = (this.#inARow.get(source) ?? 0) + 1;
    this.#inARow.delete(source);
    if (count < banAfter) {
      this.#inARow.set(source, count);
      const [oldest] = this.#inARow.keys();
      if (oldest !== undefined && this.#inARow.size > maxSources) this.#inARow.delete(oldest);
      return;
    }
    const now = this.#deps.clock.monotonicMs();
    const account = this.#account(source, now);
    if (!account) return;
    account.untilMs = Math.max(account.untilMs, now + banSeconds * 1000);
    this.#judge(peer, account, 'login-failed', now, true);
  }

  #judge(peer: string, account: Account, offence: Offence, now: number, certain = false): void {
    const seconds = (account.untilMs - now) / 1000;
    if (account.refused || (!certain && seconds < this.#options.minimumSeconds)) return;
    account.refused = true;
    account.reason = offence;
    this.#deps.onBanned(peer, Math.ceil(seconds), offence);
  }

  #counts(peer: string): boolean {
    return this.#options.enabled && !this.#ruleFor(peer)?.allow && !this.#isExempt(peer);
  }

  #ruleFor(peer: string): { readonly allow: boolean } | undefined {
    return this.#rules.find(({ list }) => list.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4'));
  }

  /** Takes one offence back, because the login succeeded after all. A ban stays. */
  forgive(peer: string, offence: Offence): void {
    const account = this.#accounts.get(sourceOf(peer));
    if (account && !account.refused) account.untilMs -= secondsFor[offence] * this.#options.scale * 1000;
  }

  /** A partner has logged in from there. */
  trust(peer: string): void {
    const source = sourceOf(peer);
    this.#inARow.delete(source);
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
    const fresh: Account = { untilMs: now, refused: false, reason: 'login-failed' };
    this.#accounts.set(source, fresh);
    return fresh;
  }

  /** At most once a second, so that a full table does not cost a walk for every stranger. */
  #sweep(now: number): void {
    if (now < this.#sweepAtMs) return;
    this.#sweepAtMs = now + 1000;
    for (const [source, account] of this.#accounts) if (account.untilMs <= now) this.#accounts.delete(source);
  }

  #isExempt(peer: string): boolean {
    return this.#exempt.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4');
  }
}

function addNetwork(list: BlockList, network: string): BlockList {
  const [address = '', prefix] = network.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(prefix), family);
  return list;
}
