/** What operators and staff meet on a running pair: mistyped names, changed files, a wrong pin, what lies on the disk. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { InternalStatus, Listing, PushedItem, TraceAnswer } from '../../internal-node/admin/api.ts';
import { commands, type Ran } from '../../scripts/site/site.ts';
import { ask, delivered, eventually, inside as insideOf, sftp } from '../../scripts/site/walk.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { type Answer, op, openFlags, RawSftp } from '../fixtures/raw-sftp.ts';

let pair: Pair;
let scratch: string;
before(async () => {
  pair = await startPair();
  scratch = join(pair.site.folder, 'scratch');
  await mkdir(scratch);
});
after(async () => {
  await pair[Symbol.asyncDispose]();
});

const inside = (...args: readonly string[]): Promise<Ran> => insideOf(pair.site, ...args);
const statusOf = async (): Promise<InternalStatus> =>
  JSON.parse(await ask(pair.site, 'internal', 'status', '--json')) as InternalStatus;
const writing = openFlags.write | openFlags.create | openFlags.truncate;
const reload = async (): Promise<void> => {
  process.kill(pair.supervisor.pid('internal'), 'SIGHUP');
};
const asAcme = (): Promise<RawSftp> =>
  RawSftp.connect(pair.site.sftp.port, { username: pair.acme.name, password: pair.acme.password });
/** The text of a STATUS answer. */
const textOf = ({ body }: Answer): string => body.subarray(8, 8 + body.readUInt32BE(4)).toString();
const partnersFile = (): string => join(pair.site.folder, 'internal/conf.d/partners.yaml');

describe('names that are not there', () => {
  it('a partner that does not exist is said to be missing, with the one that may be meant', async () => {
    for (const verb of [
      ['ls', 'acmee'],
      ['push', partnersFile(), 'acmee'],
    ]) {
      const { code, error } = await inside(...verb);
      assert.equal(code, 6, error);
      assert.match(error, /there is no partner "acmee" - did you mean "acme"\?\n {2}next: sallyport partner list/);
    }
    assert.equal((await inside('ls', 'acme')).code, 0, 'one without files is no error');
  });

  it('a file is pulled only from an Inbox and only into a folder that is there', async () => {
    const local = join(scratch, 'pulled.txt');
    await writeFile(local, 'pulled\n');
    assert.equal((await sftp(pair.site, pair.acme, [`put ${local} /Inbox/pulled.txt`])).code, 0);
    await delivered(pair.site, 'acme/pulled.txt');
    const { code, error } = await inside('pull', 'acme/Inbox/pulled.txt', `${scratch}/no/`);
    assert.deepEqual([code, error.split('\n')[0]], [2, `error: there is no folder ${scratch}/no`]);
    assert.equal((await inside('pull', 'acme/Outbox/pulled.txt', scratch)).code, 2);
    assert.match((await inside('status')).out, /^node/, 'nothing is wrong with the node');
  });
});

it('output that nobody reads to its end is no failure', async () => {
  const script = `"$@" | true; exit "\${PIPESTATUS[0]}"`;
  const [node, ...main] = commands.internal;
  const ran = await new Promise<Ran>((resolve) => {
    const command = [node, ...main, 'trace', 'acme/Inbox/pulled.txt', '--config', pair.site.internal.config];
    execFile('bash', ['-c', script, 'bash', ...command], (error, out, text) => {
      resolve({ code: error ? Number(error.code) : 0, out, error: text });
    });
  });
  assert.deepEqual([ran.code, ran.error], [0, '']);
});

it('push says the name that the partner really sees, and so do ls and trace', async () => {
  const local = join(scratch, 'list.csv');
  await writeFile(local, 'prices\n');
  const push = async (): Promise<PushedItem> =>
    JSON.parse(await ask(pair.site, 'internal', 'push', local, 'globex', '--json')) as PushedItem;
  assert.equal((await push()).path, '/Outbox/list.csv');
  const second = await push();
  assert.equal(second.path, '/Outbox/list (2).csv');
  const { output } = await sftp(pair.site, pair.globex, ['ls -1 /Outbox']);
  assert.match(output, /list \(2\)\.csv/);
  const { items } = JSON.parse(await ask(pair.site, 'internal', 'ls', 'globex/Outbox', '--json')) as Listing;
  assert.deepEqual(
    items.map(({ path }) => path),
    ['/Outbox/list (2).csv', '/Outbox/list.csv'],
  );
  const traced = JSON.parse(await ask(pair.site, 'internal', 'trace', 'globex/Outbox/list (2).csv', '--json')) as TraceAnswer;
  assert.equal(traced.ref, second.item);
  assert.ok(traced.events.some(({ id }) => id === 'SP-1703'));
});

it('bytes out of order are refused in words, on the write and on the close', async () => {
  await using session = await asAcme();
  const handle = await session.open('/Inbox/random.bin', writing);
  assert.equal((await session.ask(op.write, handle, 0n, Buffer.alloc(100))).status, 0);
  const refusal = 'Bytes must be sent in order and once; random access is not supported';
  assert.equal(textOf(await session.ask(op.write, handle, 50_000_000n, Buffer.alloc(100))), refusal);
  assert.equal(textOf(await session.ask(op.close, handle)), refusal);
});

describe('a changed configuration', () => {
  const wrongFile = (): string => join(pair.site.folder, 'internal/conf.d/wrong.yaml');
  // A test that fails in the middle must not fail the next ones.
  let partners: string;
  before(async () => {
    partners = await readFile(partnersFile(), 'utf8');
  });
  afterEach(async () => {
    await rm(wrongFile(), { force: true });
    await writeFile(partnersFile(), partners);
    await reload();
    await eventually('all is well', async () => (await statusOf()).configRefused === null || undefined);
  });

  it('AU-08: that is wrong is told on one line of status, and the last good one stays', async () => {
    await writeFile(wrongFile(), 'rules:\n  - delivr: inside\n  - path: "*.x"\n', { mode: 0o600 });
    await reload();
    await eventually('the refusal', async () => (await statusOf()).configRefused ?? undefined);
    const { out } = await inside('status');
    assert.match(
      out,
      /^! a changed configuration is wrong, the last good one is in use: .*delivr: unknown key - did you mean "deliver"\?.*; .*\n {2}next: sallyport config check/,
    );
  });

  it('AU-08: that disables a partner ends his live session, and he cannot come back', async () => {
    await using session = await asAcme();
    const handle = await session.open('/Inbox/open.bin', writing);
    assert.equal((await session.ask(op.write, handle, 0n, Buffer.alloc(10))).status, 0);
    await writeFile(partnersFile(), partners.replace('  acme:\n', '  acme:\n    disabled: true\n'));
    await reload();
    assert.equal(await session.next(), undefined, 'the connection is closed');
    assert.notEqual((await sftp(pair.site, pair.acme, ['pwd'])).code, 0);
    assert.equal((await sftp(pair.site, pair.globex, ['pwd'])).code, 0, 'the other one is not touched');
    await writeFile(partnersFile(), partners);
    await reload();
    await eventually('he is let in again', async () => (await sftp(pair.site, pair.acme, ['pwd'])).code === 0 || undefined);
  });
});

it('nothing of a node can be read by others, and no password is written down', async () => {
  const { site, acme, supervisor } = pair;
  for (const node of ['dmz', 'internal']) {
    const top = join(site.folder, node);
    for (const entry of await readdir(top, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const found = await lstat(path).catch(() => undefined);
      if (!found) continue; // gone meanwhile
      assert.equal(found.mode & 0o077, 0, `${path} has mode ${(found.mode & 0o777).toString(8)}`);
      if (!entry.isFile()) continue;
      const text = await readFile(path, 'latin1').catch(() => '');
      assert.equal(text.includes(acme.password), false, path);
    }
  }
  for (const kind of ['dmz', 'internal'] as const) {
    assert.equal((await readFile(join(site.folder, `${kind}.log`), 'latin1')).includes(acme.password), false);
    assert.equal((await readFile(`/proc/${supervisor.pid(kind)}/cmdline`, 'latin1')).includes(acme.password), false);
  }
});

it('a session of a DMZ node that was killed is over once the node is back', async () => {
  const { supervisor } = pair;
  const sessionsOf = async (): Promise<number> => {
    const { partners } = await statusOf();
    return partners.connected.find(({ partner }) => partner === 'acme')?.sessions ?? 0;
  };
  const before = await sessionsOf();
  await asAcme();
  assert.equal(await sessionsOf(), before + 1);
  process.kill(supervisor.pid('dmz'), 'SIGKILL');
  await eventually('the inside has no session any more', async () => (await sessionsOf()) === 0 || undefined);
  await supervisor.ready(AbortSignal.timeout(120_000));
});

it('a wrong pin is named on both nodes, with what to do', async () => {
  const { site, supervisor } = pair;
  const config = await readFile(site.internal.config, 'utf8');
  const own = /fingerprint: (SPD-\S+)/.exec(config)?.[1] ?? '';
  const other = await otherFingerprint();
  await supervisor.takeDown('internal');
  await writeFile(site.internal.config, config.replace(own, other));
  supervisor.bringUp('internal');
  const refused = await eventually('the refusal', async () => {
    const status = await statusOf();
    return status.tunnel.refusedBy === 'pin' ? status : undefined;
  });
  assert.deepEqual([refused.tunnel.up, refused.tunnel.sinceMs], [false, null], 'never up since its start');
  assert.match(await ask(site, 'internal', 'status'), /has not been up yet.*\n {2}next: compare what `sallyport fingerprint`/);
  assert.match(
    await ask(site, 'dmz', 'status'),
    /has been away for .* nobody can log in; last refused: .*sallyport-dmz fingerprint/,
  );
  await supervisor.takeDown('internal');
  await writeFile(site.internal.config, config);
  supervisor.bringUp('internal');
  await eventually('the tunnel', async () => (await statusOf().catch(() => undefined))?.tunnel.up || undefined);
});

/** The fingerprint of another DMZ node: right in form. */
async function otherFingerprint(): Promise<string> {
  const { fingerprint } = JSON.parse(await ask(pair.site, 'internal', 'fingerprint', '--json')) as { fingerprint: string };
  const [node, ...main] = commands.dmz;
  const out = await new Promise<string>((resolve, reject) => {
    const args = ['init', '--dir', join(pair.site.folder, 'other'), '--name', 'other', '--internal', fingerprint, '--json'];
    execFile(node, [...main, ...args], (error, text) => (error ? reject(error) : resolve(text)));
  });
  return (JSON.parse(out) as { fingerprint: string }).fingerprint;
}
