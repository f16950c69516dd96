/**
 * Loaded into a node by `scripts/measure-logins` (`NODE_OPTIONS=--import`): writes how late its event loop is to a file, and begins anew
 * when that file is removed. No part of the product.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const folder = process.env.SALLYPORT_LOOP_DELAY;
const [, main = '', verb, part] = process.argv;
// The inside is two processes: the agent is the one that answers logins.
if (folder && isMainThread && verb === 'serve' && (part === 'agent' || main.includes('dmz-node'))) {
  const file = join(folder, main.includes('internal-node') ? 'inside.json' : 'dmz.json');
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const ms = (nanoseconds: number): number => Number((nanoseconds / 1e6).toFixed(1));
  setInterval(() => {
    if (!existsSync(file)) delay.reset();
    writeFileSync(
      `${file}.new`,
      JSON.stringify({ p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) }),
    );
    renameSync(`${file}.new`, file);
  }, 200).unref();
}
