/** One attempt to connect to the DMZ node: TLS, peer check, control socket, hello. What it gives is a link that is up. */
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { NodeKeys } from '../../shared/pki/node-keys.ts';
import { type CloseCode, type CloseReason, describeClose } from '../../shared/tunnel/close-reason.ts';
import { Connection, type ConnectionOptions } from '../../shared/tunnel/connection.ts';
import { type StreamTiming, streamTiming } from '../../shared/tunnel/data-stream.ts';
import type { Answering, InsideLink, StreamFrom, StreamTo } from '../../shared/tunnel/handlers.ts';
import type { MessageSocket } from '../../shared/tunnel/message-socket.ts';
import {
  limits,
  protocolVersion,
  type RequestResult,
  type StreamParams,
  type StreamResult,
} from '../../shared/tunnel/messages.ts';
import { paths, headers as tunnelHeaders } from '../../shared/tunnel/paths.ts';
import { DataPool } from './data-pool.ts';
import { receiveStream, type StreamDeps, sendStream } from './streams.ts';
import { type DialedSocket, dialTls, explain, type Judge } from './tls-dial.ts';
import { upgrade } from './upgrade.ts';

export interface DialerDeps {
  readonly trust: Judge;
  readonly answering: Answering<'dmz'>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface DialerOptions {
  readonly host: string;
  readonly port: number;
  readonly keys: NodeKeys;
  readonly classicalKeyExchange: boolean;
  readonly version: string;
  readonly maxDataSockets?: number;
  readonly idleDataSocketMs?: number;
  readonly timing?: ConnectionOptions;
  readonly streamTiming?: StreamTiming;
}

/** What is known of a live link. */
export interface LinkFacts {
  readonly peer: string;
  readonly fingerprint: string;
  readonly group: string;
  readonly link: string;
  readonly epoch: number;
  readonly sinceMs: number;
  /** Version that the DMZ node says it runs. */
  readonly version: string;
  /** How far the DMZ's clock says to be ahead of ours, milliseconds. */
  readonly clockAheadMs: number;
}

const controlLimits = { maxPayload: limits.controlToInsideBytes, maxBufferedChunks: 1024 };
const dataLimits = { maxPayload: limits.dataFrameBytes, maxBufferedChunks: 1024 };

/** A link that is up. It ends once; `ended` resolves with the reason. */
export class LiveLink implements InsideLink {
  readonly facts: LinkFacts;
  readonly leaf: X509Certificate | undefined;
  /** PEM of the certificate that this node showed. */
  readonly ownCertificate: string;
  readonly ended: Promise<CloseReason>;
  readonly request: InsideLink['request'];
  readonly note: InsideLink['note'];
  readonly #connection: Connection<'inside'>;
  readonly #pool: DataPool;
  readonly #streamDeps: StreamDeps;

  constructor(
    parts: {
      readonly connection: Connection<'inside'>;
      readonly pool: DataPool;
      readonly clock: Clock;
      readonly leaf: X509Certificate | undefined;
      readonly ownCertificate: string;
      readonly ended: Promise<CloseReason>;
    },
    facts: LinkFacts,
    timing: StreamTiming,
  ) {
    const { connection, pool } = parts;
    this.facts = facts;
    this.leaf = parts.leaf;
    this.ownCertificate = parts.ownCertificate;
    this.ended = parts.ended;
    this.#connection = connection;
    this.#pool = pool;
    this.request = (method, params, signal) => connection.request(method, params, signal);
    this.note = (name, params) => connection.note(name, params);
    this.#streamDeps = {
      clock: parts.clock,
      timing,
      onViolation: (detail) => connection.violate(detail),
      release: (socket, reusable) => pool.release(socket, reusable),
    };
  }

  get rttMs(): number | undefined {
    return this.#connection.rttMs;
  }

  get dataSockets(): { readonly idle: number; readonly inUse: number } {
    return this.#pool.size;
  }

  async openStream<M extends StreamTo>(method: M, params: StreamParams<M>, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    const socket = await this.#pool.acquire(signal);
    return receiveStream(socket, method, params, this.#streamDeps, signal);
  }

  async sendStream<M extends StreamFrom>(
    method: M,
    params: StreamParams<M>,
    source: AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<StreamResult<M>> {
    const socket = await this.#pool.acquire(signal);
    return (await sendStream(socket, method, params, source, this.#streamDeps, signal)) as StreamResult<M>;
  }

  drain(reason: string, signal: AbortSignal): Promise<void> {
    return this.#connection.drain(reason, signal);
  }

  close(code: CloseCode, detail: string): void {
    this.#connection.close(code, detail);
  }

  violate(detail: string): void {
    this.#connection.violate(detail);
  }
}

/**
 * @param signal Gives up the attempt; the link, once up, does not listen to it.
 * @throws SallyportError `peer-refused` with the field `check`, `tunnel-down`, `link-closed`, `protocol-violation`.
 */
export async function connectOnce(deps: DialerDeps, options: DialerOptions, signal: AbortSignal): Promise<LiveLink> {
  const dialed = await dialTls(deps.trust, options, signal);
  const socket = await upgrade(dialed.socket, paths.control, {}, controlLimits, signal);
  const ended = Promise.withResolvers<CloseReason>();
  let pool: DataPool | undefined;
  const connection: Connection<'inside'> = new Connection(
    'inside',
    {
      socket,
      clock: deps.clock,
      log: deps.log,
      answering: deps.answering,
      onClosed: (reason) => {
        pool?.close(new SallyportError('link-closed', `the link is closed: ${describeClose(reason)}`));
        ended.resolve(reason);
      },
    },
    options.timing,
  );
  connection.start();
  const hello = await greet(connection, deps, options, signal);
  pool = new DataPool(
    {
      clock: deps.clock,
      dial: (stop) => dialData(deps, options, hello, stop),
      onViolation: (detail) => connection.violate(detail),
    },
    { max: options.maxDataSockets ?? 8, idleMs: options.idleDataSocketMs ?? 60_000 },
  );
  const { tunnelCertificatePem: ownCertificate } = options.keys;
  const parts = { connection, pool, clock: deps.clock, leaf: dialed.leaf, ownCertificate, ended: ended.promise };
  return new LiveLink(parts, factsOf(dialed, hello, deps.clock), options.streamTiming ?? streamTiming);
}

type Hello = RequestResult<'link.hello'>;

const factsOf = (dialed: DialedSocket, hello: Hello, clock: Clock): LinkFacts => ({
  peer: dialed.peer,
  fingerprint: dialed.fingerprint,
  group: dialed.group,
  link: hello.link,
  epoch: hello.epoch,
  sinceMs: clock.nowMs(),
  version: hello.version,
  clockAheadMs: hello.clockMs - clock.nowMs(),
});

async function greet(
  connection: Connection<'inside'>,
  deps: DialerDeps,
  options: DialerOptions,
  signal: AbortSignal,
): Promise<Hello> {
  try {
    return await connection.hello(
      { protocol: protocolVersion, version: options.version, node: options.keys.name, features: [], clockMs: deps.clock.nowMs() },
      signal,
    );
  } catch (error) {
    connection.close('stopped', 'the hello failed');
    const reason = connection.closed;
    if (reason?.code === 'violation' && reason.by === 'us')
      throw new SallyportError('protocol-violation', reason.detail, {}, { cause: error });
    throw error;
  }
}

/** A data socket is checked like the first connection: the pool must not be a way round the pin. */
async function dialData(deps: DialerDeps, options: DialerOptions, hello: Hello, signal: AbortSignal): Promise<MessageSocket> {
  try {
    const { socket } = await dialTls(deps.trust, options, signal);
    const headers = { [tunnelHeaders.link]: hello.link, [tunnelHeaders.token]: hello.dataToken };
    return await upgrade(socket, paths.data, headers, dataLimits, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw asSallyportError(explain(error, options));
  }
}
