import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../test/fixtures/openssh.ts';
import { hostKeyLine, loadHostKey, makeHostKey } from './host-key.ts';
import { hostKeyTypes, newEd25519Key } from './new-host-key.ts';
import { parseSshKey } from './ssh2-seam.ts';

async function folder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'sallyport-host-key-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
const keyFile = (error: { code?: string }): boolean => error.code === 'key-file';

for (const type of hostKeyTypes) {
  test(`a new ${type} key is private, known to OpenSSH by the same fingerprint, and never overwritten`, async () => {
    await using temp = await folder();
    const path = join(temp.path, 'key');
    const made = await makeHostKey(path, type);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const listed = await run('ssh-keygen', ['-l', '-f', path]);
    assert.ok(listed.out.includes(` ${made.fingerprint} `), listed.out);
    assert.match(listed.out, type === 'rsa' ? /^3072 / : /^256 /);
    assert.equal((await run('ssh-keygen', ['-y', '-f', path])).out.split(' ').slice(0, 2).join(' ').trim(), hostKeyLine(made));
    const before = await readFile(path);
    await assert.rejects(makeHostKey(path, type), keyFile);
    assert.deepEqual(await readFile(path), before);
    assert.equal((await loadHostKey(path)).fingerprint, made.fingerprint);
  });
}

test('every key that is made can be read again, also one that begins with a zero', () => {
  for (let n = 0; n < 2000; n++) {
    const key = parseSshKey(Buffer.from(newEd25519Key('edge1')));
    assert.equal(key.getPublicSSH().length, 51);
    assert.ok(key.isPrivateKey());
  }
});

test('F71: a key that others can read is refused with its mode and the command that mends it', async () => {
  await using temp = await folder();
  const path = join(temp.path, 'key');
  await makeHostKey(path, 'ed25519');
  for (const mode of [0o640, 0o604, 0o660]) {
    await chmod(path, mode);
    await assert.rejects(loadHostKey(path), {
      code: 'key-file',
      message: new RegExp(`0${mode.toString(8)}.*chmod 0600 ${path}`),
    });
  }
});

test('F71: a missing key, a link, a public key and no key are refused', async () => {
  await using temp = await folder();
  const path = join(temp.path, 'key');
  const made = await makeHostKey(path, 'ed25519');
  await symlink(path, join(temp.path, 'link'));
  await writeFile(join(temp.path, 'junk'), 'no key', { mode: 0o600 });
  await writeFile(join(temp.path, 'public'), hostKeyLine(made), { mode: 0o600 });
  for (const name of ['none', 'link', 'junk', 'public']) {
    await assert.rejects(loadHostKey(join(temp.path, name)), { code: 'key-file', message: new RegExp(join(temp.path, name)) });
  }
});

test('F71: a private key that is not that of the .pub file beside it is refused', async () => {
  await using temp = await folder();
  const [path, other] = [join(temp.path, 'key'), join(temp.path, 'other')];
  await makeHostKey(path, 'ed25519');
  await makeHostKey(other, 'ed25519');
  await writeFile(path, await readFile(other));
  await assert.rejects(loadHostKey(path), {
    code: 'key-file',
    message: /key\.pub is not the public half of .*key; put the key back/,
  });
  await rm(`${path}.pub`);
  assert.equal((await loadHostKey(path)).fingerprint, (await loadHostKey(other)).fingerprint);
});

test('F71: a file whose halves do not belong together is refused', async () => {
  await using temp = await folder();
  const lines = newEd25519Key('a').split('\n');
  const bytes = Buffer.from(lines.slice(1, -2).join(''), 'base64');
  // The last byte of the secret half's copy of the seed.
  const seedAt = bytes.lastIndexOf(Buffer.from([0, 0, 0, 64])) + 4;
  bytes.writeUInt8(bytes.readUInt8(seedAt) ^ 1, seedAt);
  await writeFile(join(temp.path, 'key'), [lines[0], bytes.toString('base64'), lines.at(-2), ''].join('\n'), { mode: 0o600 });
  await assert.rejects(loadHostKey(join(temp.path, 'key')), { code: 'key-file', message: /do not belong together/ });
});

test('an RSA key of ssh-keygen signs with SHA-2 only', async () => {
  await using temp = await folder();
  const path = join(temp.path, 'rsa');
  await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', path]);
  assert.deepEqual((await loadHostKey(path)).algorithms, ['rsa-sha2-512', 'rsa-sha2-256']);
});
