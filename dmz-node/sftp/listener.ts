/**
 * The SFTP door: accepts TCP connections, refuses those beyond the limits before a byte is read, and stops politely.
 *
 * It has no opinion on partners: who may come in is the login desk's, what they see is the view's. It starts only with a
 * host key, and warns when the native cipher code is missing, because everything still works then, only several times slower.
 */

import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type EventRecord, event } from '../../shared/events/event.ts';
import { newSessionId, newTraceId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { PolicyBundle } from '../../shared/policy.ts';
import type { Service } from '../../shared/service.ts';
import { Admission, type AdmissionOptions } from '../admission.ts';
import { Balancers, type BalancersOptions, balancersDefaults } from '../balancers.ts';
import type { HandshakeCookieSource, LoginDesk } from '../partner-view.ts';
import { peerAddress } from '../peer-address.ts';
import { stallRule } from '../progress.ts';
import { RefusalReport } from '../refusal-report.ts';
import { type AlgorithmOffer, type AlgorithmOptions, algorithmOffer } from './algorithms.ts';
import { BlockPool } from './codec/block-pool.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import type { HostKey } from './host-key.ts';
import { SharedMemory } from './shared-memory.ts';
import { checkPatches, nativeCryptoLoaded, type ParsedKey } from './ssh2-seam.ts';

export interface SftpListenerDeps {
  readonly desk: LoginDesk;
  /** Left out: nobody can log in with a key. */
  readonly cookies?: HandshakeCookieSource;
  /** The policy in force, for the banner and the limits that it sets. */
  readonly policy: () => Pick<PolicyBundle, 'banner' | 'limits' | 'askForCode'> | undefined;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of all doors together; left out: of this one alone. */
  readonly admission?: Admission;
  /** Uniform in [0, 1); for tests of the random early drop. */
  readonly random?: () => number;
}

export interface SftpListenerOptions
  extends AdmissionOptions,
    BalancersOptions,
    AlgorithmOptions,
    Omit<ConnectionOptions, 'hostKeys' | 'announcedKeys' | 'offer' | 'banner' | 'askForCode'> {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Bytes of all sessions together that may be in work; a session alone may have `outstandingBytes` of them. */
  readonly sharedOutstandingBytes: number;
  /** Preferred first. The first of each type is in use; clients that ask hear of the others, so that a key can be replaced. */
  readonly hostKeys: readonly HostKey[];
}

/** Hard limits of this host; a policy can only be stricter. */
export const sftpDefaults = {
  ...balancersDefaults,
  maxConnections: 1000,
  maxConnectionsPerSource: 100,
  maxUnauthenticated: 200,
  maxUnauthenticatedPerSource: 40,
  maxSilent: 600,
  compatible: false,
  chacha20: false,
  loginGraceMs: 60_000,
  maxLoginAttempts: 6,
  idleMs: 15 * 60_000,
  keepAliveMs: 15_000,
  keepAliveMisses: 3,
  stall: stallRule(10 * 60_000, 0),
  rekeyBytes: 1024 ** 3,
  rekeyMs: 3_600_000,
  maxChannels: 10,
  maxHandles: 1024,
  maxOutstandingRequests: 256,
  maxWindowBytes: 8 * 1024 * 1024,
  outstandingBytes: 4 * 1024 * 1024,
  sharedOutstandingBytes: 32 * 1024 * 1024,
} as const;

const noCookies: HandshakeCookieSource = { take: () => undefined };

/** Idle memory that all connections share for putting packets together. */
const pooledBytes = 6 * 1024 * 1024;

export class SftpListener implements Service {
  readonly name = 'sftp listener';
  readonly #deps: SftpListenerDeps;
  readonly #options: SftpListenerOptions;
  readonly #admission: Admission;
  readonly #balancers: Balancers;
  readonly #refusals: RefusalReport;
  readonly #pool = new BlockPool(pooledBytes);
  readonly #memory: SharedMemory;
  readonly #connections = new Set<Connection>();
  readonly #server: Server;
  readonly #hostKeys: Readonly<Record<string, ParsedKey>>;
  readonly #offer: AlgorithmOffer;

  constructor(deps: SftpListenerDeps, options: SftpListenerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#memory = new SharedMemory(options.sharedOutstandingBytes);
    this.#admission = deps.admission ?? new Admission(options, deps.random);
    this.#balancers = new Balancers(deps.clock, options);
    this.#refusals = new RefusalReport(deps.clock, (peer, reason) => {
      this.#record(event('connection.refused', deps.clock.nowMs(), {}, { peer, reason }));
    });
    const pairs = options.hostKeys.flatMap(({ algorithms, key }) => algorithms.map((name) => [name, key] as const));
    // The last entry of a name counts.
    this.#hostKeys = Object.fromEntries(pairs.toReversed());
    this.#offer = algorithmOffer([...new Set(pairs.map(([name]) => name))], options);
    this.#server = createServer({ noDelay: true, pauseOnConnect: false }, (socket) => this.#onSocket(socket));
  }

  /** @throws SallyportError `config-invalid` without a host key or when the address cannot be used. */
  async start(): Promise<void> {
    if (this.#options.hostKeys.length === 0) throw new SallyportError('config-invalid', 'the SFTP listener needs a host key');
    checkPatches();
    if (!nativeCryptoLoaded()) {
      this.#deps.log.warn('the native cipher code of ssh2 is not loaded: SFTP works, but several times slower; see CONTRIBUTING');
    }
    await new Promise<void>((listening, failed) => {
      const onError = (error: Error): void => {
        const { host, port } = this.#options;
        failed(
          new SallyportError('config-invalid', `cannot listen on ${host} port ${port}: ${error.message}`, {}, { cause: error }),
        );
      };
      this.#server.once('error', onError);
      this.#server.listen(this.#options.port, this.#options.host, () => {
        this.#server.removeListener('error', onError);
        this.#server.on('error', (error) => this.#deps.log.error({ err: error }, 'the SFTP listener failed to accept'));
        listening();
      });
    });
    this.#deps.log.info({ host: this.#options.host, port: this.port }, 'SFTP listener is open');
  }

  /** The port in use; 0 before the start. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get addresses(): readonly { readonly name: string; readonly host: string; readonly port: number }[] {
    return [{ name: 'sftp', host: this.#options.host, port: this.port }];
  }

  /** Connections, logged in or not. */
  get connections(): number {
    return this.#admission.connections;
  }

  /** Lets transfers finish, opens nothing new, and cuts what is left when `signal` fires. */
  async stop(signal: AbortSignal): Promise<void> {
    const closed = new Promise<void>((done) => {
      if (this.#server.listening) this.#server.close(() => done());
      else done();
    });
    this.#balancers.close();
    for (const connection of this.#connections) connection.drain();
    while (this.#connections.size > 0 && !signal.aborted) {
      for (const connection of this.#connections) if (connection.quiet) connection.disconnect('the server is stopping');
      await Promise.race([
        Promise.all([...this.#connections].map((connection) => connection.closed())),
        this.#deps.clock.sleep(100, signal).catch(() => undefined),
      ]);
    }
    const left = [...this.#connections];
    for (const connection of left) connection.destroy('the server is stopping');
    await Promise.all([closed, ...left.map((connection) => connection.closed())]);
  }

  #onSocket(socket: Socket): void {
    socket.on('error', () => undefined);
    const peer = peerAddress(socket.remoteAddress);
    if (peer === '') return void socket.destroy();
    if (!this.#balancers.includes(peer)) {
      this.#receive(socket, peer);
      return;
    }
    this.#balancers.read(
      socket,
      (source) => this.#receive(socket, source ?? peer),
      (why) => this.#refusals.add(peer, why),
    );
  }

  /** @param peer The client, which is not the other end of the socket when a balancer stands between. */
  #receive(socket: Socket, peer: string): void {
    if (!this.#deps.desk.admits(peer)) {
      this.#refusals.add(peer, 'banned source');
      return void socket.destroy();
    }
    const giveWay = (): void => {
      this.#refusals.add(peer, 'connections that say nothing');
      connection.turnAway('its place was needed');
    };
    const place = this.#admission.admit(peer, giveWay);
    const policy = this.#deps.policy();
    const { idleMs, maxHandles } = this.#options;
    const visitor = { session: newSessionId(), trace: newTraceId(), protocol: 'sftp', peer } as const;
    const { desk, clock, log, cookies = noCookies } = this.#deps;
    const connection: Connection = new Connection(
      {
        socket,
        visitor,
        place,
        desk,
        cookies,
        clock,
        log,
        pool: this.#pool,
        memory: this.#memory,
        record: (record) => this.#record(record),
        onRefused: (reason) => this.#refusals.add(peer, reason),
        onClosed: () => this.#connections.delete(connection),
      },
      {
        ...this.#options,
        hostKeys: this.#hostKeys,
        announcedKeys: this.#options.hostKeys.map(({ key }) => key),
        offer: this.#offer,
        banner: policy?.banner ?? '',
        askForCode: policy?.askForCode ?? false,
        // 0 in a policy means: no limit of its own.
        idleMs: Math.min(idleMs, policy?.limits.idleMs || idleMs),
        maxHandles: Math.min(maxHandles, policy?.limits.maxHandlesPerSession ?? maxHandles),
      },
    );
    this.#connections.add(connection);
    connection.start();
  }

  #record(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => {
      this.#deps.log.error({ err: error, event: record.name }, 'an event could not be recorded');
    });
  }
}
