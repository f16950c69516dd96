/**
 * Who may come in, through a running pair with OpenLDAP behind it: the examples of docs/authentication.md, over real SFTP and FTPS
 * logins, and that no secret of any of them is found anywhere afterwards.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import ssh2 from 'ssh2';
import type { InternalStatus } from '../../internal-node/admin/api.ts';
import { commands, type SitePartner } from '../../scripts/site/site.ts';
import { ask, curlFtps, delivered } from '../../scripts/site/walk.ts';
import { audited } from '../fixtures/audit-lines.ts';
import { searchForSecrets } from '../fixtures/canaries.ts';
import { codeOf, enrol } from '../fixtures/enrolment.ts';
import { eventually } from '../fixtures/eventually.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { RawFtp } from '../fixtures/raw-ftp.ts';
import { connectClient, op, openFlags, RawSftp } from '../fixtures/raw-sftp.ts';
import { Slapd, servicePassword, totpUri, userPassword } from '../fixtures/slapd.ts';

let slapd: Slapd;
let pair: Pair;
before(async () => {
  slapd = await Slapd.start();
  pair = await startPair({}, undefined, async ({ internal, dmz }) => {
    const folder = dirname(internal.config);
    const [, directory = '', groups = ''] = await examples();
    await copyFile(slapd.authority, join(folder, 'ldap-ca.pem'));
    await writeFile(join(folder, 'ldap-service-password'), `${servicePassword}\n`, { mode: 0o600 });
    await writeFile(join(folder, 'conf.d/groups.yaml'), groups, { mode: 0o600 });
    const settings = await readFile(internal.config, 'utf8');
    const withTrace = settings.replace(/^log:.*\n( .*\n)*/m, '');
    const here = directory.replace('ldaps://ldap.example.com', slapd.tlsUrl);
    const budgets = '  failuresPerAccount: 1000\n  askForCode: true\n  leastRefusal: 200ms\n';
    await writeFile(internal.config, `${withTrace}\n${here}${budgets}log: {level: trace}\n`);
    const door = await readFile(dmz.config, 'utf8');
    const limits = 'limits:\n  throttle: {banAfter: 5, exempt: [127.0.0.1]}\n  loginAttempts: 20\n';
    await writeFile(dmz.config, `${door}\n${limits}log: {level: trace}\n`);
  });
});
after(async () => {
  await pair[Symbol.asyncDispose]();
  await slapd[Symbol.asyncDispose]();
});

/** The YAML examples of the page, in their order. */
async function examples(): Promise<string[]> {
  const page = await readFile(new URL('../../docs/authentication.md', import.meta.url), 'utf8');
  return [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
}

const sftpLogin = (username: string, password: string, localAddress = '127.0.0.1'): Promise<RawSftp> =>
  RawSftp.connect(pair.site.sftp.port, { username, password, localAddress });
async function refusedOverSftp(username: string, password: string, localAddress?: string): Promise<boolean> {
  try {
    await using _in = await sftpLogin(username, password, localAddress);
    return false;
  } catch {
    return true;
  }
}
async function sent(as: Pick<SitePartner, 'name' | 'password'>, name: string, args: readonly string[] = []): Promise<number> {
  const file = join(pair.site.folder, 'sent');
  await writeFile(file, `from ${as.name}`);
  return (await curlFtps(pair.site, { ...as, keyFile: '' }, [...args, '-T', file], `/Inbox/${name}`)).code;
}
const stepsOf = async (user: string): Promise<string[]> =>
  (await audited(pair.site.internal.state))
    .filter((line) => line.name === 'auth.step' && line.user === user)
    .map(({ method, outcome }) => `${method} ${outcome}`);

test('LD-17, LD-46, AU-03, AU-19, AU-22: a user of the directory logs in over SFTP and FTPS, sends, and is a partner from then on', async () => {
  {
    await using sftp = await sftpLogin('John', userPassword);
    const handle = await sftp.open('/Inbox/by-sftp', openFlags.write | openFlags.create);
    await sftp.ask(op.write, handle, 0n, 'from the directory');
    await sftp.ask(op.close, handle);
  }
  assert.equal(String(await delivered(pair.site, 'teams/AcmeCo/report/by-sftp')), 'from the directory');
  assert.equal(await sent({ name: 'John', password: userPassword }, 'by-ftps'), 0);
  assert.equal(String(await delivered(pair.site, 'teams/AcmeCo/report/by-ftps')), 'from John');
  assert.deepEqual((await stepsOf('John')).slice(0, 2), ['own unknown', 'corporate accept']);
  const status = JSON.parse(await ask(pair.site, 'internal', 'status', '--json')) as InternalStatus;
  assert.equal(status.partners.configured, 3);
});

test('AU-02, AU-04, LD-43: a wrong password and an unknown user are refused alike, and told apart inside', async () => {
  assert.ok(await refusedOverSftp('John', 'wrong'));
  assert.ok(await refusedOverSftp('stranger', userPassword));
  assert.equal(await sent({ name: 'John', password: 'wrong' }, 'x'), 67);
  await eventually('both are told', async () => (await stepsOf('stranger')).length === 2);
  assert.deepEqual(await stepsOf('stranger'), ['own unknown', 'corporate reject']);
});

test('LD-38, AU-18, AU-21: keys are of own accounts; nobody gets a session without a login', async () => {
  const { acme } = pair;
  const privateKey = await readFile(acme.keyFile);
  const port = pair.site.sftp.port;
  await using _in = await RawSftp.connect(port, { username: acme.name, privateKey, password: '' });
  for (const username of ['John', 'globex']) {
    await assert.rejects(connectClient(port, { username, privateKey, password: '' }), username);
  }
});

test('auth test walks the chain of the running node and says what each method saw', async () => {
  const tried = async (user: string, password: string) => {
    const words = ['auth', 'test', user, '--password-file', '-', '--json', '--config', pair.site.internal.config];
    const [node, ...main] = commands.internal;
    const { code, out } = await run(node, [...main, ...words], {}, `${password}\n`);
    return {
      code,
      ...(JSON.parse(out) as { accepted: string | null; steps: { method: string; outcome: string; detail: string }[] }),
    };
  };
  const good = await tried('jane', userPassword);
  assert.equal(good.code, 4, 'jane is below another base');
  assert.match(good.steps[1]?.detail ?? '', /ou=partners,dc=example,dc=test/);
  const john = await tried('John', userPassword);
  assert.deepEqual([john.code, john.accepted], [0, 'john']);
  assert.match(john.steps[1]?.detail ?? '', /groups asia, everybody/);
  const wrong = await tried('acme', 'wrong');
  assert.deepEqual([wrong.code, wrong.steps.length], [4, 1]);
});

const secrets: string[] = [];

test('TO-05, TO-07, TO-08: codes of an enrolled partner, over SFTP, FTPS and where they are asked for, each once', async () => {
  const { globex } = pair;
  const { secret, recovery } = await enrol(pair.site, 'globex');
  secrets.push(secret, ...recovery);
  assert.equal(recovery.length, 10);
  assert.ok(await refusedOverSftp('globex', globex.password));
  // The step of the enrolment is used: the next one is right already.
  const next = await codeOf(secret, 'now + 30 seconds');
  assert.equal(await sent({ name: 'globex', password: `${globex.password}${next}` }, 'with-code'), 0);
  assert.ok(await refusedOverSftp('globex', `${globex.password}${next}`), 'used over FTPS');
  const [first = '', second = ''] = recovery;
  {
    await using sftp = await sftpLogin('globex', `${globex.password}${first}`);
    assert.equal((await sftp.ask(op.stat, '/Inbox')).type, 105);
  }
  assert.equal(await sent({ name: 'globex', password: `${globex.password}${first}` }, 'again'), 67);
  const asked: string[] = [];
  const dialogue = new ssh2.Client();
  dialogue.on('keyboard-interactive', (_name, _instructions, _language, prompts, answer) => {
    asked.push(...prompts.map(({ prompt }) => prompt));
    answer([globex.password, second]);
  });
  await new Promise<void>((resolve, reject) => {
    dialogue.once('ready', () => resolve()).once('error', reject);
    dialogue.connect({ host: '127.0.0.1', port: pair.site.sftp.port, username: 'globex', tryKeyboard: true });
  });
  dialogue.destroy();
  assert.deepEqual(asked, ['Password: ', 'One-time code (empty if you have none): ']);
});

/** So many wrong passwords on one connection. */
async function guessOverSftp(username: string, count: number, localAddress: string): Promise<void> {
  const guesses = Array.from({ length: count }, (_, i) => ({ type: 'password', username, password: `guess ${i}` }) as const);
  const client = new ssh2.Client();
  const over = new Promise((resolve) => client.once('error', resolve));
  const authHandler = (_left: unknown, _partial: unknown, next: (attempt: unknown) => void): void =>
    next(guesses.shift() ?? false);
  const config = { host: '127.0.0.1', port: pair.site.sftp.port, username, localAddress, authHandler };
  client.connect(config as ssh2.ConnectConfig);
  await over;
  client.on('error', () => undefined);
  client.destroy();
  assert.equal(guesses.length, 0);
}
async function guessOverFtps(user: string, count: number, localAddress: string): Promise<void> {
  const ftp = await RawFtp.connect(pair.site.ftps.explicitPort, { localAddress });
  await ftp.reply();
  await ftp.authTls();
  for (let i = 0; i < count; i += 1) assert.equal((await ftp.logIn(user, `guess ${i}`)).code, 530);
  ftp.socket.destroy();
}

test('BA-01, BA-03, BA-04, BA-08, BA-09: failures over SFTP and FTPS ban one source; it is listed, lifted, and in again', async () => {
  const { acme, site } = pair;
  const from = '127.0.0.31';
  // One connection each: penalties for failed connections alone ban nobody yet.
  await Promise.all([guessOverSftp('acme', 3, from), guessOverFtps('globex', 2, from)]);
  const asked = async (): Promise<number> =>
    (await audited(site.internal.state)).filter((line) => line.name.startsWith('auth.') && line.peer === from).length;
  await eventually('all five are told', async () => (await asked()) === 5);
  assert.ok(await refusedOverSftp('acme', acme.password, from));
  assert.notEqual(await sent(acme, 'x', ['--interface', from]), 0);
  assert.equal(await asked(), 5, 'the inside was not asked');
  assert.equal(await refusedOverSftp('acme', acme.password), false, 'from elsewhere he is welcome');
  const { bans } = JSON.parse(await ask(site, 'internal', 'bans', 'list', '--json')) as {
    bans: { source: string; secondsLeft: number }[];
  };
  assert.deepEqual(
    bans.map(({ source, secondsLeft }) => [source, secondsLeft > 600]),
    [[from, true]],
  );
  assert.match(await ask(site, 'internal', 'bans', 'lift', from), /no longer banned/);
  assert.equal(await refusedOverSftp('acme', acme.password, from), false);
});

test('TO-09: a code of an invitation and the password that is set with it pass through without a trace', async () => {
  const { site } = pair;
  await ask(site, 'internal', 'partner', 'add', 'initech', '--invite');
  const { code } = JSON.parse(await ask(site, 'internal', 'partner', 'invite', 'initech', '--json')) as { code: string };
  const password = 'own canary lantern 93 thistle';
  secrets.push(code, code.replaceAll('-', ''), password, 'short can');
  const asked = ['short can', password];
  const client = new ssh2.Client();
  client.on('change password', (_message: string, done: (password: string) => void) => done(asked.shift() ?? ''));
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve).once('error', reject);
    client.connect({ host: '127.0.0.1', port: site.sftp.port, username: 'initech', password: code });
  });
  client.destroy();
  assert.equal(await sent({ name: 'initech', password }, 'with-own'), 0);
  assert.notEqual(await sent({ name: 'initech', password: code }, 'with-code'), 0);
});

test('AU-06: without the directory its users wait, own accounts and keys do not, and no refusal tells who is which', async () => {
  await slapd[Symbol.asyncDispose]();
  assert.ok(await refusedOverSftp('John', userPassword));
  assert.equal(await refusedOverSftp('acme', pair.acme.password), false);
  await eventually('it is told', async () => (await stepsOf('John')).includes('corporate failed'));
});

test('TO-09: at the most verbose level no log, audit line, file of the DMZ node or argument list holds a secret', async () => {
  const { site, acme, globex, supervisor } = pair;
  const totpSecret = new URL(totpUri).searchParams.get('secret') ?? '';
  const hashes =
    (await readFile(join(dirname(site.internal.config), 'conf.d/partners.yaml'), 'utf8')).match(/\$argon2id\S+/g) ?? [];
  assert.equal(hashes.length, 2);
  const records = ['records.db', 'records.db-wal'].map((file) => join(site.internal.state, file));
  const canaries = [acme.password, globex.password, userPassword, servicePassword, totpSecret, ...secrets];
  const { found, bytes } = await searchForSecrets(site, supervisor, canaries, records);
  assert.deepEqual(found, []);
  assert.ok(bytes > 50_000, `${bytes} bytes were searched`);
  // Hashes are for the configuration and the records of the inside alone.
  const ofHashes = [...hashes, '$argon2id$'];
  assert.deepEqual((await searchForSecrets(site, supervisor, ofHashes)).found, []);
  const kept = Buffer.concat(await Promise.all(records.map((file) => readFile(file).catch(() => Buffer.alloc(0)))));
  assert.ok(kept.includes('$argon2id$'), 'the password that initech set is kept as a hash');
});
