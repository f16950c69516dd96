/**
 * Logins of staff: a directory says who is of staff and in which role, and a token of a few hours says so again to the admin socket.
 * Tokens live in memory, as digests; a restart of the node ends them all, and so does a change of what the configuration says of staff.
 *
 * An entry that does not satisfy `managerFilter` is nobody here, whatever else it may be; without that filter everybody is.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from '../../../shared/clock.ts';
import type { EventSink } from '../../../shared/durable/database.ts';
import { SallyportError } from '../../../shared/errors.ts';
import { event } from '../../../shared/events/event.ts';
import { type Logger, printable } from '../../../shared/log.ts';
import type { Secret } from '../../../shared/secret.ts';
import type { StaffRole, StaffSettings } from '../../config-staff.ts';
import { DirectoryLogins } from '../ldap/directory-logins.ts';
import type { DirectoryOptions } from '../ldap/directory-options.ts';
import type { Account } from '../local-users.ts';
import type { CodeGate } from '../totp/code-gate.ts';

export interface StaffMember {
  readonly name: string;
  readonly role: StaffRole;
}

export interface StaffToken extends StaffMember {
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface StaffLoginsDeps {
  /** With the directory that they name; undefined: nobody of staff logs in. */
  readonly settings: () => { readonly staff: StaffSettings; readonly directory: DirectoryOptions } | undefined;
  readonly codes: Pick<CodeGate, 'objection'>;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Live extends StaffMember {
  readonly endsMs: number;
  /** The settings that it was made under. */
  readonly of: string;
}

const mostTokens = 256;

export class StaffLogins {
  readonly #deps: StaffLoginsDeps;
  /** By the digest of the token, in the order they end. */
  readonly #live = new Map<string, Live>();
  #made: { readonly of: string; readonly directory: DirectoryLogins } | undefined;

  constructor(deps: StaffLoginsDeps) {
    this.#deps = deps;
  }

  /** Whether nobody may ask without a login. */
  get required(): boolean {
    return this.#deps.settings()?.staff.required ?? false;
  }

  /** @throws SallyportError `login-rejected`, always with the same words; `usage` when staff do not log in here. */
  async logIn(user: string, password: Secret, signal: AbortSignal): Promise<StaffToken> {
    const settings = this.#deps.settings();
    if (!settings) throw new SallyportError('usage', 'staff do not log in here: there is no authentication.staff');
    const member = await this.#member(user, password, settings, signal);
    if (!member) throw new SallyportError('login-rejected', 'the name or the password is wrong, or this account is not of staff');
    const token = randomBytes(32).toString('base64url');
    const lifeMs = settings.staff.tokenLife;
    this.#forgetEnded();
    if (this.#live.size >= mostTokens) throw new SallyportError('limit-reached', 'too many members of staff are logged in');
    this.#live.set(digestOf(token), { ...member, endsMs: this.#deps.clock.monotonicMs() + lifeMs, of: JSON.stringify(settings) });
    await this.#deps.events.emit([
      event('staff.logged-in', this.#deps.clock.nowMs(), {}, { by: member.name, role: member.role }),
    ]);
    return { ...member, token, expiresAtMs: Math.floor(this.#deps.clock.nowMs()) + lifeMs };
  }

  /** Whose token it is; undefined when it is nobody's any more. */
  byToken(token: string): StaffMember | undefined {
    const live = this.#live.get(digestOf(token));
    const now = JSON.stringify(this.#deps.settings());
    return live && live.endsMs > this.#deps.clock.monotonicMs() && live.of === now ? live : undefined;
  }

  async acted(by: string, role: string, did: string): Promise<void> {
    await this.#deps.events.emit([event('staff.acted', this.#deps.clock.nowMs(), {}, { by, role, did })]);
  }

  logOut(token: string): void {
    this.#live.delete(digestOf(token));
  }

  async close(): Promise<void> {
    this.#live.clear();
    await this.#made?.directory.close();
  }

  async #member(
    user: string,
    password: Secret,
    settings: NonNullable<ReturnType<StaffLoginsDeps['settings']>>,
    signal: AbortSignal,
  ): Promise<StaffMember | undefined> {
    const { staff } = settings;
    const refused = async (reason: string): Promise<undefined> => {
      const fields = { user: printable(user, 128), reason: printable(reason, 1024) };
      await this.#deps.events.emit([event('staff.refused', this.#deps.clock.nowMs(), {}, fields)]);
      return undefined;
    };
    if (staff.managerFilter === undefined) return refused('authentication.staff has no managerFilter');
    const login = { user, password, code: undefined, protocol: 'sftp', peer: '', rehearsal: false } as const;
    const answer = await this.#directory(settings).check(login, signal);
    if (answer.outcome !== 'accept') return refused(answer.detail);
    const { role } = answer.account as StaffAccount;
    return { name: answer.partner, role };
  }

  /** The directory with the filter of staff in place of that of partners, and roles in place of groups. */
  #directory({ staff, directory }: NonNullable<ReturnType<StaffLoginsDeps['settings']>>): DirectoryLogins {
    const of = JSON.stringify([staff, directory]);
    if (this.#made?.of === of) return this.#made.directory;
    void this.#made?.directory.close();
    const { home: _home, emailAttribute: _email, searchFilter: _filter, ...kept } = directory;
    const options: DirectoryOptions = {
      ...kept,
      stopped: false,
      unknownUser: 'reject',
      searchFilter: staff.managerFilter ?? '(!(objectClass=*))',
      groupMapping: staff.roles.map(({ attribute, matches, role }) => ({ attribute, matches, groups: [role] })),
      baseGroups: [staff.role],
    };
    const partners = {
      accountFor: async ({ groups }: { readonly groups: readonly string[] }) =>
        new StaffAccount((groups[0] ?? 'auditor') as StaffRole),
    };
    const { codes, clock, log } = this.#deps;
    this.#made = { of, directory: new DirectoryLogins({ partners, codes, clock, log }, options) };
    return this.#made.directory;
  }

  #forgetEnded(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const [digest, { endsMs }] of this.#live) if (endsMs <= nowMs) this.#live.delete(digest);
  }
}

const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** Carries the role out of the directory; as an account of a partner it is good for nothing. */
class StaffAccount implements Account {
  readonly role: StaffRole;
  readonly password = undefined;
  readonly keys = [];
  readonly authorities = [];
  readonly principals = [];
  readonly certificates = [];
  readonly require = 'any';
  readonly disabled = true;
  readonly expires = undefined;

  constructor(role: StaffRole) {
    this.role = role;
  }

  refusal() {
    return { reason: 'disabled' } as const;
  }

  grantFor(): never {
    throw new SallyportError('login-rejected', 'a member of staff is no partner');
  }
}
