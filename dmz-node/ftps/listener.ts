/**
 * The FTPS door: accepts control connections, with TLS from the first byte on (implicit) or after AUTH TLS (explicit), refuses
 * those beyond the limits before a byte is read, and stops politely.
 *
 * It has no opinion on partners: who may come in is the login desk's, what they see is the view's.
 */
import type { Server, Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import type { EventSink } from '../../shared/durable/database.ts';
import { SallyportError } from '../../shared/errors.ts';
import { type EventRecord, event } from '../../shared/events/event.ts';
import type { Logger } from '../../shared/log.ts';
import type { PolicyBundle } from '../../shared/policy.ts';
import type { Service } from '../../shared/service.ts';
import type { Admission } from '../admission.ts';
import { Balancers, type BalancersOptions, balancersDefaults } from '../balancers.ts';
import type { LoginDesk } from '../partner-view.ts';
import { peerAddress } from '../peer-address.ts';
import { RefusalReport } from '../refusal-report.ts';
import { BlockStore } from './data/gatherer.ts';
import { PassivePorts, type PortRange } from './data/passive-ports.ts';
import { FrameServer } from './ftp-srv-seam.ts';
import { FtpsSession, type FtpsSessionOptions } from './session.ts';
import { type CertificateFiles, CertificateStore } from './tls/certificate.ts';
import { DoorTls, type DoorTlsOptions } from './tls/door-tls.ts';

export interface FtpsListenerDeps {
  readonly desk: LoginDesk;
  /** The policy in force, for the banner and the limits that it sets. */
  readonly policy: () => Pick<PolicyBundle, 'banner' | 'limits'> | undefined;
  /** Of all doors together. */
  readonly admission: Admission;
  readonly events: EventSink;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface FtpsListenerOptions extends BalancersOptions, Omit<FtpsSessionOptions, 'implicit' | 'banner'> {
  readonly explicit: ListenAddress;
  readonly implicit: ListenAddress | undefined;
  readonly passivePorts: PortRange;
  /** Why passwords and files may cross the network in clear; shown in the status. */
  readonly plainReason: string;
  /** The first is shown to who asks for no name that another has. */
  readonly certificates: readonly CertificateFiles[];
  readonly tls: DoorTlsOptions;
}

/** Hard limits of this host; a policy can only be stricter. */
export const ftpsDefaults = {
  ...balancersDefaults,
  handshakeMs: 10_000,
  connectMs: 30_000,
} as const;

/** Idle memory that all uploads share for putting blocks together. */
const idleBlockBytes = 8 * 1024 * 1024;

export class FtpsListener implements Service {
  readonly name = 'ftps listener';
  readonly #deps: FtpsListenerDeps;
  readonly #options: FtpsListenerOptions;
  readonly #balancers: Balancers;
  readonly #blocks = new BlockStore(idleBlockBytes);
  readonly #refusals: RefusalReport;
  readonly #certificates: CertificateStore;
  readonly #tls: DoorTls;
  readonly #ports: PassivePorts;
  readonly #sessions = new Map<FtpsSession, Promise<void>>();
  readonly #servers: { readonly server: Server; readonly address: ListenAddress }[] = [];

  constructor(deps: FtpsListenerDeps, options: FtpsListenerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#balancers = new Balancers(deps.clock, options);
    this.#refusals = new RefusalReport(deps.clock, (peer, reason) => {
      this.#record(event('connection.refused', deps.clock.nowMs(), {}, { peer, reason }));
    });
    this.#certificates = new CertificateStore(deps, options.certificates);
    this.#tls = new DoorTls(this.#certificates, options.tls);
    this.#ports = new PassivePorts(options.passivePorts);
    this.#serve(options.explicit, false);
    if (options.implicit) this.#serve(options.implicit, true);
  }

  /** @throws SallyportError `key-file` without a usable certificate, `config-invalid` when an address cannot be used. */
  async start(): Promise<void> {
    await this.#certificates.start();
    try {
      for (const { server, address } of this.#servers) await this.#listen(server, address);
    } catch (error) {
      this.#certificates.stop();
      for (const { server } of this.#servers) server.close();
      throw error;
    }
    this.#deps.log.info({ ports: this.ports }, 'FTPS listener is open');
  }

  /** Looks at the certificate files now; sessions under way keep what they began with. */
  refresh(): Promise<void> {
    return this.#certificates.refresh();
  }

  /** The ports in use, explicit first; 0 before the start. */
  get ports(): readonly number[] {
    return this.#servers.map(({ server }) => {
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : 0;
    });
  }

  get addresses(): readonly { readonly name: string; readonly host: string; readonly port: number; readonly remark?: string }[] {
    const plain = this.#options.plainFtp ? { remark: `plain FTP is on: ${this.#options.plainReason}` } : {};
    return this.#servers.map(({ address }, at) => ({
      name: at === 0 ? 'ftps' : 'ftps-implicit',
      host: address.host,
      port: this.ports[at] ?? 0,
      ...(at === 0 ? plain : {}),
    }));
  }

  /** Lets transfers finish, opens nothing new, and cuts what is left when `signal` fires. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#certificates.stop();
    this.#balancers.close();
    for (const { server } of this.#servers) server.close();
    const running = [...this.#sessions.values()];
    for (const session of this.#sessions.keys()) session.drain();
    const cut = (): void => {
      for (const session of this.#sessions.keys()) session.destroy('the server is stopping');
    };
    if (signal.aborted) cut();
    else signal.addEventListener('abort', cut, { once: true });
    await Promise.all(running);
    signal.removeEventListener('abort', cut);
  }

  #serve(address: ListenAddress, implicit: boolean): void {
    const frame = new FrameServer(this.#deps.log, (socket) => this.#onSocket(socket, frame, implicit));
    this.#servers.push({ server: frame.server, address });
  }

  #listen(server: Server, { host, port }: ListenAddress): Promise<void> {
    return new Promise((listening, failed) => {
      const onError = (cause: Error): void =>
        failed(new SallyportError('config-invalid', `cannot listen on ${host} port ${port}: ${cause.message}`, {}, { cause }));
      server.once('error', onError);
      server.listen(port, host, () => {
        server.removeListener('error', onError);
        server.on('error', (error) => this.#deps.log.error({ err: error }, 'the FTPS listener failed to accept'));
        listening();
      });
    });
  }

  #onSocket(socket: Socket, frame: FrameServer, implicit: boolean): void {
    socket.on('error', () => undefined);
    const peer = peerAddress(socket.remoteAddress);
    if (peer === '') return void socket.destroy();
    if (!this.#balancers.includes(peer)) return void this.#receive(socket, frame, implicit, peer);
    this.#balancers.read(
      socket,
      (client) => this.#receive(socket, frame, implicit, client ?? peer),
      (why) => this.#refusals.add(peer, why),
    );
    socket.resume();
  }

  /** @param peer The client, which is not the other end of the socket when a balancer stands between. */
  #receive(socket: Socket, frame: FrameServer, implicit: boolean, peer: string): void {
    if (!this.#deps.desk.admits(peer)) {
      this.#refusals.add(peer, 'banned source');
      return void socket.destroy();
    }
    const place = this.#deps.admission.admit(peer, () => {
      this.#refusals.add(peer, 'connections that say nothing');
      session.turnAway('its place was needed');
    });
    const policy = this.#deps.policy();
    const { idleMs } = this.#options;
    const { desk, clock, log } = this.#deps;
    const session: FtpsSession = new FtpsSession(
      {
        socket,
        balancers: this.#balancers,
        blocks: this.#blocks,
        frame,
        peer,
        place,
        desk,
        clock,
        log,
        tls: this.#tls,
        ports: this.#ports,
        record: (record) => this.#record(record),
        onRefused: (reason) => this.#refusals.add(peer, reason),
        onStranger: (stranger) => this.#refusals.add(stranger, 'data connection of somebody else'),
        onClosed: () => this.#sessions.delete(session),
      },
      {
        ...this.#options,
        implicit,
        banner: policy?.banner ?? '',
        // 0 in a policy means: no limit of its own.
        idleMs: Math.min(idleMs, policy?.limits.idleMs || idleMs),
      },
    );
    this.#sessions.set(session, session.run());
  }

  #record(record: EventRecord): void {
    this.#deps.events.emit([record]).catch((error: unknown) => {
      this.#deps.log.error({ err: error, event: record.name }, 'an event could not be recorded');
    });
  }
}
