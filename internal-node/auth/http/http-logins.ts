/**
 * An HTTP authentication service as a method of the login chain. It is asked about passwords:
 *
 *     204, or 200 with an account    accept
 *     401                            unknown: the next method is asked
 *     403, and any other below 500   reject
 *     500 and above, no answer, one that breaks the schema    failed
 *
 * Addresses are tried in their order; one that does not answer is left alone for a while. What a service says beside its verdict
 * goes into the audit trail, never to a partner.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Clock } from '../../../shared/clock.ts';
import { checkPrivateFile } from '../../../shared/config/write-file.ts';
import { asSallyportError } from '../../../shared/errors.ts';
import { type Logger, printable } from '../../../shared/log.ts';
import { partnerName } from '../../../shared/policy.ts';
import type { HttpSettings } from '../../config-authentication.ts';
import { BindBudget } from '../ldap/bind-budget.ts';
import type { DirectoryPartners } from '../ldap/directory-logins.ts';
import { folded } from '../ldap/distinguished-name.ts';
import { homeFrom } from '../ldap/entry-home.ts';
import type { LoginMethod, PasswordLogin, StepAnswer } from '../login-method.ts';
import { ask, type HttpAnswer } from './login-request.ts';

export interface HttpOptions extends HttpSettings {
  readonly name: string;
}

export interface HttpLoginsDeps {
  readonly partners: DirectoryPartners;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Unknown keys are an error: a service that means something by them must not be misunderstood. */
const accountSchema = z.strictObject({
  account: z.strictObject({
    uuid: z.string().min(1).max(128).optional(),
    group: z.union([z.string(), z.array(z.string()).max(16)]).optional(),
    home_folder_path: z.string().min(1).max(1024).optional(),
    email: z.string().max(320).optional(),
  }),
});
type HttpAccount = z.output<typeof accountSchema>['account'];

class Failed extends Error {}

export class HttpLogins implements LoginMethod {
  readonly #deps: HttpLoginsDeps;
  readonly #options: HttpOptions;
  readonly #budget: BindBudget;
  readonly #suspendedUntilMs = new Map<string, number>();
  #inside = 0;
  #failing = false;

  constructor(deps: HttpLoginsDeps, options: HttpOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#budget = new BindBudget(deps, { ...options, bindsPerMinute: options.requestsPerMinute });
  }

  get stopped(): boolean {
    return this.#options.stopped;
  }

  get failing(): boolean {
    return this.#failing;
  }

  async close(): Promise<void> {}

  async check(login: PasswordLogin, signal: AbortSignal): Promise<StepAnswer> {
    if (login.password.reveal().trim() === '') {
      return { outcome: 'reject', reason: 'empty password', detail: 'a password of nothing but blanks is never sent' };
    }
    if (this.#inside >= this.#options.concurrent) return { outcome: 'failed', detail: 'too many logins are under way in it' };
    const user = folded(login.user);
    const exhausted = this.#budget.take(user);
    if (exhausted === 'user') return { outcome: 'reject', reason: 'too many failures', detail: 'failuresPerUser is used up' };
    if (exhausted === 'directory') return { outcome: 'failed', detail: 'requestsPerMinute is used up' };
    this.#inside += 1;
    try {
      const answer = await this.#judged(await this.#asked(login, signal), login);
      this.#failing = false;
      if (answer.outcome === 'accept') this.#budget.succeeded(user);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      this.#budget.giveBack(user);
      this.#failing = true;
      return { outcome: 'failed', detail: error instanceof Failed ? error.message : asSallyportError(error).message };
    } finally {
      this.#inside -= 1;
    }
  }

  /** The first answer that is one. @throws Failed what each address said. */
  async #asked(login: PasswordLogin, signal: AbortSignal): Promise<HttpAnswer> {
    const { clock } = this.#deps;
    const secrets = await this.#secrets();
    const failures: string[] = [];
    for (const url of this.#options.urls) {
      if ((this.#suspendedUntilMs.get(url) ?? 0) > clock.monotonicMs()) {
        failures.push(`${url} is suspended`);
        continue;
      }
      const limit = new AbortController();
      const cancel = clock.after(this.#options.timeout, () => limit.abort(new Error('no answer in time')));
      try {
        const answer = await ask({ url, body: this.#bodyOf(login), ...secrets }, AbortSignal.any([signal, limit.signal]));
        if (answer.status < 500) return answer;
        failures.push(`${url} answered ${answer.status}`);
      } catch (error) {
        signal.throwIfAborted();
        failures.push(`${url}: ${error instanceof Error ? error.message : String(error)}`);
      } finally {
        cancel();
      }
      this.#suspendedUntilMs.set(url, clock.monotonicMs() + this.#options.suspendFor);
      this.#deps.log.warn({ method: this.#options.name, url, detail: failures.at(-1) }, 'an authentication service is suspended');
    }
    throw new Failed(failures.join('; '));
  }

  #bodyOf({ user, password, code, protocol, peer }: PasswordLogin): unknown {
    const content = password.reveal() + (code?.reveal() ?? '');
    const family = peer.includes(':') ? 'IPv6' : 'IPv4';
    return {
      credentials: {
        type: 'password',
        username: user,
        content,
        peer: { address: peer, family, protocol },
        creator: { type: protocol },
      },
    };
  }

  async #judged({ status, body }: HttpAnswer, login: PasswordLogin): Promise<StepAnswer> {
    if (status === 401) return { outcome: 'unknown', detail: `it answered 401${told(body)}` };
    if (status === 204) return this.#accepted({}, login);
    if (status !== 200) {
      return { outcome: 'reject', reason: 'refused by the service', detail: `it answered ${status}${told(body)}` };
    }
    const parsed = accountSchema.safeParse(jsonOf(body));
    if (parsed.success) return this.#accepted(parsed.data.account, login);
    const [issue] = parsed.error.issues;
    throw new Failed(`its account breaks the schema: ${issue?.path.join('.')}: ${issue?.message}`);
  }

  async #accepted(account: HttpAccount, login: PasswordLogin): Promise<StepAnswer> {
    const refused = (detail: string): StepAnswer => ({ outcome: 'reject', reason: 'not in the directory as it must be', detail });
    const partner = folded(login.user.replace(/@.*$/s, ''));
    if (!partnerName.safeParse(partner).success) return refused('the user name can be no name of a partner');
    const { uuid, group, home_folder_path: path, email } = account;
    const home = path === undefined ? undefined : homeFrom({ attribute: 'home' }, [path]);
    if (path !== undefined && home === undefined) return refused('home_folder_path is no path below a destination');
    const groups = group === undefined ? this.#options.baseGroups : [group].flat();
    const identity = { partner, directory: this.#options.name, entry: uuid === undefined ? `user:${partner}` : `uuid:${uuid}` };
    const user = { ...identity, groups, ...(home === undefined ? {} : { home }), ...(email === undefined ? {} : { email }) };
    const known = await this.#deps.partners.accountFor(user, !login.rehearsal);
    if (!known) {
      const detail = `the name ${partner} is that of another partner`;
      return { outcome: 'reject', reason: 'name belongs to another', detail };
    }
    const inGroups = groups.length === 0 ? 'no groups' : `groups ${groups.join(', ')}`;
    return { outcome: 'accept', partner, account: known, detail: `partner ${partner}; ${inGroups}` };
  }

  /** Read anew each time, so that they can be renewed while the node runs. */
  async #secrets(): Promise<{ ca?: string; cert?: string; key?: string; authorization?: string }> {
    const { authorities, clientCertificate, basic } = this.#options;
    const ca = authorities === undefined ? {} : { ca: await readFile(authorities, 'utf8') };
    const client = clientCertificate
      ? {
          cert: await readFile(clientCertificate.certificate, 'utf8'),
          key: await privateText(clientCertificate.key),
        }
      : {};
    if (!basic) return { ...ca, ...client };
    const [password = ''] = (await privateText(basic.passwordFile)).split(/\r?\n/, 1);
    const authorization = `Basic ${Buffer.from(`${basic.name}:${password}`).toString('base64')}`;
    return { ...ca, ...client, authorization };
  }
}

async function privateText(file: string): Promise<string> {
  await checkPrivateFile(file);
  return readFile(file, 'utf8');
}

/** For the audit trail. */
const told = (body: string): string => (body.trim() === '' ? '' : `: ${printable(body.trim(), 512)}`);

function jsonOf(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
