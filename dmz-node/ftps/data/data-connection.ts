/** One data connection that is ready for bytes: plain, or secured and bound to its control connection. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { freeNow } from '../../../shared/memory.ts';
import type { SessionTls } from '../tls/door-tls.ts';
import { handshake } from '../tls/handshake.ts';
import { RawStream } from './raw-stream.ts';

/** Of the server: whether a transfer brings bytes to it or takes them away. */
export type Way = 'receive' | 'send';

export interface DataConnection {
  readonly socket: Socket | TLSSocket;
  /** Of the TCP connection below, bytes in both directions; for telling a stalled peer. */
  movedBytes(): number;
  /**
   * After the end: whether the sender said that it was the end. Over TLS that is close_notify; a plain connection cannot tell,
   * and its end counts. Never on a connection that was made for sending.
   */
  endedCleanly(): boolean;
  /** Whether a clean end is the sender's word: over TLS it is, without TLS anybody on the way could have ended it. */
  readonly endIsProven: boolean;
  /** Whether the peer proved to be the client of the control connection by resuming its TLS session. */
  readonly bound: boolean;
  /**
   * Says the end and lets the peer take what is under way: a connection that is closed while something of the peer is unread
   * would be reset, and the peer might lose its last bytes.
   */
  release(): void;
  destroy(): void;
}

/** A peer that does not close its side must not keep ours. */
const lingerMs = 30_000;

function linger(socket: Socket | TLSSocket, raw: Socket): void {
  socket.end();
  socket.resume();
  const timer = setTimeout(() => raw.destroy(), lingerMs);
  timer.unref();
  raw.once('close', () => clearTimeout(timer));
}

export function plainConnection(socket: Socket): DataConnection {
  socket.on('error', () => undefined);
  return {
    socket,
    movedBytes: () => socket.bytesRead + socket.bytesWritten,
    endedCleanly: () => socket.readableEnded && !socket.errored,
    endIsProven: false,
    bound: false,
    release: () => linger(socket, socket),
    destroy: () => socket.destroy(),
  };
}

interface Secured {
  readonly socket: TLSSocket;
  movedBytes(): number;
  endedCleanly(): boolean;
}

/** How the sender ends is seen between the connection and TLS. */
function forReceiving(raw: Socket, tls: SessionTls): Secured {
  const stream = new RawStream(raw);
  stream.on('error', () => undefined);
  const socket = tls.secure(stream);
  // TLS, which listens first, has taken a copy.
  stream.on('data', freeNow);
  let told = false;
  // TLS ends its stream as soon as it has read close_notify, or when it is given the end of the connection.
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.endGiven && !stream.destroyed) told = true;
    return push(chunk, encoding);
  };
  return { socket, movedBytes: () => raw.bytesRead + raw.bytesWritten, endedCleanly: () => told };
}

/** TLS right on the connection: sending costs two thirds of what it costs through a stream of ours. */
function forSending(raw: Socket, tls: SessionTls): Secured {
  const socket = tls.secure(raw);
  return { socket, movedBytes: () => socket.bytesWritten - queuedBytes(raw), endedCleanly: () => false };
}

/** Of what TLS gave to the connection, what the system has not taken. Node tells it only inside. */
const queuedBytes = (raw: Socket): number =>
  (raw as unknown as { readonly _handle?: { readonly writeQueueSize?: number } })._handle?.writeQueueSize ?? 0;

/**
 * @param way Undefined: not known yet, so it must be able to receive.
 * @throws Error in OpenSSL's words, for our log only; the socket is destroyed.
 */
export async function secureConnection(
  raw: Socket,
  tls: SessionTls,
  way: Way | undefined,
  signal: AbortSignal,
): Promise<DataConnection> {
  raw.on('error', () => undefined);
  if (raw.destroyed) throw new Error('the peer left before the TLS handshake');
  const { socket, movedBytes, endedCleanly } = way === 'send' ? forSending(raw, tls) : forReceiving(raw, tls);
  try {
    await handshake(socket, signal);
  } catch (error) {
    raw.destroy();
    throw error;
  }
  const refusal = tls.clientRefusal(socket);
  if (refusal !== undefined) {
    raw.destroy();
    throw new Error(refusal);
  }
  return {
    socket,
    movedBytes,
    endedCleanly,
    endIsProven: true,
    bound: socket.isSessionReused(),
    release: () => linger(socket, raw),
    destroy: () => raw.destroy(),
  };
}
