import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../test/fixtures/openssh.ts';
import { loadHostKey, makeHostKey } from './host-key.ts';
import { newSshKey, parseSshKey } from './ssh2-seam.ts';

async function folder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'sallyport-host-key-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
const keyFile = (error: { code?: string }): boolean => error.code === 'key-file';

test('a new key is private, known to OpenSSH by the same fingerprint, and never overwritten', async () => {
  await using temp = await folder();
  const path = join(temp.path, 'key');
  const made = await makeHostKey(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  const listed = await run('ssh-keygen', ['-l', '-f', path]);
  assert.ok(listed.out.includes(` ${made.fingerprint} `), listed.out);
  const before = await readFile(path);
  await assert.rejects(makeHostKey(path), keyFile);
  assert.deepEqual(await readFile(path), before);
  assert.equal((await loadHostKey(path)).fingerprint, made.fingerprint);
});

test('every key that is made can be read again, also one that begins with a zero', () => {
  for (let n = 0; n < 2000; n++) {
    const key = parseSshKey(Buffer.from(newSshKey('edge1')));
    assert.equal(key.getPublicSSH().length, 51);
    assert.ok(key.isPrivateKey());
  }
});

test('a key that others can read is refused, and so is a link, a public key, and no key', async () => {
  await using temp = await folder();
  const path = join(temp.path, 'key');
  await makeHostKey(path);
  await symlink(path, join(temp.path, 'link'));
  await assert.rejects(loadHostKey(join(temp.path, 'link')), keyFile);
  for (const mode of [0o640, 0o604, 0o660]) {
    await chmod(path, mode);
    await assert.rejects(loadHostKey(path), keyFile);
  }
  await writeFile(join(temp.path, 'junk'), 'no key', { mode: 0o600 });
  await assert.rejects(loadHostKey(join(temp.path, 'junk')), keyFile);
  const published = await run('ssh-keygen', ['-y', '-f', path]);
  await chmod(path, 0o600);
  const line = published.code === 0 ? published.out : (await run('ssh-keygen', ['-y', '-f', path])).out;
  await writeFile(join(temp.path, 'pub'), line, { mode: 0o600 });
  await assert.rejects(loadHostKey(join(temp.path, 'pub')), keyFile);
  await assert.rejects(loadHostKey(join(temp.path, 'none')), keyFile);
});

test('an RSA key signs with SHA-2 only', async () => {
  await using temp = await folder();
  const path = join(temp.path, 'rsa');
  await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', path]);
  assert.deepEqual((await loadHostKey(path)).algorithms, ['rsa-sha2-512', 'rsa-sha2-256']);
});
