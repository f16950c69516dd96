/**
 * The sessions that the inside has opened. A session's token is the only thing that makes an upload worth delivering and a
 * key worth releasing, and only this book issues one (reliability.md R18).
 *
 * It is durable: sessions survive a restart of the internal node. A token is live until its session ends or is too old;
 * then uploads that were complete can still be proved for a grace, which runs only while the link is up. The SSH session
 * identifier of a key login is accepted once.
 */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import type { Logger } from '../../shared/log.ts';
import { newToken, tokenHash } from '../../shared/secret.ts';
import type { Service } from '../../shared/service.ts';
import type { NewSession, OpenOutcome, SessionOperations } from './session-operations.ts';

export interface SessionBookDeps {
  readonly records: Records<SessionOperations>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface SessionBookOptions {
  readonly maxLifeMs: number;
  readonly graceMs: number;
  readonly maxLivePerPartner: number;
  /**
   * How long a used SSH session identifier is remembered. Much longer than handshakes are fresh (`handshake-cookies.ts`): what
   * is forgotten here could not be shown again anyway.
   */
  readonly identifierKeepMs: number;
}

const dayMs = 86_400_000;
export const defaultSessionOptions: SessionBookOptions = {
  maxLifeMs: dayMs,
  graceMs: 15 * 60_000,
  maxLivePerPartner: 10_000,
  identifierKeepMs: 7 * dayMs,
};

export type Opened =
  | { readonly outcome: 'opened'; readonly token: string; readonly lifeMs: number }
  | { readonly outcome: Exclude<OpenOutcome, 'opened'> };

export interface LiveSession {
  readonly partner: string;
  readonly session: string;
  readonly trace: string;
}

const seenEveryMs = 60_000;
const pruneEveryMs = 3_600_000;

export class SessionBook implements Service {
  readonly name = 'session book';
  readonly #deps: SessionBookDeps;
  readonly #options: SessionBookOptions;
  #cancelTick: (() => void) | undefined;
  #prunedMs = Number.NEGATIVE_INFINITY;
  #linkIsUp = false;
  #linkUpMs = 0;

  constructor(deps: SessionBookDeps, options: SessionBookOptions = defaultSessionOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#deps.records.call('auth.recover', undefined);
    this.#tick();
  }

  async stop(): Promise<void> {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    if (this.#linkIsUp) await this.linkDown();
  }

  /**
   * Issues a token, for at most `maxLifeMs`, and not beyond the end of the account. It exists in the answer and at the DMZ only; here its hash is kept. Records `auth.accepted`.
   */
  async open(session: Omit<NewSession, 'proof'>, accountEndsMs = Number.MAX_SAFE_INTEGER): Promise<Opened> {
    const token = newToken();
    const { graceMs, maxLivePerPartner } = this.#options;
    const nowMs = this.#nowMs();
    const maxLifeMs = Math.max(0, Math.min(this.#options.maxLifeMs, accountEndsMs - nowMs));
    const args = { ...session, proof: tokenHash(token), nowMs, maxLifeMs, graceMs, maxLivePerPartner };
    const outcome = await this.#deps.records.call('auth.open', args);
    return outcome === 'opened' ? { outcome, token, lifeMs: maxLifeMs } : { outcome };
  }

  /** Remembers an SSH session identifier (base64). @returns false when it was used before. */
  useIdentifier(identifier: string): Promise<boolean> {
    return this.#deps.records.call('auth.useIdentifier', { identifier, nowMs: this.#nowMs() });
  }

  /** Ends the session of a token. Unknown and ended ones are passed over. @returns whether it was live. */
  endSession(token: string): Promise<boolean> {
    return this.#deps.records.call('auth.end', {
      proof: tokenHash(token),
      nowMs: this.#nowMs(),
      graceMs: this.#options.graceMs,
    });
  }

  /** Ends all live sessions of a partner, as when he is disabled. @returns how many. */
  endPartner(partner: string): Promise<number> {
    return this.#deps.records.call('auth.endPartner', { partner, nowMs: this.#nowMs(), graceMs: this.#options.graceMs });
  }

  /**
   * Whether an upload may count as sent by a session of this partner.
   * @param sessionProof SHA-256 of the token, hex.
   * @returns `grace` when the session is over, but recently enough for uploads that were complete by then.
   */
  async prove(sessionProof: string, partner: string): Promise<'live' | 'grace' | 'unknown'> {
    const row = await this.#deps.records.call('auth.find', { proof: sessionProof });
    if (row?.partner !== partner) return 'unknown';
    const nowMs = this.#nowMs();
    if (row.endedMs === null && nowMs < row.expiresMs) return 'live';
    return nowMs < row.provableUntilMs ? 'grace' : 'unknown';
  }

  /** The live session of a token; undefined when there is none. */
  async byToken(token: string): Promise<LiveSession | undefined> {
    const row = await this.#deps.records.call('auth.find', { proof: tokenHash(token) });
    if (!row || row.endedMs !== null || this.#nowMs() >= row.expiresMs) return undefined;
    const { partner, session, trace } = row;
    return { partner, session, trace };
  }

  /**
   * Ends the sessions that the DMZ node has no more: it was restarted, or could not tell that they ended.
   * @param kept Ids of those that it has. Sessions that were opened since the link is up stay in any case.
   * @returns how many ended.
   */
  endOthers(kept: readonly string[]): Promise<number> {
    const { graceMs } = this.#options;
    return this.#deps.records.call('auth.endOthers', {
      kept,
      openedBeforeMs: this.#linkUpMs,
      nowMs: this.#nowMs(),
      graceMs,
    });
  }

  /** Who has live sessions that were opened with what. */
  credentials(): Promise<readonly { readonly partner: string; readonly credential: string }[]> {
    return this.#deps.records.call('auth.credentials', { nowMs: this.#nowMs() });
  }

  /**
   * Ends the live sessions of a partner that were opened with this.
   * @param why For staff. @returns their ids.
   */
  withdraw(partner: string, credential: string, why: string): Promise<readonly string[]> {
    const { graceMs } = this.#options;
    return this.#deps.records.call('auth.withdraw', { partner, credential, why, nowMs: this.#nowMs(), graceMs });
  }

  /** @param sessions Ids. @returns those that are over, or never were. */
  notLive(sessions: readonly string[]): Promise<readonly string[]> {
    return this.#deps.records.call('auth.notLive', { sessions, nowMs: this.#nowMs() });
  }

  /** Call it before the first message of a new link is answered; the calls that follow see its effect. */
  async linkUp(): Promise<void> {
    this.#linkIsUp = true;
    this.#linkUpMs = this.#nowMs();
    await this.#deps.records.call('auth.linkUp', { nowMs: this.#linkUpMs, graceMs: this.#options.graceMs });
  }

  async linkDown(): Promise<void> {
    this.#linkIsUp = false;
    await this.#deps.records.call('auth.linkDown', { nowMs: this.#nowMs() });
  }

  #nowMs(): number {
    return Math.floor(this.#deps.clock.nowMs());
  }

  #tick(): void {
    this.#cancelTick = this.#deps.clock.after(seenEveryMs, () => this.#tick());
    this.#keep().catch((error: unknown) => this.#deps.log.error({ err: error }, 'the session book could not be tidied'));
  }

  async #keep(): Promise<void> {
    const nowMs = this.#nowMs();
    if (this.#linkIsUp) await this.#deps.records.call('auth.linkSeen', { nowMs });
    if (nowMs - this.#prunedMs < pruneEveryMs) return;
    this.#prunedMs = nowMs;
    const identifiersBeforeMs = nowMs - this.#options.identifierKeepMs;
    await this.#deps.records.call('auth.prune', { sessionsBeforeMs: nowMs - dayMs, identifiersBeforeMs });
  }
}
