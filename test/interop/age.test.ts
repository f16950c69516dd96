/** Our sealed files against the `age` command: each opens what the other made, and `age` refuses what we refuse. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { generateIdentity, recipientOf } from '../../shared/seal/age-key.ts';
import { headerLength, headerSha256, openHeader } from '../../shared/seal/header.ts';
import { pattern, SealLab, sha256 } from '../fixtures/seal-lab.ts';

const sizes = [0, 1, 65535, 65536, 65537, 131072, 1024 * 1024 + 3];

async function start(t: TestContext): Promise<{ lab: SealLab; keyFile: string }> {
  const lab = await SealLab.start(t);
  const keyFile = lab.newPath();
  writeFileSync(keyFile, `${lab.keys.identity}\n`, { mode: 0o600 });
  return { lab, keyFile };
}

test('age opens what we sealed', async (t) => {
  const { lab, keyFile } = await start(t);
  for (const size of sizes) {
    const content = pattern(size);
    const file = await lab.seal(content);
    const opened = execFileSync('age', ['-d', '-i', keyFile, file.path], { maxBuffer: 4 * 1024 * 1024 });
    assert.ok(opened.equals(content), `${size} bytes`);
  }
});

test('each of two recipients opens the file with age', async (t) => {
  const { lab, keyFile } = await start(t);
  const path = lab.newPath();
  const recipients = [generateIdentity().recipient, lab.keys.recipient];
  const writer = lab.workers.createWriter({ path, recipients });
  await writer.write(pattern(100));
  await writer.finish();
  assert.ok(execFileSync('age', ['-d', '-i', keyFile, path]).equals(pattern(100)));
});

test('we open and read what age sealed', async (t) => {
  const { lab } = await start(t);
  for (const size of sizes) {
    const content = pattern(size);
    const [plain, path] = [lab.newPath(), lab.newPath()];
    writeFileSync(plain, content);
    execFileSync('age', ['-r', generateIdentity().recipient, '-r', lab.keys.recipient, '-o', path, plain]);
    const sealed = readFileSync(path);
    const header = sealed.subarray(0, headerLength(sealed));
    const segment = { sealed, headerSha256: headerSha256(header), plainBytes: size, sha256: sha256(content) };
    assert.ok((await lab.open([segment])).equals(content), `opener, ${size} bytes`);

    const fileKey = openHeader(header, lab.keys.identity);
    const reader = await lab.workers.openReader([{ path, fileKey, plainBytes: size }]);
    assert.ok((await reader.read(0, size)).equals(content), `reader, ${size} bytes`);
    await reader.close();
  }
});

test('age-keygen and we agree on the recipient of an identity', () => {
  const made = execFileSync('age-keygen', { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  const identity = /^AGE-SECRET-KEY-1.*$/m.exec(made)?.[0] ?? '';
  const recipient = /age1\w+/.exec(made)?.[0];
  assert.equal(recipientOf(identity), recipient);
  const ours = generateIdentity();
  assert.equal(execFileSync('age-keygen', ['-y'], { input: ours.identity }).toString().trim(), ours.recipient);
});

test('an upload that was broken off and finished is a complete file for age; a cut one is not', async (t) => {
  const { lab, keyFile } = await start(t);
  const file = await lab.seal(pattern(200_000));
  const cut = lab.newPath();
  writeFileSync(cut, readFileSync(file.path).subarray(0, -100_000));
  assert.equal(spawnSync('age', ['-d', '-i', keyFile, file.path]).status, 0);
  assert.notEqual(spawnSync('age', ['-d', '-i', keyFile, cut]).status, 0);
});
