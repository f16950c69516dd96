/** Tells a data connection on which nothing moves any more. */
import type { Clock } from '../../../shared/clock.ts';
import type { DataConnection } from './data-connection.ts';

export interface Watching {
  readonly clock: Clock;
  readonly stallMs: number;
}

/** Calls `onStall` each time that nothing has moved for `stallMs`. @returns what ends the watching. */
export function watchProgress(connection: DataConnection, { clock, stallMs }: Watching, onStall: () => void): () => void {
  let moved = connection.movedBytes();
  let cancel: () => void = () => undefined;
  const look = (): void => {
    cancel = clock.after(stallMs, () => {
      const now = connection.movedBytes();
      if (now === moved) onStall();
      moved = now;
      look();
    });
  };
  look();
  return () => cancel();
}
