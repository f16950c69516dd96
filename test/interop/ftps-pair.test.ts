/** FTPS through a running pair, where what the inside says of a partner decides: the login by certificate. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Site, SitePartner } from '../../scripts/site/site.ts';
import { curlFtps, delivered } from '../../scripts/site/walk.ts';
import { startPair } from '../fixtures/pair.ts';
import { type TestCertificate, TestCertificates } from '../fixtures/test-certificates.ts';

async function trust({ dmz, internal, folder }: Site, trusted: readonly string[], acme: string): Promise<void> {
  const authorities = join(folder, 'authorities.pem');
  await writeFile(authorities, trusted.join(''));
  const settings = await readFile(dmz.config, 'utf8');
  const wanted = `ftps:\n  clientCertificates: {mode: optional, authorities: ${authorities}}`;
  // Failures make the next answer wait.
  const patient = '\nlimits:\n  throttle: {exempt: [127.0.0.0/8]}\n';
  await writeFile(dmz.config, settings.replace(/^ftps:$/m, wanted) + patient);
  const file = join(dirname(internal.config), 'conf.d/partners.yaml');
  const partners = await readFile(file, 'utf8');
  const { fingerprint256 } = new X509Certificate(acme);
  await writeFile(file, partners.replace(/^( +)acme:$/m, `$1acme:\n$1$1certificates: ["${fingerprint256}"]`));
}

test('FT-10, AU-17: a certificate that is registered inside logs its partner in without a password, no other one does', async () => {
  await using certificates = await TestCertificates.make(['acme', 'globex', 'stranger']);
  const { acme, globex, stranger } = certificates.clients;
  assert.ok(acme && globex && stranger);
  await using pair = await startPair({}, undefined, (site) => trust(site, [acme.cert, globex.cert], acme.cert));
  const file = join(pair.site.folder, 'a');
  await writeFile(file, 'by certificate');
  const put = async (as: SitePartner, certificate: TestCertificate, name: string) => {
    const pem = join(pair.site.folder, `${name}.pem`);
    await writeFile(pem, certificate.cert + certificate.key, { mode: 0o600 });
    return curlFtps(pair.site, as, ['--cert', pem, '-T', file], `/Inbox/${name}`);
  };
  const withoutPassword = { ...pair.acme, password: '' };
  const accepted = await put(withoutPassword, acme, 'mine');
  assert.equal(accepted.code, 0, accepted.output);
  assert.equal(String(await delivered(pair.site, 'acme/mine')), 'by certificate');
  const both = await put(pair.acme, stranger, 'untrusted-with-password');
  assert.equal(both.code, 0, both.output);
  // 67: curl was not let in.
  assert.equal((await put(withoutPassword, globex, 'another')).code, 67);
  assert.equal((await put({ ...pair.globex, password: '' }, acme, 'another-name')).code, 67);
  assert.equal((await put(withoutPassword, stranger, 'untrusted')).code, 67);
});
