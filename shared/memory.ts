/**
 * Frees the buffers that contents pass through soon after their use. V8 counts a 64 KiB buffer as the few bytes of its handle
 * and lets some 64 MiB of dead ones gather in each thread before it looks; this looks more often and asks for a collection of
 * the young generation only, which takes about a millisecond.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { readonly type: 'minor' }) => void;

const lookEveryMs = 40;
/** Dead and live buffers of this thread above which it is worth a collection. */
const enoughBytes = 24 * 1024 * 1024;

/** Runs for the rest of the thread's life without keeping it alive. */
export function keepMemoryFlat(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  let leftBytes = 0;
  setInterval(() => {
    const { external_memory: now } = getHeapStatistics();
    if (now < leftBytes + enoughBytes) return;
    collect({ type: 'minor' });
    // What is left is alive, or has to wait for a full collection.
    leftBytes = Math.min(getHeapStatistics().external_memory, 4 * enoughBytes);
  }, lookEveryMs).unref();
}
