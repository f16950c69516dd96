/**
 * Uploads over FTPS that are broken off, and what must be true afterwards: never `226`, never an item, always a partial that
 * the same partner can continue to the very file that he meant, and an event that tells of it (reliability.md §2.8).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { CutStream } from '../fixtures/cut-stream.ts';
import { eventually } from '../fixtures/eventually.ts';
import { type FtpsCacheDoor, send, sha256 } from '../fixtures/ftps-cache-door.ts';
import { password, user } from '../fixtures/ftps-door.ts';
import type { RawFtp } from '../fixtures/raw-ftp.ts';

export const versions = ['TLSv1.2', 'TLSv1.3'] as const;
export type Version = (typeof versions)[number];

export const endings = [
  'a bare FIN',
  'a FIN within a record',
  'a damaged record',
  'a reset',
  'a lost control connection',
  'a killed client',
] as const;
export type Ending = (typeof endings)[number];

interface Cut {
  readonly ftp: RawFtp;
  readonly data: TLSSocket;
  readonly below: CutStream;
}

const more = Buffer.alloc(10_000, 9);

/** How the connection ends, once the server has some of the file. */
const cuts: Readonly<Record<Exclude<Ending, 'a killed client'>, (cut: Cut) => void>> = {
  'a bare FIN': ({ below }) => below.endUntold(),
  'a FIN within a record': ({ below, data }) => {
    below.endWithinNextRecord();
    data.write(more);
  },
  'a damaged record': ({ below, data }) => {
    below.damageNextRecord();
    data.write(more);
  },
  'a reset': ({ below }) => below.reset(),
  // The data ends as it should, but nobody is there any more who could hear that it was taken.
  'a lost control connection': ({ ftp, data }) => {
    ftp.close();
    setImmediate(() => data.end());
  },
};

/** One upload of `size` bytes of a random file, of which `sent` are sent before the end. @throws what is not as it must be. */
export async function breakOff(
  stage: FtpsCacheDoor,
  how: {
    readonly version: Version;
    readonly ending: Ending;
    readonly path: string;
    readonly size: number;
    readonly sent: number;
  },
): Promise<void> {
  const { version, ending, path, size, sent } = how;
  const bytes = randomBytes(size);
  const before = stage.receivedBytes;
  const some = (): Promise<void> => eventually('some of the file has come', () => stage.receivedBytes > before);
  if (ending === 'a killed client') await kill(stage, version, path, bytes, some);
  else await cutOff(stage, { ...how, ending }, bytes.subarray(0, sent), some);
  assert.equal((await stage.bench.list()).filter((item) => item.path === path).length, 0, 'nothing is delivered');
  const kept = await stage.keptPartial(path);
  assert.ok(kept > 0 && kept <= (ending === 'a killed client' ? size : sent), `${kept} bytes are kept`);
  await goOn(stage, path, bytes, kept);
}

async function cutOff(
  stage: FtpsCacheDoor,
  { version, ending, path }: { readonly version: Version; readonly ending: keyof typeof cuts; readonly path: string },
  bytes: Buffer,
  some: () => Promise<void>,
): Promise<void> {
  const ftp = await stage.logIn({ minVersion: version, maxVersion: version });
  const { data, below } = await ftp.cuttableData(await ftp.passive());
  assert.equal((await ftp.ask(`STOR ${path}`)).code, 150);
  data.write(bytes);
  await some();
  cuts[ending]({ ftp, data, below });
  if (ending !== 'a lost control connection') assert.equal((await ftp.reply()).code, 426);
  below.destroy();
  ftp.close();
}

/** Slowed down, so that it is in the middle of it whenever it is killed. */
async function kill(
  stage: FtpsCacheDoor,
  version: Version,
  path: string,
  bytes: Buffer,
  some: () => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-cut-'));
  try {
    await writeFile(join(folder, 'file'), bytes);
    await writeFile(join(folder, 'login'), `user = ${JSON.stringify(`${user}:${password}`)}\n`, { mode: 0o600 });
    const tls = version === 'TLSv1.2' ? ['--tls-max', '1.2'] : ['--tlsv1.3'];
    const url = `ftp://127.0.0.1:${stage.door.port}/${path}`;
    const client = spawn(
      'curl',
      ['-sS', '-K', join(folder, 'login'), '--ssl-reqd', '--cacert', stage.door.caFile, ...tls].concat(
        '--limit-rate',
        String(Math.ceil(bytes.length / 4)),
        '-T',
        join(folder, 'file'),
        url,
      ),
      { stdio: 'ignore' },
    );
    const gone = once(client, 'close');
    await some();
    client.kill('SIGKILL');
    await gone;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The partner comes back and sends the rest. */
async function goOn(stage: FtpsCacheDoor, path: string, bytes: Buffer, kept: number): Promise<void> {
  const ftp = await stage.logIn();
  const size = await ftp.ask(`SIZE ${path}`);
  assert.match(size.text, new RegExp(`^213 ${kept}\\r`));
  assert.equal((await ftp.ask(`REST ${kept}`)).code, 350);
  assert.equal((await send(ftp, `STOR ${path}`, bytes.subarray(kept))).code, 226);
  assert.equal(await stage.digestOf(path), sha256(bytes));
  assert.equal((await ftp.ask('QUIT')).code, 221);
}
