/**
 * Measures `shared/seal` alone: `node scripts/bench-seal.ts [MiB] [folder]` (defaults: 256, the system's folder for
 * temporary files). Prints MiB/s of a writer, a reader in order and an opener, and small files per second, each the best
 * and the median of several runs. The last flush to disk is part of the writer's and the opener's time, so a folder in memory
 * shows the code and a folder on disk shows the disk.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateIdentity } from '../shared/seal/age-key.ts';
import { openHeader } from '../shared/seal/header.ts';
import { type SealedSegment, SealWorkers } from '../shared/seal/seal-workers.ts';

const mebibytes = Number(process.argv[2] ?? 256);
const folder = await mkdtemp(join(process.argv[3] ?? tmpdir(), 'bench-seal-'));
const keys = generateIdentity();
const workers = new SealWorkers({ threads: 2 });
const sealedPath = join(folder, 'sealed');
const runs = 5;

async function writeLarge(): Promise<SealedSegment> {
  const bytes = Buffer.alloc(256 * 1024, 'sallyport');
  const writer = workers.createWriter({ path: sealedPath, recipients: [keys.recipient] });
  for (let i = 0; i < mebibytes * 4; i += 1) await writer.write(bytes);
  return writer.finish();
}

async function readLarge(segment: SealedSegment): Promise<void> {
  const fileKey = openHeader(segment.header, keys.identity);
  const reader = await workers.openReader([{ path: sealedPath, fileKey, plainBytes: segment.plainBytes }]);
  // As an SFTP client does: requests of 255 KiB, several under way.
  const step = 255 * 1024;
  const underWay: Promise<Buffer>[] = [];
  for (let at = 0; at < reader.size; at += step) {
    underWay.push(reader.read(at, step));
    if (underWay.length > 4) await underWay.shift();
  }
  await Promise.all(underWay);
  await reader.close();
}

async function openLarge(segment: SealedSegment): Promise<void> {
  const path = join(folder, 'plain');
  const opener = workers.createOpener({ path, identity: keys.identity });
  opener.beginSegment(segment);
  for await (const bytes of createReadStream(sealedPath, { highWaterMark: 256 * 1024 })) await opener.write(bytes);
  await opener.endSegment();
  await opener.finish();
  await rm(path);
}

async function writeSmall(count: number): Promise<void> {
  const bytes = Buffer.alloc(4096, 'sallyport');
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const writer = workers.createWriter({ path: join(folder, `small-${next++}`), recipients: [keys.recipient] });
      await writer.write(bytes);
      await writer.finish();
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
}

async function measure(name: string, amount: number, unit: string, work: () => Promise<unknown>, after?: () => Promise<void>) {
  const rates: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const begin = performance.now();
    await work();
    rates.push((amount * 1000) / (performance.now() - begin));
    await after?.();
  }
  rates.sort((a, b) => a - b);
  const figure = (rate: number | undefined): string => (rate ?? 0).toFixed(0).padStart(6);
  console.log(`${name.padEnd(22)} best ${figure(rates.at(-1))}  median ${figure(rates[runs >> 1])} ${unit}`);
}

await workers.start();
try {
  let segment: SealedSegment | undefined;
  const write = async (): Promise<void> => {
    await rm(sealedPath, { force: true });
    segment = await writeLarge();
  };
  const sealed = (): SealedSegment => {
    if (!segment) throw new Error('nothing was written');
    return segment;
  };
  await measure('writer', mebibytes, 'MiB/s', write);
  await measure('reader, in order', mebibytes, 'MiB/s', () => readLarge(sealed()));
  await measure('opener', mebibytes, 'MiB/s', () => openLarge(sealed()));
  const removeSmall = async (): Promise<void> => {
    await Promise.all(Array.from({ length: 1000 }, (_, i) => rm(join(folder, `small-${i}`))));
  };
  await measure('small files (4 KiB)', 1000, 'files/s', () => writeSmall(1000), removeSmall);
} finally {
  await workers.stop();
  await rm(folder, { recursive: true });
}
