/** Signals and output streams as `serve` and the other verbs want them. `main.ts` calls this. */
import type { Signals } from './serve.ts';

/**
 * Whoever reads the output may leave early (`sallyport ls | head`): the rest goes nowhere, and that is no failure.
 * Only `main.ts` calls this, for standard output and standard error.
 */
export function tolerateClosedPipe(stream: Pick<NodeJS.WriteStream, 'on'>): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

interface SignalSource {
  on(name: 'SIGTERM' | 'SIGINT' | 'SIGHUP', listener: () => void): unknown;
}

export interface ProcessSignals extends Signals {
  /** Fires at the first SIGTERM or SIGINT, for verbs that end at once. */
  readonly signal: AbortSignal;
}

export function listenToSignals(source: SignalSource): ProcessSignals {
  const first = Promise.withResolvers<string>();
  const second = Promise.withResolvers<string>();
  const controller = new AbortController();
  let reload: () => void = () => {};
  let count = 0;
  const stop = (name: string): void => {
    count += 1;
    if (count > 1) second.resolve(name);
    first.resolve(name); // the first one counts
    controller.abort(new Error(name));
  };
  source.on('SIGTERM', () => stop('SIGTERM'));
  source.on('SIGINT', () => stop('SIGINT'));
  // A handler even before `serve` is ready: the default would end the process.
  source.on('SIGHUP', () => reload());
  return {
    stop: first.promise,
    stopNow: second.promise,
    signal: controller.signal,
    onReload: (action) => {
      reload = action;
    },
  };
}
