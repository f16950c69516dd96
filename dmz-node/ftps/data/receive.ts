/**
 * An upload: bytes of a data connection into a file of the view, as fast as both can, never more than a limit ahead.
 *
 * Bytes are put together to blocks, and writes are not awaited one by one: TLS gives at most 16 KiB at a time, and a wait for each
 * would cost more than the work. The connection is not read while too much is in work.
 */
import { asSallyportError, SallyportError } from '../../../shared/errors.ts';
import { freeNow } from '../../../shared/memory.ts';
import type { WriteHandle } from '../../partner-view.ts';
import type { DataConnection } from './data-connection.ts';
import { type BlockStore, Gatherer } from './gatherer.ts';
import { type Watching, watchProgress } from './progress.ts';

export interface Received {
  readonly bytes: number;
  /** The sender said that this is all. */
  readonly clean: boolean;
}

/** Bytes of one upload that may be in work before its connection is no longer read. */
const mostInWorkBytes = 2 * 1024 * 1024;

/**
 * Resolves at the end of the data, when all of it was taken by `handle`.
 * @param offset Of the first byte in the file.
 * @param signal Ends it.
 * @throws SallyportError what `handle.write` throws; `link-closed` when the connection failed, stalled or was given up.
 */
export async function receive(
  connection: DataConnection,
  handle: Pick<WriteHandle, 'write'>,
  offset: number,
  { blocks, ...watching }: Watching & { readonly blocks: BlockStore },
  signal: AbortSignal,
): Promise<Received> {
  const { socket } = connection;
  let bytes = 0;
  let written = 0;
  let inWork = 0;
  const idle: (() => void)[] = [];
  const stop = Promise.withResolvers<never>();
  stop.promise.catch(() => undefined);
  const ended = new Promise<void>((resolve, reject) => {
    // An empty file may have ended before anybody listened.
    if (socket.readableEnded) return resolve();
    if (socket.destroyed) return reject(new Error('the data connection was lost'));
    socket.once('end', resolve);
    socket.once('error', reject);
    socket.once('close', () => (socket.readableEnded ? resolve() : reject(new Error('the data connection was lost'))));
  });
  ended.catch(() => undefined);
  const onAbort = (): void => stop.reject(new SallyportError('link-closed', 'the transfer was given up'));
  const done = (length: number): void => {
    inWork -= length;
    if (inWork <= mostInWorkBytes / 2 && socket.isPaused()) socket.resume();
    if (inWork === 0) for (const go of idle.splice(0)) go();
  };
  const progress = watchProgress(connection, watching, () => {
    // Nothing is expected of the peer while it is not read.
    if (!socket.isPaused()) stop.reject(new SallyportError('link-closed', 'no byte came for too long'));
  });
  const gatherer = new Gatherer(blocks, async (block) => {
    const at = offset + written;
    written += block.length;
    await handle.write(at, block).catch((error: unknown) => stop.reject(asSallyportError(error)));
    done(block.length);
  });
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    inWork += chunk.length;
    if (inWork >= mostInWorkBytes) socket.pause();
    gatherer.add(chunk);
    freeNow(chunk);
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    socket.resume();
    await Promise.race([ended.catch(lost), stop.promise]);
    // Some clients wait for our end of TLS before they look for the reply.
    socket.end();
    gatherer.flush();
    if (inWork > 0) await Promise.race([new Promise<void>((go) => idle.push(go)), stop.promise]);
    return { bytes, clean: connection.endedCleanly() };
  } finally {
    progress();
    signal.removeEventListener('abort', onAbort);
    socket.removeAllListeners('data');
  }
}

const lost = (cause: unknown): never => {
  throw new SallyportError('link-closed', 'the data connection failed', {}, { cause });
};
