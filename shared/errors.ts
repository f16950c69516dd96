/**
 * The one catalogue of errors. Every error that crosses a module border is a `SallyportError` with a code of this table;
 * the table says whether trying again can help and what a partner may hear. The detail and the fields are for our own log
 * and never leave the node.
 *
 * Two defaults of the whole system: access fails closed; data fails to retry-or-hold.
 */

/** What a partner may be told. The protocol rooms translate these to SFTP status codes and FTP replies. */
export type PartnerReply =
  | 'no-such-file'
  | 'permission-denied'
  | 'already-exists'
  | 'already-collected'
  | 'not-empty'
  | 'not-a-folder'
  | 'is-a-folder'
  | 'out-of-order'
  | 'incomplete'
  | 'not-resumable'
  | 'in-use'
  | 'bad-name'
  | 'bad-message'
  | 'quota-exceeded'
  | 'no-space'
  | 'unsupported'
  | 'unavailable'
  | 'failure';

export interface ErrorKind {
  /** Whether the same request can succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly partner: PartnerReply;
  readonly summary: string;
}

const kind = (retryable: boolean, partner: PartnerReply, summary: string): ErrorKind => ({ retryable, partner, summary });

export const errorCatalogue = {
  // names and views
  'bad-name': kind(false, 'bad-name', 'the name breaks the name policy'),
  'no-such-file': kind(false, 'no-such-file', 'nothing of that name is visible to this partner'),
  'permission-denied': kind(false, 'permission-denied', 'the grant of this session does not allow it'),
  'already-exists': kind(false, 'already-exists', 'the name is taken'),
  'already-collected': kind(false, 'already-collected', 'the item was taken inside and only its ghost is shown'),
  'not-a-folder': kind(false, 'not-a-folder', 'the path names a file where a folder is needed'),
  'is-a-folder': kind(false, 'is-a-folder', 'the path names a folder where a file is needed'),
  'folder-not-empty': kind(false, 'not-empty', 'the folder still holds entries'),
  'no-such-handle': kind(false, 'failure', 'the client named a handle that is not open'),
  'upload-in-progress': kind(true, 'in-use', 'another live handle writes this name'),
  unsupported: kind(false, 'unsupported', 'the operation is not offered'),
  // uploads
  'write-out-of-window': kind(false, 'out-of-order', 'the write lies too far from the contiguous end of the upload'),
  'upload-has-holes': kind(false, 'incomplete', 'the upload was closed with bytes missing'),
  'resume-mismatch': kind(false, 'not-resumable', 'the offset does not fit the bytes that are kept'),
  'upload-failed': kind(false, 'failure', 'an earlier write of this upload failed'),
  'quota-exceeded': kind(false, 'quota-exceeded', "the partner's quota or size limit is used up"),
  'no-space': kind(true, 'no-space', 'the cache has less free space than its gate'),
  'store-suspect': kind(false, 'unavailable', 'a flush to disk failed, nothing more is accepted until a restart'),
  // access
  'login-rejected': kind(false, 'permission-denied', 'the inside refused this login'),
  'login-throttled': kind(true, 'unavailable', 'too many failures from this source or for this account'),
  'session-unknown': kind(false, 'permission-denied', 'no live session has this token'),
  'key-refused': kind(false, 'permission-denied', 'the inside gave no key for this item to this session'),
  'policy-refused': kind(false, 'unavailable', 'a policy bundle is not signed as it must be, not newer, or out of date'),
  'tunnel-down': kind(true, 'unavailable', 'no internal node is connected'),
  'limit-reached': kind(true, 'unavailable', 'a configured limit on count, size or time is reached'),
  // bytes
  'content-mismatch': kind(true, 'failure', 'the bytes differ from the record'),
  'sealed-damaged': kind(false, 'failure', 'a sealed file is damaged, truncated or of another recipient'),
  'item-unknown': kind(false, 'failure', 'no item has this id'),
  'item-quarantined': kind(false, 'failure', 'the item was set aside and waits for an operator'),
  'stale-epoch': kind(true, 'failure', 'the lease belongs to an earlier link'),
  'lease-lost': kind(true, 'failure', 'the lease ran out or belongs to somebody else'),
  'destination-unavailable': kind(true, 'failure', 'the destination cannot be written now'),
  'program-failed': kind(true, 'failure', 'a program that gets files did not end well'),
  'waits-for-other': kind(true, 'failure', 'the item waits for another one'),
  'trigger-mismatch': kind(false, 'failure', 'the item is not what its trigger file says'),
  'source-changed': kind(true, 'failure', 'an outgoing file changed while it was taken'),
  // tunnel
  'protocol-violation': kind(false, 'failure', 'the other side broke the tunnel protocol'),
  'peer-refused': kind(false, 'failure', 'the other side refused this node, or this node refused the other side'),
  'request-timeout': kind(true, 'unavailable', 'the other side did not answer in time'),
  'link-closed': kind(true, 'unavailable', 'the link closed before the answer came'),
  'remote-failure': kind(true, 'failure', 'the other side failed to carry out the request'),
  // operators
  'config-invalid': kind(false, 'failure', 'the configuration is wrong'),
  'key-file': kind(false, 'failure', 'a key file is missing, unreadable or open to others'),
  'database-failed': kind(true, 'failure', 'the record store failed'),
  'already-running': kind(false, 'failure', 'another process uses this state folder'),
  'not-running': kind(true, 'failure', 'the node does not answer on its socket'),
  usage: kind(false, 'failure', 'the command was called wrongly'),
  internal: kind(true, 'failure', 'a fault of this program'),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorCatalogue;
export type ErrorFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export class SallyportError extends Error {
  readonly code: ErrorCode;
  readonly fields: ErrorFields;

  /** @param detail One sentence for our own log and operators: what, by which rule, what to do next. Never for partners. */
  constructor(code: ErrorCode, detail: string, fields: ErrorFields = {}, options?: { readonly cause?: unknown }) {
    super(detail, options);
    this.name = 'SallyportError';
    this.code = code;
    this.fields = fields;
  }

  get retryable(): boolean {
    return errorCatalogue[this.code].retryable;
  }

  get partnerReply(): PartnerReply {
    // Whoever goes on after the first refusal hears its reason again.
    if (this.code === 'upload-failed' && this.cause instanceof SallyportError) return this.cause.partnerReply;
    return errorCatalogue[this.code].partner;
  }
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCatalogue, text);
}

/** Any thrown value as a `SallyportError`; what is not one already becomes `fallback` with the original as its cause. */
export function asSallyportError(error: unknown, fallback: ErrorCode = 'internal'): SallyportError {
  if (error instanceof SallyportError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return new SallyportError(fallback, detail, {}, { cause: error });
}
