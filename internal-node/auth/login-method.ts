/**
 * What a method of the login chain is: somebody who knows some users and says about one password accept, reject, unknown or
 * failed. It promises to look at nothing but what it is asked, to end when `signal` fires, and never to throw for what a
 * stranger typed. Own accounts and directories are methods; a new source of users is one more file with one class.
 */
import type { Secret } from '../../shared/secret.ts';
import type { AuthCheck } from '../../shared/tunnel/messages.ts';
import type { Account } from './local-users.ts';
import type { RejectReason } from './rejections.ts';

/** One user name and password, as somebody typed them. */
export interface PasswordLogin {
  readonly user: string;
  readonly password: Secret;
  /** A one-time code, where it was asked for by itself; otherwise it may be at the end of the password. */
  readonly code: Secret | undefined;
  readonly protocol: AuthCheck['protocol'];
  /** Where he comes from, as the DMZ reports it. */
  readonly peer: string;
  /** Staff tries it out: nothing may be used up. */
  readonly rehearsal: boolean;
}

/** `detail` is for staff and the audit trail; no partner ever hears it, and it holds no secret. */
export type StepAnswer =
  | {
      readonly outcome: 'accept';
      readonly partner: string;
      readonly account: Account;
      readonly detail: string;
      /** Names the password of an own account that was right. */
      readonly standing?: string;
      /** What was shown was right, but another password must be set before the partner is in. */
      readonly change?: { readonly shown: Secret; readonly invited: boolean };
    }
  /** The method knows the user, or answers for all: nobody after it is asked. */
  | { readonly outcome: 'reject'; readonly reason: RejectReason; readonly detail: string }
  /** The method proved not to know the user: the next one is asked. */
  | { readonly outcome: 'unknown'; readonly detail: string }
  /** The method cannot say. Nobody comes in, whatever a later one would say. */
  | { readonly outcome: 'failed'; readonly detail: string };

export interface LoginMethod {
  /** Taken out of use by the configuration: it is passed over. */
  readonly stopped: boolean;
  /** It failed a moment ago and has not answered since. */
  readonly failing: boolean;
  check(login: PasswordLogin, signal: AbortSignal): Promise<StepAnswer>;
}

/** The name of the method that is always there. */
export const ownAccounts = 'own';
