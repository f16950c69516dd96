/**
 * A directory (LDAP, Active Directory) as a method of the login chain.
 *
 * Without a service account a login is connect, bind as the user, read his entry, close. With one, the entry is found and read
 * by the service, and the user only binds, on a connection of his own. The bind is always with the DN of the entry that counts,
 * so a name that means one user at the bind and another in the search lets nobody in. Empty passwords never leave the node.
 * The directory answers for all users: it rejects, unless it is set to pass on those that a service account proved unknown.
 */
import type { Clock } from '../../../shared/clock.ts';
import { SallyportError } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/log.ts';
import { Secret } from '../../../shared/secret.ts';
import type { Account } from '../local-users.ts';
import type { LoginMethod, PasswordLogin, StepAnswer } from '../login-method.ts';
import type { RejectReason } from '../rejections.ts';
import type { CodeGate } from '../totp/code-gate.ts';
import { CodeGenerator, type TypedCode, typedCode } from '../totp/one-time-code.ts';
import { BindBudget } from './bind-budget.ts';
import { type BindPlan, type Candidate, planFor } from './bind-plan.ts';
import { type DirectoryConnection, type DirectoryEntry, textsOf } from './directory-connection.ts';
import { DirectoryFault } from './directory-fault.ts';
import type { DirectoryOptions } from './directory-options.ts';
import { comparable, isBelow, parseName } from './distinguished-name.ts';
import { allMemberships, type EntryGroups, groupAttributes, groupsOf } from './entry-groups.ts';
import { homeFrom } from './entry-home.ts';
import { entryIdentity, identityAttributes, partnerNameOf } from './partner-name.ts';
import { cutOn, DirectoryServers } from './servers.ts';

/** What the rest of the node makes of a user of a directory. */
export interface DirectoryPartners {
  /**
   * The account that the user has, or undefined when his name is already that of somebody else.
   * @param entry Names the entry for as long as it exists.
   * @param keep Whether the name is his from now on; otherwise only looked up.
   */
  accountFor(
    user: {
      readonly partner: string;
      readonly directory: string;
      readonly entry: string;
      readonly groups: readonly string[];
      /** Below a destination; absent: as the groups say. */
      readonly home?: string;
      readonly email?: string;
    },
    keep: boolean,
  ): Promise<Account | undefined>;
}

export interface DirectoryLoginsDeps {
  readonly partners: DirectoryPartners;
  readonly codes: Pick<CodeGate, 'objection'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What an entry says. */
interface ReadEntry {
  /** What failures of this user are counted under. */
  readonly key: string;
  readonly entry: DirectoryEntry;
  readonly memberships: readonly string[];
  /** What the directory said of the password. */
  readonly remark?: string | undefined;
}

interface Bound {
  readonly dn: string;
  readonly remark: string | undefined;
}

type Search = Pick<DirectoryConnection, 'search'>;

export class DirectoryLogins implements LoginMethod {
  readonly #deps: DirectoryLoginsDeps;
  readonly #options: DirectoryOptions;
  readonly #servers: DirectoryServers;
  readonly #budget: BindBudget;
  #inside = 0;
  #failing = false;

  constructor(deps: DirectoryLoginsDeps, options: DirectoryOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#servers = new DirectoryServers(deps, options);
    this.#budget = new BindBudget(deps, options);
  }

  get stopped(): boolean {
    return this.#options.stopped;
  }

  get failing(): boolean {
    return this.#failing;
  }

  close(): Promise<void> {
    return this.#servers.close();
  }

  async check(login: PasswordLogin, signal: AbortSignal): Promise<StepAnswer> {
    if (login.password.reveal().trim() === '') {
      return { outcome: 'reject', reason: 'empty password', detail: 'a password of nothing but blanks is never sent' };
    }
    if (this.#inside >= this.#options.concurrent) return { outcome: 'failed', detail: 'too many logins are under way in it' };
    this.#inside += 1;
    const limit = new AbortController();
    const cancel = this.#deps.clock.after(this.#options.totalTimeout, () =>
      limit.abort(new DirectoryFault('failed', 'totalTimeout is over')),
    );
    try {
      const answer = await this.#checked(login, AbortSignal.any([signal, limit.signal]));
      this.#failing = false;
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      return this.#answerTo(limit.signal.aborted ? limit.signal.reason : error);
    } finally {
      cancel();
      this.#inside -= 1;
    }
  }

  #answerTo(error: unknown): StepAnswer {
    if (error instanceof DirectoryFault && error.kind !== 'failed') {
      this.#failing = false;
      return { outcome: 'reject', reason: error.reason, detail: error.message };
    }
    // A name or a secret in the entry that cannot be used is a fault of this one user.
    if (error instanceof SallyportError && ['usage', 'config-invalid', 'bad-name'].includes(error.code)) {
      return { outcome: 'reject', reason: 'not in the directory as it must be', detail: error.message };
    }
    this.#failing = true;
    return { outcome: 'failed', detail: error instanceof Error ? error.message : String(error) };
  }

  async #checked(login: PasswordLogin, signal: AbortSignal): Promise<StepAnswer> {
    const typed = this.#typed(login);
    if (!typed) {
      const detail = 'there is no code after the password, or nothing before it: nothing was sent';
      return { outcome: 'reject', reason: 'code missing', detail };
    }
    const plan = planFor(login.user, this.#options);
    const read = this.#options.service
      ? await this.#withService(plan, typed.password, signal)
      : await this.#asUser(plan, typed.password, signal);
    if ('outcome' in read) return read;
    const reason = await this.#codeObjection(read.entry, typed.code, login.rehearsal);
    if (reason) return { outcome: 'reject', reason, detail: `bound as ${read.entry.dn}; ${reason}` };
    const answer = await this.#accepted(read, login);
    if (answer.outcome === 'accept') this.#budget.succeeded(read.key);
    return answer;
  }

  /** The password that the directory is to see. Without a second factor of ours, a code is its own business. */
  #typed({ password, code }: PasswordLogin): TypedCode | undefined {
    if (this.#options.totp) return typedCode(password, code);
    return { password: code ? new Secret(password.reveal() + code.reveal()) : password, code: '' };
  }

  async #codeObjection(entry: DirectoryEntry, code: string, rehearsal: boolean): Promise<RejectReason | undefined> {
    const { totp, name } = this.#options;
    if (!totp) return undefined;
    const [uri, ...more] = textsOf(entry, totp.attribute);
    if (uri === undefined || more.length > 0) return 'no second factor';
    const generator = CodeGenerator.fromUri(uri);
    const subject = `${name}:${entryIdentity(entry)}`;
    return this.#deps.codes.objection({ subject, generator, code, rehearsal });
  }

  async #withService(plan: BindPlan, password: Secret, signal: AbortSignal): Promise<ReadEntry | StepAnswer> {
    const dn = await this.#servers.withService((connection) => this.#find(plan.candidates, connection), signal);
    if (typeof dn !== 'string') {
      if (this.#options.unknownUser === 'next') return { outcome: 'unknown', detail: dn.seen };
      throw new DirectoryFault('refused', dn.seen, 'unknown user');
    }
    const key = comparable(parseName(dn));
    this.#spend(key);
    const connection = await this.#connect(key, signal);
    let remark: string | undefined;
    try {
      using _cut = cutOn(signal, connection);
      remark = await this.#bindAs(dn, password, key, connection);
    } finally {
      await connection.close();
    }
    return { ...(await this.#servers.withService((service) => this.#read(dn, key, service), signal)), remark };
  }

  async #asUser(plan: BindPlan, password: Secret, signal: AbortSignal): Promise<ReadEntry> {
    this.#spend(plan.key);
    const connection = await this.#connect(plan.key, signal);
    try {
      using _cut = cutOn(signal, connection);
      const { dn, remark } =
        plan.bindName === undefined
          ? await this.#bindBelow(plan, password, connection)
          : await this.#bindThenFind(plan, plan.bindName, password, connection);
      return { ...(await this.#read(dn, plan.key, connection)), remark };
    } finally {
      await connection.close();
    }
  }

  /** Base for base: the first that takes the password. What each of them said is told. */
  async #bindBelow({ candidates, key }: BindPlan, password: Secret, connection: DirectoryConnection): Promise<Bound> {
    const refusals: { readonly base: string; readonly fault: DirectoryFault }[] = [];
    for (const { base, search } of candidates) {
      try {
        const remark = await connection.bind(search.base, password);
        return { dn: search.base, remark };
      } catch (error) {
        if (!(error instanceof DirectoryFault)) throw error;
        if (error.kind === 'failed') {
          this.#budget.giveBack(key);
          throw error;
        }
        refusals.push({ base, fault: error });
      }
    }
    const told = refusals.map(({ base, fault }) => `${base}: ${fault.message}`).join('; ');
    const telling = refusals.find(({ fault }) => !['wrong password', 'unknown user'].includes(fault.reason)) ?? refusals.at(-1);
    throw new DirectoryFault('refused', told, telling?.fault.reason);
  }

  async #bindThenFind(plan: BindPlan, name: string, password: Secret, connection: DirectoryConnection): Promise<Bound> {
    await this.#bindAs(name, password, plan.key, connection);
    const dn = await this.#find(plan.candidates, connection);
    if (typeof dn !== 'string') throw new DirectoryFault('refused', dn.seen, 'unknown user');
    // The name that was bound with may mean another user than the one that was found: the password must be that one's too.
    return { dn, remark: await connection.bind(dn, password) };
  }

  async #bindAs(name: string, password: Secret, key: string, connection: DirectoryConnection): Promise<string | undefined> {
    try {
      return await connection.bind(name, password);
    } catch (error) {
      if (error instanceof DirectoryFault && error.kind === 'failed') this.#budget.giveBack(key);
      throw error;
    }
  }

  /** The DN of the one entry, or what was seen in each base. @throws DirectoryFault when there are several. */
  async #find(candidates: readonly Candidate[], connection: Search): Promise<string | { readonly seen: string }> {
    const seen: string[] = [];
    for (const { base, search } of candidates) {
      const { entries, tooMany, referrals } = await connection
        .search({ ...search, attributes: ['1.1'], most: 1 })
        .catch((error: unknown) => {
          if (error instanceof DirectoryFault && error.kind === 'not-found') return { entries: [], tooMany: false, referrals: 0 };
          throw error;
        });
      if (tooMany) throw new DirectoryFault('refused', `${base}: several entries fit`, 'not in the directory as it must be');
      const [entry] = entries;
      if (entry) {
        if (isBelow(parseName(entry.dn), parseName(base))) return entry.dn;
        throw new DirectoryFault('refused', `${entry.dn} is not below ${base}`, 'not in the directory as it must be');
      }
      seen.push(`${base}: there is no such entry${referrals > 0 ? `, but ${referrals} referrals, which are not followed` : ''}`);
    }
    return { seen: seen.join('; ') };
  }

  /** The entry with all that is needed of it, if it satisfies the filter. */
  async #read(dn: string, key: string, connection: Search): Promise<ReadEntry> {
    const {
      searchFilter = '(objectClass=*)',
      nestedGroups,
      partnerAttribute = '',
      usernameAttribute,
      totp,
      home,
      emailAttribute = '',
    } = this.#options;
    const own = [
      usernameAttribute,
      partnerAttribute,
      totp?.attribute ?? '',
      home?.attribute ?? '',
      emailAttribute,
      nestedGroups ? 'memberOf' : '',
    ];
    const wanted = [...groupAttributes(this.#options), ...identityAttributes, ...own];
    const attributes = [...new Set(wanted.filter((name) => name !== ''))];
    const { entries } = await connection.search({ base: dn, scope: 'base', filter: searchFilter, attributes, most: 1 });
    const [entry] = entries;
    if (!entry) throw new DirectoryFault('refused', `${dn} does not satisfy searchFilter, or may not be read`);
    const memberships = nestedGroups ? await allMemberships(entry, connection) : textsOf(entry, 'memberOf');
    return { key, entry, memberships };
  }

  async #accepted({ entry, memberships, remark }: ReadEntry, login: PasswordLogin): Promise<StepAnswer> {
    const refused = (detail: string): DirectoryFault =>
      new DirectoryFault('refused', `${entry.dn}: ${detail}`, 'not in the directory as it must be');
    const partner = partnerNameOf(entry, this.#options);
    if (partner === undefined) throw refused('it has no single value that can be the name of a partner');
    const found: EntryGroups | undefined = groupsOf(this.#options, (name) =>
      name.toLowerCase() === 'memberof' ? memberships : textsOf(entry, name),
    );
    if (!found) throw refused('no line of groupMapping fits, and there are no baseGroups');
    const { groups, because } = found;
    const place = this.#options.home;
    const home = place && homeFrom(place, textsOf(entry, place.attribute));
    if (place && home === undefined) throw refused(`${place.attribute} has no single value that can be a home`);
    const identity = { partner, directory: this.#options.name, entry: entryIdentity(entry) };
    const email = emailOf(entry, this.#options.emailAttribute);
    const user = { ...identity, groups, ...(home === undefined ? {} : { home }), ...(email === undefined ? {} : { email }) };
    const account = await this.#deps.partners.accountFor(user, !login.rehearsal);
    if (!account) {
      const detail = `${entry.dn}: the name ${partner} is that of another partner`;
      return { outcome: 'reject', reason: 'name belongs to another', detail };
    }
    const told = groups.length === 0 ? 'no groups' : `groups ${groups.join(', ')} (${because})`;
    const remarks = [`bound as ${entry.dn}`, `partner ${partner}`, told, ...(remark === undefined ? [] : [remark])];
    return { outcome: 'accept', partner, account, detail: remarks.join('; ') };
  }

  #spend(key: string): void {
    const exhausted = this.#budget.take(key);
    if (exhausted === 'user') {
      throw new DirectoryFault('refused', 'failuresPerUser is used up: the directory is not asked', 'too many failures');
    }
    if (exhausted === 'directory') throw new DirectoryFault('failed', 'bindsPerMinute is used up');
  }

  async #connect(key: string, signal: AbortSignal): Promise<DirectoryConnection> {
    try {
      return await this.#servers.connect(signal);
    } catch (error) {
      this.#budget.giveBack(key);
      throw error;
    }
  }
}

/** The first value that can be an address. Without one the login is as good. */
const emailOf = (entry: DirectoryEntry, attribute: string | undefined): string | undefined =>
  attribute === undefined ? undefined : textsOf(entry, attribute).find((text) => /^[^\s@<>]{1,64}@[^\s@<>]{1,253}$/.test(text));
