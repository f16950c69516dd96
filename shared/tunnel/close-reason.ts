/** Why a link ended. The code travels in the WebSocket close frame, so that both logs say the same. */

export const closeCodes = [
  'violation',
  'silent',
  'bye',
  'taken-over',
  'expired',
  'refused',
  'stopped',
  'backlog',
  'hello-timeout',
  'lost',
] as const;
export type CloseCode = (typeof closeCodes)[number];

export interface CloseReason {
  readonly code: CloseCode;
  /** Who ended it. */
  readonly by: 'us' | 'peer' | 'network';
  readonly detail: string;
}

export const isCloseCode = (text: string): text is CloseCode => (closeCodes as readonly string[]).includes(text);

export const describeClose = (reason: CloseReason): string =>
  `${reason.code}${reason.by === 'peer' ? ' (said the other side)' : ''}: ${reason.detail}`;
