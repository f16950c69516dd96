/** One connected internal node: its control connection, its data sockets and what is known of it. */
import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { LinkId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { sameSecret } from '../../shared/secret.ts';
import { type CloseReason, describeClose } from '../../shared/tunnel/close-reason.ts';
import type { Connection } from '../../shared/tunnel/connection.ts';
import type { StreamTiming } from '../../shared/tunnel/data-stream.ts';
import type { Asking, StreamServing } from '../../shared/tunnel/handlers.ts';
import type { MessageSocket } from '../../shared/tunnel/message-socket.ts';
import { StreamServer } from './stream-server.ts';

/** What the rest of the node may know of a link. */
export interface LinkFacts {
  readonly link: LinkId;
  readonly epoch: number;
  /** Name in the peer's certificate. */
  readonly peer: string;
  readonly fingerprint: string;
  /** TLS key exchange; several when the configuration allows several. */
  readonly group: string;
  readonly sinceMs: number;
  /** Version that the internal node says it runs. */
  readonly version: string;
}

export interface PeerDeps {
  readonly connection: Connection<'dmz'>;
  readonly streams: StreamServing;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PeerOptions {
  readonly dataToken: string;
  readonly maxDataSockets: number;
  readonly streamTiming: StreamTiming;
}

export class Peer {
  readonly facts: LinkFacts;
  /** Certificates of the handshake, for the check every minute. */
  readonly leaf: X509Certificate | undefined;
  readonly #deps: PeerDeps;
  readonly #options: PeerOptions;
  readonly #servers = new Set<StreamServer>();

  constructor(deps: PeerDeps, facts: LinkFacts, leaf: X509Certificate | undefined, options: PeerOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ ...options });
    this.facts = facts;
    this.leaf = leaf;
  }

  get asking(): Asking<'dmz'> {
    return this.#deps.connection;
  }

  /** What a data socket of this link must present. Told to the inside in the hello. */
  get dataToken(): string {
    return this.#options.dataToken;
  }

  get rttMs(): number | undefined {
    return this.#deps.connection.rttMs;
  }

  get dataSockets(): number {
    return this.#servers.size;
  }

  /** Whether a data socket with this link id and token may join. */
  admits(link: string, token: string): boolean {
    if (this.#deps.connection.closed || this.#servers.size >= this.#options.maxDataSockets) return false;
    return link === this.facts.link && sameSecret(token, this.#options.dataToken);
  }

  addDataSocket(socket: MessageSocket): void {
    const { connection, streams, clock, log } = this.#deps;
    const server: StreamServer = new StreamServer(
      {
        socket,
        serving: streams,
        clock,
        log,
        onViolation: (detail) => connection.violate(detail),
        onClosed: () => this.#servers.delete(server),
      },
      this.#options.streamTiming,
    );
    this.#servers.add(server);
    server.start();
  }

  /** No new work; what runs may finish until `signal` fires. */
  drain(reason: string, signal: AbortSignal): Promise<void> {
    return this.#deps.connection.drain(reason, signal);
  }

  close(code: CloseReason['code'], detail: string): void {
    this.#deps.connection.close(code, detail);
  }

  /** Called once the connection is closed. */
  closed(reason: CloseReason): void {
    const error = new SallyportError('link-closed', `the link is closed: ${describeClose(reason)}`);
    for (const server of this.#servers) server.close(error);
  }
}
