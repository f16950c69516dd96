/** What only FTPS has: its many ways, transfers that are given up on the control connection, whole folders. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { eventually } from '../../../scripts/site/walk.ts';
import type { Case } from './cases.ts';
import { featuresOf, type Way } from './client.ts';
import type { Play } from './play.ts';

/** PASV has no words for an address of IPv6. */
const ways: readonly Way[] = [false, true].flatMap((implicit) =>
  (['1.3', '1.2'] as const).flatMap((tls) => [
    { implicit, tls, passive: 'EPSV', family: 4 } as const,
    { implicit, tls, passive: 'PASV', family: 4 } as const,
    { implicit, tls, passive: 'EPSV', family: 6 } as const,
  ]),
);

/** Every choice in both halves. */
const waysInSuite = ['explicit, TLS 1.3, EPSV, IPv6', 'implicit, TLS 1.2, PASV, IPv4'];

const nameOf = (way: Way): string => featuresOf(way).join(', ');
const idOf = (way: Way): string =>
  `way-${nameOf(way)
    .toLowerCase()
    .replaceAll(/[ ,.]+/g, '-')}`;

/** Everything that one does with files, in one session where the client has sessions. */
async function walk(play: Play, way: Way): Promise<void> {
  const file = await play.file('a', 300_000);
  const empty = await play.file('empty', 0);
  await play.stage.offer(play.name('b.bin'), file.path);
  const [folder, local, nothing] = [play.inbox('folder'), play.localPath('fetched'), play.localPath('nothing')];
  const { listings } = await play.succeed(
    [
      { do: 'put', local: file.path, remote: play.inbox('a.bin') },
      { do: 'put', local: empty.path, remote: play.inbox('empty.bin') },
      { do: 'mkdir', path: folder },
      { do: 'put', local: file.path, remote: `${folder}/a.filepart` },
      { do: 'list', path: folder },
      { do: 'rename', from: `${folder}/a.filepart`, to: `${folder}/a.bin` },
      { do: 'put', local: empty.path, remote: `${folder}/c.filepart` },
      { do: 'remove', path: `${folder}/c.filepart` },
      { do: 'get', remote: `/Outbox/${play.name('b.bin')}`, local },
    ],
    { way },
  );
  assert.deepEqual(listings, [['a.filepart']]);
  await play.fetched(local, file);
  await play.arrives(play.inbox('a.bin'), file);
  await play.arrives(play.inbox('empty.bin'), empty);
  await play.arrives(`${folder}/a.bin`, file);
  await play.fail([{ do: 'get', remote: `/Outbox/${play.name('none')}`, local: nothing }], { way });
}

const large = 6 * 1024 * 1024;

export const ftpsCases: readonly Case[] = [
  ...ways.map(
    (way): Case => ({
      id: idOf(way),
      title: `FT-01, FT-02, FT-11, FT-15: ${nameOf(way)}: put, get, list, folder, rename, delete`,
      protocol: 'ftps',
      needs: featuresOf(way),
      extent: waysInSuite.includes(nameOf(way)) ? 'suite' : 'table',
      play: (play) => walk(play, way),
    }),
  ),
  {
    id: 'certificate',
    title: 'another certificate than the known one ends it before anything is sent',
    protocol: 'ftps',
    needs: ['host-key'],
    extent: 'table',
    play: async (play) => {
      const file = await play.file('a', 1000);
      const remote = play.inbox('a.bin');
      await play.fail([{ do: 'put', local: file.path, remote }], { wrongHostKey: true });
      assert.deepEqual(await play.stage.items(remote), []);
    },
  },
  {
    id: 'give-up',
    title: 'F80: an upload given up in the middle delivers nothing; it is continued, or sent anew, and arrives',
    protocol: 'ftps',
    needs: ['give-up'],
    extent: 'table',
    play: async (play) => {
      const file = await play.file('a', large);
      const remote = play.inbox('a.bin');
      const before = await play.stage.storedBytes();
      await play.giveUp({
        local: file.path,
        remote,
        bytesPerSecond: large / 20,
        begun: async () => {
          const some = async () => (await play.stage.storedBytes()) > before + 100_000 || undefined;
          await eventually('some of the file has come', some);
        },
      });
      await play.stage.sessionsAreOver();
      assert.deepEqual(await play.stage.deliveredNames(play.name('')), []);
      await play.succeed([{ do: 'put', local: file.path, remote, resume: play.client.lacks['resume-put'] === undefined }]);
      await play.arrives(remote, file);
    },
  },
  {
    id: 'mirror',
    title: 'a tree of folders',
    protocol: 'ftps',
    needs: ['mirror'],
    extent: 'table',
    play: async (play) => {
      const names = ['a.txt', 'one/b.txt', 'one/two/c.txt', 'one/two/d.txt'];
      const root = play.localPath('tree');
      for (const name of names) {
        await mkdir(dirname(join(root, name)), { recursive: true });
        await writeFile(join(root, name), name);
      }
      await using raw = await play.stage.raw();
      await raw.makeFolder(play.inbox('tree'));
      await play.mirror(root, play.inbox('tree'));
      for (const name of names) {
        const { path } = await play.stage.delivered(`${play.name('tree')}/${name}`);
        assert.equal(await readFile(path, 'utf8'), name);
      }
    },
  },
];
