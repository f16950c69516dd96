/** One file on its way to a partner's outbox, as the records of the inside hold it. */

/**
 * `claimed`: taken out of the outgoing folder · `sealed`: its sealed copy lies in the spool · `stored`: it is in the DMZ ·
 * `withdrawn` · `expired`.
 */
export type OutgoingState = 'claimed' | 'sealed' | 'stored' | 'withdrawn' | 'expired';

/** What the sender has to do next, if anything. */
export type OutgoingTodo = '' | 'seal' | 'offer' | 'clean' | 'withdraw';

export interface OutgoingItem {
  readonly id: string;
  /** Order of arrival. */
  readonly number: number;
  readonly trace: string;
  readonly partner: string;
  /** As the partner sees it, begins with `/Outbox/`. */
  readonly path: string;
  /** Below the outgoing folder, with the partner's folder; null when it was pushed. */
  readonly file: string | null;
  readonly size: number;
  readonly modifiedAtMs: number;
  /** Identity, size and time of the source when it was found finished; null when it was pushed. */
  readonly stamp: string | null;
  readonly state: OutgoingState;
  readonly todo: OutgoingTodo;
  readonly attempts: number;
  readonly nextAttemptMs: number;
  readonly sha256: string | null;
  readonly headerSha256: string | null;
  readonly sealedBytes: number | null;
  readonly expiresAtMs: number;
  readonly createdAtMs: number;
  readonly storedAtMs: number | null;
  /** When the DMZ last said that the partner read it whole. */
  readonly fetchedAtMs: number | null;
}

/** Name of the sealed copy in the spool. */
export const spoolName = (id: string): string => `${id}.age`;
