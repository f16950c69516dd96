/**
 * Own accounts, the partners of the configuration, as a method of the login chain. One hash, whoever is asked about. Who has a
 * second factor must show a code with the password; it counts as used only when the password was right.
 */
import type { Secret } from '../../shared/secret.ts';
import type { Account, LocalUsers } from './local-users.ts';
import type { LoginMethod, PasswordLogin, StepAnswer } from './login-method.ts';
import type { OwnPasswords } from './passwords/own-passwords.ts';
import type { RejectReason } from './rejections.ts';
import { type TypedCode, typedCode } from './totp/one-time-code.ts';

export interface OwnAccountsDeps {
  readonly users: LocalUsers;
  readonly factors: {
    isEnrolled(partner: string): boolean;
    objection(partner: string, typed: TypedCode, rehearsal: boolean): Promise<RejectReason | undefined>;
  };
  readonly passwords: Pick<OwnPasswords, 'isInvitation' | 'mustChange' | 'standing' | 'strengthen'>;
}

const rejected = (reason: RejectReason): StepAnswer => ({ outcome: 'reject', reason, detail: reason });

export class OwnAccounts implements LoginMethod {
  readonly stopped = false;
  readonly failing = false;
  readonly #deps: OwnAccountsDeps;

  constructor(deps: OwnAccountsDeps) {
    this.#deps = deps;
  }

  async check(login: PasswordLogin): Promise<StepAnswer> {
    const { users, factors, passwords } = this.#deps;
    const { user, password } = login;
    const account = users.find(user);
    const enrolled = account !== undefined && factors.isEnrolled(user);
    const typed = enrolled ? typedCode(password, login.code) : undefined;
    const shown = typed?.password ?? password;
    const hash = account && users.hashOf(user, account);
    const standing = account && passwords.standing(user, account);
    const fits = await users.passwordFits(hash, shown);
    const invited = passwords.isInvitation(user, shown);
    if (!account) return { outcome: 'unknown', detail: 'there is no partner of this name' };
    if (account.directory !== undefined) {
      return { outcome: 'unknown', detail: `the password of this partner is in the directory ${account.directory}` };
    }
    if (!hash && !invited) return rejected('no password set');
    if (enrolled && !typed) return rejected('code missing');
    if (!fits && !invited) return rejected('wrong password');
    const found = await (typed ? this.#withCode(user, account, typed, login.rehearsal) : this.#withoutCode(user, account));
    if (found.outcome !== 'accept') return found;
    const answer = standing === undefined ? found : { ...found, standing };
    return this.#orChange(answer, { shown, invited: !fits, rehearsal: login.rehearsal });
  }

  /** Who must set another password is not in yet. */
  #orChange(
    answer: Extract<StepAnswer, { outcome: 'accept' }>,
    { shown, invited, rehearsal }: { readonly shown: Secret; readonly invited: boolean; readonly rehearsal: boolean },
  ): StepAnswer {
    const { passwords } = this.#deps;
    const { partner, account } = answer;
    const why = invited ? 'the code of the invitation is right' : passwords.mustChange(partner, account);
    if (why !== undefined) return { ...answer, detail: `${why}: a new password is asked for`, change: { shown, invited } };
    if (!rehearsal) passwords.strengthen(partner, account, shown);
    return answer;
  }

  async #withCode(partner: string, account: Account, typed: TypedCode, rehearsal: boolean): Promise<StepAnswer> {
    const reason = await this.#deps.factors.objection(partner, typed, rehearsal);
    return reason ? rejected(reason) : { outcome: 'accept', partner, account, detail: 'password and code are right' };
  }

  #withoutCode(partner: string, account: Account): StepAnswer {
    if (account.requireTotp) return rejected('no second factor');
    return { outcome: 'accept', partner, account, detail: 'the password is right' };
  }
}
