/**
 * Frees the buffers that contents pass through soon after their use. V8 counts a 64 KiB buffer as the few bytes of its handle
 * and lets some 64 MiB of dead ones gather in each thread before it looks; this looks more often and asks for a collection of
 * the young generation only, which takes about a millisecond.
 */
import { getHeapStatistics } from 'node:v8';

/**
 * Gives the memory of a buffer back at once instead of leaving it to the garbage collector; every view of it becomes empty. A
 * buffer that is only a part of its memory is left to the collector: so is every small one, which shares a pool with others.
 */
export function freeNow(bytes: Buffer): void {
  const { buffer } = bytes;
  if (buffer.byteLength === bytes.length && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

const lent = new WeakMap<Buffer, () => void>();

/**
 * Marks a buffer whose memory is wanted back soon. Whoever gets it may call `giveBack` when he has used it up, or leave it to
 * the garbage collector.
 * @param onReturn Frees it when left out.
 */
export function lend(bytes: Buffer, onReturn: () => void = () => freeNow(bytes)): Buffer {
  lent.set(bytes, onReturn);
  return bytes;
}

/** The caller looks at `bytes` no more. Does nothing for a buffer that was not lent. */
export function giveBack(bytes: Buffer): void {
  const onReturn = lent.get(bytes);
  lent.delete(bytes);
  onReturn?.();
}

const lookEveryMs = 40;
/** Dead and live buffers of this thread above which it is worth a collection. */
const enoughBytes = 24 * 1024 * 1024;

/**
 * Runs for the rest of the thread's life without keeping it alive. Does nothing where Node was not started with `--expose-gc`: the
 * node then works as well, with more memory.
 */
export function keepMemoryFlat(): void {
  const collect = globalThis.gc;
  if (!collect) return;
  let leftBytes = 0;
  setInterval(() => {
    const { external_memory: now } = getHeapStatistics();
    if (now < leftBytes + enoughBytes) return;
    void collect({ type: 'minor' });
    // What is left is alive, or has to wait for a full collection.
    leftBytes = Math.min(getHeapStatistics().external_memory, 4 * enoughBytes);
  }, lookEveryMs).unref();
}
