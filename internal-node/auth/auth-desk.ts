/**
 * Answers `auth.check`: may this login come in? The DMZ node only carries the attempt here.
 *
 * Promises: no answer carries a reason; an unknown user, a wrong password, a disabled partner and a wrong method get the
 * same bytes, cost the same hash and take the same least time. Whatever fails on our side refuses (`unavailable`). Budgets
 * hold whatever the DMZ says about addresses. A key login is believed only with a signature over its own SSH connection.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { Secret } from '../../shared/secret.ts';
import type { AuthCheck, Verdict } from '../../shared/tunnel/messages.ts';
import type { SshPublicKey } from '../ssh-public-key.ts';
import type { AuthBudgets } from './budgets.ts';
import type { HalfLogins } from './half-logins.ts';
import type { Account, LocalUsers } from './local-users.ts';
import type { Rejections, RejectReason } from './rejections.ts';
import type { SessionBook } from './session-book.ts';
import { fitsAlgorithm, verifySignedLogin } from './ssh-signature.ts';

export interface AuthDeskDeps {
  readonly users: LocalUsers;
  readonly sessions: Pick<SessionBook, 'open' | 'useIdentifier'>;
  readonly budgets: AuthBudgets;
  readonly halfLogins: HalfLogins;
  readonly rejections: Rejections;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AuthDeskOptions {
  /** No rejection is answered sooner. Above the time of one hash, it hides what little differs. */
  readonly leastRejectMs: number;
}

type Check<M extends AuthCheck['method']> = Extract<AuthCheck, { readonly method: M }>;
/** A verdict, or why there is none: the reason stays inside. */
type Finding = Exclude<Verdict, { readonly verdict: 'rejected' }> | { readonly rejected: RejectReason };

const rejected: Verdict = { verdict: 'rejected' };
const unavailable = { verdict: 'unavailable' } as const;

export class AuthDesk {
  readonly #deps: AuthDeskDeps;
  readonly #options: AuthDeskOptions;

  constructor(deps: AuthDeskDeps, options: AuthDeskOptions = { leastRejectMs: 100 }) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * Never throws for a refusal or a fault of ours.
   * @param signal Fires when the link is gone: waiting ends, this rejects with the signal's reason, no session is opened.
   */
  async check(params: AuthCheck, signal: AbortSignal): Promise<Verdict> {
    const startedMs = this.#deps.clock.monotonicMs();
    const finding = await this.#find(params, signal);
    if (!('rejected' in finding)) return finding;
    this.#deps.rejections.rejected(params, finding.rejected, this.#deps.users.find(params.user) && params.user);
    const restMs = startedMs + this.#options.leastRejectMs - this.#deps.clock.monotonicMs();
    if (restMs > 0) await this.#deps.clock.sleep(restMs, signal);
    return rejected;
  }

  async #find(params: AuthCheck, signal: AbortSignal): Promise<Finding> {
    try {
      if (params.method === 'password') return await this.#password(params, signal);
      if (params.method === 'certificate') return await this.#certificate(params, signal);
      return await this.#keyInBudget(params, signal);
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = asSallyportError(error);
      if (code !== 'limit-reached')
        this.#deps.log.error({ code, detail: message, trace: params.trace }, 'a login could not be checked');
      return unavailable;
    }
  }

  async #password(params: Check<'password'>, signal: AbortSignal): Promise<Finding> {
    const { budgets, rejections, users, clock } = this.#deps;
    // Before the budgets: an empty password is right for nobody and costs nothing to refuse.
    if (params.password === '') return { rejected: 'empty password' };
    using attempt = budgets.enterPassword(params.user);
    if (!attempt) {
      rejections.limited(params, 'waiting');
      return unavailable;
    }
    if (attempt.delayMs > 0) await clock.sleep(attempt.delayMs, signal);
    await attempt.turn(signal);
    const exhausted = attempt.spend();
    if (exhausted) rejections.limited(params, exhausted);
    if (exhausted === 'link') return unavailable;
    if (exhausted) return { rejected: 'too many failures' };
    const account = users.find(params.user);
    const fits = await users.passwordFits(account, new Secret(params.password));
    const reason = this.#objection(account, params) ?? (fits ? undefined : passwordReason(account));
    if (!account || reason) {
      if (budgets.manyAccountsFail) rejections.limited(params, 'distinct-accounts');
      return { rejected: reason ?? 'unknown user' };
    }
    attempt.succeeded();
    return this.#open(params, account, account.require === 'any' ? 'password' : 'key+password', undefined, signal);
  }

  /** Never a failure: a program shows its certificate to everybody, and says its password where that does not suffice. */
  async #certificate(params: Check<'certificate'>, signal: AbortSignal): Promise<Finding> {
    using attempt = this.#deps.budgets.enterKey();
    if (!attempt) {
      this.#deps.rejections.limited(params, 'keys');
      return unavailable;
    }
    const account = this.#deps.users.find(params.user);
    const fits = account?.require === 'any' && account.certificates.includes(params.fingerprint);
    if (!fits || this.#objection(account, params)) return { verdict: 'continue', methods: ['password'] };
    return this.#open(params, account, 'certificate', undefined, signal);
  }

  async #keyInBudget(params: Check<'key' | 'key-probe'>, signal: AbortSignal): Promise<Finding> {
    using attempt = this.#deps.budgets.enterKey();
    if (!attempt) {
      this.#deps.rejections.limited(params, 'keys');
      return unavailable;
    }
    const account = this.#deps.users.find(params.user);
    const reason = this.#objection(account, params);
    if (!account || reason) return { rejected: reason ?? 'unknown user' };
    const key = this.#deps.users.keyOf(account, Buffer.from(params.key, 'base64'));
    if (!key) return { rejected: 'key not registered' };
    if (!fitsAlgorithm(key, params.algorithm)) return { rejected: 'algorithm does not fit the key' };
    return params.method === 'key' ? this.#signedKey(params, account, key, signal) : { verdict: 'key-acceptable' };
  }

  async #signedKey(params: Check<'key'>, account: Account, key: SshPublicKey, signal: AbortSignal): Promise<Finding> {
    const { user, algorithm } = params;
    const signed = Buffer.from(params.signed, 'base64');
    const login = { user, algorithm, signed, signature: Buffer.from(params.signature, 'base64') };
    const identifier = verifySignedLogin(login, key)?.toString('base64');
    if (identifier === undefined) return { rejected: 'bad signature' };
    if (account.require === 'any') return this.#open(params, account, 'key', identifier, signal);
    if (!(await this.#deps.sessions.useIdentifier(identifier))) return { rejected: 'SSH session identifier used before' };
    if (!this.#deps.halfLogins.add(params.session, user)) return unavailable;
    return { verdict: 'continue', methods: ['password'] };
  }

  /** What forbids this account to log in so, apart from the secret itself. */
  #objection(account: Account | undefined, { method, user, session, peer }: AuthCheck): RejectReason | undefined {
    if (!account) return 'unknown user';
    const refusal = account.refusal(peer, this.#deps.clock.nowMs());
    if (refusal) return refusal.reason;
    const keyOwed = method === 'password' && account.require === 'key+password';
    return keyOwed && !this.#deps.halfLogins.has(session, user) ? 'password before key' : undefined;
  }

  async #open(
    { session, trace, user, peer, protocol }: AuthCheck,
    account: Account,
    method: 'password' | 'key' | 'key+password' | 'certificate',
    identifier: string | undefined,
    signal: AbortSignal,
  ): Promise<Finding> {
    signal.throwIfAborted(); // the last moment: from here on a session may exist
    const opened = await this.#deps.sessions.open({ session, trace, partner: user, method, peer, protocol, identifier });
    this.#deps.halfLogins.remove(session);
    switch (opened.outcome) {
      case 'opened':
        return { verdict: 'accepted', token: opened.token, lifeMs: opened.lifeMs, grant: account.grantFor(peer) };
      case 'replayed':
        return { rejected: 'SSH session identifier used before' };
      case 'session-reused':
        return { rejected: 'session id used before' };
      case 'too-many':
        return unavailable;
    }
  }
}

const passwordReason = (account: Account | undefined): RejectReason => (account?.password ? 'wrong password' : 'no password set');
