/**
 * A Samba domain controller with users as partners have them, and what our logins make of them: UPN, DOMAIN\USER, bare names,
 * nested groups by tokenGroups, and accounts that are disabled, expired, locked or must change their password. Runs in a network
 * namespace of its own, since a domain controller has fixed ports; `scripts/samba-ad` makes it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { directoryBench } from '../test/fixtures/directory-bench.ts';

const run = promisify(execFile);
const password = 'Directory-Canary-17';
const realm = 'ad.example.test';
const base = 'dc=ad,dc=example,dc=test';
const partners = `ou=partners,${base}`;

const folder = await mkdtemp(join(tmpdir(), 'sallyport-ad-'));
const config = join(folder, 'etc/smb.conf');
const say = (line: string): void => console.log(`· ${line}`);
const tool = (...args: readonly string[]) =>
  run('samba-tool', [...args, '--configfile', config], { maxBuffer: 16 * 1024 * 1024 });

async function provision(): Promise<void> {
  const options = ['interfaces=lo', 'bind interfaces only=yes', `posix:eadb=${join(folder, 'eadb.tdb')}`];
  await run(
    'samba-tool',
    [
      ...['domain', 'provision', `--realm=${realm}`, '--domain=EXAMPLE', '--server-role=dc', '--dns-backend=NONE'],
      ...['--host-name=dc1', '--host-ip=127.0.0.1', `--adminpass=${password}`, `--targetdir=${folder}`],
      ...options.map((option) => `--option=${option}`),
    ],
    { maxBuffer: 16 * 1024 * 1024 },
  );
}

async function addUsers(): Promise<void> {
  await tool('ou', 'add', partners).catch(() => tool('ou', 'create', partners));
  await tool('ou', 'add', `ou=other,${base}`).catch(() => tool('ou', 'create', `ou=other,${base}`));
  const lockout = ['--account-lockout-threshold=3', '--account-lockout-duration=30', '--reset-account-lockout-after=30'];
  await tool('domain', 'passwordsettings', 'set', ...lockout, '--max-pwd-age=0');
  for (const user of ['john.doe', 'disabled', 'expired', 'locked', 'careful', 'change']) {
    await tool('user', 'create', user, password, '--userou=ou=partners', `--mail-address=${user}@${realm}`);
  }
  await tool('user', 'create', 'mallory', password, '--userou=ou=other');
  await tool('user', 'disable', 'disabled');
  await tool('user', 'setexpiry', 'expired', '--days=-1').catch(() => tool('user', 'setexpiry', 'expired', '--days=0'));
  await tool('user', 'setpassword', 'change', `--newpassword=${password}`, '--must-change-at-next-login');
  for (const group of ['inner', 'outer']) await tool('group', 'add', group);
  await tool('group', 'addmembers', 'inner', 'john.doe');
  await tool('group', 'addmembers', 'outer', 'inner');
}

async function serve(): Promise<ChildProcess> {
  const child = spawn(
    'samba',
    ['--interactive', '--model=single', '--debuglevel=1', `--configfile=${config}`, '--option=server services=ldap'],
    { stdio: ['pipe', 'ignore', 'inherit'] }, // it ends at the end of its input
  );
  for (let i = 0; i < 600; i += 1) {
    if (child.exitCode !== null) throw new Error(`samba ended with ${child.exitCode}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(636, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open && existsSync(join(folder, 'private/tls/ca.pem'))) return child;
    await sleep(100);
  }
  throw new Error('samba does not listen');
}

let failed = 0;
function check(what: string, seen: unknown, wanted: unknown): void {
  const right = seen === wanted;
  if (!right) failed += 1;
  say(`${right ? 'ok  ' : 'FAIL'} ${what}: ${String(seen)}${right ? '' : `, not ${String(wanted)}`}`);
}

async function checks(): Promise<void> {
  const { stdout } = await tool('group', 'show', 'outer', '--attributes=objectSid');
  const sid = /S-1-5-[0-9-]+/.exec(stdout)?.[0] ?? '';
  const passwordFile = join(folder, 'service-password');
  await writeFile(passwordFile, password, { mode: 0o600 });
  const common = {
    servers: ['ldaps://127.0.0.1'],
    authorities: join(folder, 'private/tls/ca.pem'),
    serverName: `dc1.${realm}`,
    bases: [partners],
    bind: 'direct',
    groupMapping: [{ attribute: 'tokenGroups', matches: sid, groups: ['outer'] }],
    baseGroups: ['others'],
  };
  const service = { name: `Administrator@${realm}`, passwordFile };
  const told = async (bench: ReturnType<typeof directoryBench>, user: string, typed = password): Promise<string> => {
    const answer = await bench.login(user, typed);
    if (answer.outcome === 'accept') return `partner ${answer.partner} in ${bench.partners.get(answer.partner)?.groups.join()}`;
    return answer.outcome === 'reject' ? answer.reason : `${answer.outcome}: ${answer.detail}`;
  };
  for (const [how, more] of [
    ['without a service account', {}],
    ['with a service account', { service }],
  ] as const) {
    say(how);
    await using byAccount = directoryBench({ ...common, ...more, usernameAttribute: 'sAMAccountName' });
    check('LD-09: DOMAIN\\USER', await told(byAccount, 'EXAMPLE\\john.doe'), 'partner john.doe in outer');
    check('LD-10: the bare name', await told(byAccount, 'john.doe@ad.example.test'), 'partner john.doe in outer');
    check('LD-12: outside of the base', await told(byAccount, 'EXAMPLE\\mallory'), 'unknown user');
    check('wrong password', await told(byAccount, 'EXAMPLE\\john.doe', 'wrong'), 'wrong password');
    check('disabled', await told(byAccount, 'EXAMPLE\\disabled'), 'disabled');
    check('expired', await told(byAccount, 'EXAMPLE\\expired'), 'expired');
    check('must change', await told(byAccount, 'EXAMPLE\\change'), 'password must be changed');
    await using byName = directoryBench({ ...common, ...more, usernameAttribute: 'userPrincipalName' });
    check('LD-08: UPN', await told(byName, `john.doe@${realm}`), 'partner john.doe in outer');
    const suffixed = { ...common, ...more, usernameAttribute: 'userPrincipalName', usernameSuffix: `@${realm}` };
    await using bySuffix = directoryBench(suffixed);
    check('LD-11: with a suffix', await told(bySuffix, 'john.doe'), 'partner john.doe in outer');
  }
  await using dogged = directoryBench({ ...common, service, usernameAttribute: 'sAMAccountName', failuresPerUser: 100 });
  for (let i = 0; i < 4; i += 1) await told(dogged, 'EXAMPLE\\locked', 'wrong');
  check('locked by the directory', await told(dogged, 'EXAMPLE\\locked'), 'locked by the directory');
  await using careful = directoryBench({ ...common, service, usernameAttribute: 'sAMAccountName', failuresPerUser: 2 });
  for (let i = 0; i < 20; i += 1) await told(careful, 'EXAMPLE\\careful', 'wrong');
  check('D8: not locked by twenty guesses', await told(dogged, 'EXAMPLE\\careful'), 'partner careful in others');
}

let samba: ChildProcess | undefined;
try {
  await mkdir(folder, { recursive: true });
  say('provisioning a domain controller');
  await provision();
  await addUsers();
  samba = await serve();
  await checks();
} finally {
  const gone = samba?.exitCode === null && new Promise((resolve) => samba?.once('exit', resolve));
  samba?.kill('SIGTERM');
  await gone;
  await rm(folder, { recursive: true, force: true });
}
say(failed === 0 ? 'all as expected' : `${failed} not as expected`);
process.exitCode = failed === 0 ? 0 : 1;
