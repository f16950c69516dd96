/** What an error of a file system call means for the node, and how it travels between threads. */
import { asSallyportError, type ErrorCode, type ErrorFields, SallyportError } from '../errors.ts';

/** The form of a `SallyportError` that survives the way from a worker thread. */
export interface Failure {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly fields: ErrorFields;
  readonly cause?: unknown;
}

/** A flush that failed with anything but these has left pages of unknown state. */
const full: readonly string[] = ['ENOSPC', 'EDQUOT'];
/** Errors that say that the disk or the file system under it has failed. */
const broken: readonly string[] = ['EIO', 'EROFS', 'ENODEV', 'ENXIO', 'EUCLEAN', 'ESTALE'];

/**
 * @param step What was tried, for the operator: "write", "flush", …
 * @returns `no-space`, `store-suspect` (nothing may be accepted until a restart: the kernel may have dropped the pages that
 *   a second flush would then call durable), or `internal` with the cause.
 */
export function fileFailure(cause: unknown, step: 'create' | 'write' | 'flush' | 'read', path: string): SallyportError {
  if (cause instanceof SallyportError) return cause;
  const errno = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
  const fields = { path, step, errno };
  if (full.includes(errno)) return new SallyportError('no-space', `no space left to ${step} ${path}`, fields, { cause });
  if (step === 'flush' || broken.includes(errno))
    return new SallyportError('store-suspect', `the disk failed to ${step} ${path}: ${errno}`, fields, { cause });
  return new SallyportError('internal', `could not ${step} ${path}: ${errno}`, fields, { cause });
}

export function toFailure(error: unknown): Failure {
  const { code, message, fields, cause } = asSallyportError(error);
  return { code, detail: message, fields, ...(cause instanceof Error ? { cause } : {}) };
}

export const fromFailure = ({ code, detail, fields, cause }: Failure): SallyportError =>
  new SallyportError(code, detail, fields, cause === undefined ? undefined : { cause });
