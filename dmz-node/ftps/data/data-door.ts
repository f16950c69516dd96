/**
 * Where one transfer waits for its data connection: a listener that is kept until the right peer has come.
 *
 * A connection from another address is dropped and changes nothing. Several from the right address (one address may hide
 * many people) are tried side by side; the first that is secure, trusted and, where that is required, bound to the control
 * connection is the one. At most one is ever handed out.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../../shared/clock.ts';
import { SallyportError } from '../../../shared/errors.ts';
import { type Logger, printable } from '../../../shared/log.ts';
import type { Balancers } from '../../balancers.ts';
import { peerAddress } from '../../peer-address.ts';
import type { SessionTls } from '../tls/door-tls.ts';
import { type DataConnection, plainConnection, secureConnection } from './data-connection.ts';
import type { PassivePorts } from './passive-ports.ts';

export interface DataDoorDeps {
  readonly ports: PassivePorts;
  readonly balancers: Pick<Balancers, 'includes' | 'read'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Undefined: the data is not protected (PROT C). */
  readonly tls: SessionTls | undefined;
  /** Somebody else connected; for counting. */
  readonly onStranger: (peer: string) => void;
}

export interface DataDoorOptions {
  /** The local address of the control connection. */
  readonly host: string;
  /** The only address that may connect. */
  readonly peer: string;
  /** Whether a data connection must resume the TLS session of its control connection. */
  readonly requireBinding: boolean;
  /** From the transfer command to a usable connection. */
  readonly connectMs: number;
  /** For a TLS handshake, once the transfer was asked for. */
  readonly handshakeMs: number;
}

/** What a transfer needs of the way in which its data connection comes to be. */
export interface DataDoor {
  /**
   * The data connection, from the transfer command on.
   * @throws SallyportError `limit-reached` when none came that may be used.
   */
  take(signal: AbortSignal): Promise<DataConnection>;
  /** Stops listening and drops whoever was not taken. Idempotent. */
  close(): void;
}

const maxCandidates = 8;
/** Somebody with the right address failed: the right one may still come, but not much later. */
const afterFailureMs = 3000;

export class PassiveDoor implements DataDoor {
  readonly #deps: DataDoorDeps;
  readonly #options: DataDoorOptions;
  readonly #candidates = new Set<Socket>();
  readonly #found = Promise.withResolvers<DataConnection>();
  readonly #closing = new AbortController();
  #listener: { readonly port: number; close(): void } | undefined;
  #settled = false;
  #taking = false;
  #cancelDeadline: () => void = () => undefined;
  #lastFailure = 'nobody connected';

  private constructor(deps: DataDoorDeps, options: DataDoorOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#found.promise.catch(() => undefined);
  }

  /** @throws SallyportError `limit-reached` when no port is free. */
  static async open(deps: DataDoorDeps, options: DataDoorOptions): Promise<PassiveDoor> {
    const door = new PassiveDoor(deps, options);
    door.#listener = await deps.ports.listen(options.host, (socket) => door.#onSocket(socket));
    return door;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  async take(signal: AbortSignal): Promise<DataConnection> {
    const onAbort = (): void => this.#fail('given up');
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    this.#taking = true;
    this.#expireAfter(this.#candidates.size > 0 ? this.#options.handshakeMs : this.#options.connectMs);
    try {
      return await this.#found.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#cancelDeadline();
    }
  }

  close(): void {
    this.#fail('closed');
    if (!this.#taking) void this.#found.promise.then((unused) => unused.destroy()).catch(() => undefined);
    this.#listener?.close();
    this.#closing.abort();
    for (const socket of this.#candidates) socket.destroy();
    this.#candidates.clear();
  }

  #onSocket(socket: Socket): void {
    socket.on('error', () => undefined);
    const peer = peerAddress(socket.remoteAddress);
    if (!this.#deps.balancers.includes(peer)) return void this.#admit(socket, peer);
    this.#deps.balancers.read(
      socket,
      (client) => void this.#admit(socket, client ?? peer),
      () => this.#deps.onStranger(peer),
    );
    socket.resume();
  }

  /** @param peer The client, which is not the other end of the socket when a balancer stands between. */
  async #admit(socket: Socket, peer: string): Promise<void> {
    if (peer !== this.#options.peer) {
      if (peer !== '') this.#deps.onStranger(peer);
      return void socket.destroy();
    }
    if (this.#settled || this.#candidates.size >= maxCandidates) return void socket.destroy();
    this.#candidates.add(socket);
    if (this.#taking) this.#expireAfter(this.#options.handshakeMs);
    try {
      const connection = await this.#prepare(socket);
      this.#candidates.delete(socket);
      if (this.#settled) return connection.destroy();
      this.#settled = true;
      this.#found.resolve(connection);
      this.#leaveOnly();
    } catch (error) {
      this.#candidates.delete(socket);
      this.#lastFailure = error instanceof Error ? printable(error.message, 200) : 'a failed handshake';
      this.#deps.log.debug({ reason: this.#lastFailure }, 'a data connection could not be used');
      if (this.#taking && this.#candidates.size === 0) this.#expireAfter(afterFailureMs);
    }
  }

  async #prepare(socket: Socket): Promise<DataConnection> {
    const { tls } = this.#deps;
    if (!tls) return plainConnection(socket);
    const connection = await secureConnection(socket, tls, this.#closing.signal);
    if (this.#options.requireBinding && !connection.bound) {
      connection.destroy();
      throw new Error('the TLS session of the control connection was not resumed');
    }
    return connection;
  }

  /** The listener stays bound until the transfer is over, so that nobody else gets the port meanwhile, but takes nobody. */
  #leaveOnly(): void {
    for (const socket of this.#candidates) socket.destroy();
    this.#candidates.clear();
  }

  #expireAfter(ms: number): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.#deps.clock.after(ms, () => this.#fail(this.#lastFailure));
  }

  #fail(reason: string): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#cancelDeadline();
    this.#found.reject(new SallyportError('limit-reached', `no data connection: ${reason}`));
  }
}
