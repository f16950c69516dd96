/**
 * The passwords of own accounts as they count now: of the configuration, or in its place one that the partner set himself; how old
 * they may get; and invitations, with which a partner sets one without anybody having told him a password.
 *
 * A code of an invitation is good once, for its time, and for nothing but setting a password. It is shown to staff when it is made
 * and kept only as a digest.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../../shared/clock.ts';
import type { Records } from '../../../shared/durable/database.ts';
import { base32 } from '../../../shared/ids.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Secret } from '../../../shared/secret.ts';
import type { Service } from '../../../shared/service.ts';
import { formatPasswordHash, isCheaper, type PasswordHash, parsePasswordHash, standardCost } from '../../password-phc.ts';
import type { Account } from '../local-users.ts';
import type { Invitation, KeptPassword, PasswordOperations } from './password-operations.ts';

export interface OwnPasswordsDeps {
  readonly records: Pick<Records<PasswordOperations>, 'call'>;
  readonly hasher: {
    hash(password: Secret): Promise<string>;
    verify(password: Secret, expected: PasswordHash): Promise<boolean>;
  };
  readonly settings: () => {
    /** A password that is older must be changed; undefined: none must. */
    readonly maxAgeMs: number | undefined;
    /** How many passwords of before may not come back. */
    readonly remember: number;
  };
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Logger;
}

interface Kept extends KeptPassword {
  readonly parsed: PasswordHash;
}

const forgetMs = 86_400_000;

type Owner = Pick<Account, 'password' | 'passwordSince' | 'passwordMustChange' | 'formerPasswords'>;

export class OwnPasswords implements Service {
  readonly name = 'own passwords';
  readonly #deps: OwnPasswordsDeps;
  readonly #kept = new Map<string, Kept>();
  readonly #invitations = new Map<string, Invitation>();
  readonly #rehashing = new Set<string>();

  constructor(deps: OwnPasswordsDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { passwords, invitations } = await this.#deps.records.call('password.all', undefined);
    for (const kept of passwords) this.#kept.set(kept.partner, { ...kept, parsed: parsePasswordHash(kept.hash) });
    for (const invitation of invitations) this.#invitations.set(invitation.partner, invitation);
  }

  async stop(): Promise<void> {}

  /**
   * Forgets passwords and invitations of partners whom the configuration has not had for a day: who gets the name later may be
   * somebody else. A day, because files are moved and changes taken back.
   */
  async keepOnly(partners: Iterable<string>): Promise<void> {
    const args = { partners: [...partners], nowMs: Math.floor(this.#deps.clock.nowMs()), forgetMs };
    for (const partner of await this.#deps.records.call('password.keepOnly', args)) {
      this.#kept.delete(partner);
      this.#invitations.delete(partner);
    }
  }

  /** The hash that counts for a partner. */
  of(partner: string, owner: Owner): PasswordHash | undefined {
    return this.#keptFor(partner, owner)?.parsed ?? owner.password;
  }

  /** Names the password that counts for a partner without holding its hash; empty for none. It stays when that is hashed anew. */
  standing(partner: string, owner: Owner): string {
    const kept = this.#keptFor(partner, owner);
    return kept ? standingOf(kept) : insteadOf(owner);
  }

  /** All that are kept, for whoever must take as long as any of them. */
  hashes(): Iterable<PasswordHash> {
    return this.#kept.values().map(({ parsed }) => parsed);
  }

  /** Why a password that is right is not good enough any more. */
  mustChange(partner: string, owner: Owner): 'staff says so' | 'too old' | undefined {
    const kept = this.#keptFor(partner, owner);
    if (!kept && owner.passwordMustChange) return 'staff says so';
    const { maxAgeMs } = this.#deps.settings();
    const sinceMs = kept?.sinceMs ?? owner.passwordSince;
    if (maxAgeMs === undefined || sinceMs === undefined) return undefined;
    return this.#deps.clock.nowMs() - sinceMs > maxAgeMs ? 'too old' : undefined;
  }

  /** Whether this is the code of an invitation that is good now. Takes the same time whatever was typed. */
  isInvitation(partner: string, typed: Secret): boolean {
    const invitation = this.#invitations.get(partner);
    const expected = Buffer.from(invitation?.digest ?? '00'.repeat(32), 'hex');
    const fits = timingSafeEqual(Buffer.from(digestOf(typed), 'hex'), expected);
    return fits && invitation !== undefined && this.#deps.clock.nowMs() < invitation.expiresMs;
  }

  /** A new invitation in place of any other. @returns the code, which is not told again. */
  async invite(partner: string, validMs: number): Promise<{ readonly code: string; readonly expiresAtMs: number }> {
    const letters = base32(randomBytes(15)).slice(0, 20);
    const code = letters.match(/.{5}/g)?.join('-') ?? letters;
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const invitation = { partner, digest: digestOfText(letters), expiresMs: nowMs + validMs };
    await this.#deps.records.call('invitation.make', { ...invitation, nowMs });
    this.#invitations.set(partner, invitation);
    return { code, expiresAtMs: invitation.expiresMs };
  }

  /** @returns whether there was one. */
  async withdraw(partner: string): Promise<boolean> {
    this.#invitations.delete(partner);
    return this.#deps.records.call('invitation.withdraw', { partner, nowMs: Math.floor(this.#deps.clock.nowMs()) });
  }

  /** Whether it is the password of now or one of those before it. One hash for each. */
  async wasUsed(partner: string, owner: Owner, password: Secret): Promise<boolean> {
    const former = this.#formerOf(partner, owner).map(parsePasswordHash);
    for (const hash of former) if (await this.#deps.hasher.verify(password, hash)) return true;
    return false;
  }

  /**
   * From now on this is the password of the partner.
   * @param invitation The code it was set with, if it was.
   * @returns false when that is not good any more.
   */
  async set(partner: string, owner: Owner, password: Secret, invitation?: Secret): Promise<boolean> {
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const former = this.#formerOf(partner, owner);
    const hash = await this.#deps.hasher.hash(password);
    const standing = digestOfText(hash);
    const kept = { partner, hash, insteadOf: insteadOf(owner), former, sinceMs: nowMs, standing };
    const invited = invitation && { invited: digestOf(invitation) };
    if (!(await this.#deps.records.call('password.set', { kept, ...invited, nowMs }))) return false;
    this.#kept.set(partner, { ...kept, parsed: parsePasswordHash(kept.hash) });
    this.#invitations.delete(partner);
    return true;
  }

  /** Hashes a password that was just seen to be right anew when its hash is cheaper than a new one would be. Not waited for. */
  strengthen(partner: string, owner: Owner, password: Secret): void {
    const now = this.of(partner, owner);
    if (!now || !isCheaper(now, standardCost) || this.#rehashing.has(partner)) return;
    this.#rehashing.add(partner);
    this.#rehash(partner, owner, password)
      .catch((error: unknown) => this.#deps.log.warn({ err: error, partner }, 'a password could not be hashed anew'))
      .finally(() => this.#rehashing.delete(partner));
  }

  async #rehash(partner: string, owner: Owner, password: Secret): Promise<void> {
    const found = this.#kept.get(partner);
    const before = this.#keptFor(partner, owner);
    const nowMs = Math.floor(this.#deps.clock.nowMs());
    const former = before?.former ?? this.#formerOf(partner, owner).slice(1);
    const sinceMs = before?.sinceMs ?? owner.passwordSince ?? nowMs;
    const standing = this.standing(partner, owner);
    const hash = await this.#deps.hasher.hash(password);
    const kept = { partner, hash, insteadOf: insteadOf(owner), former, sinceMs, standing };
    // It may have been changed meanwhile.
    if (this.#kept.get(partner) !== found) return;
    this.#kept.set(partner, { ...kept, parsed: parsePasswordHash(kept.hash) });
    await this.#deps.records.call('password.rehash', { kept, nowMs });
  }

  #keptFor(partner: string, owner: Owner): Kept | undefined {
    const kept = this.#kept.get(partner);
    return kept?.insteadOf === insteadOf(owner) ? kept : undefined;
  }

  /** The one of now first. */
  #formerOf(partner: string, owner: Owner): readonly string[] {
    const kept = this.#keptFor(partner, owner);
    const written = [...(owner.password ? [owner.password] : []), ...(owner.formerPasswords ?? [])].map(formatPasswordHash);
    const all = [...(kept ? [kept.hash, ...kept.former] : []), ...written];
    return [...new Set(all)].slice(0, this.#deps.settings().remember);
  }
}

/** Names the hash of the configuration without holding it. */
const insteadOf = ({ password }: Owner): string => (password ? digestOfText(formatPasswordHash(password)) : '');

/** One that was recorded before passwords had names goes by its hash. */
const standingOf = ({ standing, hash }: KeptPassword): string => standing || digestOfText(hash);

const digestOfText = (text: string): string => createHash('sha256').update(text).digest('hex');
/** Codes are typed by hand: case, blanks and hyphens do not count. */
const digestOf = (typed: Secret): string => digestOfText(typed.reveal().toLowerCase().replace(/[\s-]/g, ''));
