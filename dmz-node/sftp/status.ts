/**
 * What a partner hears about a failure: a code of version 3 and a text that names neither a path of ours nor a reason that
 * belongs inside. Version 3 knows few codes, so the text carries what the partner can act on.
 */
import type { PartnerReply } from '../../shared/errors.ts';
import { type StatusCode, statusCode } from './codec/protocol.ts';

export interface Status {
  readonly code: StatusCode;
  readonly message: string;
}

const status = (code: StatusCode, message: string): Status => ({ code, message });

const replies: Readonly<Record<PartnerReply, Status>> = {
  'no-such-file': status(statusCode.noSuchFile, 'No such file'),
  'permission-denied': status(statusCode.permissionDenied, 'Permission denied'),
  'already-exists': status(statusCode.failure, 'Already exists'),
  'already-collected': status(statusCode.failure, 'Already collected'),
  'not-empty': status(statusCode.failure, 'Folder not empty'),
  // OpenSSH answers ENOTDIR with this code too, and some clients look at nothing else.
  'not-a-folder': status(statusCode.noSuchFile, 'Not a folder'),
  'is-a-folder': status(statusCode.failure, 'Is a folder'),
  'out-of-order': status(statusCode.failure, 'Bytes must be sent in order and once; random access is not supported'),
  incomplete: status(statusCode.failure, 'Bytes are missing, send the rest'),
  'not-resumable': status(statusCode.failure, 'Cannot be resumed, send it anew'),
  'in-use': status(statusCode.failure, 'Upload in progress'),
  'bad-name': status(statusCode.failure, 'Name not allowed'),
  'bad-message': status(statusCode.badMessage, 'Bad message'),
  'quota-exceeded': status(statusCode.failure, 'Quota exceeded'),
  'no-space': status(statusCode.failure, 'No space left, try again later'),
  unsupported: status(statusCode.unsupported, 'Operation unsupported'),
  unavailable: status(statusCode.failure, 'Temporarily unavailable, try again later'),
  failure: status(statusCode.failure, 'Failure'),
};

export const statusFor = (reply: PartnerReply): Status => replies[reply];
export const endOfFile: Status = status(statusCode.eof, 'End of file');
