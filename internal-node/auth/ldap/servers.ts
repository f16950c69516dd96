/**
 * The servers of one directory: connections to the first that answers, and a pool of connections of the service account.
 *
 * A server that failed is not asked again for a moment, so that a login does not wait for it each time. Connections for users
 * are always fresh: what one user did on it cannot help or hurt the next. Those of the service account are shared by logins one
 * after the other and dropped after any fault.
 */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../../shared/clock.ts';
import { checkPrivateFile } from '../../../shared/config/write-file.ts';
import type { Logger } from '../../../shared/log.ts';
import { Secret } from '../../../shared/secret.ts';
import { DirectoryConnection } from './directory-connection.ts';
import { DirectoryFault } from './directory-fault.ts';
import type { DirectoryOptions } from './directory-options.ts';
import { addressOf, openSocket, type TlsTrust } from './secure-socket.ts';

export interface ServersDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

interface Idle {
  readonly connection: DirectoryConnection;
  readonly sinceMs: number;
}

const avoidFailedMs = 5000;
const mostIdle = 4;
const idleMs = 60_000;

export class DirectoryServers {
  readonly #deps: ServersDeps;
  readonly #options: DirectoryOptions;
  readonly #failedUntilMs = new Map<string, number>();
  readonly #idle: Idle[] = [];
  #closed = false;

  constructor(deps: ServersDeps, options: DirectoryOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** A fresh connection on which nobody is bound. The caller closes it. @throws DirectoryFault `failed` of every server. */
  async connect(signal: AbortSignal): Promise<DirectoryConnection> {
    const { servers, startTls, connectTimeout: limitMs, answerTimeout: answerMs } = this.#options;
    const trust = await this.#trust();
    const failures: string[] = [];
    for (const url of servers) {
      const untilMs = this.#failedUntilMs.get(url) ?? 0;
      if (untilMs > this.#deps.clock.monotonicMs()) {
        failures.push(`${url} failed a moment ago`);
        continue;
      }
      try {
        const socket = await openSocket(addressOf(url, startTls), trust, { clock: this.#deps.clock, limitMs }, signal);
        this.#failedUntilMs.delete(url);
        return new DirectoryConnection(socket, { answerMs });
      } catch (error) {
        signal.throwIfAborted();
        const detail = error instanceof Error ? error.message : String(error);
        failures.push(`${url}: ${detail}`);
        this.#failedUntilMs.set(url, this.#deps.clock.monotonicMs() + avoidFailedMs);
        this.#deps.log.warn({ directory: this.#options.name, server: url, detail }, 'a directory server cannot be asked');
      }
    }
    throw new DirectoryFault('failed', failures.join('; '));
  }

  /** Lends a connection on which the service account is bound. @throws DirectoryFault; the service's own refusal is `failed`. */
  async withService<T>(work: (connection: DirectoryConnection) => Promise<T>, signal: AbortSignal): Promise<T> {
    const connection = this.#takeIdle() ?? (await this.#bound(signal));
    using _cut = cutOn(signal, connection);
    try {
      const result = await work(connection);
      this.#giveBack(connection);
      return result;
    } catch (error) {
      if (error instanceof DirectoryFault && error.kind !== 'failed') this.#giveBack(connection);
      else connection.destroy();
      throw error;
    }
  }

  /** Nothing more is lent; what is idle is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#idle.splice(0).map(({ connection }) => connection.close()));
  }

  #takeIdle(): DirectoryConnection | undefined {
    const nowMs = this.#deps.clock.monotonicMs();
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (idle.connection.usable && nowMs - idle.sinceMs < idleMs) return idle.connection;
      void idle.connection.close();
    }
    return undefined;
  }

  #giveBack(connection: DirectoryConnection): void {
    if (this.#closed || !connection.usable || this.#idle.length >= mostIdle) void connection.close();
    else this.#idle.push({ connection, sinceMs: this.#deps.clock.monotonicMs() });
  }

  async #bound(signal: AbortSignal): Promise<DirectoryConnection> {
    const { service } = this.#options;
    if (!service) throw new DirectoryFault('failed', 'the directory has no service account');
    const password = await servicePassword(service.passwordFile);
    const connection = await this.connect(signal);
    using _cut = cutOn(signal, connection);
    try {
      await connection.bind(service.name, password);
      return connection;
    } catch (error) {
      connection.destroy();
      signal.throwIfAborted();
      throw new DirectoryFault('failed', `the service account is refused: ${(error as Error).message}`);
    }
  }

  async #trust(): Promise<TlsTrust> {
    const { authorities, serverName, keyPins } = this.#options;
    const pem = authorities === undefined ? undefined : await read(authorities);
    return { keyPins, ...(pem === undefined ? {} : { authorities: pem }), ...(serverName === undefined ? {} : { serverName }) };
  }
}

/** Ends a connection when the signal fires while it is in use. */
export function cutOn(signal: AbortSignal, connection: Pick<DirectoryConnection, 'destroy'>): Disposable {
  const cut = (): void => connection.destroy();
  if (signal.aborted) cut();
  signal.addEventListener('abort', cut, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', cut) };
}

/** Read anew for each connection, so that it can be changed while the node runs. */
async function servicePassword(file: string): Promise<Secret> {
  try {
    await checkPrivateFile(file);
  } catch (error) {
    throw new DirectoryFault('failed', (error as Error).message);
  }
  const [line = ''] = (await read(file)).split(/\r?\n/, 1);
  return new Secret(line);
}

const read = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: unknown) => {
    throw new DirectoryFault('failed', `${file} cannot be read: ${(error as Error).message}`);
  });
