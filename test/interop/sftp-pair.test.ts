/**
 * OpenSSH against a running pair of nodes: rows of the behaviour table (SF-…) and of the fault table (F65) that need both
 * nodes, each with what the inside has and what the audit trail says afterwards.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type SitePartner, sftpArguments } from '../../scripts/site/site.ts';
import { ask, delivered, eventually, filesBelow, offer, sftp, sha256 } from '../../scripts/site/walk.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { op, RawSftp } from '../fixtures/raw-sftp.ts';

let pair: Pair;
let folder: string;
const local = (name: string): string => join(folder, name);

const partner = (name: string): SitePartner => {
  const found = pair.site.partners[name];
  if (!found) throw new Error(`no partner ${name}`);
  return found;
};

/** A local file. @returns its content. */
async function make(name: string, bytes: number): Promise<Buffer> {
  const content = randomBytes(bytes);
  await writeFile(local(name), content);
  return content;
}

/** A session that must succeed as a whole. @returns what it printed. */
async function ok(batch: readonly string[], options: readonly string[] = [], who = pair.acme): Promise<string> {
  const { code, output } = await sftp(pair.site, who, batch, options);
  assert.equal(code, 0, output);
  return output;
}

const raw = (who: SitePartner = pair.acme): Promise<RawSftp> =>
  RawSftp.connect(pair.site.sftp.port, { username: who.name, password: who.password });

/** What the records hold of a file's content, by name. */
async function recorded(client: RawSftp, path: string): Promise<string> {
  const { body, status } = await client.ask(op.extended, 'check-file-name', path, 'sha256', 0n, 0n, 0);
  assert.equal(status, undefined, `${path}: ${status}`);
  return body.subarray(10).toString('hex');
}

/** Events of the DMZ node's audit trail with this name. */
async function audit(name: string): Promise<Record<string, unknown>[]> {
  const trail = join(pair.site.dmz.state, 'audit');
  const lines = await Promise.all((await filesBelow(trail)).map((file) => readFile(join(trail, file), 'utf8')));
  return lines
    .flatMap((text) => text.trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((event) => event.name === name);
}

before(async () => {
  pair = await startPair({ partners: ['acme', 'globex', 'dropbox'] }, undefined, async (site) => {
    const settings = join(site.internal.config, '../conf.d');
    await writeFile(
      join(settings, 'rules.yaml'),
      'rules:\n  - name: wait\n    path: "*.hold"\n    hold: true\n  - name: all\n    deliver: inside\n',
    );
    const partners = await readFile(join(settings, 'partners.yaml'), 'utf8');
    const narrowed = partners.replace(
      /^( *)dropbox:\n( +)/m,
      '$1dropbox:\n$2permissions: {global: [allow-list, allow-write]}\n$2',
    );
    assert.notEqual(narrowed, partners);
    await writeFile(join(settings, 'partners.yaml'), narrowed);
  });
  folder = join(pair.site.folder, 'local');
  await mkdir(folder);
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
});

describe('OpenSSH and the running pair', () => {
  it('SF-01: put, ls, stat, mkdir, cd, rename, rm, rmdir and get, in one batch', async () => {
    const [content, offered] = [await make('a.hold', 70_000), randomBytes(50_000)];
    await offer(pair.site, 'acme', 'prices.csv', offered);
    await eventually('the offer', async () => (await ok(['ls /Outbox'])).includes('prices.csv') || undefined);
    const said = await ok([
      'mkdir /Inbox/new',
      'cd /Inbox/new',
      'pwd',
      `put ${local('a.hold')}`,
      'ls -l a.hold',
      'rename a.hold b.hold',
      'rm b.hold',
      `put ${local('a.hold')} final.csv`,
      'cd /',
      `get /Outbox/prices.csv ${local('prices.csv')}`,
      'mkdir /Inbox/empty',
      'rmdir /Inbox/empty',
    ]);
    assert.match(said, /directory: \/Inbox\/new/);
    assert.match(said, / 70000 .*a\.hold/);
    assert.deepEqual(await delivered(pair.site, 'acme/new/final.csv'), content);
    assert.deepEqual(await readFile(local('prices.csv')), offered);
    assert.deepEqual(
      (await audit('item.removed')).map(({ path }) => path),
      ['/Inbox/new/b.hold'],
    );
  });

  it('SF-02, SF-03: cd into an empty folder works; into a missing one not, and the session goes on', async () => {
    const said = await ok([
      'mkdir /Inbox/bare',
      'cd /Inbox/bare',
      '-cd nowhere',
      '-cd /nowhere',
      'pwd',
      'ls',
      'cd /Outbox',
      'ls',
    ]);
    assert.equal(said.match(/No such file/g)?.length, 2);
    assert.match(said, /directory: \/Inbox\/bare/);
  });

  it('SF-08: what is listed can be looked at with the same size, what is not listed cannot', async () => {
    await make('waits.hold', 100);
    await make('taken.csv', 200);
    await ok([`put ${local('waits.hold')} /Inbox/waits.hold`, `put ${local('taken.csv')} /Inbox/taken.csv`]);
    await delivered(pair.site, 'acme/taken.csv');
    await using client = await raw();
    const handle = (await client.ask(op.opendir, '/Inbox')).body.subarray(4);
    const { body } = await client.ask(op.readdir, handle);
    const listed = new Map<string, bigint>();
    for (let at = 4; at < body.length; ) {
      const name = body.subarray(at + 4, at + 4 + body.readUInt32BE(at));
      at += 4 + name.length;
      at += 4 + body.readUInt32BE(at);
      listed.set(name.toString(), body.readBigUInt64BE(at + 4));
      at += 32;
    }
    for (const [name, size] of listed) {
      const answer = await client.ask(op.stat, `/Inbox/${name}`);
      assert.equal(answer.type, 105, name);
      assert.equal(answer.body.readBigUInt64BE(4), size, name);
    }
    assert.equal(listed.get('waits.hold'), 100n);
    assert.equal(listed.get('taken.csv'), 200n, 'a ghost is listed like any file');
    for (const name of ['prices.csv', 'final.csv', 'other']) {
      assert.equal(listed.has(name), false);
      assert.equal((await client.ask(op.stat, `/Inbox/${name}`)).status, 2);
    }
  });

  it('SF-09: a partner who may only send is refused every other request, and what he sends arrives', async () => {
    const content = await make('sent.csv', 1000);
    await offer(pair.site, 'dropbox', 'secret.csv', 'not for him');
    const said = await ok(
      [
        `put ${local('sent.csv')} /Inbox/sent.csv`,
        `put ${local('sent.csv')} /Inbox/sent.hold`,
        `-get /Outbox/secret.csv ${local('secret.csv')}`,
        '-rm /Inbox/sent.hold',
        '-mkdir /Inbox/folder',
        '-rename /Inbox/sent.hold /Inbox/other.csv',
        '-rmdir /Inbox',
        `-put ${local('sent.csv')} /Outbox/sent.csv`,
      ],
      [],
      partner('dropbox'),
    );
    assert.ok((said.match(/Permission denied/g)?.length ?? 0) >= 5, said);
    assert.deepEqual(await delivered(pair.site, 'dropbox/sent.csv'), content);
    await using client = await raw(partner('dropbox'));
    for (const refused of [
      await client.ask(op.remove, '/Inbox/sent.hold'),
      await client.ask(op.mkdir, '/Inbox/folder', 0),
      await client.ask(op.rename, '/Inbox/sent.hold', '/Inbox/other.csv'),
      await client.ask(op.open, '/Outbox/secret.csv', 1, 0),
    ]) {
      assert.equal(refused.status, 3);
    }
    assert.deepEqual(
      (await audit('item.removed')).filter((event) => event.partner === 'dropbox'),
      [],
    );
  });

  it('SF-11: a download goes on where it stopped', async () => {
    const content = randomBytes(3_000_001);
    await offer(pair.site, 'acme', 'big.bin', content);
    await eventually('the offer', async () => (await ok(['ls /Outbox'])).includes('big.bin') || undefined);
    await writeFile(local('big.bin'), content.subarray(0, 1_234_567));
    await ok([`reget /Outbox/big.bin ${local('big.bin')}`]);
    assert.equal(sha256(await readFile(local('big.bin'))), sha256(content));
    const [partly] = await eventually('the record', async () => {
      const found = await audit('item.download-partial');
      return found.length > 0 ? found : undefined;
    });
    assert.deepEqual([partly?.path, partly?.size], ['/Outbox/big.bin', 3_000_001 - 1_234_567]);
  });

  it('SF-13: scp works over SFTP; its old protocol is refused with a sentence that says what to do', async () => {
    const content = await make('copied.csv', 100_000);
    // The same options as for sftp, but for the quiet one and the host at the end.
    const options = sftpArguments(pair.site, pair.acme).slice(1, -1);
    const target = `acme@${pair.site.sftp.host}:/Inbox`;
    const modern = await run('scp', ['-s', ...options, local('copied.csv'), `${target}/copied.csv`]);
    assert.equal(modern.code, 0, modern.err);
    assert.deepEqual(await delivered(pair.site, 'acme/copied.csv'), content);
    const old = await run('scp', ['-O', ...options, local('copied.csv'), `${target}/old.csv`]);
    assert.notEqual(old.code, 0);
    assert.match(old.err, /SFTP only.*without -O/);
    const fetched = await run('scp', ['-O', ...options, `acme@${pair.site.sftp.host}:/Outbox/big.bin`, local('stolen.bin')]);
    assert.notEqual(fetched.code, 0);
    await assert.rejects(stat(local('stolen.bin')));
    assert.deepEqual(
      (await audit('item.completed')).filter(({ path }) => path === '/Inbox/old.csv'),
      [],
    );
  });

  it('SF-16: 64 requests of 32 KiB under way at once arrive as the bytes that were sent', async () => {
    const content = await make('parallel.bin', 20_000_003);
    await ok([`put ${local('parallel.bin')} /Inbox/parallel.bin`], ['-R', '64', '-B', '32768']);
    assert.equal(sha256(await delivered(pair.site, 'acme/parallel.bin')), sha256(content));
  });

  it('SF-17: a mode of the client is taken for nothing: what arrives can be read, whatever it said', async () => {
    const content = await make('closed.csv', 10);
    await chmod(local('closed.csv'), 0o000);
    const said = await ok([`put -p ${local('closed.csv')} /Inbox/closed.csv`, 'ls -l /Inbox/closed.csv']);
    assert.match(said, /-rw-r-----/);
    assert.deepEqual(await delivered(pair.site, 'acme/closed.csv'), content);
    const mode = async (name: string): Promise<number> => (await stat(join(pair.site.inside.delivered, 'acme', name))).mode;
    assert.equal(await mode('closed.csv'), await mode('copied.csv'));
  });

  it('SF-18: no link can be made, so none leads out of the folder', async () => {
    const said = await ok([
      '-ln -s ../../etc /Inbox/link',
      '-symlink /etc/passwd /Inbox/link',
      '-ln /Inbox/waits.hold /Inbox/link',
    ]);
    assert.equal(said.match(/unsupported|does not support/gi)?.length, 3, said);
    await using client = await raw();
    assert.equal((await client.ask(op.lstat, '/Inbox/link')).status, 2);
    assert.equal((await client.ask(op.readlink, '/Inbox/waits.hold')).status, 8);
  });

  it('SF-20: the host key is the same after a restart, and a client that expects another one does not log in', async () => {
    await pair.supervisor.takeDown('dmz');
    pair.supervisor.bringUp('dmz');
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    const logins = async (): Promise<unknown[]> => (await audit('session.opened')).map(({ session }) => session);
    const earlier = await logins();
    await ok(['pwd']);
    const { port, host } = pair.site.sftp;
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', local('other')]);
    await writeFile(local('known'), `[${host}]:${port} ${await readFile(local('other.pub'), 'utf8')}`);
    // The first setting of a name counts.
    const args = sftpArguments(pair.site, pair.acme).slice(1, -1);
    const ran = await run('sftp', ['-o', `UserKnownHostsFile=${local('known')}`, '-b', '/dev/null', ...args, `acme@${host}`]);
    assert.notEqual(ran.code, 0);
    assert.match(ran.err, /Host key verification failed/);
    await ok(['pwd']);
    const since = async () => (await logins()).filter((session) => !earlier.includes(session)).length;
    await eventually('two logins', async () => (await since()) === 2 || undefined);
  });
});

describe('F65: a rename that fails leaves its source as it was', () => {
  let sums: Readonly<Record<string, string>>;
  let client: RawSftp;
  before(async () => {
    const [a, b] = [await make('r1.hold', 1000), await make('r2.hold', 2000)];
    sums = { r1: sha256(a), r2: sha256(b) };
    await ok([
      `put ${local('r1.hold')} /Inbox/r1.hold`,
      `put ${local('r2.hold')} /Inbox/r2.hold`,
      'mkdir /Inbox/full',
      `put ${local('r1.hold')} /Inbox/full/r3.hold`,
    ]);
    client = await raw();
  });
  after(async () => {
    await client?.[Symbol.asyncDispose]();
  });
  const intact = async (): Promise<void> => {
    assert.equal(await recorded(client, '/Inbox/r1.hold'), sums.r1);
    assert.equal(await recorded(client, '/Inbox/r2.hold'), sums.r2);
    assert.equal(await recorded(client, '/Inbox/full/r3.hold'), sums.r1);
  };
  const refused = async (batch: string, pattern: RegExp): Promise<void> => {
    const { code, output } = await sftp(pair.site, pair.acme, [batch]);
    assert.equal(code, 1, output);
    assert.match(output, pattern);
    await intact();
  };

  it('onto a name that is taken, without overwriting', () => refused('rename -l /Inbox/r1.hold /Inbox/r2.hold', /Failure/));
  it('out of the Inbox', async () => {
    await refused('rename /Inbox/r1.hold /Outbox/r1.hold', /Permission denied/);
    await refused('rename /Inbox/r1.hold /r1.hold', /Permission denied/);
  });
  it('from the Outbox', () => refused('rename /Outbox/big.bin /Inbox/big.hold', /Permission denied/));
  it('of a name that is not there, and into a folder that is not', async () => {
    await refused('rename /Inbox/none /Inbox/other', /No such file/);
    await refused('rename /Inbox/r1.hold /Inbox/none/r1.hold', /No such file/);
  });
  it('of a folder that is fixed, that is not empty, or into itself', async () => {
    await refused('rename /Inbox /Other', /Permission denied/);
    await refused('rename /Inbox/full /Inbox/moved', /Failure/);
    await refused('rename /Inbox/bare /Inbox/bare/bare', /Failure/);
  });
  it('onto a folder', () => refused('rename /Inbox/r1.hold /Inbox/full', /Failure/));
  it('onto itself is nothing', async () => {
    await ok(['rename /Inbox/r1.hold /Inbox/r1.hold', 'rename -l /Inbox/r1.hold /Inbox/r1.hold']);
    await intact();
  });
  it('of an empty folder, and onto a taken name when the client asks to overwrite, is done and told', async () => {
    const renamed = (await audit('item.renamed')).length;
    await ok(['rename /Inbox/bare /Inbox/moved', 'rename /Inbox/r1.hold /Inbox/r2.hold']);
    assert.equal(await recorded(client, '/Inbox/r2.hold'), sums.r1);
    assert.equal((await client.ask(op.stat, '/Inbox/r1.hold')).status, 2);
    assert.equal((await client.ask(op.stat, '/Inbox/moved')).type, 105);
    const told = async () => (await audit('item.renamed')).slice(renamed).map(({ from, to }) => [from, to]);
    await eventually('the audit trail', async () => (await told()).length === 2 || undefined);
    assert.deepEqual(await told(), [
      ['/Inbox/bare', '/Inbox/moved'],
      ['/Inbox/r1.hold', '/Inbox/r2.hold'],
    ]);
    // Both are kept unless the partner's settings say otherwise: the older one still waits for somebody to pull it.
    await eventually('both', async () => {
      const { items } = JSON.parse(await ask(pair.site, 'internal', 'ls', '--json')) as {
        items: { path: string; size: number }[];
      };
      const sizes = items.filter(({ path }) => path === '/Inbox/r2.hold').map(({ size }) => size);
      return sizes.toSorted().join() === '1000,2000' || undefined;
    });
  });
});
