/** Files there and back: sizes, versions of one name, several at once, 5 GiB. */
import assert from 'node:assert/strict';
import { rm, utimes } from 'node:fs/promises';
import type { Case } from './cases.ts';
import type { Play } from './play.ts';
import { sparseFile } from './stage.ts';

/** Many requests under way at once. */
const ordinary = 6_000_003;

async function putAndArrive(play: Play, size: number): Promise<void> {
  const file = await play.file('a', size);
  const remote = play.inbox('a.bin');
  await play.succeed([{ do: 'put', local: file.path, remote }]);
  await play.arrives(remote, file);
}

async function offerAndFetch(play: Play, size: number): Promise<void> {
  const file = await play.file('offered', size);
  await play.stage.offer(play.name('b.bin'), file.path);
  const local = play.localPath('fetched');
  await play.succeed([{ do: 'get', remote: `/Outbox/${play.name('b.bin')}`, local }]);
  await play.fetched(local, file);
  await play.stage.traced(`/Outbox/${play.name('b.bin')}`, 'item.downloaded');
}

const suite = { needs: [], extent: 'suite' } as const;

export const transferCases: readonly Case[] = [
  { id: 'put', title: 'put', ...suite, play: (play) => putAndArrive(play, ordinary) },
  { id: 'put-empty', title: 'put of 0 bytes', ...suite, play: (play) => putAndArrive(play, 0) },
  { id: 'get', title: 'get', ...suite, play: (play) => offerAndFetch(play, ordinary) },
  { id: 'get-empty', title: 'get of 0 bytes', needs: [], extent: 'table', play: (play) => offerAndFetch(play, 0) },
  {
    id: 'again',
    title: 'the same name again after the first was collected: both arrive',
    ...suite,
    play: async (play) => {
      const [first, second] = [await play.file('first', 150_000), await play.file('second', 120_000)];
      const remote = play.inbox('a.bin');
      await play.succeed([{ do: 'put', local: first.path, remote }]);
      await play.arrives(remote, first);
      await play.succeed([{ do: 'put', local: second.path, remote }]);
      await play.arrives(remote, second, play.name('a (2).bin'));
      assert.deepEqual(await play.stage.deliveredNames(play.name('')), [play.name('a (2).bin'), play.name('a.bin')]);
    },
  },
  {
    id: 'overwrite',
    title: 'the same name again while the first waits: the newer is seen, both are kept',
    needs: ['overwrite'],
    extent: 'suite',
    play: async (play) => {
      const [first, second] = [await play.file('first', 150_000), await play.file('second', 120_000)];
      const remote = play.held('a.bin');
      await play.succeed([{ do: 'put', local: first.path, remote }]);
      await play.succeed([{ do: 'put', local: second.path, remote }]);
      await using raw = await play.stage.raw();
      assert.equal(await raw.sizeOf(remote), second.size);
      assert.deepEqual(await play.heldVersions(remote, 2), [first.sha256, second.sha256]);
    },
  },
  {
    id: 'parallel',
    title: 'eight files at once',
    ...suite,
    play: async (play) => {
      const files = await Promise.all(Array.from({ length: 8 }, (_, n) => play.file(`p${n}`, 200_000 + n)));
      const remotes = files.map((_, n) => play.inbox(`p${n}.bin`));
      await play.together(files.map(({ path }, n) => ({ do: 'put', local: path, remote: remotes[n] ?? '' })));
      for (const [n, file] of files.entries()) await play.arrives(remotes[n] ?? '', file);
    },
  },
  {
    id: 'times',
    title: 'put with the time of the file',
    needs: ['times'],
    extent: 'table',
    play: async (play) => {
      const file = await play.file('old', 1000);
      const at = new Date('2020-02-02T02:02:02Z');
      await utimes(file.path, at, at);
      const remote = play.inbox('old.bin');
      await play.succeed([{ do: 'put', local: file.path, remote, times: true }]);
      await play.arrives(remote, file);
      await using raw = await play.stage.raw();
      assert.equal(await raw.modifiedAtMs(remote), at.getTime());
    },
  },
  {
    id: 'big-put',
    title: 'put of 5 GiB, mostly holes',
    needs: [],
    extent: 'full',
    play: async (play) => {
      const file = await sparseFile(play.localPath('big'), 5 * 2 ** 30);
      const remote = play.inbox('big.bin');
      await play.succeed([{ do: 'put', local: file.path, remote }]);
      await rm(file.path);
      await play.arrives(remote, file);
      await rm((await play.stage.delivered(play.name('big.bin'))).path);
    },
  },
  {
    id: 'big-get',
    title: 'get of 5 GiB',
    needs: [],
    extent: 'full',
    play: async (play) => {
      const file = await play.stage.bigOffer();
      const local = play.localPath('big');
      await play.succeed([{ do: 'get', remote: `/Outbox/${file.name}`, local }]);
      await play.fetched(local, file);
      await rm(local);
    },
  },
];
