/** A TCP relay that can fall silent without closing, in one direction or both, or cut, as a broken network does. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpRelay {
  /** Bytes that arrive are dropped while set. */
  blocked: { up: boolean; down: boolean } = { up: false, down: false };
  /** Bytes from clients after which every connection is cut, once. */
  #cutAfter = Number.POSITIVE_INFINITY;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(targetPort: number): Promise<TcpRelay> {
    const server = createServer();
    const relay = new TcpRelay(server);
    server.on('connection', (client) => relay.#join(client, connect(targetPort, '127.0.0.1')));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return relay;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  block(up: boolean, down: boolean): void {
    this.blocked = { up, down };
  }

  /** Cuts every connection with a reset when clients have sent so many bytes from now on. Once: later ones pass. */
  cutAfter(bytes: number): void {
    this.#cutAfter = bytes;
  }

  get hasCut(): boolean {
    return this.#cutAfter === Number.POSITIVE_INFINITY;
  }

  /** Cuts every connection with a reset. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    this.reset();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #join(client: Socket, target: Socket): void {
    const pass = (from: Socket, to: Socket, direction: 'up' | 'down') => {
      this.#sockets.add(from);
      from.on('data', (chunk) => {
        if (direction === 'up') this.#count(chunk.length);
        if (!this.blocked[direction] && !to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      });
      // A partition hides the end of a connection as well.
      from.on('end', () => {
        if (!this.blocked[direction]) to.end();
      });
      from.on('close', () => {
        this.#sockets.delete(from);
        if (!this.blocked[direction]) to.destroy();
      });
      from.on('error', () => undefined);
    };
    pass(client, target, 'up');
    pass(target, client, 'down');
  }

  #count(bytes: number): void {
    this.#cutAfter -= bytes;
    if (this.#cutAfter > 0) return;
    this.#cutAfter = Number.POSITIVE_INFINITY;
    this.reset();
  }
}
