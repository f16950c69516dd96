/** What the main thread and a sealing worker say to each other. `id` names a user: one writer, opener or reader. */
import type { Failure } from './file-failure.ts';
import type { ExpectedSegment } from './opening-job.ts';
import type { ReadSegment } from './reading-job.ts';

/** Bytes in a block that moves to the other thread; only the first `length` count. */
export interface Load {
  readonly block: ArrayBuffer;
  readonly length: number;
}

export type ToWorker =
  | { readonly op: 'seal'; readonly id: number; readonly path: string; readonly recipients: readonly string[] }
  | { readonly op: 'open'; readonly id: number; readonly path: string; readonly identity: string }
  | { readonly op: 'segment'; readonly id: number; readonly expected: ExpectedSegment }
  | { readonly op: 'bytes'; readonly id: number; readonly load: Load }
  | (Call & { readonly op: 'end-segment'; readonly load: Load | undefined })
  | (Call & { readonly op: 'finish'; readonly load: Load | undefined })
  | (Call & {
      readonly op: 'open-whole';
      readonly path: string;
      readonly identity: string;
      readonly segments: readonly (ExpectedSegment & { readonly sealedBytes: number })[];
      readonly load: Load;
    })
  | (Call & { readonly op: 'open-reader'; readonly segments: readonly ReadSegment[] })
  | (Call & { readonly op: 'read'; readonly segment: number; readonly chunk: number; readonly count: number })
  | (Call & { readonly op: 'close'; readonly remove: boolean })
  | { readonly op: 'stop' };

/** Answered by exactly one `result` or `refused`. */
interface Call {
  readonly id: number;
  readonly call: number;
}

/** `T` without its call number: that is given when the message is sent. */
export type Unnumbered<T> = T extends Call ? Omit<T, 'call'> : never;

export type FromWorker =
  | { readonly kind: 'ready' }
  /** A `bytes` message was worked off; the block comes back for reuse. */
  | { readonly kind: 'done'; readonly id: number; readonly block: ArrayBuffer; readonly length: number }
  /** The user has failed: all its later calls are refused. `created`: its file exists and is ours. */
  | { readonly kind: 'failed'; readonly id: number; readonly failure: Failure; readonly created: boolean }
  | { readonly kind: 'result'; readonly call: number; readonly value: unknown }
  | { readonly kind: 'refused'; readonly call: number; readonly failure: Failure };
