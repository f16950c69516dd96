/** Many logins and many transfers through one FTPS door, and what is left in its process afterwards: nothing. */
import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { eventually } from '../fixtures/eventually.ts';
import { fetch, send } from '../fixtures/ftps-cache-door.ts';
import { type FtpsDoor, openFtpsDoor, password, user } from '../fixtures/ftps-door.ts';
import { MemoryView } from '../fixtures/memory-view.ts';
import { RawFtp } from '../fixtures/raw-ftp.ts';

/** What keeps a process busy: sockets, listeners, timers. */
function resources(): Readonly<Record<string, number>> {
  const counted: Record<string, number> = {};
  const kinds = ['TCPSocketWrap', 'TCPServerWrap', 'TLSWrap', 'Timeout'];
  for (const kind of process.getActiveResourcesInfo()) if (kinds.includes(kind)) counted[kind] = (counted[kind] ?? 0) + 1;
  return counted;
}

/** @throws what is left over. */
async function leavesNothing(work: (door: FtpsDoor) => Promise<void>): Promise<void> {
  await using door = await openFtpsDoor({ view: new MemoryView() });
  const ftp = await RawFtp.loggedIn(door.port, user, password);
  await ftp.ask('QUIT');
  await ftp.closed();
  await eventually('the door is idle', () => door.sessions.count() === 0 && resources().TCPSocketWrap === undefined);
  const before = resources();
  await work(door);
  const more = (): boolean => Object.entries(resources()).some(([kind, count]) => count > (before[kind] ?? 0));
  // Data connections linger for a peer that does not close; these do.
  await eventually('nothing is left over', () => !more()).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify({ before, after: resources() })}`);
  });
  assert.equal(door.sessions.count(), 0);
}

async function oneLogin(port: number): Promise<void> {
  const ftp = await RawFtp.connect(port);
  await ftp.reply();
  await ftp.authTls();
  assert.equal((await ftp.logIn(user, password)).code, 230);
  assert.equal((await ftp.ask('QUIT')).code, 221);
  await ftp.closed();
}

/** @param atOnce Logins side by side. @throws at the first that fails. */
export const logins = (count: number, atOnce: number): Promise<void> =>
  leavesNothing(async ({ port }) => {
    let left = count;
    const one = async (): Promise<void> => {
      while (left-- > 0) await oneLogin(port);
    };
    await Promise.all(Array.from({ length: atOnce }, one));
  });

export interface Memory {
  readonly transfers: number;
  /** After a collection of garbage. */
  readonly heapBytes: number;
  /** Of the process, which is server and clients in one. */
  readonly residentBytes: number;
}

const collect = (): void => {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
};

function memory(transfers: number): Memory {
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { transfers, heapBytes: heapUsed + external, residentBytes: rss };
}

/**
 * Uploads, downloads, listings, and each twentieth time one that is given up.
 * @param onMemory Told ten times what the process holds.
 * @throws at the first that fails.
 */
export const transfers = (
  count: number,
  perSession: number,
  onMemory: (memory: Memory) => void = () => undefined,
): Promise<void> =>
  leavesNothing(async ({ port, view }) => {
    const bytes = Buffer.alloc(5000, 5);
    let told = 0;
    for (let done = 0; done < count; ) {
      if (done >= (told * count) / 10) {
        told++;
        onMemory(memory(done));
      }
      const ftp = await RawFtp.loggedIn(port, user, password);
      for (let n = 0; n < perSession && done < count; n++, done++) await oneTransfer(ftp, n, bytes);
      assert.equal((await ftp.ask('QUIT')).code, 221);
      await ftp.closed();
    }
    onMemory(memory(count));
    assert.equal(view.openWriters, 0);
    assert.deepEqual(view.files.get('/Inbox/a')?.bytes, bytes);
  });

async function oneTransfer(ftp: RawFtp, n: number, bytes: Buffer): Promise<void> {
  if (n % 20 === 19) return givenUp(ftp);
  if (n % 3 === 0) return void assert.equal((await send(ftp, 'STOR /Inbox/a', bytes)).code, 226);
  const { reply, bytes: got } = await fetch(ftp, n % 3 === 1 ? 'RETR /Inbox/a' : 'LIST /');
  assert.equal(reply.code, 226);
  assert.ok(got.length > 0);
}

async function givenUp(ftp: RawFtp): Promise<void> {
  const data = await ftp.data(await ftp.passive());
  assert.equal((await ftp.ask('STOR /Inbox/given-up')).code, 150);
  assert.equal((await ftp.ask('ABOR')).code, 426);
  assert.equal((await ftp.reply()).code, 226);
  data.destroy();
}
