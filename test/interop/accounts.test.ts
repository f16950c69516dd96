/**
 * Accounts, groups and folders against a running pair, with OpenSSH: rows of the behaviour table (AC-…, PE-01). The example of
 * two users of one group, one who may only read a shared folder and one who may do everything, is played as it is told.
 */
import assert from 'node:assert/strict';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ask, curlFtps, delivered, eventually, offer, sftp } from '../../scripts/site/walk.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';

let pair: Pair;
let folder: string;
const local = (name: string): string => join(folder, name);
const partnersFile = (): string => join(pair.site.internal.config, '../conf.d/partners.yaml');

const groups = `
sharedOutboxes: [price-lists]
groups:
  suppliers:
    folders: {/shared: price-lists/Outbox, /claims: Inbox/claims}
    makeFolders: [orders/2026]
    startIn: Inbox
    home: suppliers
`;
const readOnlyShared = `permissions:
      global: [allow-full-control]
      paths: [{on: '/shared | /shared/*', set: [allow-list, allow-read]}]`;
const rules = `rules:
  - {name: to the shared folder, partner: globex, path: 'shared/*', outbox: price-lists}
  - {name: everything else, deliver: inside}
`;

/** A session; what does not succeed is told at its place. @returns what it printed. */
async function session(who: 'acme' | 'globex', ...batch: readonly string[]): Promise<string> {
  const { code, output } = await sftp(pair.site, pair[who], batch);
  assert.equal(code, 0, output);
  return output;
}

async function edit(change: (text: string) => string): Promise<void> {
  const before = await readFile(partnersFile(), 'utf8');
  const after = change(before);
  assert.notEqual(after, before);
  await writeFile(partnersFile(), after);
}

before(async () => {
  pair = await startPair({}, undefined, async ({ dmz, internal }) => {
    // Keys that are refused make the next answers wait.
    await appendFile(dmz.config, '\nlimits:\n  throttle: {exempt: [127.0.0.0/8]}\n');
    const settings = join(internal.config, '../conf.d');
    const file = join(settings, 'partners.yaml');
    const written = await readFile(file, 'utf8');
    const own = written
      .replace(/^ {2}acme:\n/m, `  acme:\n    groups: [suppliers]\n    ${readOnlyShared}\n`)
      .replace(
        /^ {2}globex:\n/m,
        '  globex:\n    groups: [suppliers]\n    amendName: id-prefix\n    permissions: {global: [allow-full-control]}\n',
      );
    await writeFile(file, own);
    await writeFile(join(settings, 'groups.yaml'), groups, { mode: 0o600 });
    await writeFile(join(settings, 'rules.yaml'), rules);
  });
  folder = join(pair.site.folder, 'local');
  await mkdir(folder);
  await writeFile(local('a.csv'), 'of the partner');
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
});

describe('accounts and groups with OpenSSH', () => {
  it('PE-01, AC-10: two users of one group, one only reading the shared folder, one with full control everywhere', async () => {
    for (const name of ['prices.csv', 'old.csv']) await offer(pair.site, 'price-lists', name, name);
    await eventually('both offers', async () => {
      const seen = await session('acme', 'ls -1 /shared');
      return (seen.includes('prices.csv') && seen.includes('old.csv')) || undefined;
    });
    const reader = await session(
      'acme',
      `get /shared/prices.csv ${local('read.csv')}`,
      '-rm /shared/prices.csv',
      `-put ${local('a.csv')} /shared/new.csv`,
      '-mkdir /shared/sub',
      '-rmdir /shared',
      `put ${local('a.csv')} /Inbox/full.csv`,
      'mkdir /Inbox/box',
      'rename /Inbox/box /Inbox/box2',
      'rmdir /Inbox/box2',
    );
    assert.equal(await readFile(local('read.csv'), 'utf8'), 'prices.csv');
    assert.equal([...reader.matchAll(/denied/gi)].length, 4, reader);
    await session(
      'globex',
      `get /shared/prices.csv ${local('also.csv')}`,
      'rm /shared/old.csv',
      'mkdir /Inbox/shared',
      `put ${local('a.csv')} /Inbox/shared/new.csv`,
    );
    await eventually('what the other one put there', async () => {
      const { code } = await sftp(pair.site, pair.acme, [`get /shared/new.csv ${local('new.csv')}`]);
      return code === 0 || undefined;
    });
    assert.equal(await readFile(local('new.csv'), 'utf8'), 'of the partner');
    assert.doesNotMatch(await session('acme', 'ls -1 /shared'), /old\.csv/);
    const answer = await ask(pair.site, 'internal', 'can-i', '--list', '/shared/prices.csv', '--as', 'acme');
    assert.match(answer, /^delete-file\tno\tconf\.d\/partners\.yaml:\d+/m);
  });

  it('AC-01: no path leads out of what a partner has', async () => {
    const said = await session(
      'acme',
      'cd ../../..',
      'pwd',
      `-get ../../../../../../etc/passwd ${local('passwd')}`,
      `-get /etc/passwd ${local('passwd')}`,
      `-put ${local('a.csv')} ../../tmp/x`,
      `-put ${local('a.csv')} /Inbox/../../x`,
      'ls -1 /',
    );
    assert.match(said, /directory: \/\n/);
    await assert.rejects(readFile(local('passwd')));
    const listed = said.split('\n').filter((line) => line.startsWith('/'));
    assert.deepEqual(
      listed.map((line) => line.trim()),
      ['/Inbox', '/Outbox', '/claims', '/shared'],
    );
  });

  it('AC-02, AC-08, AC-16: folders are there at login, and what is sent lands in the home of the account', async () => {
    assert.match(await session('acme', 'pwd'), /directory: \/Inbox\n/);
    await session('acme', `put ${local('a.csv')} orders/2026/one.csv`, `put ${local('a.csv')} /claims/c.csv`);
    assert.equal(String(await delivered(pair.site, 'suppliers/acme/orders/2026/one.csv')), 'of the partner');
    assert.equal(String(await delivered(pair.site, 'suppliers/acme/claims/c.csv')), 'of the partner');
    await session('globex', `put ${local('a.csv')} /Inbox/twice.csv`);
    await session('globex', `put ${local('a.csv')} /Inbox/twice.csv`, 'ls -l /Inbox/twice.csv');
    const home = join(pair.site.inside.delivered, 'suppliers/globex');
    await eventually('two files', async () => (await readdir(home).catch(() => [])).length === 2 || undefined);
    for (const name of await readdir(home)) assert.match(name, /^[a-z2-7]{26}-twice\.csv$/);
  });

  it('sessions begin in the folder of the account over FTPS, too', async () => {
    // The first slash of a URL is none of the path.
    const sent = await curlFtps(pair.site, pair.acme, ['-T', local('a.csv')], '/by-ftps.csv');
    assert.equal(sent.code, 0, sent.output);
    assert.equal(String(await delivered(pair.site, 'suppliers/acme/by-ftps.csv')), 'of the partner');
  });

  it('AC-05, AC-14, AC-17: a disabled group, an account that is over, and a source that is denied refuse the next login', async () => {
    const file = join(pair.site.internal.config, '../conf.d/groups.yaml');
    const written = await readFile(file, 'utf8');
    const reload = (): boolean => process.kill(pair.supervisor.pid('internal'), 'SIGHUP');
    const login = async (who: 'acme' | 'globex'): Promise<boolean> => (await sftp(pair.site, pair[who], ['ls /'])).code === 0;
    for (const line of ['disabled: true', 'from: [deny 127.0.0.1, 0.0.0.0/0]']) {
      await writeFile(file, written.replace('  suppliers:\n', `  suppliers:\n    ${line}\n`));
      reload();
      await eventually(`${line} refuses`, async () => !(await login('acme')) || undefined);
      assert.equal(await login('globex'), false);
      await writeFile(file, written);
      reload();
      await eventually('both are back', async () => ((await login('acme')) && (await login('globex'))) || undefined);
    }
    await edit((text) => text.replace(/^ {2}acme:\n/m, '  acme:\n    expires: 2026-01-01\n'));
    reload();
    await eventually('acme is over', async () => !(await login('acme')) || undefined);
    assert.equal(await login('globex'), true);
    await edit((text) => text.replace('    expires: 2026-01-01\n', ''));
    reload();
    await eventually('acme is back', async () => (await login('acme')) || undefined);
  });

  it('AC-13: each of several keys logs in, until it is taken out', async () => {
    const second = local('second');
    const made = await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', second]);
    assert.equal(made.code, 0, made.err);
    const line = (await readFile(`${second}.pub`, 'utf8')).trim();
    const login = async (): Promise<number> => (await sftp(pair.site, { ...pair.acme, keyFile: second }, ['ls /'])).code;
    assert.notEqual(await login(), 0);
    await edit((text) => text.replace(/^ {2}acme:\n(.*\n)*? {4}keys:\n/m, (found) => `${found}      - ${line}\n`));
    await ask(pair.site, 'internal', 'config', 'check');
    process.kill(pair.supervisor.pid('internal'), 'SIGHUP');
    await eventually('the second key', async () => (await login()) === 0 || undefined);
    assert.match(await session('acme', 'ls /'), /Inbox/);
    await edit((text) => text.replace(`      - ${line}\n`, ''));
    process.kill(pair.supervisor.pid('internal'), 'SIGHUP');
    await eventually('no second key', async () => (await login()) !== 0 || undefined);
  });
});
