/**
 * Where the internal node knocks: one TLS port with two paths, for the control socket and for data sockets. Nobody is served
 * before the peer check has passed; a refusal is told to the other side by the name of the failed check and recorded here.
 * One internal identity has at most one live link: a newer one takes over.
 */

import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import { type Clock, systemClock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { event } from '../../shared/events/event.ts';
import { newLinkId } from '../../shared/ids.ts';
import { type Logger, printable } from '../../shared/log.ts';
import { CertificateWatch } from '../../shared/pki/certificate-watch.ts';
import type { OwnIdentity } from '../../shared/pki/node-identity.ts';
import { PeerTrust, presentedBy } from '../../shared/pki/peer-trust.ts';
import { newToken } from '../../shared/secret.ts';
import type { Service } from '../../shared/service.ts';
import { allowedGroups, connectionFault, serverTlsOptions } from '../../shared/tls.ts';
import { type CloseReason, closeCodeOf, describeClose } from '../../shared/tunnel/close-reason.ts';
import { Connection, type ConnectionOptions, type Greeting } from '../../shared/tunnel/connection.ts';
import { type StreamTiming, streamTiming } from '../../shared/tunnel/data-stream.ts';
import type { Answering, StreamServing } from '../../shared/tunnel/handlers.ts';
import { MessageSocket, serverSocketOptions } from '../../shared/tunnel/message-socket.ts';
import { limits, protocolVersion, type RequestParams } from '../../shared/tunnel/messages.ts';
import { paths, headers as tunnelHeaders } from '../../shared/tunnel/paths.ts';
import { howToMend, type LastRefusal, type RefusalCheck, Refusals, refusalHeader } from '../../shared/tunnel/refusals.ts';
import { tellTrust, withTrust } from '../../shared/tunnel/trust-exchange.ts';
import { EnrolmentDoor } from './enrolment.ts';
import type { Invitations } from './invitations.ts';
import { Newcomers } from './newcomers.ts';
import { type LinkFacts, Peer, type PeerOptions } from './peer.ts';
import type { Peers } from './peers.ts';
import { PlainRequests } from './plain-requests.ts';
import { plainAddress, SourceAddresses } from './source-addresses.ts';

export interface TunnelListenerDeps {
  /** Where the live link is put, for those who ask. */
  readonly peers: Peers;
  readonly identity: OwnIdentity;
  /** Missing: nobody is enrolled here. */
  readonly invitations?: Pick<Invitations, 'redeem'>;
  /** What this node answers on a link. */
  readonly answering: (link: LinkFacts) => Answering<'inside'>;
  readonly streams: StreamServing;
  /** Makes a higher lease epoch durable and gives it; called for each accepted hello. */
  readonly epoch: () => Promise<number>;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly onLink?: (change: 'up' | 'down', facts: LinkFacts) => void;
}

export interface TunnelListenerOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** `SPI-…`, as typed; undefined when the internal node comes with an invitation. */
  readonly internalFingerprint: string | undefined;
  /** Where the keys and authorities of the internal node are recorded. */
  readonly peerRecordFile: string;
  /** Keys that are refused. */
  readonly denyFile: string;
  readonly classicalKeyExchange: boolean;
  readonly version: string;
  /** Source addresses or CIDR ranges that may connect; all when missing. */
  readonly allowFrom?: readonly string[];
  readonly maxNewcomers?: number;
  readonly newcomerMs?: number;
  readonly maxDataSockets?: number;
  readonly recheckMs?: number;
  readonly timing?: ConnectionOptions;
  readonly streamTiming?: StreamTiming;
}

const maxConnections = 256;
/** For requests under way when the link is made anew. */
const drainMs = 15_000;

export interface Identity {
  readonly name: string;
  readonly fingerprint: string;
  readonly leaf: X509Certificate | undefined;
}

export class TunnelListener implements Service {
  readonly name = 'tunnel listener';
  readonly #deps: TunnelListenerDeps;
  readonly #options: TunnelListenerOptions;
  readonly #trust: PeerTrust;
  readonly #refusals: Refusals;
  readonly #newcomers: Newcomers;
  readonly #allowed: SourceAddresses | undefined;
  readonly #controlSockets = new WebSocketServer(
    serverSocketOptions({ maxPayload: limits.controlToDmzBytes, maxBufferedChunks: 4096 }),
  );
  readonly #dataSockets = new WebSocketServer(
    serverSocketOptions({ maxPayload: limits.dataFrameBytes, maxBufferedChunks: 1024 }),
  );
  /** Links that exist, greeted or not. */
  readonly #connections = new Set<Connection<'dmz'>>();
  /** Links whose coming up was told, so that their going down is told too. */
  readonly #announced = new Set<Peer>();
  readonly #watch: CertificateWatch;
  readonly #plain: PlainRequests;
  #server: Server | undefined;
  #cancelRecheck: (() => void) | undefined;

  constructor(deps: TunnelListenerDeps, options: TunnelListenerOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ ...options });
    this.#trust = new PeerTrust(deps, {
      role: 'internal',
      fingerprint: options.internalFingerprint,
      recordFile: options.peerRecordFile,
      denyFile: options.denyFile,
    });
    this.#refusals = new Refusals(deps);
    this.#newcomers = new Newcomers(deps.clock, { max: options.maxNewcomers ?? 32, graceMs: options.newcomerMs ?? 10_000 });
    this.#allowed = options.allowFrom ? new SourceAddresses(options.allowFrom) : undefined;
    this.#watch = new CertificateWatch(deps);
    const { invitations } = deps;
    let enrolment: EnrolmentDoor | undefined;
    // Whoever types a fingerprint means that node and no other, also not one that was invited before.
    if (invitations && options.internalFingerprint === undefined) {
      const onEnrolled = (): void => this.recheck();
      enrolment = new EnrolmentDoor({ ...deps, invitations, trust: this.#trust, onEnrolled });
    }
    this.#plain = new PlainRequests({
      identify: (socket, refuse) => this.#identify(socket, refuse),
      refusals: this.#refusals,
      report: (check, socket, detail) => this.#report(check, socket, detail),
      enrolment,
      nodeName: () => deps.identity.keys.name,
    });
    deps.identity.onChange((exchanged) => this.#identityChanged(exchanged));
  }

  /** The port it listens on. */
  get port(): number {
    const address = this.#server?.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** What is recorded of the internal node. */
  get known(): Pick<PeerTrust, 'fingerprints' | 'authorities'> {
    return this.#trust;
  }

  /** Whom it refused last, and why. */
  get lastRefusal(): LastRefusal | undefined {
    return this.#refusals.last;
  }

  /** Reads what is recorded of the internal node. @throws SallyportError `config-invalid`, `key-file`. */
  load(): void {
    this.#trust.load();
  }

  /** @throws SallyportError `config-invalid`, `key-file`; or the error of listening. */
  async start(): Promise<void> {
    this.load();
    const server = createServer({
      ...this.#tls(),
      headersTimeout: 5000,
      requestTimeout: 5000,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 8192,
      keepAlive: false,
    });
    this.#server = server;
    server.maxConnections = maxConnections;
    server.on('connection', (socket: Socket) => this.#onConnection(socket));
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => this.#onTlsError(error, socket));
    server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
    server.on('request', (request, response) => this.#plain.answer(request, response));
    server.on('clientError', (_error, socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#options.port, this.#options.host, () => {
        server.off('error', reject);
        server.on('error', (error) => this.#deps.log.error({ err: error }, 'the tunnel listener failed'));
        resolve();
      });
    });
    this.#recheckLater();
  }

  /** Says goodbye, lets what is under way finish until `signal` fires, then cuts. */
  async stop(signal: AbortSignal): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.#cancelRecheck?.();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.#newcomers.destroyAll();
    await Promise.all([...this.#connections].map((connection) => connection.drain('the DMZ node stops', signal)));
    server.closeAllConnections();
    await closed;
  }

  #onConnection(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#allowed && !this.#allowed.allows(plainAddress(socket.remoteAddress ?? ''))) {
      this.#report('address', socket, 'the source address is not allowed');
      socket.destroy();
      return;
    }
    this.#newcomers.add(socket);
  }

  #onTlsError(error: NodeJS.ErrnoException, socket: TLSSocket): void {
    const code = error.code ?? '';
    // It left by itself, or was cut by a limit that has been reported already.
    if (code === 'ECONNRESET') return;
    const groups = code.includes('KEY_SHARE') || code.includes('SUITABLE_GROUPS') || code.includes('SHARED_GROUPS');
    const check: RefusalCheck = groups ? 'key-exchange' : code.includes('APPLICATION_PROTOCOL') ? 'alpn' : 'tls';
    this.#report(check, socket, code);
    socket.destroy();
  }

  #report(check: RefusalCheck, socket: { readonly remoteAddress?: string | undefined }, detail: string): void {
    const from = plainAddress(socket.remoteAddress ?? '');
    this.#refusals.report(check, `${from === '' ? '' : `${from}: `}${detail}; ${howToMend(check, 'dmz')}`);
  }

  /** Checks the peer of a request. Refuses it with the name of the failed check. */
  #identify(socket: TLSSocket, refuse: (check: RefusalCheck, detail: string) => void): Identity | undefined {
    const fault = connectionFault(socket);
    if (fault !== undefined) {
      refuse(socket.alpnProtocol ? 'tls' : 'alpn', fault);
      return undefined;
    }
    try {
      const presented = presentedBy(socket);
      const verdict = this.#trust.judge(presented);
      if (verdict.ok) return { name: verdict.name, fingerprint: verdict.fingerprint, leaf: presented.leaf };
      refuse(verdict.check, verdict.detail);
    } catch (error) {
      this.#deps.log.error({ err: error }, 'a peer could not be checked');
      refuse('ca', 'the authority of the internal node could not be recorded');
    }
    return undefined;
  }

  #onUpgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    if (!(stream instanceof TLSSocket)) {
      stream.destroy();
      return;
    }
    const refuse = (check: RefusalCheck, detail: string) => {
      this.#report(check, stream, detail);
      refuseUpgrade(stream, check);
    };
    stream.on('error', () => stream.destroy());
    const identity = this.#identify(stream, refuse);
    if (!identity) return;
    if (request.url === paths.control) this.#acceptControl(request, stream, head, identity);
    else if (request.url === paths.data) this.#acceptData(request, stream, head, refuse);
    else refuse('request', 'an unknown path');
  }

  #tls(): ReturnType<typeof serverTlsOptions> {
    return serverTlsOptions({ keys: this.#deps.identity.keys, classicalKeyExchange: this.#options.classicalKeyExchange });
  }

  /** New connections see the new certificate. After an exchange of keys the link is made anew at once. */
  #identityChanged(exchanged: boolean): void {
    this.#server?.setSecureContext(this.#tls());
    const live = this.#deps.peers.current();
    if (live && exchanged) void live.drain('keys were exchanged', AbortSignal.timeout(drainMs));
    else if (live) this.#tell(live);
  }

  #tell(peer: Peer): void {
    void tellTrust(this.#deps.identity, (method, params) => peer.asking.request(method, params), this.#deps.log);
  }

  #acceptData(
    request: IncomingMessage,
    stream: TLSSocket,
    head: Buffer,
    refuse: (check: RefusalCheck, detail: string) => void,
  ): void {
    const peer = this.#deps.peers.current();
    const link = String(request.headers[tunnelHeaders.link] ?? '');
    const token = String(request.headers[tunnelHeaders.token] ?? '');
    if (!peer?.admits(link, token)) {
      refuse('link', 'a data socket that belongs to no live link, or one too many');
      return;
    }
    this.#newcomers.admit(stream);
    this.#dataSockets.handleUpgrade(request, stream, head, (ws) => peer.addDataSocket(new MessageSocket(ws, stream)));
  }

  #acceptControl(request: IncomingMessage, stream: TLSSocket, head: Buffer, identity: Identity): void {
    this.#newcomers.admit(stream);
    this.#controlSockets.handleUpgrade(request, stream, head, (ws) => {
      const { clock, log, streams } = this.#deps;
      let peer: Peer | undefined;
      const connection: Connection<'dmz'> = new Connection(
        'dmz',
        {
          socket: new MessageSocket(ws, stream),
          clock,
          log,
          greet: async (params) => {
            peer = new Peer(
              { connection, streams, clock, log },
              await this.#factsOf(params, identity),
              identity.leaf,
              this.#peerOptions(),
            );
            // Its key can have been refused, or another node introduced, since it was let in: it must not take over a live link.
            this.#judgeAgain(identity.leaf, connection);
            return this.#greeting(peer);
          },
          onClosed: (reason) => {
            this.#connections.delete(connection);
            this.#onClosed(peer, identity, reason);
          },
        },
        this.#options.timing,
      );
      this.#connections.add(connection);
      connection.start();
    });
  }

  #peerOptions(): PeerOptions {
    const { maxDataSockets = 64, streamTiming: timing = streamTiming } = this.#options;
    return { dataToken: newToken(), maxDataSockets, streamTiming: timing };
  }

  async #factsOf(params: RequestParams<'link.hello'>, identity: Identity): Promise<LinkFacts> {
    return {
      link: newLinkId(),
      epoch: await this.#deps.epoch(),
      peer: identity.name,
      fingerprint: identity.fingerprint,
      group: allowedGroups(this.#options.classicalKeyExchange),
      sinceMs: this.#deps.clock.nowMs(),
      version: params.version,
    };
  }

  #greeting(peer: Peer): Greeting {
    const { clock, peers, answering } = this.#deps;
    return {
      result: {
        protocol: protocolVersion,
        version: this.#options.version,
        node: this.#deps.identity.keys.name,
        features: [],
        clockMs: clock.nowMs(),
        link: peer.facts.link,
        epoch: peer.facts.epoch,
        dataToken: peer.dataToken,
      },
      answering: withTrust(answering(peer.facts), this.#trust),
      up: () => {
        const before = peers.replace(peer);
        if (before) this.#takeOver(before);
        if (before === peer) return;
        this.#announced.add(peer);
        this.#emit(
          event(
            'link.up',
            clock.nowMs(),
            {},
            { peer: peer.facts.peer, fingerprint: peer.facts.fingerprint, group: peer.facts.group },
          ),
        );
        this.#deps.onLink?.('up', peer.facts);
        this.#tell(peer);
      },
    };
  }

  #takeOver(before: Peer): void {
    this.#emit(event('link.taken-over', this.#deps.clock.nowMs(), {}, { peer: before.facts.peer }));
    before.close('taken-over', 'a newer link of the same internal node');
  }

  #onClosed(peer: Peer | undefined, identity: Identity, reason: CloseReason): void {
    const nowMs = this.#deps.clock.nowMs();
    const detail = printable(describeClose(reason));
    if (reason.code === 'violation') this.#emit(event('link.violation', nowMs, {}, { detail }));
    if (!peer) return;
    this.#deps.peers.remove(peer);
    peer.closed(reason);
    if (!this.#announced.delete(peer)) return;
    this.#emit(event('link.down', nowMs, {}, { peer: identity.name, reason: detail }));
    this.#deps.onLink?.('down', peer.facts);
  }

  /** Judges the live link anew: a certificate can end, a key can be refused while its connection lives (TLS looks at it once). */
  recheck(): void {
    const peer = this.#deps.peers.current();
    if (peer && this.#judgeAgain(peer.leaf, peer) && peer.leaf) this.#watch.look(peer.facts.peer, peer.leaf);
  }

  /** Closes a link whose other end would be refused now. @returns whether it may stay. */
  #judgeAgain(leaf: X509Certificate | undefined, link: Pick<Connection<'dmz'>, 'close'>): boolean {
    const verdict = this.#trust.judge({ leaf, authority: undefined });
    if (verdict.ok) return true;
    this.#refusals.report(verdict.check, `live link: ${verdict.detail}; ${howToMend(verdict.check, 'dmz')}`);
    link.close(closeCodeOf(verdict.check), verdict.detail);
    return false;
  }

  #recheckLater(): void {
    this.#cancelRecheck = this.#deps.clock.after(this.#options.recheckMs ?? 60_000, () => {
      this.recheck();
      this.#recheckLater();
    });
  }

  #emit(record: ReturnType<typeof event>): void {
    this.#deps.events.emit([record]).catch((error: unknown) => this.#deps.log.error({ err: error }, 'an event was not recorded'));
  }
}

/** `ws` would answer in its own words; this says the check and nothing else. */
function refuseUpgrade(stream: Duplex, check: RefusalCheck): void {
  stream.end(`HTTP/1.1 403 Forbidden\r\n${refusalHeader}: ${check}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  // The peer may never close its half.
  systemClock.after(2000, () => stream.destroy());
}
