/**
 * The other way to a data connection: the server connects to the client (PORT, EPRT). Only when the operator has switched it on,
 * and only to the address of the control connection; who decides that is the command.
 */
import { connect, type Socket } from 'node:net';
import { SallyportError } from '../../../shared/errors.ts';
import type { SessionTls } from '../tls/door-tls.ts';
import { type DataConnection, plainConnection, secureConnection } from './data-connection.ts';
import type { DataDoor } from './data-door.ts';

export interface ActiveDoorOptions {
  readonly localAddress: string;
  /** 0 takes a free one. */
  readonly localPort: number;
  readonly peer: string;
  readonly port: number;
  readonly requireBinding: boolean;
  /** For the connection and its TLS handshake together. */
  readonly connectMs: number;
}

export class ActiveDoor implements DataDoor {
  readonly #tls: SessionTls | undefined;
  readonly #options: ActiveDoorOptions;
  readonly #closing = new AbortController();

  /** @param tls Undefined: the data is not protected (PROT C). */
  constructor(tls: SessionTls | undefined, options: ActiveDoorOptions) {
    this.#tls = tls;
    this.#options = options;
  }

  async take(signal: AbortSignal): Promise<DataConnection> {
    const { requireBinding, connectMs } = this.#options;
    const limit = AbortSignal.any([signal, this.#closing.signal, AbortSignal.timeout(connectMs)]);
    try {
      const socket = await this.#connect(limit);
      if (!this.#tls) return plainConnection(socket);
      const connection = await secureConnection(socket, this.#tls, limit);
      if (!requireBinding || connection.bound) return connection;
      connection.destroy();
      throw new Error('the TLS session of the control connection was not resumed');
    } catch (cause) {
      throw new SallyportError('limit-reached', 'no data connection to the client', {}, { cause });
    }
  }

  close(): void {
    this.#closing.abort();
  }

  #connect(signal: AbortSignal): Promise<Socket> {
    const { peer, port, localAddress, localPort } = this.#options;
    const socket = connect({ host: peer, port, localAddress, localPort, noDelay: true, allowHalfOpen: true });
    return new Promise((resolve, reject) => {
      const onAbort = (): void => void socket.destroy(new Error('given up'));
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        signal.removeEventListener('abort', onAbort);
        socket.pause();
        resolve(socket);
      });
      if (signal.aborted) onAbort();
    });
  }
}
