/** One data connection that is ready for bytes: plain, or secured and bound to its control connection. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { SessionTls } from '../tls/door-tls.ts';
import { handshake } from '../tls/handshake.ts';
import { RawStream } from './raw-stream.ts';

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

/** @throws Error in OpenSSL's words, for our log only; the socket is destroyed. */
export async function secureConnection(raw: Socket, tls: SessionTls, signal: AbortSignal): Promise<DataConnection> {
  raw.on('error', () => undefined);
  const stream = new RawStream(raw);
  stream.on('error', () => undefined);
  const socket = tls.secure(stream);
  let told = false;
  // TLS ends its stream as soon as it has read close_notify, or when it is given the end of the connection.
  const push = socket.push.bind(socket);
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.endGiven && !stream.destroyed) told = true;
    return push(chunk, encoding);
  };
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
    movedBytes: () => raw.bytesRead + raw.bytesWritten,
    endedCleanly: () => told,
    endIsProven: true,
    bound: socket.isSessionReused(),
    release: () => linger(socket, raw),
    destroy: () => raw.destroy(),
  };
}
