import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { SallyportError } from '../errors.ts';
import { authorityDays, leafDays, policyUsageOid } from './certificates.ts';
import { parseFingerprint } from './fingerprint.ts';
import { loadNodeKeys, makeNodeKeys } from './node-keys.ts';

const run = promisify(execFile);

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-keys-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const keyFile = (pattern: RegExp) => (error: unknown) =>
  error instanceof SallyportError && error.code === 'key-file' && pattern.test(error.message);

test('makes files that only their owner can read, and reads them back', async (t) => {
  const folder = join(await newFolder(t), 'keys');
  const made = await makeNodeKeys(folder, { role: 'internal', name: 'inside-1' });
  assert.deepEqual((await readdir(folder)).sort(), ['ca.crt', 'ca.key', 'policy.crt', 'policy.key', 'tunnel.crt', 'tunnel.key']);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  for (const file of await readdir(folder)) assert.equal((await stat(join(folder, file))).mode & 0o777, 0o600, file);
  assert.deepEqual(await loadNodeKeys(folder, 'internal'), made);
  assert.equal(made.name, 'inside-1');
  assert.equal(parseFingerprint(made.fingerprint).role, 'internal');
  assert.doesNotMatch(JSON.stringify(made), /"caKeyPem"/);
});

test('makes certificates that OpenSSL verifies, also strictly and for their purpose', async (t) => {
  const folder = join(await newFolder(t), 'keys');
  await makeNodeKeys(folder, { role: 'internal', name: 'inside-1' });
  const verify = async (file: string, ...args: string[]) =>
    (await run('openssl', ['verify', '-x509_strict', ...args, '-CAfile', join(folder, 'ca.crt'), join(folder, file)])).stdout;
  assert.match(await verify('tunnel.crt', '-purpose', 'sslclient'), /: OK/);
  assert.match(await verify('policy.crt'), /: OK/);
  await assert.rejects(verify('tunnel.crt', '-purpose', 'sslserver'));
  const ca = new X509Certificate(await readFile(join(folder, 'ca.crt')));
  const leaf = new X509Certificate(await readFile(join(folder, 'tunnel.crt')));
  const policy = new X509Certificate(await readFile(join(folder, 'policy.crt')));
  assert.ok(ca.ca && !leaf.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
  assert.equal(leaf.subjectAltName, 'URI:sallyport://internal/inside-1');
  assert.deepEqual(policy.keyUsage, [policyUsageOid]);
  assert.equal(policy.publicKey.asymmetricKeyType, 'ed25519');
  const days = (c: X509Certificate) => Math.floor((c.validToDate.getTime() - c.validFromDate.getTime()) / 86_400_000);
  assert.deepEqual([days(ca), days(leaf)], [authorityDays, leafDays]);
  // A serial with its high bit set would need a leading zero byte, which revocation lists miss.
  assert.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/);
});

test('never overwrites', async (t) => {
  const folder = join(await newFolder(t), 'keys');
  const made = await makeNodeKeys(folder, { role: 'dmz', name: 'dmz-1' });
  await assert.rejects(makeNodeKeys(folder, { role: 'dmz', name: 'dmz-1' }), keyFile(/ca\.key is there already/));
  assert.deepEqual(await loadNodeKeys(folder, 'dmz'), made);
});

test('refuses keys that others can read, naming file, mode and remedy', async (t) => {
  const folder = join(await newFolder(t), 'keys');
  await makeNodeKeys(folder, { role: 'internal', name: 'inside-1' });
  for (const file of ['ca.key', 'tunnel.key', 'policy.key']) {
    await chmod(join(folder, file), 0o640);
    await assert.rejects(loadNodeKeys(folder, 'internal'), keyFile(new RegExp(`${file} has mode 0640, .*chmod 0600 .*${file}$`)));
    await chmod(join(folder, file), 0o600);
  }
  await chmod(folder, 0o750);
  await assert.rejects(loadNodeKeys(folder, 'internal'), keyFile(/mode 0750, .*chmod 0700/));
});

test('refuses keys of the other role, foreign keys and garbage', async (t) => {
  const folder = await newFolder(t);
  const [mine, other] = [join(folder, 'mine'), join(folder, 'other')];
  await makeNodeKeys(mine, { role: 'dmz', name: 'dmz-1' });
  const foreign = await makeNodeKeys(other, { role: 'dmz', name: 'dmz-2' });
  await assert.rejects(loadNodeKeys(mine, 'internal'), keyFile(/not those of an internal node/));
  const certificate = await readFile(join(mine, 'tunnel.crt'));
  await writeFile(join(mine, 'tunnel.crt'), foreign.tunnelCertificatePem);
  await assert.rejects(loadNodeKeys(mine, 'dmz'), keyFile(/tunnel\.key is not the key of tunnel\.crt/));
  await writeFile(join(mine, 'tunnel.crt'), certificate);
  await writeFile(join(mine, 'ca.crt'), foreign.caCertificatePem);
  await assert.rejects(loadNodeKeys(mine, 'dmz'), keyFile(/was not issued by ca\.crt/));
  await writeFile(join(mine, 'tunnel.key'), 'garbage');
  await assert.rejects(loadNodeKeys(mine, 'dmz'), keyFile(/cannot be used/));
  await rm(join(mine, 'tunnel.key'));
  await assert.rejects(loadNodeKeys(mine, 'dmz'), keyFile(/tunnel\.key cannot be read/));
});

test('refuses a name that does not fit a URI', async (t) => {
  const folder = await newFolder(t);
  await assert.rejects(makeNodeKeys(join(folder, 'keys'), { role: 'dmz', name: 'a/../b' }), { code: 'usage' });
  assert.deepEqual(await readdir(folder), []);
});
