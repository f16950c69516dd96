/**
 * Runs a node until it is told to stop: starts it, opens its admin socket, says that it is ready, and turns signals into
 * a drain, an end at once, or a new look at the configuration.
 */
import type { Logger } from '../log.ts';
import type { Service } from '../service.ts';

/** A started node, as its composition root returns it. */
export interface RunningNode<Api> {
  readonly admin: Api;
  /** Waits politely until `signal` fires, then cuts. Safe at any moment: what was acknowledged is durable already. */
  stop(reason: string, signal: AbortSignal): Promise<void>;
}

/** The signals of the process; `main.ts` wires them. */
export interface Signals {
  /** Resolves with the name of the first SIGTERM or SIGINT. */
  readonly stop: Promise<string>;
  /** Resolves at the second one. */
  readonly stopNow: Promise<string>;
  /** Called at each SIGHUP. */
  onReload(action: () => void): void;
}

export interface ServeArgs<Api> {
  readonly start: () => Promise<RunningNode<Api>>;
  readonly socket: (api: Api) => Service;
  readonly log: Logger;
  readonly signals: Signals;
  readonly drainTimeoutMs: number;
  /** Fields of the ready line. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Reads the configuration anew. What it resolves with is logged. */
  readonly reload: (api: Api) => Promise<Readonly<Record<string, unknown>>>;
}

export async function serve<Api>(args: ServeArgs<Api>): Promise<void> {
  const { log, signals } = args;
  const node = await args.start();
  const socket = args.socket(node.admin);
  try {
    await socket.start();
  } catch (error) {
    await node.stop('the admin socket could not be opened', AbortSignal.abort());
    throw error;
  }
  signals.onReload(() => void reload(args, node.admin));
  log.info({ ...args.ready, ready: true }, 'ready');

  const name = await signals.stop;
  log.info({ signal: name, drainTimeoutMs: args.drainTimeoutMs }, 'stopping: transfers may finish; a second signal ends them');
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(new Error('the drain timeout is over')), args.drainTimeoutMs);
  void signals.stopNow.then((second) => cut.abort(new Error(`a second signal came: ${second}`)));
  try {
    await node.stop(name, cut.signal);
    await socket.stop(AbortSignal.abort());
  } finally {
    clearTimeout(timer);
  }
  log.info({ cut: cut.signal.aborted }, 'stopped');
}

async function reload<Api>({ log, reload: read }: ServeArgs<Api>, api: Api): Promise<void> {
  try {
    log.info(await read(api), 'configuration read anew');
  } catch (error) {
    log.error({ err: error }, 'the configuration is wrong; the last good one stays in use');
  }
}
