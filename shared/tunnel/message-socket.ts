/**
 * One WebSocket of the tunnel with the limits that both sides always set: no compression, no fragments, no pings of its own,
 * a largest message, a zero mask. It hands over whole messages and says how it ended, once.
 *
 * What is sent is queued here only up to a mark: `sendBytes` asks its caller to wait above it, and a text that would pile up
 * behind a peer that does not read ends the socket.
 */
import type { TLSSocket } from 'node:tls';
import type { ClientOptions, ServerOptions, WebSocket } from 'ws';
import { systemClock } from '../clock.ts';
import { type CloseCode, isCloseCode } from './close-reason.ts';

export interface SocketLimits {
  /** Largest message accepted, bytes. */
  readonly maxPayload: number;
  /** Pieces in which one message may arrive from TLS. */
  readonly maxBufferedChunks: number;
}

/** Who listens at the moment. A data socket changes hands between streams. */
export interface SocketListener {
  onText(text: string): void;
  onBytes(bytes: Buffer): void;
  /** @param code Set when the peer gave a reason that we know. */
  onClosed(code: CloseCode | undefined, detail: string): void;
  /** The frame layer was broken; the socket is on its way down. */
  onViolation(detail: string): void;
}

const highWaterBytes = 1024 * 1024;
const lowWaterBytes = 512 * 1024;
/** More than this unsent in front of a text message: the peer has stopped reading. */
const backlogBytes = 12 * 1024 * 1024;
const closeGraceMs = 1000;
/** RFC 6455 §7.4.1: what `ws` says of a frame it refuses. */
const frameFaults = new Set([1002, 1003, 1007, 1008, 1009]);

const common = (limits: SocketLimits) => ({
  perMessageDeflate: false as const,
  maxPayload: limits.maxPayload,
  maxFragments: 1,
  maxBufferedChunks: limits.maxBufferedChunks,
  autoPong: false,
  allowSynchronousEvents: true,
});

export const serverSocketOptions = (limits: SocketLimits): ServerOptions => ({
  ...common(limits),
  noServer: true,
  clientTracking: false,
});

/** The mask of RFC 6455 §5.3 guards against confused proxies in the clear; inside TLS a zero mask is free and as good. */
export const clientSocketOptions = (limits: SocketLimits): ClientOptions => ({
  ...common(limits),
  generateMask: () => undefined,
  followRedirects: false,
});

const deaf: SocketListener = { onText: () => {}, onBytes: () => {}, onClosed: () => {}, onViolation: () => {} };

export class MessageSocket {
  readonly #ws: WebSocket;
  readonly #tls: TLSSocket;
  #listener: SocketListener = deaf;
  #unsent = 0;
  #roomWaiters: (() => void)[] = [];
  #closed: { readonly code: CloseCode | undefined; readonly detail: string } | undefined;
  #ending = false;
  #gathering = false;
  #lastError = '';

  constructor(ws: WebSocket, tls: TLSSocket) {
    this.#ws = ws;
    this.#tls = tls;
    ws.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary));
    ws.on('ping', () => this.#break('a WebSocket ping'));
    ws.on('pong', () => this.#break('a WebSocket pong'));
    ws.on('error', (error: NodeJS.ErrnoException) => {
      this.#lastError = error.message;
      if (error.code?.startsWith('WS_ERR_')) this.#break(`${error.message} (${error.code})`);
    });
    ws.on('close', (code, reason) => this.#onClose(code, reason.toString()));
  }

  get open(): boolean {
    return this.#closed === undefined && !this.#ending;
  }

  /** Bytes received so far, also of messages that are not yet whole: a sign of life. */
  get receivedBytes(): number {
    return this.#tls.bytesRead;
  }

  get unsentBytes(): number {
    return this.#unsent;
  }

  /** Takes the socket over from whoever listened before. */
  listen(listener: SocketListener): void {
    this.#listener = listener;
    if (this.#closed) listener.onClosed(this.#closed.code, this.#closed.detail);
  }

  /** @returns false when the peer does not read and the text was not sent. */
  sendText(text: string): boolean {
    if (!this.open) return true;
    if (this.#unsent > backlogBytes) return false;
    this.#send(text, Buffer.byteLength(text));
    return true;
  }

  /**
   * Sends one binary message. Returns a promise when the caller must wait for room before it sends more.
   * @param onSent Called when the bytes are not looked at any more.
   */
  sendBytes(bytes: Buffer, onSent?: () => void): Promise<void> | undefined {
    if (!this.open) return undefined;
    this.#send(bytes, bytes.length, onSent);
    if (this.#unsent <= highWaterBytes) return undefined;
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /** Stops reading from the network. A few messages that are already here may still come. */
  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }

  /** Says why, waits a moment for the peer to hear it, then cuts. Idempotent. */
  close(code: CloseCode): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    this.#ws.resume();
    this.#ws.close(4000, code);
    this.#ws.once(
      'close',
      systemClock.after(closeGraceMs, () => this.#ws.terminate()),
    );
    this.#releaseWaiters();
  }

  /** Cuts at once. */
  destroy(): void {
    this.#ending = true;
    this.#ws.terminate();
    this.#releaseWaiters();
  }

  #send(data: string | Buffer, size: number, onSent?: () => void): void {
    this.#unsent += size;
    this.#gather();
    this.#ws.send(data, () => {
      this.#unsent -= size;
      onSent?.();
      if (this.#unsent <= lowWaterBytes) this.#releaseWaiters();
    });
  }

  /** What is sent in one turn of the event loop leaves together: one TLS record and one system call instead of many. */
  #gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#tls.cork();
    setImmediate(() => {
      this.#gathering = false;
      this.#tls.uncork();
    });
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (!this.open) return;
    if (isBinary) this.#listener.onBytes(data);
    else this.#listener.onText(data.toString('utf8'));
  }

  #break(detail: string): void {
    if (!this.open) return;
    this.#listener.onViolation(detail);
    this.close('violation');
  }

  #onClose(status: number, reason: string): void {
    const frameFault = frameFaults.has(status) ? 'violation' : undefined;
    this.#closed = {
      code: isCloseCode(reason) ? reason : frameFault,
      detail: this.#lastError === '' ? 'the connection ended' : this.#lastError,
    };
    this.#releaseWaiters();
    this.#listener.onClosed(this.#closed.code, this.#closed.detail);
  }

  #releaseWaiters(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
