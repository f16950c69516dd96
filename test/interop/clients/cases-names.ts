/** Names: looking, renaming, removing, folders, and the odd names that partners send (reliability of names and views). */
import assert from 'node:assert/strict';
import type { Case } from './cases.ts';
import type { Play } from './play.ts';
import { seededName } from './seed-operations.ts';

/** As sent, and as delivered where the delivery policy maps. */
const accepted: readonly (readonly [string, string?])[] = [
  ['with blank.txt'],
  ['Rechnung März.txt'],
  ['Ma\u0308rz decomposed.txt', 'M\u00e4rz decomposed.txt'],
  ['発注書.txt'],
  ['\u{1F4E6}.txt'],
  ["it's 100% [ok] & {more}; $HOME `x` #1.txt"],
  ['star*and?.txt', 'star_and_.txt'],
  ['back\\slash.txt', 'back_slash.txt'],
  ['"quoted".txt', '_quoted_.txt'],
  ['a:b<c>d|e.txt', 'a_b_c_d_e.txt'],
  ['trailing dot.', 'trailing dot'],
  [`${'n'.repeat(150)}.txt`],
];

const refused = [
  ['a right-to-left override', 'evil\u202Efdp.exe'],
  ['a zero-width space', 'zero\u200Bwidth.txt'],
  ['a reserved name', '.sallyport-x'],
  ['256 bytes', 'é'.repeat(128)],
] as const;

const manyNames = (count: number): string[] => Array.from({ length: count }, (_, n) => seededName(n));

async function lists(play: Play, folder: string, count: number): Promise<void> {
  const { listings } = await play.succeed([{ do: 'list', path: folder }]);
  assert.equal(listings.length, 1);
  const shown = [...(listings[0] ?? [])].sort();
  assert.equal(shown.length, count);
  assert.deepEqual(shown, manyNames(count));
}

const suite = 'suite' as const;

export const nameCases: readonly Case[] = [
  {
    id: 'stat',
    title: 'SF-04, SF-05: size after put, in the same session and after the file was collected',
    needs: ['stat'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 54_321);
      const remote = play.inbox('a.bin');
      const { stats } = await play.succeed([
        { do: 'put', local: file.path, remote },
        { do: 'stat', path: remote },
      ]);
      assert.equal(stats[0]?.size, file.size);
      await play.arrives(remote, file);
      const later = await play.succeed([{ do: 'stat', path: remote }]);
      assert.equal(later.stats[0]?.size, file.size);
    },
  },
  {
    id: 'rename-temporary',
    title: 'SF-12: upload as .filepart, then rename: only the final name arrives',
    needs: ['rename'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 70_000);
      const [from, to] = [play.inbox('a.bin.filepart'), play.inbox('a.bin')];
      await play.succeed([
        { do: 'put', local: file.path, remote: from },
        { do: 'rename', from, to },
      ]);
      await play.arrives(to, file);
      assert.deepEqual(await play.stage.deliveredNames(play.name('')), [play.name('a.bin')]);
    },
  },
  {
    id: 'rename',
    title: 'rename of a file that waits',
    needs: ['rename'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 1000);
      const [from, to] = [play.held('a.bin'), play.held('b.bin')];
      await play.succeed([{ do: 'put', local: file.path, remote: from }]);
      await play.succeed([{ do: 'rename', from, to }]);
      await using raw = await play.stage.raw();
      assert.equal(await raw.sizeOf(from), undefined);
      assert.equal(await raw.sizeOf(to), file.size);
      assert.deepEqual(await play.heldVersions(to), [file.sha256]);
    },
  },
  {
    id: 'remove',
    title: 'delete of a file that waits',
    needs: ['remove'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 1000);
      const path = play.held('a.bin');
      await play.succeed([{ do: 'put', local: file.path, remote: path }]);
      await play.isHeld(path); // what the inside never heard of is in the trail of the DMZ node alone
      await play.succeed([{ do: 'remove', path }]);
      await using raw = await play.stage.raw();
      assert.equal(await raw.sizeOf(path), undefined);
      await play.stage.traced(path, 'item.removed');
    },
  },
  {
    id: 'folders',
    title: 'mkdir, put into it, rmdir refused while it holds a file, rmdir',
    needs: ['folders', 'remove'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('a', 1000);
      const folder = play.held('folder');
      await play.succeed([
        { do: 'mkdir', path: folder },
        { do: 'put', local: file.path, remote: `${folder}/a.bin` },
      ]);
      await play.fail([{ do: 'rmdir', path: folder }]);
      await using raw = await play.stage.raw();
      assert.equal(await raw.sizeOf(`${folder}/a.bin`), file.size);
      await play.succeed([
        { do: 'remove', path: `${folder}/a.bin` },
        { do: 'rmdir', path: folder },
      ]);
      assert.equal(await raw.sizeOf(folder), undefined);
    },
  },
  {
    id: 'list-empty',
    title: 'listing of an empty folder',
    needs: ['list'],
    extent: 'table',
    play: (play) => lists(play, '/Inbox/empty', 0),
  },
  {
    id: 'list-many',
    title: 'listing of 2,000 files',
    needs: ['list'],
    extent: suite,
    play: (play) => lists(play, '/Inbox/many', 2000),
  },
  {
    id: 'list-100000',
    title: 'listing of 100,000 files',
    needs: ['list'],
    extent: 'full',
    play: (play) => lists(play, '/Inbox/very-many', 100_000),
  },
  {
    id: 'names-accepted',
    title: 'F91, F92: odd names arrive, mapped where a target inside would stumble',
    needs: [],
    extent: suite,
    play: async (play) => {
      const file = await play.file('plain', 100);
      const sent = accepted.map(([name, delivered = name]) => ({ remote: play.inbox(name), as: play.name(delivered) }));
      await play.succeed(sent.map(({ remote }) => ({ do: 'put', local: file.path, remote })));
      for (const { remote, as } of sent) await play.arrives(remote, file, as);
    },
  },
  {
    id: 'names-refused',
    title: 'F91, F92: forbidden names are refused and leave nothing',
    needs: [],
    extent: suite,
    play: async (play) => {
      const file = await play.file('plain', 100);
      for (const [, name] of refused) await play.fail([{ do: 'put', local: file.path, remote: `/Inbox/${name}` }]);
      for (const [what, name] of refused) assert.deepEqual(await play.stage.items(`/Inbox/${name}`), [], what);
    },
  },
  {
    id: 'control-names',
    title: 'F92: names with a line break or an escape are refused',
    needs: ['any-name'],
    extent: suite,
    play: async (play) => {
      const file = await play.file('plain', 100);
      for (const name of ['a\r\nb.txt', 'a\u001b[2Jb.txt']) {
        await play.fail([{ do: 'put', local: file.path, remote: play.inbox(name) }]);
      }
    },
  },
  {
    id: 'missing-folder',
    title: 'put into a folder that is not there: refused, and said so',
    needs: ['missing-folder'],
    extent: 'table',
    play: async (play) => {
      const file = await play.file('a', 100);
      const { output } = await play.fail([{ do: 'put', local: file.path, remote: `${play.inbox('nowhere')}/a.bin` }]);
      assert.match(output, saysMissing);
    },
  },
  {
    id: 'missing-file',
    title: 'get of a file that is not there: refused, and said so',
    needs: [],
    extent: suite,
    play: async (play) => {
      const { output } = await play.fail([{ do: 'get', remote: `/Outbox/${play.name('none')}`, local: play.localPath('none') }]);
      assert.match(output, saysMissing);
    },
  },
];

/** Clients have their own words for it. */
const saysMissing = /no such (file|dir)|not found|does ?n.t exist|not exist/i;
