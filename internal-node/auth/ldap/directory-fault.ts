/**
 * What a directory's refusals mean: who is refused for good, who must change his password first, and when it is the directory
 * that cannot say. LDAP result codes are of RFC 4511 §A; Active Directory gives 49 for everything and a number in hexadecimal
 * within its text (`data 52e`), which is its only machine-readable reason.
 */
import type { RejectReason } from '../rejections.ts';

export type FaultKind =
  /** The answer is no. */
  | 'refused'
  /** Nothing of that name is there (or nobody may see it). */
  | 'not-found'
  /** More entries than the server gives out at once. */
  | 'too-many'
  /** No answer, or one that says nothing about the user. */
  | 'failed';

export class DirectoryFault extends Error {
  readonly kind: FaultKind;
  readonly reason: RejectReason;

  constructor(kind: FaultKind, detail: string, reason: RejectReason = 'refused by the directory') {
    super(detail);
    this.kind = kind;
    this.reason = reason;
  }
}

const activeDirectory: Readonly<Record<string, readonly [detail: string, reason: RejectReason]>> = {
  '525': ['there is no such user', 'unknown user'],
  '52e': ['the name or the password is wrong', 'wrong password'],
  '530': ['the user may not log in at this time', 'refused by the directory'],
  '531': ['the user may not log in from here', 'refused by the directory'],
  '532': ['the password has expired', 'password must be changed'],
  '533': ['the account is disabled', 'disabled'],
  '568': ['the user is in too many groups', 'refused by the directory'],
  '701': ['the account has expired', 'expired'],
  '773': ['the password must be changed first', 'password must be changed'],
  '775': ['the account is locked', 'locked by the directory'],
};

const refusing: Readonly<Record<number, string>> = {
  10: 'it refers to another server, which is not followed',
  19: 'a constraint of the directory forbids it',
  34: 'the name is no distinguished name',
  48: 'the entry has no password',
  49: 'the name or the password is wrong',
  50: 'the user may not do that; he may have to change his password first',
  53: 'the server is unwilling',
};

/** @param message As the server gave it; only the number of Active Directory is taken from it. */
export function faultOf(code: number, message: string): DirectoryFault {
  const number = code === 49 ? /\bdata ([0-9a-f]{3,8}),/i.exec(message)?.[1]?.toLowerCase() : undefined;
  const known = number === undefined ? undefined : activeDirectory[number];
  if (known) return new DirectoryFault('refused', `${known[0]} (${number})`, known[1]);
  if (code === 49) return new DirectoryFault('refused', `${refusing[49]} (49)`, 'wrong password');
  if (code === 32) return new DirectoryFault('not-found', 'there is no such entry (32)', 'unknown user');
  if (code === 4) return new DirectoryFault('too-many', 'there are more entries than the server tells (4)');
  const words = refusing[code];
  if (words !== undefined) return new DirectoryFault('refused', `${words} (${code})`);
  if (code === 8 || code === 13) return new DirectoryFault('failed', `the server wants TLS or a stronger bind (${code})`);
  return new DirectoryFault('failed', `the server answered with code ${code}`);
}

/** The errors of the password policy control that are about a login (draft-behera-ldap-password-policy-11 §6.2). */
const policyErrors: Readonly<Record<number, readonly [detail: string, reason: RejectReason]>> = {
  0: ['the password has expired', 'password must be changed'],
  1: ['the account is locked', 'locked by the directory'],
  2: ['the password must be changed first', 'password must be changed'],
};

/** @param error As the control gives it; undefined: none. */
export function policyFault(error: number | undefined): DirectoryFault | undefined {
  const known = error === undefined ? undefined : policyErrors[error];
  return known && new DirectoryFault('refused', `${known[0]} (password policy, ${error})`, known[1]);
}

/** What the control says of a password that was taken. */
export function policyRemark(value: {
  readonly timeBeforeExpiration?: number;
  readonly graceAuthNsRemaining?: number;
}): string | undefined {
  const { timeBeforeExpiration: seconds, graceAuthNsRemaining: grace } = value;
  if (grace !== undefined) return `the password has expired, ${grace} more logins are allowed with it`;
  return seconds === undefined ? undefined : `the password expires in ${Math.ceil(seconds / 86_400)} days`;
}
