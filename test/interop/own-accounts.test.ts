/**
 * Partners who set their passwords themselves, through a running pair: with OpenSSH, which is asked for a new password in both of its
 * ways, and the sheet that tells them how to get here.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import ssh2 from 'ssh2';
import type { Sheet } from '../../internal-node/partner-sheet.ts';
import { type SitePartner, sftpArguments } from '../../scripts/site/site.ts';
import { ask, curlFtps } from '../../scripts/site/walk.ts';
import { audited } from '../fixtures/audit-lines.ts';
import { eventually } from '../fixtures/eventually.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';

let pair: Pair;
before(async () => {
  pair = await startPair({}, undefined, async ({ dmz }) => {
    const door = await readFile(dmz.config, 'utf8');
    await writeFile(dmz.config, `${door}\nlimits:\n  throttle: {exempt: [127.0.0.0/8]}\n`);
  });
});
after(() => pair?.[Symbol.asyncDispose]());

const fresh = 'wagon copper lantern 41 thistle';
const own = (name: string, password: string): SitePartner => ({ name, password, keyFile: '/dev/null' });

/** OpenSSH without a terminal: a program answers its questions. @returns whether it was let in, and what it asked. */
async function byOpenSsh(partner: SitePartner, method: string, next: string): Promise<{ in: boolean; asked: string }> {
  const { folder } = pair.site;
  const [answers, questions, script] = ['answers', 'questions', 'ask'].map((name) => join(folder, `${partner.name}-${name}`));
  assert.ok(answers && questions && script);
  await writeFile(answers, `${partner.password}\n${next}\n`, { mode: 0o600 });
  await writeFile(questions, '');
  const choose = `case "$1" in *[Nn]ew*|*Retype*) sed -n 2p ${answers};; *) sed -n 1p ${answers};; esac`;
  await writeFile(script, `#!/bin/sh\necho "$1" >> ${questions}\n${choose}\n`, { mode: 0o700 });
  const ways = ['-o', 'BatchMode=no', '-o', `PreferredAuthentications=${method}`, '-o', 'NumberOfPasswordPrompts=1'];
  const args = [...ways, '-b', '-', ...sftpArguments(pair.site, partner).filter((word) => word !== 'BatchMode=yes')];
  const env = { SSH_ASKPASS: script, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':none' };
  const { code } = await run('sftp', withoutDanglingOption(args), env, 'ls /\n');
  return { in: code === 0, asked: await readFile(questions, 'utf8') };
}

/** An option whose value was taken away. */
const withoutDanglingOption = (args: readonly string[]): string[] =>
  args.filter((word, index) => !(word === '-o' && (args[index + 1] === '-o' || index + 2 === args.length)));

const overFtps = async (partner: SitePartner): Promise<number> => (await curlFtps(pair.site, partner, [], '/')).code;
const inside = (...args: readonly string[]): Promise<string> => ask(pair.site, 'internal', ...args);

for (const method of ['password', 'keyboard-interactive']) {
  test(`a partner sets his password with an invitation, by ${method} of OpenSSH; the code is good once`, async () => {
    const name = method === 'password' ? 'initech' : 'umbrella';
    await inside('partner', 'add', name, '--invite');
    const { code } = JSON.parse(await inside('partner', 'invite', name, '--json')) as { code: string };
    assert.notEqual(await overFtps(own(name, code)), 0, 'there are no questions over FTPS');
    const set = await byOpenSsh(own(name, code), method, fresh);
    assert.equal(set.in, true, set.asked);
    assert.match(set.asked, method === 'password' ? /new password[\s\S]*Retype/i : /New password: [\s\S]*New password again: /);
    assert.equal((await byOpenSsh(own(name, code), method, fresh)).in, false, 'the code is used up');
    const again = await byOpenSsh(own(name, fresh), method, '');
    assert.equal(again.in, true);
    assert.doesNotMatch(again.asked, /new password/i);
    assert.equal(await overFtps(own(name, fresh)), 0);
  });
}

test('who must change a password that staff set hears why a new one does not do, by the change request of the protocol', async () => {
  const { globex, site } = pair;
  const given = join(site.folder, 'given');
  await writeFile(given, 'gravel onion 77 paper boats\n', { mode: 0o600 });
  await inside('partner', 'password', 'globex', '--password-file', given, '--must-change');
  const password = 'gravel onion 77 paper boats';
  assert.notEqual(await overFtps({ ...globex, password }), 0);
  const heard: string[] = [];
  const wanted = ['short', password, fresh];
  const client = new ssh2.Client();
  client.on('change password', (message: string, done: (password: string) => void) => {
    heard.push(message);
    done(wanted[heard.length - 1] ?? '');
  });
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve).once('error', reject);
    client.connect({ host: '127.0.0.1', port: site.sftp.port, username: 'globex', password });
  });
  client.destroy();
  assert.deepEqual(
    heard.map((text) => text.split(/[.,]/, 1)[0]),
    ['You must set a new password now', 'This password is too short or too easy to guess', 'You have used this password before'],
  );
  assert.equal(await overFtps({ ...globex, password: fresh }), 0);
});

test('a partner who sets another password ends his sessions with the one of before, and stays in with the new one', async () => {
  const { globex, site } = pair;
  const large = join(site.folder, 'large');
  await writeFile(large, '');
  await truncate(large, 256 * 1024 * 1024);
  const opened = async (): Promise<number> =>
    (await audited(site.dmz.state)).filter(({ name, partner }) => name === 'session.opened' && partner === 'globex').length;
  const before = await opened();
  const old = { ...globex, password: fresh };
  const running = curlFtps(site, old, ['--limit-rate', '1M', '-T', large], '/Inbox/live');
  await eventually('it sends', async () => (await opened()) > before);
  const { code } = JSON.parse(await inside('partner', 'invite', 'globex', '--json')) as { code: string };
  const next = 'lantern 41 thistle wagon copper';
  assert.equal((await byOpenSsh(own('globex', code), 'password', next)).in, true);
  assert.ok(![0, 67].includes((await running).code));
  assert.equal(await overFtps(own('globex', next)), 0);
  assert.notEqual(await overFtps(old), 0);
});

test('the sheet of a partner says how to reach and to recognise the doors, and holds no secret', async () => {
  const { site, acme } = pair;
  const words = ['partner', 'sheet', 'acme', '--host', 'sftp.example.com'];
  const sheet = JSON.parse(await inside(...words, '--format', 'json')) as Sheet;
  assert.equal(sheet.sftp?.port, site.sftp.port);
  assert.ok(sheet.sftp?.keys.some(({ line }) => site.sftp.hostKey.startsWith(line)));
  assert.equal(sheet.ftps?.explicit, site.ftps.explicitPort);
  assert.equal(sheet.ftps?.certificate, new X509Certificate(await readFile(site.ftps.caFile)).fingerprint256);
  assert.deepEqual(
    sheet.folders.map(({ path }) => path),
    ['/Inbox', '/Outbox'],
  );
  for (const format of ['text', 'md']) {
    const text = await inside(...words, '--format', format);
    for (const part of [sheet.ftps?.certificate ?? '?', `sftp -P ${site.sftp.port} acme@sftp.example.com`, '/Outbox']) {
      assert.ok(text.includes(part), `${format}: ${part}`);
    }
    assert.doesNotMatch(text, /argon2/);
    assert.equal(text.includes(acme.password), false);
  }
});
