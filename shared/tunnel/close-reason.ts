/** Why a link ended. The code travels in the WebSocket close frame, so that both logs say the same. */

import type { PeerCheck } from '../pki/peer-check.ts';

export const closeCodes = [
  'violation',
  'silent',
  'bye',
  'taken-over',
  'expired',
  'revoked',
  'refused',
  'stopped',
  'backlog',
  'hello-timeout',
  'lost',
] as const;
export type CloseCode = (typeof closeCodes)[number];

/** A live link whose peer would be refused now, by the check that refuses it. */
export const closeCodeOf = (check: PeerCheck): CloseCode =>
  check === 'revoked' ? 'revoked' : check === 'expired' || check === 'not-yet-valid' ? 'expired' : 'refused';

export interface CloseReason {
  readonly code: CloseCode;
  /** Who ended it. */
  readonly by: 'us' | 'peer' | 'network';
  readonly detail: string;
}

export const isCloseCode = (text: string): text is CloseCode => (closeCodes as readonly string[]).includes(text);

export const describeClose = (reason: CloseReason): string =>
  `${reason.code}${reason.by === 'peer' ? ' (said the other side)' : ''}: ${reason.detail}`;
