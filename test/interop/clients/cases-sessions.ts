/** Logins, host keys and new keys under way. */
import assert from 'node:assert/strict';
import type { Case } from './cases.ts';

const suite = 'suite' as const;

export const sessionCases: readonly Case[] = [
  {
    id: 'password',
    title: 'login with a password; a wrong one is refused',
    needs: ['password'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 1000);
      const remote = play.inbox('a.bin');
      await play.fail([{ do: 'put', local: file.path, remote }], { login: 'password', password: 'wrong' });
      assert.deepEqual(await play.stage.items(remote), []);
      await play.succeed([{ do: 'put', local: file.path, remote }], { login: 'password' });
      await play.arrives(remote, file);
    },
  },
  {
    id: 'host-key',
    protocol: 'sftp',
    title: 'SF-20: another host key than the known one ends it before anything is sent',
    needs: ['host-key'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 1000);
      const remote = play.inbox('a.bin');
      await play.fail([{ do: 'put', local: file.path, remote }], { wrongHostKey: true });
      assert.deepEqual(await play.stage.items(remote), []);
    },
  },
  {
    id: 'rekey',
    protocol: 'sftp',
    title: 'new keys at the wish of the client, several times in one transfer each way',
    needs: ['rekey'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 6 * 1024 * 1024);
      const remote = play.inbox('a.bin');
      await play.stage.offer(play.name('b.bin'), file.path);
      const local = play.localPath('fetched');
      const steps = [
        { do: 'put', local: file.path, remote },
        { do: 'get', remote: `/Outbox/${play.name('b.bin')}`, local },
      ] as const;
      await play.succeed(steps, { rekeyBytes: 1024 * 1024 });
      await play.arrives(remote, file);
      await play.fetched(local, file);
    },
  },
];
