import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openssl, TestAuthority } from '../../test/fixtures/test-authority.ts';
import { Secret } from '../secret.ts';
import { readPkcs12 } from './pkcs12.ts';

test('certificates come out of PKCS#12 byte for byte, keys stay in; what is not as it should be is refused with a reason', async () => {
  await using authority = await TestAuthority.make('root');
  const { cert, key } = await authority.issue({ subject: '/CN=acme' });
  const [crt, keyFile, rsa, rsaCrt] = ['a.crt', 'a.key', 'r.key', 'r.crt'].map((name) => join(authority.folder, name));
  assert.ok(crt && keyFile && rsa && rsaCrt);
  await writeFile(crt, cert);
  await writeFile(keyFile, key);
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=rsa',
    '-keyout',
    rsa,
    '-out',
    rsaCrt,
  );
  const made = async (name: string, ...args: readonly string[]): Promise<Buffer> => {
    const file = join(authority.folder, name);
    await openssl('pkcs12', '-export', '-out', file, '-passout', 'pass:söcret 1', ...args);
    return readFile(file);
  };
  const password = new Secret('söcret 1');
  const ec = ['-in', crt, '-inkey', keyFile, '-certfile', authority.file];
  const forms: readonly (readonly string[])[] = [
    ec,
    ['-in', rsaCrt, '-inkey', rsa],
    [...ec, '-certpbe', 'PBE-SHA1-3DES', '-keypbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'],
  ];
  for (const [index, form] of forms.entries()) {
    const { certificates, keys } = await readPkcs12(await made(`${index}.p12`, ...form), password);
    assert.equal(keys, 1);
    const pem = await readFile(form[1] ?? '', 'utf8');
    const wanted = new X509Certificate(pem).fingerprint256;
    assert.ok(
      certificates.some(({ fingerprint256 }) => fingerprint256 === wanted),
      form.join(' '),
    );
  }
  const whole = await made('whole.p12', ...ec);
  await assert.rejects(readPkcs12(whole, new Secret('another')), /the password is wrong/);
  await assert.rejects(readPkcs12(whole.subarray(0, 200), password), /not in a form/);
  await assert.rejects(readPkcs12(Buffer.from('no such thing'), password), /not in a form/);
  await assert.rejects(readPkcs12(await made('nomac.p12', ...ec, '-nomac'), password), /not in a form/);
  const costly = await made('costly.p12', ...ec, '-iter', '400000');
  await assert.rejects(readPkcs12(costly, password, { ms: 300, megabytes: 128 }), /takes too long/);
});
