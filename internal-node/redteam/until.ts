/** Waits for something that happens soon on the other side of a socket, where there is nothing to await. */
import { setTimeout as sleep } from 'node:timers/promises';

/** @throws Error that names what did not happen. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, limitMs = 60_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs / 1000} s: ${what}`);
    await sleep(20);
  }
}
