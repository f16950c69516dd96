/** Tells a data connection on which nothing moves any more. */

import type { Clock } from '../../../shared/clock.ts';
import type { StallRule } from '../../progress.ts';
import type { DataConnection } from './data-connection.ts';

export interface Watching {
  readonly clock: Clock;
  readonly stall: StallRule;
}

/** Calls `onStall` each time that too little has moved for too long. @returns what ends the watching. */
export function watchProgress(
  connection: DataConnection,
  { clock, stall: { stallMs, leastBytes } }: Watching,
  onStall: () => void,
): () => void {
  let moved = connection.movedBytes();
  let cancel: () => void = () => undefined;
  const look = (): void => {
    cancel = clock.after(stallMs, () => {
      const now = connection.movedBytes();
      if (now - moved < leastBytes) onStall();
      moved = now;
      look();
    });
  };
  look();
  return () => cancel();
}
