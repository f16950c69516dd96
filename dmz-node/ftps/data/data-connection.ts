/** One data connection that is ready for bytes: plain, or secured and bound to its control connection. */
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import type { TLSSocket } from 'node:tls';
import type { SessionTls } from '../tls/door-tls.ts';
import { handshake } from '../tls/handshake.ts';

export interface DataConnection {
  readonly socket: Socket | TLSSocket;
  /** Of the TCP connection below, bytes in both directions; for telling a stalled peer. */
  movedBytes(): number;
  /**
   * After the end: whether the sender said that it was the end. Over TLS that is close_notify; a plain connection cannot tell,
   * and its end counts.
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

/**
 * Watches how the sender ends, which Node's TLS does not tell: it reports close_notify and a connection that was cut as the same
 * end. TLS ends its stream either while it reads close_notify, when the connection is still being read; or when the system has
 * reported the end of the connection, which stops the reading first. Asked to begin reading, a handle that reads says so.
 * @returns Whether the end was the sender's word (RFC 5246 §7.2.1, RFC 8446 §6.1).
 */
function watchEnd(raw: Socket, socket: TLSSocket): () => boolean {
  let told = false;
  const { _handle: below } = raw as unknown as { readonly _handle: { readStart(): number } | null };
  const { _handle: above } = socket as unknown as { readonly _handle: { readonly reading: boolean } | null };
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    // When this side has stopped the reading because of its own queue, nothing of the system can have come meanwhile.
    if (chunk === null && !socket.destroyed) told = above?.reading === false || below?.readStart() === alreadyReading;
    return push(chunk, encoding);
  };
  return () => told;
}

const alreadyReading = -constants.errno.EALREADY;

/** Of what TLS gave to the connection, what the system has not taken. Node tells it only inside. */
const queuedBytes = (raw: Socket): number =>
  (raw as unknown as { readonly _handle?: { readonly writeQueueSize?: number } })._handle?.writeQueueSize ?? 0;

/**
 * @throws Error in OpenSSL's words, for our log only; the socket is destroyed.
 */
export async function secureConnection(raw: Socket, tls: SessionTls, signal: AbortSignal): Promise<DataConnection> {
  raw.on('error', () => undefined);
  if (raw.destroyed) throw new Error('the peer left before the TLS handshake');
  const socket = tls.secure(raw);
  const endedCleanly = watchEnd(raw, socket);
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
    movedBytes: () => raw.bytesRead + socket.bytesWritten - queuedBytes(raw),
    endedCleanly,
    endIsProven: true,
    bound: socket.isSessionReused(),
    release: () => linger(socket, raw),
    destroy: () => raw.destroy(),
  };
}
