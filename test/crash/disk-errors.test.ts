/**
 * A system call on the disk fails under a running node. The partner hears a failure and never "ok"; a node that cannot trust its
 * disk any more accepts nothing and says why; a restart is all it needs. Inside, the file waits and is delivered once.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ask, eventually, sftp } from '../../scripts/site/walk.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { hurry } from './crashstep.ts';
import { type Injection, inject, onePoolThread } from './injection.ts';
import { Consumer, residue } from './oracle.ts';

describe('a disk that fails', () => {
  let pair: Pair;
  let consumer: Consumer;
  before(async () => {
    pair = await startPair({}, { dmz: onePoolThread, internal: onePoolThread }, hurry);
    consumer = new Consumer(join(pair.site.inside.delivered, 'acme'));
    consumer.start();
  });
  after(async () => {
    await consumer.stop();
    await pair[Symbol.asyncDispose]();
  });

  async function put(name: string): Promise<boolean> {
    const { site, acme } = pair;
    const content = Buffer.alloc(300_001, `${name}; `);
    await writeFile(join(site.folder, 'upload'), content);
    consumer.sent(name, content);
    return (await sftp(site, acme, [`put ${join(site.folder, 'upload')} "/Inbox/${name}"`])).code === 0;
  }

  const arrives = (name: string): Promise<true> =>
    eventually(`${name} is delivered`, async () => consumer.has(name) || undefined);

  /** What the command says, whether it can look at the records or not. */
  const status = (kind: 'dmz' | 'internal'): Promise<string> =>
    ask(pair.site, kind, 'status').catch((error: { stderr: string }) => error.stderr);

  async function restart(kind: 'dmz' | 'internal'): Promise<void> {
    await pair.supervisor.takeDown(kind);
    pair.supervisor.bringUp(kind);
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
  }

  const untrusted: readonly Injection[] = [
    { thread: 'libuv-worker', call: 'fdatasync', what: 'error=EIO:when=1' },
    { thread: 'libuv-worker', call: 'fsync', what: 'error=EIO:when=1' },
    { thread: 'seal', call: 'openat', what: 'error=EROFS:when=1' },
    { thread: 'records', call: 'fsync', what: 'error=EIO:when=2' },
  ];
  for (const [index, injection] of untrusted.entries()) {
    it(`of the DMZ (${injection.thread} ${injection.call} ${injection.what}): refused, said so, well after a restart`, async () => {
      {
        await using _injected = await inject(pair.supervisor.pid('dmz'), injection);
        assert.equal(await put(`refused-${index}`), false);
      }
      assert.equal(await put(`refused-too-${index}`), false);
      assert.match(await status('dmz'), /restart the node/);
      await restart('dmz');
      assert.equal(await put(`accepted-${index}`), true);
      await arrives(`accepted-${index}`);
      assert.equal(consumer.has(`refused-too-${index}`), false);
    });
  }

  it('of the DMZ, and is full for a moment: the upload fails, the next one does not', async () => {
    for (const [index, thread] of (['seal', 'records'] as const).entries()) {
      {
        const call = thread === 'seal' ? 'pwritev' : 'pwrite64';
        await using _injected = await inject(pair.supervisor.pid('dmz'), { thread, call, what: 'error=ENOSPC' });
        assert.equal(await put(`no-space-${index}`), false);
      }
      assert.equal(await put(`space-again-${index}`), true);
      await arrives(`space-again-${index}`);
      assert.doesNotMatch(await status('dmz'), /restart the node/);
    }
  });

  const inside: readonly Injection[] = [
    { thread: 'libuv-worker', call: 'fdatasync', what: 'error=EIO:when=1' },
    { thread: 'libuv-worker', call: 'fsync', what: 'error=EIO:when=1' },
    { thread: 'libuv-worker', call: 'fsync', what: 'error=EIO:when=2' },
    { thread: 'libuv-worker', call: 'rename', what: 'error=EIO:when=1' },
    { thread: 'MainThread', call: 'link', what: 'error=EIO:when=1' },
    { thread: 'seal', call: 'pwritev', what: 'error=ENOSPC:when=1' },
  ];
  for (const [index, injection] of inside.entries()) {
    it(`of the destination (${injection.thread} ${injection.call} ${injection.what}): the file waits and arrives once`, async () => {
      await using _injected = await inject(pair.supervisor.pid('internal'), injection);
      assert.equal(await put(`inside-${index}`), true);
      await arrives(`inside-${index}`);
    });
  }

  it('of the inside, under its records: partners are refused, it says so, and is well after a restart', async () => {
    const accepted: string[] = [];
    {
      const injection = { thread: 'records', call: 'fsync', what: 'error=EIO:when=2' } as const;
      await using _injected = await inject(pair.supervisor.pid('internal'), injection);
      while (await put(`while-it-fails-${accepted.length}`)) accepted.push(`while-it-fails-${accepted.length}`);
    }
    assert.match(await status('internal'), /restart the node/);
    await restart('internal');
    assert.equal(await put('well'), true);
    for (const name of [...accepted, 'well']) await arrives(name);
  });

  it('left nothing behind, and every file came once', async () => {
    const quiet = async (): Promise<true | undefined> => /0 ready, 0 being fetched/.test(await status('dmz')) || undefined;
    await eventually('nothing waits', quiet);
    await pair.supervisor.stop();
    assert.deepEqual([...consumer.faults, ...(await residue(pair.site))], []);
  });
});
