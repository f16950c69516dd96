/**
 * Replies of the control connection: a code, and a text that names neither a path of ours nor a reason that belongs inside.
 * Codes by RFC 959 §4.2, RFC 3659, RFC 4217 and RFC 2428.
 */
import { asSallyportError, type PartnerReply } from '../../../shared/errors.ts';

export interface Reply {
  readonly code: number;
  /** The last one ends the reply; those between begin with a space (RFC 3659 §7.2). Never with a line end in them. */
  readonly lines: readonly string[];
}

export const reply = (code: number, ...lines: readonly string[]): Reply => ({ code, lines });

const failures: Readonly<Record<PartnerReply, Reply>> = {
  'no-such-file': reply(550, 'No such file or folder'),
  'permission-denied': reply(553, 'Permission denied'),
  'already-exists': reply(553, 'Already exists'),
  'already-collected': reply(553, 'Already collected'),
  'not-empty': reply(550, 'Folder not empty'),
  'not-a-folder': reply(550, 'Not a folder'),
  'is-a-folder': reply(550, 'Is a folder'),
  'out-of-order': reply(554, 'Bytes must be sent in order and once'),
  incomplete: reply(451, 'Bytes are missing, send the rest'),
  'not-resumable': reply(554, 'Cannot be resumed, send it anew'),
  'in-use': reply(450, 'Upload in progress'),
  'bad-name': reply(553, 'Name not allowed'),
  'bad-message': reply(501, 'Bad argument'),
  'quota-exceeded': reply(552, 'Quota exceeded'),
  'no-space': reply(452, 'No space left, try again later'),
  unsupported: reply(504, 'Not supported'),
  unavailable: reply(451, 'Temporarily unavailable, try again later'),
  failure: reply(451, 'Failure'),
};

export const failureReply = (partner: PartnerReply): Reply => failures[partner];

/** What a partner hears about any thrown value. */
export const replyTo = (error: unknown): Reply =>
  error instanceof Refused ? error.reply : failureReply(asSallyportError(error).partnerReply);

/** Ends a command with this reply: the protocol's own refusals, which need no log line. */
export class Refused extends Error {
  readonly reply: Reply;

  constructor(code: number, text: string) {
    super(text);
    this.reply = reply(code, text);
  }
}
