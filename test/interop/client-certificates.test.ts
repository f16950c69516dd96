/**
 * TLS client certificates over FTPS through a running pair: real programs show them, the DMZ carries them, the inside decides by its
 * authorities, names and revocation lists.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { SitePartner } from '../../scripts/site/site.ts';
import { ask, curlFtps, delivered, filesBelow } from '../../scripts/site/walk.ts';
import { audited } from '../fixtures/audit-lines.ts';
import { eventually } from '../fixtures/eventually.ts';
import { run } from '../fixtures/openssh.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { openssl, TestAuthority } from '../fixtures/test-authority.ts';
import type { TestCertificate } from '../fixtures/test-certificates.ts';

let authority: TestAuthority;
let between: TestAuthority;
let pair: Pair;
before(async () => {
  authority = await TestAuthority.make('partners');
  between = await authority.intermediate('partners-2');
  pair = await startPair({}, undefined, async ({ internal, dmz }) => {
    const folder = dirname(internal.config);
    await copyFile(authority.file, join(folder, 'client-ca.pem'));
    for (const [name, issuer] of Object.entries({ partners: authority, 'partners-2': between })) {
      await copyFile(await issuer.revocationList([]), join(folder, `${name}.crl`));
    }
    const settings = await readFile(internal.config, 'utf8');
    const page = await readFile(new URL('../../docs/authentication.md', import.meta.url), 'utf8');
    const [, example = ''] = /```yaml\n# sallyport.yaml: client certificates\n([\s\S]*?)```/.exec(page) ?? [];
    const issuers = example.replace('[client-ca.crl]', '[partners.crl, partners-2.crl]');
    await writeFile(internal.config, `${settings}\n${issuers}`);
    const door = await readFile(dmz.config, 'utf8');
    const patient = '\nlimits:\n  throttle: {exempt: [127.0.0.0/8]}\n';
    await writeFile(dmz.config, door.replace(/^ftps:$/m, 'ftps:\n  clientCertificates: {mode: optional}') + patient);
    const file = join(folder, 'conf.d/partners.yaml');
    const partners = await readFile(file, 'utf8');
    await writeFile(file, partners.replace(/^( +)globex:$/m, '$1globex:\n$1$1requireOverFtps: certificate+password'));
  });
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
  await authority[Symbol.asyncDispose]();
});

/** @returns the exit code of curl; 67: it was not let in. */
async function sent(as: SitePartner, certificate: TestCertificate | undefined, name: string): Promise<number> {
  const [pem, file] = ['pem', 'file'].map((kind) => join(pair.site.folder, `${name}.${kind}`));
  assert.ok(pem && file);
  await writeFile(file, `from ${as.name}`);
  if (certificate) await writeFile(pem, certificate.cert + certificate.key, { mode: 0o600 });
  const { code } = await curlFtps(pair.site, as, [...(certificate ? ['--cert', pem] : []), '-T', file], `/Inbox/${name}`);
  return code;
}

const without = (partner: SitePartner): SitePartner => ({ ...partner, password: '' });

test('FT-10, AU-17: the name in a certificate of a trusted authority logs its partner in, with an authority between, until it is revoked', async () => {
  const { site, acme, globex } = pair;
  const mine = await authority.issue({ subject: '/O=Acme/CN=acme', serial: 'C0FFEE' });
  const other = await between.issue({ subject: '/CN=acme' });
  const through = { cert: other.cert + between.cert, key: other.key };
  assert.equal(await sent(without(acme), mine, 'direct'), 0);
  assert.equal(String(await delivered(site, 'acme/direct')), 'from acme');
  assert.equal(await sent(without(acme), through, 'through'), 0);
  assert.equal(await sent(without(globex), mine, 'name-of-another'), 67);
  const shouted = await authority.issue({ subject: '/CN=ACME' });
  assert.equal(await sent(without(acme), shouted, 'shouted'), 67);
  assert.equal(await sent(acme, shouted, 'shouted-with-password'), 0);
  await using stranger = await TestAuthority.make('partners');
  assert.equal(await sent(without(acme), await stranger.issue({ subject: '/CN=acme' }), 'forged'), 67);
  const list = join(dirname(site.internal.config), 'partners.crl');
  await copyFile(await authority.revocationList(['C0FFEE']), list);
  await eventually('the new list counts', async () => (await sent(without(acme), mine, 'revoked')) === 67);
  const audit = join(site.internal.state, 'audit');
  const texts = await Promise.all((await filesBelow(audit)).map((file) => readFile(join(audit, file), 'utf8')));
  assert.match(texts.join(''), /auth\.certificate.*it was revoked/);
});

test('AU-17: with certificate+password neither does alone', async () => {
  const { globex } = pair;
  const mine = await authority.issue({ subject: '/CN=globex' });
  assert.equal(await sent(without(globex), mine, 'certificate-alone'), 67);
  assert.equal(await sent(globex, undefined, 'password-alone'), 67);
  assert.equal(await sent(globex, await authority.issue({ subject: '/CN=acme' }), 'of-another'), 67);
  assert.equal(await sent(globex, mine, 'both'), 0);
  assert.equal(String(await delivered(pair.site, 'globex/both')), 'from globex');
});

test('lftp logs in with a certificate, and one of a PKCS#12 file is registered by a command', async () => {
  const { site } = pair;
  const folder = join(site.folder, 'lftp');
  await using own = await TestAuthority.make('acmes-own');
  const { cert, key } = await own.issue({ subject: '/CN=edi gateway' });
  const [crt, keyFile, p12, password, script, file] = ['crt', 'key', 'p12', 'password', 'script', 'sent'].map(
    (name) => `${folder}.${name}`,
  );
  assert.ok(crt && keyFile && p12 && password && script && file);
  await writeFile(crt, cert);
  await writeFile(keyFile, key, { mode: 0o600 });
  await writeFile(password, 'of the file\n', { mode: 0o600 });
  await writeFile(file, 'by lftp');
  await openssl('pkcs12', '-export', '-in', crt, '-inkey', keyFile, '-out', p12, '-passout', `file:${password}`);
  const told = await ask(site, 'internal', 'partner', 'certificate', 'acme', p12, '--password-file', password, '--json');
  assert.deepEqual(JSON.parse(told).added, true);
  const settings = [
    'set net:max-retries 1',
    'set net:timeout 60',
    'set cmd:fail-exit yes',
    'set ftp:ssl-force yes',
    'set ftp:ssl-protect-data yes',
    `set ssl:ca-file ${site.ftps.caFile}`,
    'set ssl:check-hostname no',
    `set ssl:cert-file ${crt}`,
    `set ssl:key-file ${keyFile}`,
    `open -p ${site.ftps.explicitPort} -u acme, ftp://127.0.0.1`,
    `put ${file} -o /Inbox/by-lftp`,
  ];
  await writeFile(script, `${settings.join('\n')}\n`, { mode: 0o600 });
  const ended = await run('lftp', ['--norc', '-f', script], { HOME: site.folder });
  assert.equal(ended.code, 0, ended.err);
  assert.equal(String(await delivered(site, 'acme/by-lftp')), 'by lftp');
});

test('a certificate that is revoked ends the session that it opened in the middle of an upload', async () => {
  const { site, acme } = pair;
  const mine = await authority.issue({ subject: '/CN=acme', serial: 'BADCAFE0' });
  const [pem, large] = ['live.pem', 'live.bin'].map((name) => join(site.folder, name));
  assert.ok(pem && large);
  await writeFile(pem, mine.cert + mine.key, { mode: 0o600 });
  await writeFile(large, '');
  await truncate(large, 256 * 1024 * 1024);
  const told = async (state: string, name: string, partner: string) =>
    (await audited(state)).filter((line) => line.name === name && line.partner === partner);
  const before = (await told(site.dmz.state, 'session.opened', 'acme')).length;
  const running = curlFtps(site, without(acme), ['--cert', pem, '--limit-rate', '1M', '-T', large], '/Inbox/live');
  await eventually('it sends', async () => (await told(site.dmz.state, 'session.opened', 'acme')).length > before);
  await copyFile(await authority.revocationList(['C0FFEE', 'BADCAFE0']), join(dirname(site.internal.config), 'partners.crl'));
  assert.ok(![0, 67].includes((await running).code));
  const revoked = async () => (await told(site.internal.state, 'auth.withdrawn', 'acme')).at(-1)?.reason === 'it was revoked';
  await eventually('it is told why', revoked);
});
