/**
 * SSH keys as partners have them, through a running pair, with OpenSSH's own programs: several keys in several forms, keys in FIDO
 * devices (`test/fixtures/security-key.c` is one in software), certificates of `ssh-keygen -s`, lists of `ssh-keygen -k`, and a key
 * with a password or a one-time code. The examples of docs/authentication.md are those that are in force here.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, inside } from '../../scripts/site/walk.ts';
import { audited } from '../fixtures/audit-lines.ts';
import { codeOf, enrol } from '../fixtures/enrolment.ts';
import { OpenSsh, type Ran, run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';

let pair: Pair;
let ssh: OpenSsh;
let provider: string;
let revoked: string;

const fixture = (name: string): string => new URL(`../fixtures/${name}`, import.meta.url).pathname;

async function keygen(...args: readonly string[]): Promise<void> {
  const { code, err } = await run('ssh-keygen', ['-q', ...args], { SSH_SK_PROVIDER: provider });
  assert.equal(code, 0, err);
}
const publicLine = async (name: string): Promise<string> => (await readFile(ssh.path(`${name}.pub`), 'utf8')).trim();

before(async () => {
  ssh = await OpenSsh.create(0);
  provider = ssh.path('security-key.so');
  const compiled = await run('cc', ['-shared', '-fPIC', '-o', provider, fixture('security-key.c'), '-lcrypto']);
  assert.equal(compiled.code, 0, compiled.err);
  const device = (name: string, type: string, ...options: readonly string[]) =>
    keygen('-t', type, '-N', '', '-C', name, '-f', ssh.path(name), ...options.flatMap((option) => ['-O', option]));
  const plain = ['authority', 'site-authority', 'first', 'second', 'third', 'certified', 'with-code', 'with-password'];
  await Promise.all([
    ...plain.map((name) => ssh.makeKey(name)),
    ssh.makeKey('rsa', 'rsa'),
    device('device', 'ed25519-sk'),
    device('device-ecdsa', 'ecdsa-sk'),
    device('untouched', 'ed25519-sk', 'no-touch-required'),
    device('careful', 'ed25519-sk', 'verify-required'),
  ]);
  const line = Object.fromEntries(
    await Promise.all(
      [...plain, 'device', 'device-ecdsa', 'untouched', 'careful'].map(async (name) => [name, await publicLine(name)] as const),
    ),
  );
  pair = await startPair({}, undefined, async ({ internal, dmz, partners }) => {
    const folder = dirname(internal.config);
    revoked = join(folder, 'revoked-keys');
    await writeFile(revoked, '# none yet\n', { mode: 0o600 });
    const settings = await readFile(internal.config, 'utf8');
    const ssh = `  ssh:\n    authorities: ["${line['site-authority']}"]\n    revoked: revoked-keys\n`;
    await writeFile(internal.config, `${settings}\nauthentication:\n  failuresPerAccount: 1000\n${ssh}`);
    const known = await readFile(join(folder, 'conf.d/partners.yaml'), 'utf8');
    const [, hash = ''] = /password: "?(\$argon2id[^"\s]+)/.exec(known) ?? [];
    assert.ok(partners.acme, 'whose password the hash is of');
    const more = {
      devices: { keys: [line.device, line['device-ecdsa'], line.untouched] },
      verified: {
        keys: [
          { key: line.device, verify: true },
          { key: line.careful, verify: true },
        ],
      },
      certified: { authorities: [line.authority], principals: ['certified', 'batch'] },
      both: { keys: [line['with-password']], password: hash, require: 'key+password' },
      coded: { keys: [line['with-code']], require: 'key+code' },
    };
    await writeFile(join(folder, 'conf.d/more.yaml'), `partners: ${JSON.stringify(more)}\n`, { mode: 0o600 });
    const door = await readFile(dmz.config, 'utf8');
    await writeFile(dmz.config, `${door}\nlimits:\n  throttle: {exempt: [127.0.0.1]}\n  loginAttempts: 20\n`);
  });
});
after(async () => {
  await pair[Symbol.asyncDispose]();
  await ssh[Symbol.asyncDispose]();
});

/** `sftp` with one key, and `ls` in it unless something else is asked for. */
async function login(
  user: string,
  key: string,
  options: readonly string[] = [],
  env: Record<string, string> = {},
  { words, script }: { readonly words: readonly string[]; readonly script: string } = { words: [], script: 'ls /' },
): Promise<Ran> {
  const settings = [`IdentityFile=${ssh.path(key)}`, 'IdentitiesOnly=yes', `SecurityKeyProvider=${provider}`, 'BatchMode=no'];
  const to = ['-P', String(pair.site.sftp.port), '-b', '-', `${user}@127.0.0.1`];
  const args = [...ssh.options([...options, ...settings]), ...words, ...to];
  return run('sftp', args, { SSH_ASKPASS_REQUIRE: 'force', SSH_ASKPASS: '/bin/false', ...env }, `${script}\n`);
}
const publicKeyOnly = ['PreferredAuthentications=publickey'];
async function isIn(user: string, key: string, options: readonly string[] = publicKeyOnly, env = {}): Promise<void> {
  const { code, out, err } = await login(user, key, options, env);
  assert.equal(code, 0, `${user} with ${key}: ${err}`);
  assert.match(out, /Inbox/);
}
/** He is refused, and the inside knows why. */
async function isRefused(reason: string, user: string, key: string, options = publicKeyOnly, env = {}): Promise<void> {
  const count = async (): Promise<number> =>
    (await audited(pair.site.internal.state)).filter((line) => line.user === user && line.reason === reason).length;
  const before = await count();
  const { code, out } = await login(user, key, options, env);
  assert.notEqual(code, 0, out);
  await eventually(`it is refused because: ${reason}`, async () => (await count()) > before || undefined);
}
const sallyport = (...args: readonly string[]) => inside(pair.site, ...args);

test('AU-18: keys of one partner come in three forms, keep their names and days, and each logs in', async () => {
  const { code, out, err } = await run('ssh-keygen', ['-e', '-f', ssh.path('second.pub')]);
  assert.equal(code, 0, err);
  await writeFile(ssh.path('second.rfc'), out);
  const putty = await run('puttygen', [ssh.path('third'), '-O', 'private', '-o', ssh.path('third.ppk'), '-C', 'scanner in Lyon']);
  assert.equal(putty.code, 0, putty.err);
  const whole = await readFile(ssh.path('third.ppk'), 'utf8');
  await writeFile(ssh.path('third.public.ppk'), whole.slice(0, whole.indexOf('Private-Lines')));
  for (const file of ['first.pub', 'second.rfc', 'third.public.ppk']) {
    const added = await sallyport('partner', 'key', 'add', 'globex', '--key', ssh.path(file));
    assert.equal(added.code, 0, added.error);
    assert.match(added.out, /\+ key SHA256:.* of globex\nThe running node has taken note/);
  }
  await Promise.all(['first', 'second', 'third'].map((key) => isIn('globex', key)));
  const listed = await sallyport('partner', 'key', 'list', 'globex', '--json');
  const { keys } = JSON.parse(listed.out) as { keys: { name: string; added: string; fingerprint: string }[] };
  assert.equal(keys.length, 4);
  assert.equal(keys[3]?.name, 'scanner in Lyon');
  for (const { added } of keys) assert.match(added, /^\d{4}-\d{2}-\d{2}$/);

  const twice = await sallyport('partner', 'key', 'add', 'globex', '--key', ssh.path('first.pub'));
  assert.notEqual(twice.code, 0);
  assert.match(twice.error, /has the key SHA256:\S+ \(test\) already; nothing was changed/);
  const secret = await sallyport('partner', 'key', 'add', 'globex', '--key', ssh.path('third.ppk'));
  assert.notEqual(secret.code, 0);
  assert.match(secret.error, /holds the private key too; it was not stored/);
  const removed = await sallyport('partner', 'key', 'remove', 'globex', 'scanner in Lyon');
  assert.equal(removed.code, 0, removed.error);
  await isRefused('key not registered', 'globex', 'third');
  await isIn('globex', 'second');
});

test('AU-18: keys in FIDO devices log in when the device was touched, and where it is asked for, when it knew its user', async () => {
  await isIn('devices', 'device');
  await isIn('devices', 'device-ecdsa');
  await isRefused('device was not touched', 'devices', 'untouched');
  await isRefused('device did not verify its user', 'verified', 'device');
  const pin = await ssh.passwordEnvironment('1234');
  await isIn('verified', 'careful', publicKeyOnly, pin);
});

interface Certified {
  readonly key?: string;
  readonly by?: string;
  readonly principals?: string;
  readonly options?: readonly string[];
  readonly validity?: string;
  readonly serial?: number;
  readonly id?: string;
}

/** @returns the options with which a program shows the certificate. */
async function certificate(name: string, made: Certified): Promise<string[]> {
  const { key = 'certified', by = 'authority', principals, options = [], validity = '-1h:+1h', serial = 1, id = name } = made;
  await copyFile(ssh.path(`${key}.pub`), ssh.path(`${name}.pub`));
  const names = principals === undefined ? [] : ['-n', principals];
  const conditions = options.flatMap((option) => ['-O', option]);
  const basics = ['-s', ssh.path(by), '-I', id, '-V', validity, '-z', String(serial)];
  await keygen(...basics, ...names, ...conditions, ssh.path(`${name}.pub`));
  return [...publicKeyOnly, `CertificateFile=${ssh.path(`${name}-cert.pub`)}`];
}

test('certificates of an authority let in whom they name, while they last, from where they say, and nobody else', async () => {
  await isIn('certified', 'certified', await certificate('good', { principals: 'batch' }));
  await isIn('certified', 'rsa', await certificate('good-rsa', { key: 'rsa', principals: 'certified' }));
  await isIn('certified', 'device', await certificate('good-device', { key: 'device', principals: 'certified' }));
  const here = ['source-address=127.0.0.0/8,2001:db8::/32', 'force-command=internal-sftp'];
  await isIn('certified', 'certified', await certificate('here', { principals: 'certified', options: here }));
  await isIn('acme', 'certified', await certificate('of-site', { by: 'site-authority', principals: 'acme' }));
  const refusals: readonly (readonly [string, Certified])[] = [
    ['certificate of somebody else', { principals: 'acme' }],
    ['certificate of somebody else', {}],
    ['authority not trusted', { by: 'first', principals: 'certified' }],
    ['certificate expired', { principals: 'certified', validity: '-2h:-1h' }],
    ['certificate not valid yet', { principals: 'certified', validity: '+1h:+2h' }],
    ['certificate for another source address', { principals: 'certified', options: ['source-address=198.51.100.0/24'] }],
    ['certificate with an unknown condition', { principals: 'certified', options: ['critical:vault@example.com=yes'] }],
    ['certificate with an unknown condition', { principals: 'certified', options: ['force-command=/bin/sh'] }],
  ];
  for (const [index, [reason, made]] of refusals.entries()) {
    await isRefused(reason, 'certified', 'certified', await certificate(`bad-${index}`, made));
  }
  const careless = await certificate('careless', { key: 'device', principals: 'certified', options: ['verify-required'] });
  await isRefused('device did not verify its user', 'certified', 'device', careless);
  const accepted = (await audited(pair.site.internal.state)).filter(({ name, key }) => name === 'auth.accepted' && key !== '');
  assert.ok(accepted.some(({ key }) => /certificate good \(serial 1\) of SHA256:/.test(String(key))));
});

test('what `ssh-keygen -k` revokes does not count any more, by key, serial number and key id, without a restart', async () => {
  const numbered = (serial: number, id: string) => certificate(`n${serial}`, { principals: 'certified', serial, id });
  const [kept, bySerial, inRange, byId] = [
    await numbered(5, 'a'),
    await numbered(7, 'b'),
    await numbered(105, 'c'),
    await numbered(9, 'd'),
  ];
  for (const options of [kept, bySerial, inRange, byId]) await isIn('certified', 'certified', options);
  const list = ssh.path('list');
  await writeFile(list, `serial: 7\nserial: 100-200\nid: d\nsha256: ${await publicLine('first')}\n`);
  await keygen('-k', '-s', ssh.path('authority.pub'), '-f', revoked, list);
  await isIn('certified', 'certified', kept);
  for (const options of [bySerial, inRange, byId]) await isRefused('key revoked', 'certified', 'certified', options);
  await isRefused('key revoked', 'globex', 'first');
  await writeFile(revoked, `${await publicLine('authority')}\n`);
  await isRefused('key revoked', 'certified', 'certified', kept);
  await writeFile(revoked, 'not a list\n');
  assert.notEqual((await login('globex', 'second', publicKeyOnly)).code, 0, 'without the list nobody comes in with a key');
  await writeFile(revoked, '');
  await isIn('globex', 'second');
});

test('AC-12: a key and then the password, and neither alone', async () => {
  const env = await ssh.passwordEnvironment(pair.acme.password);
  await isIn('both', 'with-password', [], env);
  await isIn('both', 'with-password', ['PreferredAuthentications=publickey,keyboard-interactive'], env);
  assert.notEqual((await login('both', 'with-password', publicKeyOnly)).code, 0, 'the key alone');
  await isRefused('password before key', 'both', 'first', ['PreferredAuthentications=password'], env);
  const wrong = await ssh.passwordEnvironment('wrong');
  await isRefused('wrong password', 'both', 'with-password', [], wrong);
});

test('AU-16: a key and then a one-time code, without a password; each code once, and none before the key', async () => {
  const answer = (code: string) => ssh.passwordEnvironment(code);
  await isRefused('no second factor', 'coded', 'with-code', [], await answer('123456'));
  const { secret, recovery } = await enrol(pair.site, 'coded');
  // The step of the enrolment is used: the next one is right already.
  const next = await answer(await codeOf(secret, 'now + 30 seconds'));
  await isIn('coded', 'with-code', ['PreferredAuthentications=publickey,keyboard-interactive'], next);
  await isRefused('code used before', 'coded', 'with-code', [], next);
  const [first = '', second = ''] = recovery;
  await isIn('coded', 'with-code', ['PreferredAuthentications=publickey,password'], await answer(first));
  await isRefused('wrong code', 'coded', 'with-code', [], await answer(first));
  assert.notEqual((await login('coded', 'with-code', publicKeyOnly)).code, 0, 'the key alone');
  const alone = ['PreferredAuthentications=keyboard-interactive,password'];
  assert.notEqual((await login('coded', 'with-code', alone, await answer(second))).code, 0, 'the code alone');
  await isIn('coded', 'with-code', [], await answer(second));
});

test('AU-08: keys that are written into a file count when the node has read it anew; a broken file leaves those of before', async () => {
  const file = join(dirname(pair.site.internal.config), 'conf.d/later.yaml');
  const count = async (name: string): Promise<number> =>
    (await audited(pair.site.internal.state)).filter((line) => line.name === name).length;
  const readAnew = async (text: string, heard: string): Promise<void> => {
    const before = await count(heard);
    await writeFile(file, text, { mode: 0o600 });
    process.kill(pair.supervisor.pid('internal'), 'SIGHUP');
    await eventually(heard, async () => (await count(heard)) > before || undefined);
  };
  const written = (key: string) => `partners: {later: {keys: ["${key}"]}}\n`;
  await readAnew(written(await publicLine('second')), 'partner.changed');
  await isIn('later', 'second');
  await readAnew(written('ssh-ed25519 AAAA broken'), 'config.refused');
  await isIn('later', 'second');
  await readAnew(written(await publicLine('third')), 'partner.changed');
  await isIn('later', 'third');
  await isRefused('key not registered', 'later', 'second');
});

test('a key that is revoked ends the sessions that it opened and no other, and so does one that was removed while the node was down', async () => {
  const { site, supervisor } = pair;
  const large = ssh.path('large');
  await writeFile(large, '');
  await truncate(large, 256 * 1024 * 1024);
  const sends = (user: string, key: string): Promise<Ran> =>
    login(user, key, publicKeyOnly, {}, { words: ['-l', '8000'], script: `put ${large} /Inbox/by-${key}` });
  const opened = async (): Promise<number> =>
    (await audited(site.dmz.state)).filter(({ name }) => name === 'session.opened').length;
  const cut = async (user: string): Promise<number> =>
    (await audited(site.dmz.state)).filter(
      ({ name, partner, reason }) => name === 'session.ended' && partner === user && reason === 'revoked by the inside',
    ).length;
  const before = { opened: await opened(), later: await cut('later'), globex: await cut('globex') };
  const running = [sends('globex', 'first'), sends('globex', 'second'), sends('later', 'third')] as const;
  await eventually('all three send', async () => (await opened()) === before.opened + 3 || undefined);
  await writeFile(revoked, `${await publicLine('first')}\n`);
  assert.notEqual((await running[0]).code, 0);
  await eventually('its end is told', async () => (await cut('globex')) === before.globex + 1 || undefined);

  const file = join(dirname(site.internal.config), 'conf.d/later.yaml');
  await writeFile(file, `partners: {later: {keys: ["${await publicLine('certified')}"]}}\n`, { mode: 0o600 });
  process.kill(supervisor.pid('internal'), 'SIGKILL');
  assert.notEqual((await running[2]).code, 0);
  await eventually('its end is told', async () => (await cut('later')) === before.later + 1 || undefined);
  assert.equal(await cut('globex'), before.globex + 1, 'the other one goes on');
  await writeFile(revoked, `${await publicLine('second')}\n`);
  assert.notEqual((await running[1]).code, 0);
  const told = async () => (await audited(site.internal.state)).filter(({ name }) => name === 'auth.withdrawn');
  await eventually('each is told', async () => (await told()).length === 3 || undefined);
  assert.deepEqual(
    (await told()).map(({ reason }) => reason),
    ['key revoked', 'key not registered', 'key revoked'],
  );
  await writeFile(revoked, '');
});
