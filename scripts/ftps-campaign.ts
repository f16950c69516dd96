/**
 * What the tests do with the FTPS door a few times, here many times: uploads that break off in each way (`truncation`, 100
 * each), logins in a row and eight at a time (`logins`, 1,000), transfers in one process (`transfers`, 10,000).
 * Ends with exit 1 at the first that is not as it must be.
 */
import { randomInt } from 'node:crypto';
import { argv, stdout } from 'node:process';
import { endSealing } from '../test/fixtures/cache-bench.ts';
import { FtpsCacheDoor } from '../test/fixtures/ftps-cache-door.ts';
import { logins, type Memory, transfers } from '../test/hostile/ftps-soak.ts';
import { breakOff, endings, versions } from '../test/hostile/ftps-truncation.ts';

/** Compiled code and the like; a leak of 1 KiB a transfer would be more. */
const mostGrowthBytes = 4 * 2 ** 20;

const tell = (line: string): void => void stdout.write(`${line}\n`);

async function truncation(runs: number): Promise<void> {
  for (const version of versions) {
    for (const ending of endings) {
      // A stage for each, because the inside that would take the items away is played.
      await using stage = await FtpsCacheDoor.open();
      for (let run = 0; run < runs; run++) {
        const sent = randomInt(1, 2 ** randomInt(4, 22));
        const size = (ending === 'a killed client' ? 200_000 : sent) + randomInt(1, 50_000);
        const path = `/Inbox/${run}.bin`;
        await breakOff(stage, { version, ending, path, size, sent }).catch((cause: unknown) => {
          throw new Error(`${version}, ${ending}, ${sent} of ${size} bytes`, { cause });
        });
        await stage.bench.view().removeFile(stage.bench.view().resolve(Buffer.from(path)));
      }
      tell(`${version}, ${ending}: ${runs} partials, none delivered, all continued`);
    }
  }
}

async function measured(what: string, work: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  await work();
  tell(`${what}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s, none failed, nothing left`);
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** Transfers one after another, between which memory is looked at. The first tenth warms up. */
async function flat(many: number): Promise<void> {
  const seen: Memory[] = [];
  await transfers(many, 500, (memory) => {
    seen.push(memory);
    tell(`after ${memory.transfers}: heap and buffers ${mib(memory.heapBytes)} MiB, resident ${mib(memory.residentBytes)} MiB`);
  });
  const [warm, last] = [seen[1], seen.at(-1)];
  if (warm && last && last.heapBytes - warm.heapBytes > mostGrowthBytes) throw new Error('memory grows');
}

const [, , kind, count] = argv;
await using _sealing = { [Symbol.asyncDispose]: endSealing };
switch (kind) {
  case 'truncation':
    await truncation(Number(count ?? 100));
    break;
  case 'logins':
    for (const atOnce of [1, 8]) {
      const many = Number(count ?? 1000);
      await measured(`${many} logins, ${atOnce} at a time`, () => logins(many, atOnce));
    }
    break;
  case 'transfers':
    await measured(`${count ?? 10_000} transfers`, () => flat(Number(count ?? 10_000)));
    break;
  default:
    tell('usage: scripts/ftps-campaign truncation|logins|transfers [COUNT]');
    process.exitCode = 2;
}
