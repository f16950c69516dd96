/**
 * The staff door: the process of the internal node that listens, so that the one with the tunnel, the keys and the files never
 * has to. Staff connect to the admin socket; the agent connects to a second socket beside it; the door joins one to the other
 * and hands the bytes on. It reads and writes nothing else and holds no state: it can be started again at any time.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { failureBody } from '../../shared/admin/answers.ts';
import { listenPrivately } from '../../shared/admin/private-socket.ts';
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';

export interface StaffDoorDeps {
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Logger;
}

export interface StaffDoorOptions {
  /** Where staff connect. */
  readonly socket: string;
  /** Where the agent connects. */
  readonly agentSocket: string;
  /** How long staff wait for an agent that is away: it may be starting. */
  readonly patienceMs?: number;
  /** Members of staff at the same time, and connections of the agent in reserve. */
  readonly most?: number;
}

/** Somebody who waits for a connection of the agent. */
type Waiting = (line: Socket | undefined) => void;

export class StaffDoor implements Service {
  readonly name = 'staff door';
  readonly #deps: StaffDoorDeps;
  readonly #options: Required<StaffDoorOptions>;
  readonly #idle = new Set<Socket>();
  readonly #waiting = new Set<Waiting>();
  readonly #open = new Set<Socket>();
  readonly #places: { readonly server: Server; readonly place: Disposable }[] = [];
  #agentConnections = 0;
  #stopped = false;

  constructor(deps: StaffDoorDeps, options: StaffDoorOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ patienceMs: 3000, most: 64, ...options });
  }

  /** @throws SallyportError as `listenPrivately` does. */
  async start(): Promise<void> {
    const { socket, agentSocket } = this.#options;
    try {
      await this.#listen(socket, (staff) => void this.#staffCame(staff));
      await this.#listen(agentSocket, (line) => this.#agentCame(line));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const give of this.#waiting) give(undefined);
    for (const { server, place } of this.#places.splice(0)) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of this.#open) socket.destroy();
      await closed;
      place[Symbol.dispose]();
    }
  }

  async #listen(path: string, onConnection: (socket: Socket) => void): Promise<void> {
    // One side may be done before the other: the rest of the bytes still goes through.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#open.add(socket);
      socket.on('error', () => {}); // `close` follows
      socket.once('close', () => this.#open.delete(socket));
      onConnection(socket);
    });
    server.maxConnections = this.#options.most * 2;
    this.#places.push({ server, place: await listenPrivately(server, path) });
  }

  #agentCame(line: Socket): void {
    if (this.#idle.size >= this.#options.most) return void line.destroy();
    this.#agentConnections += 1;
    if (this.#agentConnections === 1) this.#deps.log.info('the agent is there');
    line.once('close', () => {
      this.#idle.delete(line);
      this.#agentConnections -= 1;
      if (this.#agentConnections === 0 && !this.#stopped) {
        this.#deps.log.warn('the agent is gone: nothing is fetched or delivered, and nobody can log in, until it is back');
      }
    });
    // A line that ends before anybody used it is of no use to anybody.
    line.once('end', () => this.#idle.has(line) && line.destroy());
    const [first] = this.#waiting;
    if (first) first(line);
    else this.#idle.add(line);
  }

  async #staffCame(staff: Socket): Promise<void> {
    const line = await this.#takeLine(staff);
    if (!line) return refuse(staff, this.#deps.clock);
    if (staff.destroyed) return void line.destroy();
    join(staff, line);
    join(line, staff);
  }

  /** A connection of the agent that nobody has used, or undefined when none comes in time. */
  #takeLine(staff: Socket): Promise<Socket | undefined> {
    for (const line of this.#idle) {
      this.#idle.delete(line);
      if (line.readable && line.writable) return Promise.resolve(line);
    }
    if (this.#waiting.size >= this.#options.most) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const give: Waiting = (line) => {
        this.#waiting.delete(give);
        cancel();
        resolve(line);
      };
      const cancel = this.#deps.clock.after(this.#options.patienceMs, () => give(undefined));
      staff.once('close', () => give(undefined));
      this.#waiting.add(give);
    });
  }
}

function join(from: Socket, to: Socket): void {
  from.pipe(to);
  from.once('close', () => {
    // Ended in order: `pipe` has passed that on, and what is on its way still arrives.
    if (!from.readableEnded) to.destroy();
  });
}

const farewellMs = 5000;

/** In the words that a client of an admin socket understands. */
function refuse(staff: Socket, clock: Pick<Clock, 'after'>): void {
  const error = new SallyportError('not-running', 'the agent of this node does not answer; its staff door does');
  const body = JSON.stringify(failureBody(error));
  const head = `HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`;
  staff.resume(); // closing with unread bytes would cost the client the answer
  staff.end(head + body);
  staff.once('end', () => staff.destroy());
  const cancel = clock.after(farewellMs, () => staff.destroy());
  staff.once('close', cancel);
}
