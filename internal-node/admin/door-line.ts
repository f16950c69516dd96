/**
 * The agent's end of the meeting with the staff door. The agent never listens: it dials the door's Unix socket and keeps a few
 * connections in reserve there; over each of them one member of staff may ask, as if he had connected here.
 *
 * The door may come and go: the agent dials again, and does everything else meanwhile. What is under way on a connection ends
 * with it, as with a client that went away.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { AdminAnswers } from '../../shared/admin/answers.ts';
import { SocketPath } from '../../shared/admin/socket-path.ts';
import { Backoff } from '../../shared/backoff.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Service } from '../../shared/service.ts';

export interface DoorLineDeps {
  readonly answers: AdminAnswers;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Logger;
  /** The door went away, or came back. */
  readonly onDoor?: (there: boolean) => void;
}

export interface DoorLineOptions {
  /** The socket on which the door waits for the agent. */
  readonly socket: string;
  /** Connections that wait for somebody to ask. */
  readonly spare?: number;
  /** Connections in all. */
  readonly most?: number;
  readonly retry?: { readonly firstMs: number; readonly maxMs: number };
}

export class DoorLine implements Service {
  readonly name = 'line to the staff door';
  readonly #deps: DoorLineDeps;
  readonly #options: Required<DoorLineOptions>;
  readonly #all = new Set<Socket>();
  readonly #unused = new Set<Socket>();
  readonly #stopping = new AbortController();
  /** It was there and is not. */
  #missed = false;
  #wake: () => void = () => {};
  #running: Promise<void> | undefined;

  constructor(deps: DoorLineDeps, options: DoorLineOptions) {
    this.#deps = deps;
    this.#options = Object.freeze({ spare: 4, most: 64, retry: { firstMs: 50, maxMs: 1000 }, ...options });
  }

  /** Begins to dial and returns at once: the agent does its work without a door, too. */
  async start(): Promise<void> {
    this.#deps.answers.server.on('request', ({ socket }: { readonly socket: Socket }) => {
      if (this.#unused.delete(socket)) this.#wake();
    });
    this.#running = this.#keep(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    for (const socket of this.#all) socket.destroy();
    await this.#running;
  }

  async #keep(stop: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const backoff = new Backoff(this.#options.retry);
    while (!stop.aborted) {
      if (this.#unused.size >= this.#options.spare || this.#all.size >= this.#options.most) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      try {
        this.#joined(await dial(this.#options.socket));
        backoff.reset();
      } catch (error) {
        log.debug({ err: error }, 'the staff door is not there');
        await clock.sleep(backoff.nextMs(), stop).catch(() => undefined);
      }
    }
  }

  #joined(socket: Socket): void {
    if (this.#stopping.signal.aborted) return void socket.destroy();
    const { log, onDoor, answers } = this.#deps;
    if (this.#all.size === 0) log.info('the staff door is there');
    if (this.#missed) onDoor?.(true);
    this.#missed = false;
    this.#all.add(socket);
    this.#unused.add(socket);
    socket.once('close', () => {
      this.#all.delete(socket);
      this.#unused.delete(socket);
      if (this.#all.size === 0 && !this.#stopping.signal.aborted) {
        this.#missed = true;
        log.warn('the staff door is gone: staff cannot ask until it is back; transfers go on');
        onDoor?.(false);
      }
      this.#wake();
    });
    answers.server.emit('connection', socket);
  }
}

async function dial(socketFile: string): Promise<Socket> {
  using path = SocketPath.open(socketFile);
  const socket = connect(path.usable);
  await once(socket, 'connect');
  socket.on('error', () => {}); // `close` follows
  return socket;
}
