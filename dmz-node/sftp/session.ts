/**
 * One SFTP channel: requests in, answers out, memory bounded in both directions.
 *
 * The client's window stays shut when the requests under way hold more than `outstandingBytes` or are more than
 * `maxOutstandingRequests`, and opens at half of that; until it is used up, what comes is taken, but requests beyond their number
 * are kept unread. A READ or READDIR is begun only while the answers that wait for the client are below
 * `outstandingBytes`. When all sessions together hold much, each may hold less (`shared-memory.ts`).
 * Bytes that are not SFTP end the whole connection, nobody else's. A channel that is lost completes nothing.
 */

import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { PartnerView } from '../partner-view.ts';
import type { StallRule } from '../progress.ts';
import { ChannelWriter } from './channel-writer.ts';
import { Backlog } from './codec/backlog.ts';
import type { BlockPool } from './codec/block-pool.ts';
import { PacketReader, type RawPacket } from './codec/packet-reader.ts';
import { maxDataBytes } from './codec/protocol.ts';
import { maxNamesPerReply, statusReply, versionReply } from './codec/replies.ts';
import { type Request, readRequest } from './codec/requests.ts';
import type { HandleBudget } from './handles.ts';
import { Operations } from './operations.ts';
import type { ReceiveWindow } from './receive-window.ts';
import type { SharedMemory } from './shared-memory.ts';
import { type SshChannel, type SshClient, takeChannelData } from './ssh2-seam.ts';
import { statusFor } from './status.ts';

export interface SftpSessionDeps {
  readonly view: PartnerView;
  readonly client: SshClient;
  readonly channel: SshChannel;
  readonly window: Pick<ReceiveWindow, 'took' | 'reopen'>;
  readonly socket: Socket;
  readonly pool: BlockPool;
  readonly memory: SharedMemory;
  readonly budget: HandleBudget;
  readonly clock: Clock;
  readonly log: Logger;
  /** The client broke the protocol: the connection must go. */
  readonly onViolation: (what: string) => void;
  /** The channel is over and nothing of it is left. */
  readonly onEnd: () => void;
}

export interface SftpSessionOptions {
  readonly maxOutstandingRequests: number;
  readonly outstandingBytes: number;
  readonly stall: StallRule;
}

/** Enough to keep the line busy until the next turn of the event loop. */
const maxSocketBytes = 1024 * 1024;

/** Of one name in a listing: more than nearly all have. */
const expectedNameBytes = 512;

interface Waiting {
  readonly request: Exclude<Request, { readonly type: 'init' }>;
  readonly packet: RawPacket;
}

export class SftpSession {
  readonly #deps: SftpSessionDeps;
  readonly #options: SftpSessionOptions;
  readonly #reader: PacketReader;
  readonly #writer: ChannelWriter;
  readonly #operations: Operations;
  #initialised = false;
  /** What came while there were too many requests. */
  readonly #unread = new Backlog();
  #shut = false;
  /** Requests that were read but not begun, oldest first. */
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #heldBytes = 0;
  /** Bytes that READs and READDIRs under way may still bring. */
  #expectedBytes = 0;
  /** What the shared memory counts for this session. */
  #countedBytes = 0;
  #inputEnded = false;
  #over: Promise<void> | undefined;
  #lastActivityMs: number;

  constructor(deps: SftpSessionDeps, options: SftpSessionOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#lastActivityMs = deps.clock.monotonicMs();
    this.#operations = new Operations(deps);
    this.#reader = new PacketReader(deps.pool, (packet) => this.#onPacket(packet));
    this.#writer = new ChannelWriter({
      ...deps,
      stall: options.stall,
      maxSocketBytes: () => Math.min(maxSocketBytes, this.#allowance()),
      onProgress: () => this.#advance(),
    });
  }

  start(): void {
    const { channel } = this.#deps;
    channel.on('error', () => void this.end('the channel failed'));
    channel.on('end', () => {
      this.#inputEnded = true;
      this.#advance();
    });
    channel.on('close', () => void this.end('the client closed the channel'));
    takeChannelData(channel, (chunk) => this.#onData(chunk));
  }

  get busy(): boolean {
    return this.#running > 0 || this.#waiting.length > 0;
  }

  get openHandles(): number {
    return this.#operations.openHandles;
  }

  /** Monotonic time of the last request or answer. */
  get lastActivityMs(): number {
    return this.#lastActivityMs;
  }

  get isStalled(): boolean {
    return this.#writer.isStalled;
  }

  /** The socket drained, or new keys are in use. */
  pump(): void {
    this.#writer.pump();
  }

  drain(): void {
    this.#operations.drain();
  }

  /** Drops what was not begun and abandons what is open. Idempotent; resolves when uploads under way are decided. */
  end(reason: string): Promise<void> {
    this.#over ??= this.#finish(reason);
    return this.#over;
  }

  async #finish(reason: string): Promise<void> {
    for (const { packet } of this.#waiting.splice(0)) packet.release();
    this.#reader.destroy();
    this.#writer.close();
    this.#deps.memory.change(-this.#countedBytes);
    this.#countedBytes = 0;
    await this.#operations.end(reason);
    this.#deps.onEnd();
  }

  #onData(chunk: Buffer): void {
    if (this.#over) return;
    this.#lastActivityMs = this.#deps.clock.monotonicMs();
    this.#deps.window.took(chunk.length);
    if (this.#tooMany || !this.#unread.empty) this.#unread.add(chunk);
    else if (!this.#read(chunk)) return;
    this.#advance();
  }

  /** @returns whether the bytes can be SFTP. */
  #read(chunk: Buffer): boolean {
    try {
      this.#reader.feed(chunk);
      return true;
    } catch (error) {
      this.#deps.onViolation(error instanceof Error ? error.message : 'bytes that are not SFTP');
      return false;
    }
  }

  get #tooMany(): boolean {
    return this.#running + this.#waiting.length > this.#options.maxOutstandingRequests;
  }

  #onPacket(packet: RawPacket): void {
    const request = readRequest(packet.bytes);
    if (request.type === 'init') {
      if (this.#initialised) throw new Error('INIT came twice');
      this.#initialised = true;
      packet.release();
      this.#writer.send([versionReply]);
      return;
    }
    if (!this.#initialised) throw new Error('a request before INIT');
    this.#heldBytes += packet.bytes.length;
    this.#waiting.push({ request, packet });
  }

  /** Begins what may begin, then reads on, then opens or shuts the window, then ends when the client has ended. */
  #advance(): void {
    if (this.#over) return;
    this.#begin();
    while (!this.#tooMany) {
      const chunk = this.#unread.take();
      if (!chunk) break;
      if (!this.#read(chunk)) return;
      this.#begin();
    }
    this.#count();
    this.#regulate();
    const nothingLeft = !this.busy && this.#unread.empty && this.#writer.queuedBytes === 0;
    if (this.#inputEnded && nothingLeft) this.#sayGoodbye();
  }

  #begin(): void {
    let next = this.#waiting[0];
    while (next && this.#mayBegin(next.request)) {
      this.#waiting.shift();
      void this.#carryOut(next);
      this.#count();
      next = this.#waiting[0];
    }
  }

  #mayBegin(request: Request): boolean {
    const expected = expectedBytes(request);
    if (expected === 0) return true;
    const ahead = this.#writer.queuedBytes + this.#expectedBytes;
    return ahead === 0 || ahead + expected <= this.#allowance();
  }

  #allowance(): number {
    return this.#deps.memory.allowance(this.#options.outstandingBytes);
  }

  #count(): void {
    if (this.#over) return;
    const bytes = this.#heldBytes + this.#writer.queuedBytes + this.#expectedBytes;
    this.#deps.memory.change(bytes - this.#countedBytes);
    this.#countedBytes = bytes;
  }

  #regulate(): void {
    const { maxOutstandingRequests } = this.#options;
    const outstandingBytes = this.#allowance();
    const requests = this.#running + this.#waiting.length;
    const bytes = Math.max(this.#heldBytes, this.#writer.queuedBytes);
    if (bytes > outstandingBytes || requests > maxOutstandingRequests) this.#shut = true;
    else if (bytes <= outstandingBytes / 2 && requests <= maxOutstandingRequests / 2) this.#shut = false;
    if (!this.#shut && this.#unread.empty) this.#deps.window.reopen();
  }

  async #carryOut({ request, packet }: Waiting): Promise<void> {
    const expected = expectedBytes(request);
    this.#running++;
    this.#expectedBytes += expected;
    try {
      this.#writer.send(await this.#operations.run(request));
    } catch (error) {
      this.#refuse(request, error);
    }
    this.#running--;
    this.#expectedBytes -= expected;
    this.#heldBytes -= packet.bytes.length;
    packet.release();
    this.#lastActivityMs = this.#deps.clock.monotonicMs();
    this.#advance();
  }

  #refuse(request: Waiting['request'], thrown: unknown): void {
    const error = asSallyportError(thrown);
    const status = statusFor(error.partnerReply);
    const level = error.code === 'internal' ? 'error' : 'debug';
    this.#deps.log[level]({ request: request.type, code: error.code, ...error.fields, err: error.message }, 'request refused');
    this.#writer.send([statusReply(request.id, status.code, status.message)]);
  }

  /** A file that is still open now was never completed: it is kept as a partial. */
  #sayGoodbye(): void {
    const { channel } = this.#deps;
    channel.exit(0);
    channel.end();
    void this.end('the client ended the session');
  }
}

/** Memory that the answer may take; the answers that are small whatever is asked count as nothing. */
function expectedBytes(request: Request): number {
  if (request.type === 'read') return Math.min(request.length, maxDataBytes);
  return request.type === 'readdir' ? maxNamesPerReply * expectedNameBytes : 0;
}
