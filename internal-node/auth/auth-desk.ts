/**
 * Answers `auth.check`: may this login come in? The DMZ node only carries the attempt here.
 *
 * Promises: no answer carries a reason; an unknown user, a wrong password, a disabled partner and a wrong method get the
 * same bytes and take the same time: refusals leave at multiples of a least time, above what the methods of the chain differ
 * by. Whatever fails on our side refuses (`unavailable`), and while a method of the chain is failing so does every other
 * refusal of a password. Budgets hold whatever the DMZ says about addresses. A key login is believed only with a signature
 * over its own SSH connection, whose handshake was made with a number of ours a moment ago.
 */
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import { Secret } from '../../shared/secret.ts';
import type { AuthCheck, Verdict } from '../../shared/tunnel/messages.ts';
import type { Attempt, AuthBudgets } from './budgets.ts';
import type { CertificateLogins } from './certificates/certificate-logins.ts';
import type { LoginChain, Walk } from './chain.ts';
import { type Credential, credentialText } from './credential.ts';
import type { HalfLogins } from './half-logins.ts';
import { type GoodKey, type KeyLogins, type Proven, staleHandshake } from './key-logins.ts';
import type { Account, LocalUsers } from './local-users.ts';
import type { StepAnswer } from './login-method.ts';
import type { OwnPasswords } from './passwords/own-passwords.ts';
import type { PasswordChanges } from './passwords/password-changes.ts';
import type { Rejections, RejectReason } from './rejections.ts';
import type { SessionBook } from './session-book.ts';
import type { Standing } from './standing.ts';

export interface AuthDeskDeps {
  readonly users: LocalUsers;
  readonly chain: LoginChain;
  readonly sessions: Pick<SessionBook, 'open' | 'useIdentifier'>;
  readonly keys: Pick<KeyLogins, 'recognise' | 'prove'>;
  /** One-time codes that stand by themselves. */
  readonly codes: { objection(partner: string, code: string): Promise<RejectReason | undefined> };
  readonly budgets: AuthBudgets;
  readonly halfLogins: HalfLogins;
  readonly certificates: Pick<CertificateLogins, 'judge'>;
  /** Sessions whose certificate was good and who owe the password. */
  readonly halfCertificates: HalfLogins;
  /** Who must set another password before he is in. */
  readonly changes: PasswordChanges;
  readonly passwords: Pick<OwnPasswords, 'standing'>;
  /** Whether what a session showed first still counts when it has shown the rest. */
  readonly standing: Pick<Standing, 'objection'>;
  /** Called once a partner has set another password: sessions with the old one are to end. */
  readonly onPasswordSet: () => void;
  readonly rejections: Rejections;
  /** Refusals of passwords are answered at multiples of it. Above the usual time of a chain, it hides what differs. */
  readonly leastRejectMs: () => number;
  readonly clock: Clock;
  readonly log: Logger;
}

type Check<M extends AuthCheck['method']> = Extract<AuthCheck, { readonly method: M }>;
/** A verdict, or why there is none: the reason stays inside. */
type Finding =
  | Exclude<Verdict, { readonly verdict: 'rejected' }>
  /** `partner` when the name is known to be one's; `failing`: say that nobody can tell. */
  | { readonly rejected: RejectReason; readonly partner?: string | undefined; readonly failing?: boolean }
  | { readonly failed: true };

export interface Rehearsal {
  readonly steps: Walk['steps'];
  /** The partner who would be logged in. */
  readonly accepted?: string;
  /** Why not. */
  readonly refused?: RejectReason | 'a method failed' | 'a new password must be set';
}

const rejected: Verdict = { verdict: 'rejected' };
const unavailable = { verdict: 'unavailable' } as const;
const mustChange = { verdict: 'change', about: 'new' } as const;

export class AuthDesk {
  readonly #deps: AuthDeskDeps;

  constructor(deps: AuthDeskDeps) {
    this.#deps = deps;
  }

  /**
   * Never throws for a refusal or a fault of ours.
   * @param signal Fires when the link is gone: waiting ends, this rejects with the signal's reason, no session is opened.
   */
  async check(params: AuthCheck, signal: AbortSignal): Promise<Verdict> {
    const startedMs = this.#deps.clock.monotonicMs();
    const finding = await this.#find(params, signal);
    if ('verdict' in finding) return finding;
    if ('rejected' in finding) this.#deps.rejections.rejected(params, finding.rejected, finding.partner);
    const least = this.#deps.leastRejectMs();
    const tookMs = this.#deps.clock.monotonicMs() - startedMs;
    const restMs = Math.max(1, Math.ceil(tookMs / least)) * least - tookMs;
    if (restMs > 0) await this.#deps.clock.sleep(restMs, signal);
    return 'failed' in finding || finding.failing ? unavailable : rejected;
  }

  /**
   * What would come of a password, step by step, for staff: no session is opened, no budget of ours is touched. Directories
   * are really asked.
   */
  async rehearse(params: Omit<Check<'password'>, 'method' | 'session' | 'trace'>, signal: AbortSignal): Promise<Rehearsal> {
    const { user, protocol, peer } = params;
    const login = { user, protocol, peer, password: new Secret(params.password), code: codeOf(params), rehearsal: true };
    const { steps, answer } = await this.#deps.chain.walk(login, signal);
    if (answer.outcome === 'failed') return { steps, refused: 'a method failed' };
    if (answer.outcome !== 'accept') return { steps, refused: reasonOf(answer) };
    const refusal = answer.account.refusal(peer, this.#deps.clock.nowMs());
    if (refusal) return { steps, refused: refusal.reason };
    return answer.change ? { steps, refused: 'a new password must be set' } : { steps, accepted: answer.partner };
  }

  async #find(params: AuthCheck, signal: AbortSignal): Promise<Finding> {
    try {
      if (params.method === 'password') return await this.#password(params, signal);
      if (params.method === 'new-password') return await this.#newPassword(params, signal);
      if (params.method === 'certificate') return await this.#certificate(params, signal);
      if (params.method === 'code') return await this.#inBudget(params, signal, (attempt) => this.#code(params, attempt, signal));
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
    // Before the budgets: an empty password is right for nobody and costs nothing to refuse.
    if (params.password === '') return { rejected: 'empty password' };
    return await this.#inBudget(params, signal, (attempt) => this.#inChain(params, attempt, signal));
  }

  /** What can be guessed is guessed as often as the budgets allow. */
  async #inBudget(
    params: Check<'password' | 'code'>,
    signal: AbortSignal,
    check: (attempt: Attempt) => Promise<Finding>,
  ): Promise<Finding> {
    const { budgets, rejections, clock } = this.#deps;
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
    if (exhausted) return { rejected: 'too many failures', partner: this.#known(params.user) };
    return await check(attempt); // awaited: the attempt lasts until then
  }

  /** The rest of a login that began with a key. */
  async #code(params: Check<'code'>, attempt: Attempt, signal: AbortSignal): Promise<Finding> {
    const { user: partner } = params;
    const account = this.#deps.users.find(partner);
    const reason = this.#ownObjection(account, params) ?? (await this.#deps.codes.objection(partner, params.code));
    if (!account || reason) return { rejected: reason ?? 'unknown user', partner: this.#known(partner) };
    attempt.succeeded();
    return await this.#open(params, { partner, account }, 'key+code', {}, signal);
  }

  async #inChain(params: Check<'password'>, attempt: Attempt, signal: AbortSignal): Promise<Finding> {
    const { budgets, rejections, chain } = this.#deps;
    const { user, protocol, peer } = params;
    const login = { user, protocol, peer, password: new Secret(params.password), code: codeOf(params), rehearsal: false };
    const { steps, answer, failing } = await chain.walk(login, signal).catch((error: unknown) => {
      attempt.undecided();
      throw error;
    });
    rejections.walked(params, steps);
    if (answer.outcome === 'accept') {
      const { account, partner } = answer;
      const reason = this.#objection(account, params, partner);
      if (reason) return { rejected: reason, partner, failing };
      attempt.succeeded();
      if (answer.change)
        return this.#deps.changes.begin(params.session, account, { partner, ...answer.change }) ? mustChange : unavailable;
      const { standing } = answer;
      const shown = standing === undefined ? {} : { password: standing };
      return this.#open(params, answer, howOf(account, params), { shown }, signal);
    }
    if (answer.outcome === 'failed') {
      attempt.undecided();
      return { failed: true };
    }
    if (budgets.manyAccountsFail) rejections.limited(params, 'distinct-accounts');
    return { rejected: reasonOf(answer), partner: this.#known(user), failing };
  }

  /** Proof was given before, in this session. */
  async #newPassword(params: Check<'new-password'>, signal: AbortSignal): Promise<Finding> {
    const { user: partner, session } = params;
    const account = this.#deps.users.find(partner);
    const reason = this.#ownObjection(account, params);
    if (!account || reason) return { rejected: reason ?? 'unknown user', partner: this.#known(partner) };
    const done = await this.#deps.changes.change(session, partner, account, new Secret(params.password));
    if (done === undefined) return { rejected: 'no change of password was asked for', partner };
    if (done !== 'changed') return { verdict: 'change', about: done };
    this.#deps.onPasswordSet();
    const shown = { password: this.#deps.passwords.standing(partner, account) };
    return this.#open(params, { partner, account }, howOf(account, params), { shown }, signal);
  }

  /** Never a failure: a program shows its certificate to everybody, and says its password where that does not suffice. */
  async #certificate(params: Check<'certificate'>, signal: AbortSignal): Promise<Finding> {
    using attempt = this.#deps.budgets.enterKey();
    if (!attempt) {
      this.#deps.rejections.limited(params, 'keys');
      return unavailable;
    }
    const { user: partner, chain, session } = params;
    const goOn: Finding = { verdict: 'continue', methods: ['password'] };
    const account = this.#deps.users.find(partner);
    const required = account?.requireOverFtps ?? 'any';
    const { fits, fingerprint, detail } = await this.#deps.certificates.judge(chain, partner, account ?? nobody);
    const objection = this.#ownObjection(account, params);
    const owesMore = required === 'any' && account?.require !== 'any';
    if (!account || !fits || objection || owesMore) {
      const why = objection ?? (fits ? 'require asks for something else' : detail);
      this.#deps.rejections.certificate(params, fingerprint, why);
      return goOn;
    }
    const shown = { chain };
    if (required !== 'certificate+password')
      return await this.#open(params, { partner, account }, 'certificate', { shown }, signal);
    return this.#deps.halfCertificates.add(session, partner, shown) ? goOn : unavailable;
  }

  async #keyInBudget(params: Check<'key' | 'key-probe'>, signal: AbortSignal): Promise<Finding> {
    using attempt = this.#deps.budgets.enterKey();
    if (!attempt) {
      this.#deps.rejections.limited(params, 'keys');
      return unavailable;
    }
    const account = this.#deps.users.find(params.user);
    const partner = this.#known(params.user);
    const reason = this.#ownObjection(account, params);
    if (!account || reason) return { rejected: reason ?? 'unknown user', partner };
    const good = await this.#deps.keys.recognise(params, account);
    if ('rejected' in good) return { ...good, partner };
    return params.method === 'key' ? await this.#signedKey(params, account, good, signal) : { verdict: 'key-acceptable' };
  }

  async #signedKey(params: Check<'key'>, account: Account, good: GoodKey, signal: AbortSignal): Promise<Finding> {
    const { user } = params;
    const proven = this.#deps.keys.prove(params, good);
    if ('rejected' in proven) {
      if (proven.rejected !== staleHandshake) return { ...proven, partner: user };
      // After a restart of this node an honest partner can be in the middle of one. With the next it is a new one.
      this.#deps.rejections.rejected(params, staleHandshake, user);
      return unavailable;
    }
    const { algorithm, key, peer } = params;
    const shown = { key: { algorithm, key, peer } };
    const proof = { ...proven, key: good.description, shown };
    if (account.require === 'any') return this.#open(params, { partner: user, account }, 'key', proof, signal);
    if (!(await this.#deps.sessions.useIdentifier(proven.identifier)))
      return { rejected: 'SSH session identifier used before', partner: user };
    if (!this.#deps.halfLogins.add(params.session, user, shown)) return unavailable;
    return { verdict: 'continue', methods: [account.require === 'key+code' ? 'code' : 'password'] };
  }

  /** The user name, when it is that of a partner of the configuration. */
  #known(user: string): string | undefined {
    return this.#deps.users.find(user) && user;
  }

  #ownObjection(account: Account | undefined, check: AuthCheck): RejectReason | undefined {
    if (this.#deps.chain.denies(check.user)) return 'denied user name';
    if (!account) return 'unknown user';
    return this.#deps.chain.asksOwn(check.protocol) ? this.#objection(account, check, check.user) : 'service not allowed';
  }

  /** What forbids this account to log in so, apart from the secret itself. */
  #objection(account: Account, { method, session, peer, protocol }: AuthCheck, partner: string): RejectReason | undefined {
    const refusal = account.refusal(peer, this.#deps.clock.nowMs());
    if (refusal) return refusal.reason;
    const { require, requireOverFtps } = account;
    if (method === 'code' && require !== 'key+code') return 'code without need';
    if (method === 'code') return this.#deps.halfLogins.has(session, partner) ? undefined : 'code before key';
    if (method !== 'password') return undefined;
    if (protocol === 'ftps' && requireOverFtps === 'certificate') return 'certificate needed';
    if (protocol === 'ftps' && requireOverFtps === 'certificate+password')
      return this.#deps.halfCertificates.has(session, partner) ? undefined : 'certificate needed';
    // One who needs a key and a code has no use for his password, wherever he shows it.
    if (require === 'key+code') return 'password is not enough';
    const keyOwed = require === 'key+password';
    return keyOwed && !this.#deps.halfLogins.has(session, partner) ? 'password before key' : undefined;
  }

  async #open(
    { session, trace, peer, protocol }: AuthCheck,
    { partner, account }: { readonly partner: string; readonly account: Account },
    method: LoginMethodName,
    { shown = {}, ...proof }: Partial<Proven> & { readonly key?: string; readonly shown?: Credential },
    signal: AbortSignal,
  ): Promise<Finding> {
    const before = { ...this.#deps.halfLogins.shownBy(session), ...this.#deps.halfCertificates.shownBy(session) };
    if (before.key || before.chain) {
      const withdrawn = await this.#deps.standing.objection(partner, before);
      if (withdrawn !== undefined) return { rejected: 'what was shown first does not count any more', partner };
    }
    // It was right when its hash began; the partner may have set another one since.
    const { password } = shown;
    if (password !== undefined && password !== this.#deps.passwords.standing(partner, account))
      return { rejected: 'wrong password', partner };
    signal.throwIfAborted(); // the last moment: from here on a session may exist
    // While a list was read or a password hashed, the account may have ended or been given other means to log in.
    const refusal = account.refusal(peer, this.#deps.clock.nowMs());
    if (refusal) return { rejected: refusal.reason, partner };
    const credential = credentialText({ ...before, ...shown });
    const login = { session, trace, partner, method, peer, protocol, credential, ...proof };
    const opened = await this.#deps.sessions.open(login, account.expires);
    this.#deps.halfLogins.remove(session);
    this.#deps.halfCertificates.remove(session);
    switch (opened.outcome) {
      case 'opened':
        return { verdict: 'accepted', token: opened.token, lifeMs: opened.lifeMs, grant: account.grantFor(peer) };
      case 'replayed':
        return { rejected: 'SSH session identifier used before', partner };
      case 'session-reused':
        return { rejected: 'session id used before', partner };
      case 'too-many':
        return unavailable;
    }
  }
}

type LoginMethodName = 'password' | 'key' | 'key+password' | 'key+code' | 'certificate' | 'certificate+password';

const nobody = { certificates: [] };

/** What a good password completes. */
function howOf({ require, requireOverFtps }: Account, { protocol }: AuthCheck): LoginMethodName {
  if (protocol === 'ftps' && requireOverFtps === 'certificate+password') return 'certificate+password';
  return require === 'any' ? 'password' : 'key+password';
}

const codeOf = ({ code }: Pick<Check<'password'>, 'code'>): Secret | undefined =>
  code === undefined ? undefined : new Secret(code);

const reasonOf = (answer: Exclude<StepAnswer, { outcome: 'accept' | 'failed' }>): RejectReason =>
  answer.outcome === 'reject' ? answer.reason : 'unknown user';
