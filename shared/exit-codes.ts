/**
 * What the commands' exit codes mean. Scripts rely on them: a number never changes its meaning. `sallyport help exit-codes`
 * prints this table.
 */
import type { ErrorCode } from './errors.ts';

export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  checkFailed: 5,
  notFound: 6,
  conflict: 7,
  partly: 8,
  tryLater: 75,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodeMeanings: Readonly<Record<ExitCode, string>> = {
  0: 'ok',
  1: 'failed',
  2: 'wrong usage or wrong configuration',
  3: 'the other node or the running node cannot be reached',
  4: 'refused: login or permission',
  5: 'a check does not hold',
  6: 'not found',
  7: 'conflict: exists already, or in use',
  8: 'partly done',
  75: 'try again later',
  130: 'interrupted',
};

const byError: Partial<Record<ErrorCode, ExitCode>> = {
  usage: 2,
  'config-invalid': 2,
  'key-file': 2,
  'bad-name': 2,
  unsupported: 2,
  'tunnel-down': 3,
  'not-running': 3,
  'link-closed': 3,
  'request-timeout': 3,
  'peer-refused': 3,
  'permission-denied': 4,
  'login-rejected': 4,
  'session-unknown': 4,
  'key-refused': 4,
  'no-such-file': 6,
  'item-unknown': 6,
  'already-exists': 7,
  'already-collected': 7,
  'already-running': 7,
  'limit-reached': 75,
  'no-space': 75,
  'quota-exceeded': 75,
  'upload-in-progress': 75,
  'lease-lost': 75,
  'source-changed': 75,
  'destination-unavailable': 75,
};

export const exitCodeOf = (code: ErrorCode): ExitCode => byError[code] ?? exitCodes.failed;
