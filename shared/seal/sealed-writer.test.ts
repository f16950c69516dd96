import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { failsWith, pattern, SealLab, sha256 } from '../../test/fixtures/seal-lab.ts';
import { headerLength, openHeader } from './header.ts';

test('what is written in any splits is sealed, described and read back', async (t) => {
  const lab = await SealLab.start(t);
  const pieces = fc.array(fc.integer({ min: 0, max: 150_000 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(pieces, async (lengths) => {
      const content = pattern(lengths.reduce((sum, length) => sum + length, 0));
      let at = 0;
      const views = lengths.map((length) => {
        at += length;
        return content.subarray(at - length, at);
      });
      const file = await lab.seal(...views);
      assert.equal(file.plainBytes, content.length);
      assert.equal(file.sha256, sha256(content));
      const stored = readFileSync(file.path);
      assert.equal(file.sealedBytes, stored.length);
      assert.deepEqual(file.header, stored.subarray(0, headerLength(stored)));
      assert.equal(file.headerSha256, sha256(file.header));
      const reader = await lab.read(file);
      assert.ok((await reader.read(0, content.length)).equals(content));
      await reader.close();
    }),
    { numRuns: 25 },
  );
});

test('the caller may reuse its bytes as soon as write has returned', async (t) => {
  const lab = await SealLab.start(t);
  const path = lab.newPath();
  const writer = lab.workers.createWriter({ path, recipients: [lab.keys.recipient] });
  const bytes = Buffer.alloc(300_000, 1);
  const written = writer.write(bytes);
  bytes.fill(2);
  await written;
  await writer.write(bytes);
  const file = { ...(await writer.finish()), path };
  assert.equal(file.sha256, sha256(Buffer.concat([Buffer.alloc(300_000, 1), Buffer.alloc(300_000, 2)])));
});

test('a writer that is ahead of the worker has to wait', async (t) => {
  const lab = await SealLab.start(t);
  const writer = lab.workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] });
  const block = Buffer.alloc(1024 * 1024);
  const settled: number[] = [];
  // Without a turn of the event loop no block can come back.
  const writes = Array.from({ length: 12 }, (_, i) => writer.write(block).then(() => settled.push(i)));
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  assert.ok(settled.length >= 1 && settled.length <= 2, `${settled.length} MiB were accepted at once`);
  await Promise.all(writes);
  assert.equal((await writer.finish()).plainBytes, 12 * block.length);
});

test('a file is private, never replaces one that exists and follows no link', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(10));
  assert.equal(statSync(file.path).mode & 0o777, 0o600);

  const before = readFileSync(file.path);
  const link = lab.newPath();
  symlinkSync(lab.newPath(), link);
  for (const path of [file.path, link]) {
    const writer = lab.workers.createWriter({ path, recipients: [lab.keys.recipient] });
    await writer.write(pattern(20));
    await assert.rejects(writer.finish(), failsWith('internal'));
    await writer.destroy();
  }
  assert.deepEqual(readFileSync(file.path), before);
  assert.ok(!existsSync(link), 'the target of the link was not made');
});

test('nothing is on disk before the first byte', async (t) => {
  const lab = await SealLab.start(t);
  const writer = lab.workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] });
  await writer.destroy();
  assert.deepEqual(lab.files(), []);
});

test('a destroyed writer leaves no file and no descriptor, whenever it is destroyed', async (t) => {
  const lab = await SealLab.start(t);
  for (const length of [1, 10_000, 300_000, 6_000_000]) {
    const writer = lab.workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] });
    const written = writer.write(pattern(length)).catch((error: unknown) => error);
    await writer.destroy();
    await writer.destroy();
    await written;
    await assert.rejects(writer.write(pattern(1)), failsWith('internal'));
    await assert.rejects(writer.finish(), failsWith('internal'));
    assert.deepEqual(lab.files(), []);
  }
  const writer = lab.workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] });
  const finished = writer.finish();
  await writer.destroy();
  await finished;
  assert.deepEqual(lab.files(), [], 'destroyed while it was being finished');
  assert.equal(lab.openDescriptors(), 0);
});

test('a finished file belongs to the caller: destroy leaves it', async (t) => {
  const lab = await SealLab.start(t);
  const writer = lab.workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] });
  await writer.finish();
  await writer.destroy();
  assert.equal(lab.files().length, 1);
  await assert.rejects(writer.write(pattern(1)), failsWith('internal'));
  await assert.rejects(writer.finish(), failsWith('internal'));
  assert.equal(lab.openDescriptors(), 0);
});

test('a failed writer refuses every later call with the same error', async (t) => {
  const lab = await SealLab.start(t);
  const writer = lab.workers.createWriter({ path: `${lab.newPath()}/missing-folder/f`, recipients: [lab.keys.recipient] });
  const writes: Promise<unknown>[] = [];
  for (let i = 0; i < 8; i += 1) writes.push(writer.write(pattern(1_000_000)).catch((error: unknown) => error));
  await Promise.all(writes);
  await assert.rejects(writer.finish(), failsWith('internal'));
  await assert.rejects(writer.write(pattern(1)), failsWith('internal'));
  await assert.rejects(writer.finish(), failsWith('internal'));
  await writer.destroy();
});

test('a recipient that is none fails the writer and leaves nothing', async (t) => {
  const lab = await SealLab.start(t);
  const writer = lab.workers.createWriter({ path: lab.newPath(), recipients: ['age1wrong'] });
  await assert.rejects(writer.finish(), failsWith('key-file'));
  await writer.destroy();
  assert.deepEqual(lab.files(), []);
});

test('a finish whose folder is gone is refused', async (t) => {
  const lab = await SealLab.start(t);
  const folder = lab.newPath();
  mkdirSync(folder);
  rmdirSync(folder);
  const writer = lab.workers.createWriter({ path: `${folder}/f`, recipients: [lab.keys.recipient] });
  await assert.rejects(writer.finish(), failsWith('internal'));
  await writer.destroy();
});

test('plaintext never reaches the disk', async (t) => {
  const lab = await SealLab.start(t);
  const canary = pattern(32, 77);
  const content = Buffer.concat(Array.from({ length: 20_000 }, () => canary));
  const plain = lab.newPath();
  writeFileSync(plain, content);
  assert.ok(readFileSync(plain).includes(canary), 'the search finds it where it is');
  for (const bytes of [canary, content]) {
    const file = await lab.seal(bytes);
    const stored = readFileSync(file.path);
    assert.ok(!stored.includes(canary));
    assert.ok(!stored.includes(canary.subarray(0, 8)));
    const fileKey = openHeader(file.header, lab.keys.identity);
    assert.ok(!stored.includes(fileKey), 'nor does the file key');
  }
});

test('many small files at a time are each sealed under their own key', async (t) => {
  const lab = await SealLab.start(t, { threads: 2 });
  const contents = Array.from({ length: 200 }, (_, i) => pattern(i * 40, i));
  const files = await Promise.all(contents.map((content) => lab.seal(content)));
  const keys = new Set<string>();
  for (const [i, file] of files.entries()) {
    assert.equal(file.sha256, sha256(contents[i] ?? Buffer.alloc(0)));
    keys.add(openHeader(file.header, lab.keys.identity).toString('hex'));
  }
  assert.equal(keys.size, files.length);
  assert.equal(lab.openDescriptors(), 0);
});
