/** What a lost connection leaves behind, and how it goes on. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import type { Case } from './cases.ts';
import type { Play } from './play.ts';

const size = 300_000;
const cuts = [0, 1, 1024, size - 1] as const;
const large = 6 * 1024 * 1024;

/** The connection is lost in the middle; the client reports it, or goes on by itself. */
async function cutInTheMiddle(play: Play, local: string, remote: string): Promise<boolean> {
  play.stage.relay.cutAfter(large / 3);
  const { ok } = await play.run([{ do: 'put', local, remote }], { relayed: true });
  assert.ok(play.stage.relay.hasCut, 'the relay has cut it');
  await play.stage.sessionsAreOver();
  if (!ok) assert.deepEqual(await play.stage.deliveredNames(play.name('')), [], 'what was cut is not delivered');
  return ok;
}

export const resumeCases: readonly Case[] = [
  ...cuts.map(
    (cut): Case => ({
      id: `resume-${cut}`,
      title: `resume of an upload of ${size} bytes that was cut after ${cut}`,
      needs: ['resume-put'],
      extent: cut === 0 || cut === size - 1 ? 'suite' : 'table',
      play: async (play) => {
        const file = await play.file('a', size);
        const remote = play.inbox('a.bin');
        await play.leavePartial(remote, (await readFile(file.path)).subarray(0, cut));
        await play.succeed([{ do: 'put', local: file.path, remote, resume: true }]);
        await play.arrives(remote, file);
      },
    }),
  ),
  {
    id: 'cut-resume',
    protocol: 'sftp',
    title: "resume after the client's own upload was cut",
    needs: ['resume-put'],
    extent: 'suite',
    play: async (play) => {
      const file = await play.file('a', large);
      const remote = play.inbox('a.bin');
      const recovered = await cutInTheMiddle(play, file.path, remote);
      if (!recovered) await play.succeed([{ do: 'put', local: file.path, remote, resume: true }]);
      await play.arrives(remote, file);
    },
  },
  {
    id: 'cut-again',
    protocol: 'sftp',
    title: 'put anew after the upload was cut',
    needs: [],
    extent: 'table',
    play: async (play) => {
      const file = await play.file('a', large);
      const remote = play.inbox('a.bin');
      const recovered = await cutInTheMiddle(play, file.path, remote);
      if (!recovered) await play.succeed([{ do: 'put', local: file.path, remote }]);
      await play.arrives(remote, file);
      assert.deepEqual(await play.stage.deliveredNames(play.name('')), [play.name('a.bin')]);
    },
  },
  {
    id: 'resume-get',
    title: 'resume of a download',
    needs: ['resume-get'],
    extent: 'suite',
    play: async (play) => {
      const file = await play.file('offered', size);
      await play.stage.offer(play.name('b.bin'), file.path);
      const local = play.localPath('fetched');
      await writeFile(local, (await readFile(file.path)).subarray(0, 100_000));
      await play.succeed([{ do: 'get', remote: `/Outbox/${play.name('b.bin')}`, local, resume: true }]);
      await play.fetched(local, file);
    },
  },
];
