/** Downloads and listings: bytes into a data connection, with back-pressure, to an end that the receiver can trust. */
import { SallyportError } from '../../../shared/errors.ts';
import { giveBack } from '../../../shared/memory.ts';
import { windowBytes } from '../../../shared/seal/sealed-reader.ts';
import type { ReadHandle } from '../../partner-view.ts';
import type { DataConnection } from './data-connection.ts';
import { type Watching, watchProgress } from './progress.ts';

/** One read of a file: what is decrypted in one piece is handed on without a copy. */
const blockBytes = windowBytes;
/** Reads under way ahead of what was sent. */
const ahead = 3;

/**
 * Sends what `source` brings and then the end (close_notify over TLS). Resolves when the system has taken all of it.
 * @throws SallyportError what `source` throws; `link-closed` when the connection failed, stalled or was given up.
 */
export async function send(
  connection: DataConnection,
  source: AsyncIterable<Buffer>,
  watching: Watching,
  signal: AbortSignal,
): Promise<number> {
  const { socket } = connection;
  let bytes = 0;
  let stopped: SallyportError | undefined;
  let onStop: (error: SallyportError) => void = () => undefined;
  const fail = (detail: string) => (cause?: unknown) => {
    stopped ??= new SallyportError('link-closed', detail, {}, { cause });
    onStop(stopped);
  };
  const onClose = fail('the data connection was lost');
  const onAbort = fail('the transfer was given up');
  socket.once('error', onClose);
  socket.once('close', onClose);
  if (socket.destroyed) onClose();
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const progress = watchProgress(connection, watching, fail('the client does not read'));
  // What a client sends meanwhile is nothing, but its end must be noticed.
  socket.resume();
  // Not a race with one long-lived promise: that would hold every block until the end.
  const orStop = <T>(work: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      onStop = reject;
      work.then(resolve, reject);
      if (stopped) reject(stopped);
    });
  const blocks = source[Symbol.asyncIterator]();
  try {
    for (let next = await orStop(blocks.next()); !next.done; next = await orStop(blocks.next())) {
      bytes += next.value.length;
      const block = next.value;
      const room = socket.write(block, (error) => {
        // After an error the system may still look at it.
        if (!error) giveBack(block);
      });
      if (!room) await orStop(new Promise((go) => socket.once('drain', go)));
    }
    await orStop(new Promise<void>((go) => socket.end(go)));
    return bytes;
  } finally {
    progress();
    signal.removeEventListener('abort', onAbort);
    void blocks.return?.(undefined);
  }
}

/** A file from an offset on, read ahead. */
export async function* fileBlocks(handle: Pick<ReadHandle, 'read' | 'size'>, offset: number): AsyncGenerator<Buffer> {
  const reads: Promise<Buffer>[] = [];
  let at = offset;
  const fill = (): void => {
    while (reads.length < ahead && at < handle.size) {
      const length = Math.min(blockBytes - (at % blockBytes), handle.size - at);
      const read = handle.read(at, length);
      read.catch(() => undefined);
      reads.push(read);
      at += length;
    }
  };
  fill();
  for (let next = reads.shift(); next; next = reads.shift()) {
    const block = await next;
    fill();
    yield block;
  }
}
