/** Members of staff with accounts of a directory, through a running pair with OpenLDAP: who may what, and that it is told who did. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { commands } from '../../scripts/site/site.ts';
import type { CertificateList } from '../../shared/pki/certificate-desk.ts';
import type { Claim } from '../../shared/proof/claim.ts';
import { searchForSecrets } from '../fixtures/canaries.ts';
import { eventually } from '../fixtures/eventually.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { Slapd, servicePassword, userPassword } from '../fixtures/slapd.ts';

let slapd: Slapd;
let pair: Pair;
before(async () => {
  slapd = await Slapd.start();
  pair = await startPair({}, undefined, async ({ internal }) => {
    const folder = dirname(internal.config);
    await copyFile(slapd.authority, join(folder, 'ldap-ca.pem'));
    await writeFile(join(folder, 'ldap-service-password'), `${servicePassword}\n`, { mode: 0o600 });
    const page = await readFile(new URL('../../docs/authentication.md', import.meta.url), 'utf8');
    const [, example = ''] = /```yaml\n# sallyport.yaml: staff\n([\s\S]*?)```/.exec(page) ?? [];
    const here = example.replace('ldaps://ldap.example.com', slapd.tlsUrl);
    await writeFile(internal.config, `${await readFile(internal.config, 'utf8')}\n${here}`);
  });
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
  await slapd[Symbol.asyncDispose]();
});

/** A verb of somebody who has a runtime folder of his own. */
async function verb(who: string, args: readonly string[], input = '') {
  const folder = join(pair.site.folder, `runtime-${who}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const [node, ...main] = commands.internal;
  const env = { XDG_RUNTIME_DIR: folder, USER: who };
  return run(node, [...main, ...args, '--config', pair.site.internal.config], env, input);
}
const logIn = (who: string, password = userPassword) =>
  verb(who, ['login', who, '--password-file', '-', '--json'], `${password}\n`);

async function acts(): Promise<string[]> {
  const folder = join(pair.site.internal.state, 'audit');
  const texts = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1)).map((line) => JSON.parse(line) as Record<string, unknown>);
  return lines.filter(({ name }) => name === 'staff.acted').map(({ by, role, did }) => `${by} (${role}): ${did}`);
}

test('LD-35, LD-36, LD-37: only whom the filter lets in is of staff, in the role that the directory gives; acts bear his name', async () => {
  const nobody = await logIn('mallory');
  assert.notEqual(nobody.code, 0);
  assert.match(nobody.err, /the name or the password is wrong, or this account is not of staff/);
  assert.notEqual((await logIn('John', 'wrong')).code, 0);
  const auditor = await logIn('jane');
  assert.equal(auditor.code, 0, auditor.err);
  assert.equal(JSON.parse(auditor.out).role, 'auditor');
  const admin = await logIn('John');
  assert.equal(JSON.parse(admin.out).role, 'administrator');
  const kept = await stat(join(pair.site.folder, 'runtime-John/sallyport-login.json'));
  assert.equal(kept.mode & 0o777, 0o600);

  assert.equal((await verb('jane', ['partner', 'list'])).code, 0);
  const refused = await verb('jane', ['partner', 'invite', 'acme']);
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /for the role administrator; jane is auditor/);
  const rotated = await verb('jane', ['cert', 'rotate', 'announce']);
  assert.notEqual(rotated.code, 0);
  assert.match(rotated.err, /for the role administrator; jane is auditor/);
  const { rotation } = JSON.parse((await verb('jane', ['cert', 'list', '--json'])).out) as CertificateList;
  assert.equal(rotation.phase, 'stable');
  const invited = await verb('John', ['partner', 'invite', 'acme', '--json']);
  assert.equal(invited.code, 0, invited.err);
  assert.equal((await verb('host', ['partner', 'invite', 'acme', '--withdraw'])).code, 0, 'the user of the node needs no login');
  await eventually('it is told', async () => (await acts()).length >= 2);
  assert.deepEqual((await acts()).slice(0, 2), [
    'john (administrator): POST /v1/partners/acme/invitation',
    'host user host (user of the node): POST /v1/partners/acme/invitation/withdraw',
  ]);
  assert.match((await verb('John', ['whoami'])).out, /^john, administrator/);
  const { token } = JSON.parse(await readFile(join(pair.site.folder, 'runtime-John/sallyport-login.json'), 'utf8')) as {
    token: string;
  };
  assert.equal((await verb('John', ['logout'])).code, 0);
  assert.match((await verb('John', ['whoami'])).out, /^host user John, user of the node/);
  const { found } = await searchForSecrets(pair.site, pair.supervisor, [token, userPassword, JSON.parse(invited.out).code]);
  assert.deepEqual(found, []);
});

test('where staff must log in, keys and proofs are also asked for by their login', async () => {
  const { config, state } = pair.site.internal;
  const settings = await readFile(config, 'utf8');
  await writeFile(config, settings.replace(/^( +)managerFilter:/m, '$1required: true\n$1managerFilter:'));
  process.kill(pair.supervisor.pid('internal'), 'SIGHUP');
  await eventually('a login is needed', async () => (await verb('host', ['cert', 'list'])).code !== 0);
  assert.match((await verb('host', ['cert', 'list'])).err, /staff must log in/);
  assert.equal((await logIn('jane')).code, 0);
  assert.equal((await verb('jane', ['cert', 'list'])).code, 0);
  const rules = join(state, 'rules.json');
  await writeFile(rules, '{"nftables": []}');
  const claims = async (who: string) =>
    JSON.parse((await verb(who, ['prove', '--ruleset', rules, '--json'])).out).groups[0].claims;
  const isUnknown = ({ offending }: Claim): boolean => offending.some((line) => /staff must log in/.test(line));
  assert.ok((await claims('host')).some(isUnknown));
  assert.ok(!(await claims('jane')).some(isUnknown));
});
