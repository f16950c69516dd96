/** Each permission alone, with OpenSSH's sftp and over FTPS, in front of a whole cache: what works, and that nothing else does. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { forUser } from '../../shared/permissions/permissions.ts';
import type { GrantedPermissions } from '../../shared/permissions/words.ts';
import type { Grant } from '../../shared/policy.ts';
import { begin, CacheBench, path, put, rule } from '../fixtures/cache-bench.ts';
import { fetch, send } from '../fixtures/ftps-cache-door.ts';
import { password as ftpPassword, user as ftpUser, openFtpsDoor } from '../fixtures/ftps-door.ts';
import { OpenSsh } from '../fixtures/openssh.ts';
import { everything, granted, grantedOn } from '../fixtures/permissions.ts';
import { RawFtp } from '../fixtures/raw-ftp.ts';
import { openDoor, password } from '../fixtures/sftp-door.ts';

const operations = ['get', 'stat', 'ls', 'put', 'mkdir', 'rename', 'rmdir', 'rm', 'chmod'] as const;
type Operation = (typeof operations)[number];

let bench: CacheBench;
let sftpDoor: Awaited<ReturnType<typeof openDoor>>;
let ftpsDoor: Awaited<ReturnType<typeof openFtpsDoor>>;
let client: OpenSsh;
let secret: Record<string, string>;
/** Of the next session. */
let permissions: GrantedPermissions = everything;
let limits: Partial<Grant> = {};

before(async () => {
  bench = await CacheBench.open({ rules: [rule('*.out', { action: 'outbox', partner: 'acme' }), rule('*', { action: 'hold' })] });
  const viewFor = (identity: Parameters<CacheBench['viewFor']>[0]) =>
    bench.viewFor({ ...identity, grant: { ...identity.grant, permissions, ...limits } });
  sftpDoor = (await openDoor({ view: bench.view(), viewFor })) as never;
  ftpsDoor = (await openFtpsDoor({ view: bench.view(), viewFor })) as never;
  client = await OpenSsh.create(sftpDoor.port);
  secret = await client.passwordEnvironment(password);
  await writeFile(client.path('local'), 'of the partner');
  bench.announcer.linkUp();
  await put(bench.view(), '/Inbox/offer.out', 'an offer');
  await bench.announcer.idle();
});
after(async () => {
  await client?.[Symbol.asyncDispose]();
  await sftpDoor?.[Symbol.asyncDispose]();
  await ftpsDoor?.[Symbol.asyncDispose]();
  await bench?.[Symbol.asyncDispose]();
});

let round = 0;

/** Something for each operation to work on, made with full rights. */
async function prepare(): Promise<string> {
  round += 1;
  const own = `/Inbox/r${round}`;
  const view = bench.view();
  await view.makeFolder(path(own));
  await view.makeFolder(path(`${own}/full`));
  await view.makeFolder(path(`${own}/empty`));
  for (const name of ['old', 'gone', 'mode']) await put(view, `${own}/full/${name}`, name);
  return own;
}

async function withOpenSsh(given: GrantedPermissions): Promise<readonly Operation[]> {
  const own = await prepare();
  permissions = given;
  const commands: Readonly<Record<Operation, string>> = {
    get: `get /Outbox/offer.out ${client.path('fetched')}`,
    stat: 'ls -l /Outbox/offer.out',
    ls: `ls -l ${own}/full`,
    put: `put ${client.path('local')} ${own}/full/new`,
    mkdir: `mkdir ${own}/made`,
    rename: `rename ${own}/full/old ${own}/full/renamed`,
    rmdir: `rmdir ${own}/empty`,
    rm: `rm ${own}/full/gone`,
    chmod: `chmod 600 ${own}/full/mode`,
  };
  const worked: Operation[] = [];
  // What the client prints cannot be told apart by command: an echo of its own line stands between.
  const batch = operations.map((operation) => `-${commands[operation]}\n!echo ==${operation} >&2`).join('\n');
  const ran = await client.sftp(batch, [], secret);
  assert.equal(ran.code, 0, ran.err);
  const said = ran.err.split(/^==\w+ *$/m);
  for (const [index, operation] of operations.entries()) if ((said[index] ?? '').trim() === '') worked.push(operation);
  return worked;
}

async function overFtps(given: GrantedPermissions): Promise<readonly Operation[]> {
  const own = await prepare();
  permissions = given;
  const ftp = await RawFtp.loggedIn(ftpsDoor.port, ftpUser, ftpPassword);
  try {
    const codes: Readonly<Record<Operation, () => Promise<number>>> = {
      get: async () => (await fetch(ftp, 'RETR /Outbox/offer.out')).reply.code,
      stat: async () => (await ftp.ask('SIZE /Outbox/offer.out')).code,
      ls: async () => (await fetch(ftp, `NLST ${own}/full`)).reply.code,
      put: async () => (await send(ftp, `STOR ${own}/full/new`, 'of the partner')).code,
      mkdir: async () => (await ftp.ask(`MKD ${own}/made`)).code,
      rename: async () => {
        const from = await ftp.ask(`RNFR ${own}/full/old`);
        return from.code === 350 ? (await ftp.ask(`RNTO ${own}/full/renamed`)).code : from.code;
      },
      rmdir: async () => (await ftp.ask(`RMD ${own}/empty`)).code,
      rm: async () => (await ftp.ask(`DELE ${own}/full/gone`)).code,
      chmod: async () => (await ftp.ask(`MFMT 20260101000000 ${own}/full/mode`)).code,
    };
    const worked: Operation[] = [];
    for (const operation of operations) {
      const code = await codes[operation]();
      if (code < 300) worked.push(operation);
      // 553 is a permission; what may not be looked at is as if it were not there.
      else assert.ok(code === 553 || code === 550, `${operation}: ${code}`);
    }
    return worked;
  } finally {
    ftp.close();
  }
}

type Row = readonly [title: string, given: GrantedPermissions, works: readonly Operation[]];
const rows: readonly Row[] = [
  ['PE-02: allow-read alone', granted('allow-read'), ['get', 'stat']],
  ['PE-03: allow-list alone', granted('allow-list'), ['stat', 'ls']],
  ['PE-05: allow-create-folder alone', granted('allow-create-folder'), ['mkdir']],
  ['PE-06: allow-write alone', granted('allow-write'), ['put']],
  ['PE-07: allow-rename alone', granted('allow-rename'), ['rename']],
  ['PE-08: allow-delete-file alone', granted('allow-delete-file'), ['rm']],
  ['PE-09: allow-delete-folder alone', granted('allow-delete-folder'), ['rmdir']],
  ['PE-10: allow-set-attributes alone', granted('allow-set-attributes'), ['chmod']],
  ['PE-11: allow-full-control alone', everything, operations],
  ['PE-12: deny-full-control wins', granted('allow-full-control', 'deny-full-control'), []],
];

describe('permissions with real clients', () => {
  for (const [title, given, works] of rows) {
    it(`${title}, over SFTP and FTPS`, async () => {
      assert.deepEqual(await withOpenSsh(given), works, 'OpenSSH');
      assert.deepEqual(await overFtps(given), works, 'FTPS');
      assert.equal(works.includes('get'), (await readFile(client.path('fetched'), 'utf8').catch(() => '')) === 'an offer');
      await writeFile(client.path('fetched'), '');
    });
  }

  it('PE-04, PE-20: allow-traverse alone shows the folders, over SFTP and FTPS', async () => {
    const own = await prepare();
    await put(bench.view(), `${own}/file`, 'hidden');
    permissions = granted('allow-traverse');
    const listed = await client.sftp(
      `ls -1 ${own}\n-get ${own}/file ${client.path('none')}\n-get /Outbox/offer.out ${client.path('none')}`,
      [],
      secret,
    );
    assert.match(listed.out, /empty/);
    assert.match(listed.out, /full/);
    assert.doesNotMatch(listed.out, new RegExp(`${own}/file$`, 'm'));
    assert.match(listed.err, /denied|not found|No such file/i);
    await assert.rejects(readFile(client.path('none')));
    const ftp = await RawFtp.loggedIn(ftpsDoor.port, ftpUser, ftpPassword);
    const long = await fetch(ftp, `LIST ${own}`);
    assert.deepEqual(
      [...long.bytes.toString().matchAll(/(\S+)\r\n/g)].map(([, name]) => name),
      ['empty', 'full'],
    );
    assert.equal((await fetch(ftp, `NLST ${own}`)).reply.code, 553);
    assert.equal((await fetch(ftp, 'RETR /Outbox/offer.out')).reply.code, 553);
    ftp.close();
  });

  it('PE-13, PE-18, PE-23: outside of a line the global set counts, for folders that come later, too', async () => {
    const own = await prepare();
    permissions = grantedOn(
      [[`${own}/full/*`, 'allow-delete-file', 'allow-list']],
      ['allow-read', 'allow-write', 'allow-create-folder'],
    );
    const ran = await client.sftp(
      [
        `put ${client.path('local')} ${own}/above`,
        `-put ${client.path('local')} ${own}/full/inside`,
        `rm ${own}/full/gone`,
        `-rm ${own}/above`,
        `-rmdir ${own}/full`,
        `mkdir ${own}/later`,
        `put ${client.path('local')} ${own}/later/x`,
      ].join('\n'),
      [],
      secret,
    );
    assert.equal(ran.code, 0, ran.err);
    const view = bench.view();
    const there = async (name: string): Promise<boolean> =>
      (await view.stat(path(`${own}/${name}`)).catch(() => undefined)) !== undefined;
    const found = await Promise.all(['above', 'full/inside', 'full/gone', 'full', 'later/x'].map(there));
    assert.deepEqual(found, [true, false, false, true, true]);
  });

  it('PE-07, PE-21: a rename replaces an existing file, and needs the permission at both ends', async () => {
    const own = await prepare();
    permissions = grantedOn([[`${own}/empty/*`, 'allow-list']], ['allow-rename', 'allow-list']);
    const ran = await client.sftp(
      `-rename ${own}/full/mode ${own}/empty/mode\n-rename ${own}/full/old ${own}/full/gone\nls -1 ${own}/full`,
      [],
      secret,
    );
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.err, /mode.*denied/i);
    const names = [...ran.out.matchAll(/^\/Inbox\S*full\/(\S+) *$/gm)].map(([, name]) => name);
    assert.deepEqual(names, ['gone', 'mode']);
  });

  it('PE-06: a drop box takes new files, replaces and continues them, and shows nothing of others', async () => {
    const own = await prepare();
    permissions = granted('allow-write');
    const ran = await client.sftp(
      `put ${client.path('local')} ${own}/full/new\nput ${client.path('local')} ${own}/full/new\nls -l ${own}/full/new\n-ls -l ${own}/full/old`,
      [],
      secret,
    );
    assert.equal(ran.code, 0, ran.err);
    assert.match(ran.err, /full\/old.* not found|No such file/);
    const writer = bench.view('acme', { permissions });
    const handle = await writer.openForWriting(path(`${own}/full/part`), begin);
    await handle.write(0, Buffer.from('first '));
    await handle.abandon('lost');
    const again = await writer.openForWriting(path(`${own}/full/part`), { ...begin, truncate: false, append: true });
    await again.write(6, Buffer.from('second'));
    await again.close();
    assert.equal((await bench.view().stat(path(`${own}/full/part`))).size, 12);
  });

  it('PE-22: FTP tells a missing permission, 553, from a missing file, 550', async () => {
    permissions = granted('allow-list');
    const ftp = await RawFtp.loggedIn(ftpsDoor.port, ftpUser, ftpPassword);
    assert.equal((await fetch(ftp, 'RETR /Outbox/offer.out')).reply.code, 553);
    assert.equal((await ftp.ask('SIZE /Outbox/none')).code, 550);
    ftp.close();
  });

  it('PE-25: no spelling of a path gets round a line, over SFTP', async () => {
    const own = await prepare();
    await bench.view().makeFolder(path(`${own}/secret`));
    permissions = grantedOn([[`${own}/secret | ${own}/secret/*`, 'deny-full-control']], ['allow-full-control']);
    const spellings = [
      `${own}/secret/x`,
      `${own}//secret//x`,
      `${own}/./secret/x`,
      `${own}/full/../secret/x`,
      `/..${own}/secret/x`,
    ];
    const ran = await client.sftp(spellings.map((to) => `-put ${client.path('local')} ${to}`).join('\n'), [], secret);
    assert.equal(ran.code, 0, ran.err);
    assert.equal([...ran.err.matchAll(/denied/gi)].length, spellings.length, ran.err);
    assert.equal((await (await bench.view().openFolder(path(`${own}/secret`))).next(10)).length, 0);
  });

  it('AC-15, AC-21: what is too large or beyond the quota fails over SFTP and FTPS, and nothing of it stays', async () => {
    const own = await prepare();
    permissions = everything;
    const seen = async (name: string): Promise<boolean> =>
      (await bench
        .view()
        .stat(path(`${own}/${name}`))
        .catch(() => undefined)) !== undefined;
    await writeFile(client.path('large'), Buffer.alloc(300_000));
    for (const given of [{ maxFileBytes: 200_000 }, { quotaBytes: 200_000 }, { quotaFiles: 0 }]) {
      limits = given;
      const ran = await client.sftp(`put ${client.path('large')} ${own}/large`, [], secret);
      assert.notEqual(ran.code, 0, ran.err);
      assert.equal(await seen('large'), false, JSON.stringify(given));
      const ftp = await RawFtp.loggedIn(ftpsDoor.port, ftpUser, ftpPassword);
      assert.equal((await ftp.ask('ALLO 300000')).code, 202);
      assert.equal((await send(ftp, `STOR ${own}/large`, Buffer.alloc(300_000))).code, 552);
      assert.equal(await seen('large'), false, JSON.stringify(given));
      ftp.close();
    }
    limits = { maxFileBytes: 200_000 };
    const fits = await client.sftp(`put ${client.path('local')} ${own}/fits`, [], secret);
    assert.equal(fits.code, 0, fits.err);
    limits = {};
  });

  it('PE-14, PE-15, PE-17, PE-19 and MX over SFTP: lines of every kind decide, the first that fits and it alone', async () => {
    const own = await prepare();
    const user = '$\u007bUSER}';
    const regex = own.replaceAll('/', '\\/');
    /** A folder, the line for it, names that may be sent into it, and names that may not. */
    const cases: readonly (readonly [title: string, on: string, may: readonly string[], not: readonly string[]])[] = [
      ['MX-01 to MX-03', `${own}/a/INV_*.csv`, ['INV_1.csv', 'inv_2.CSV'], ['INV_1.txt', 'xINV_1.csv']],
      ['MX-05 to MX-09', `${own}/b/[ao]?[!x]*`, ['abc', 'o.bz'], ['bbc', 'ab', 'abx']],
      ['MX-10, MX-15', `g/${own}/c/*.pdf | ${own}/c/*.txt/`, ['r.pdf', 's.TXT'], ['a.csv']],
      ['MX-11, MX-12', `! *.tmpx | ${own}/[!d]* | /Inbox/[!r]* | /Outbox*`, ['a.pdf'], ['a.tmpx']],
      ['MX-16, MX-18, MX-21', `m/^${regex}\\/e\\/report-\\d\\.pdf$/`, ['report-1.pdf'], ['REPORT-1.pdf', 'report-12.pdf']],
      ['MX-17', `m/^${regex}\\/f\\/.*\\.pDf$/i`, ['A.PDF'], ['A.PDFX']],
      ['PE-19', `${own}/g/${user}_*`, ['acme_1'], ['globex_1']],
      ['MX-23', `t/${own}/h/acct_{year.decimal}-{month.padded}.txt/`, ['acct_2027-01.txt'], ['acct_2026-12.txt']],
      ['MX-25', `${own}/i/{a,b}+(c).txt`, ['{a,b}+(c).txt'], ['a.txt']],
    ];
    for (const name of 'abcdefghi') await bench.view().makeFolder(path(`${own}/${name}`));
    permissions = grantedOn(
      [
        [`${own}/a/INV_9.csv`, 'allow-list'],
        ...cases.map(([, on]) => [forUser(on, 'acme'), 'allow-write'] as const),
        ['e/\\/[a-i]\\/[^\\/]+$/', 'allow-list'],
      ],
      ['allow-list'],
    );
    const folderOf = (index: number): string => `${own}/${'abcdefghi'[index]}`;
    const named = (name: string): string => `"${name}"`;
    const ran = await client.sftp(
      cases
        .flatMap(([, , may, not], at) =>
          [...may, ...not].map((name) => `-put ${client.path('local')} ${named(`${folderOf(at)}/${name}`)}`),
        )
        .concat(`-put ${client.path('local')} ${own}/a/INV_9.csv`)
        .join('\n'),
      [],
      secret,
    );
    assert.equal(ran.code, 0, ran.err);
    for (const [at, [title, , may]] of cases.entries()) {
      const folder = await bench.view().openFolder(path(folderOf(at)));
      assert.deepEqual((await folder.next(10)).map(({ name }) => name).sort(), [...may].sort(), title);
    }
  });
});
