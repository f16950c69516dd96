/**
 * The admin socket of a node: HTTP on a Unix socket (0600) in a folder that only the node's user can enter (0700). Whoever
 * can connect may do everything; there is no login. It never listens on a network address.
 */
import type { Logger } from '../log.ts';
import type { Service } from '../service.ts';
import { AdminAnswers } from './answers.ts';
import { listenPrivately } from './private-socket.ts';
import type { AdminRoute } from './routes.ts';

export interface AdminServerOptions {
  /** Path of the socket. Its folder is made with mode 0700 when it is not there. */
  readonly socket: string;
}

export class AdminServer implements Service {
  readonly name = 'admin socket';
  readonly #answers: AdminAnswers;
  readonly #options: AdminServerOptions;
  #place: Disposable | undefined;

  constructor(deps: { readonly routes: readonly AdminRoute[]; readonly log: Logger }, options: AdminServerOptions) {
    this.#answers = new AdminAnswers(deps);
    this.#options = options;
  }

  /** @throws SallyportError as `listenPrivately` does. */
  async start(): Promise<void> {
    this.#place = await listenPrivately(this.#answers.server, this.#options.socket);
  }

  async stop(signal: AbortSignal): Promise<void> {
    const place = this.#place;
    this.#place = undefined;
    if (!place) return;
    const { server } = this.#answers;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    const cut = (): void => server.closeAllConnections();
    if (signal.aborted) cut();
    else signal.addEventListener('abort', cut, { once: true });
    await closed;
    signal.removeEventListener('abort', cut);
    place[Symbol.dispose]();
  }
}
