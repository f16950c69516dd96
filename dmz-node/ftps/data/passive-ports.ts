/**
 * The ports on which data connections are awaited, for all sessions of the door. Each is taken at random, bound at once and
 * kept until its transfer is over, so that nobody can guess or snatch it.
 */
import { randomInt } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { SallyportError } from '../../../shared/errors.ts';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export class PassivePorts {
  readonly #range: PortRange;
  readonly #taken = new Set<number>();

  constructor(range: PortRange) {
    this.#range = range;
  }

  get taken(): number {
    return this.#taken.size;
  }

  /**
   * A listener on a free port of the range.
   * @throws SallyportError `limit-reached` when every port is in use.
   */
  async listen(host: string, onSocket: (socket: Socket) => void): Promise<{ readonly port: number; close(): void }> {
    const { first, last } = this.#range;
    const count = last - first + 1;
    const start = randomInt(count);
    for (let at = 0; at < count; at++) {
      const port = first + ((start + at) % count);
      if (this.#taken.has(port)) continue;
      this.#taken.add(port);
      const server = await bind(host, port, onSocket).catch(() => undefined);
      if (server) return { port, close: () => this.#close(server, port) };
      this.#taken.delete(port);
    }
    throw new SallyportError('limit-reached', `no port of ftps.passive.ports ${first}-${last} is free`, { first, last });
  }

  #close(server: Server, port: number): void {
    if (!server.listening) return;
    // Connections that were accepted live on; nobody listens any more.
    server.close();
    this.#taken.delete(port);
  }
}

function bind(host: string, port: number, onSocket: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: true }, onSocket);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: 16, exclusive: true }, () => {
      server.removeListener('error', reject);
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}
