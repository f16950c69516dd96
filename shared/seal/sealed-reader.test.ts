import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { failsWith, pattern, type SealedFile, SealLab } from '../../test/fixtures/seal-lab.ts';
import { openHeader } from './header.ts';

const chunk = 65536;
const sealedChunk = chunk + 16;

/** A copy of a sealed file with its bytes changed. */
function changed(lab: SealLab, file: SealedFile, change: (bytes: Buffer) => Buffer): string {
  const path = lab.newPath();
  writeFileSync(path, change(readFileSync(file.path)));
  return path;
}

async function readAll(lab: SealLab, file: SealedFile, args: { path?: string; plainBytes?: number } = {}): Promise<Buffer> {
  const reader = await lab.read(file, args);
  try {
    return await reader.read(0, reader.size);
  } finally {
    await reader.close();
  }
}

test('reads at any offset give the bytes of the content', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(2_000_000);
  const file = await lab.seal(content);
  const reader = await lab.read(file);
  assert.equal(reader.size, content.length);
  const range = fc.tuple(fc.nat(content.length + 1000), fc.oneof(fc.nat(300), fc.nat(600_000)));
  await fc.assert(
    fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 5 }), async (ranges) => {
      const parts = await Promise.all(ranges.map(([offset, length]) => reader.read(offset, length)));
      for (const [i, [offset, length]] of ranges.entries())
        assert.ok(parts[i]?.equals(content.subarray(offset, offset + length)), `${length} bytes at ${offset}`);
    }),
    { numRuns: 60 },
  );
  await reader.close();
});

test('reading in order, also with requests that overtake one another, gives the content', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(3_000_001);
  const file = await lab.seal(content);
  const reader = await lab.read(file);
  const step = 32 * 1024;
  const offsets = Array.from({ length: Math.ceil(content.length / step) }, (_, i) => i * step);
  for (let i = 0; i + 1 < offsets.length; i += 5) [offsets[i], offsets[i + 1]] = [offsets[i + 1] ?? 0, offsets[i] ?? 0];
  const parts = new Map<number, Buffer>();
  for (let i = 0; i < offsets.length; i += 8)
    await Promise.all(offsets.slice(i, i + 8).map(async (offset) => parts.set(offset, await reader.read(offset, step))));
  const inOrder = [...parts.keys()].sort((a, b) => a - b).map((offset) => parts.get(offset) ?? Buffer.alloc(0));
  assert.ok(Buffer.concat(inOrder).equals(content));
  await reader.close();
});

test('several segments, some cut inside a chunk, are one content', async (t) => {
  const lab = await SealLab.start(t);
  const lengths = [10, 0, chunk, chunk * 2 + 5, 200_000, chunk * 3];
  const counted = [7, 0, chunk, chunk + 1, 200_000, chunk * 2];
  const contents = lengths.map((length, i) => pattern(length, i + 1));
  const files = await Promise.all(contents.map((content) => lab.seal(content)));
  const segments = files.map((file, i) => ({
    path: file.path,
    fileKey: openHeader(file.header, lab.keys.identity),
    plainBytes: counted[i] ?? 0,
  }));
  const whole = Buffer.concat(contents.map((content, i) => content.subarray(0, counted[i])));
  const reader = await lab.workers.openReader(segments);
  assert.equal(reader.size, whole.length);
  assert.ok((await reader.read(0, whole.length)).equals(whole));
  for (const [offset, length] of [
    [5, 10],
    [0, 8],
    [70_000, 70_000],
    [whole.length - 3, 10],
  ] as const)
    assert.ok((await reader.read(offset, length)).equals(whole.subarray(offset, offset + length)));
  await reader.close();
});

test('more segments than descriptors that are kept open are read all the same', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(100);
  const files = await Promise.all(Array.from({ length: 150 }, () => lab.seal(content)));
  const segments = files.map(({ path, header }) => ({ path, fileKey: openHeader(header, lab.keys.identity), plainBytes: 100 }));
  const reader = await lab.workers.openReader(segments);
  assert.ok(lab.openDescriptors() < 100);
  assert.ok((await reader.read(0, reader.size)).equals(Buffer.concat(files.map(() => content))));
  await reader.close();
  assert.equal(lab.openDescriptors(), 0);
});

test('a file cut by a crash is readable as far as its whole chunks go', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(chunk * 3 + 100);
  const file = await lab.seal(content);
  const start = file.header.length + 16;
  for (const tail of [0, 1, 16, 17, 5000, sealedChunk - 1]) {
    const path = changed(lab, file, (bytes) => bytes.subarray(0, start + 2 * sealedChunk + tail));
    assert.ok((await readAll(lab, file, { path, plainBytes: 2 * chunk })).equals(content.subarray(0, 2 * chunk)));
    const more = Math.max(1, tail - 16);
    await assert.rejects(readAll(lab, file, { path, plainBytes: 2 * chunk + more }), failsWith('sealed-damaged'));
  }
});

test('a change in any region of the file is noticed before a byte of that chunk is returned', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(chunk * 2 + 1000);
  const file = await lab.seal(content);
  const start = file.header.length + 16;
  const regions = { header: 30, mac: file.header.length - 5, nonce: start - 1, first: start, firstTag: start + chunk };
  const later = { second: start + sealedChunk + 9, last: start + 2 * sealedChunk, lastTag: file.sealedBytes - 1 };
  for (const [name, at] of Object.entries({ ...regions, ...later })) {
    const path = changed(lab, file, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    });
    await assert.rejects(readAll(lab, file, { path }), failsWith('sealed-damaged'), name);
  }
  const path = changed(lab, file, (bytes) => bytes.fill(0, start + sealedChunk));
  const reader = await lab.read(file, { path });
  assert.ok((await reader.read(0, chunk)).equals(content.subarray(0, chunk)), 'what lies before the damage is served');
  await assert.rejects(reader.read(chunk - 1, 2), failsWith('sealed-damaged'));
  assert.ok((await reader.read(10, 10)).equals(content.subarray(10, 20)));
  await reader.close();
});

test('cut, extended and reordered files are refused', async (t) => {
  const lab = await SealLab.start(t);
  for (const length of [0, 1, chunk, chunk + 1, chunk * 3]) {
    const file = await lab.seal(pattern(length));
    const start = file.header.length + 16;
    const last = start + Math.max(0, Math.ceil(length / chunk) - 1) * sealedChunk;
    const refused = async (name: string, change: (bytes: Buffer) => Buffer): Promise<void> => {
      if (length === 0 && name !== 'extended by a byte') return;
      const path = changed(lab, file, change);
      await assert.rejects(readAll(lab, file, { path }), failsWith('sealed-damaged'), `${name}, ${length} bytes`);
    };
    await refused('without its last byte', (bytes) => bytes.subarray(0, -1));
    await refused('without its last chunk', (bytes) => bytes.subarray(0, last));
    await refused('without its tag', (bytes) => bytes.subarray(0, -16));
    await refused('extended by a byte', (bytes) =>
      length === 0 ? bytes.fill(0, start) : Buffer.concat([bytes, Buffer.alloc(1)]),
    );
    await refused('extended by an empty chunk', (bytes) => Buffer.concat([bytes, Buffer.alloc(16)]));
    await refused('cut in the header', (bytes) => bytes.subarray(0, 40));
    await refused('empty', () => Buffer.alloc(0));
  }
  const file = await lab.seal(pattern(chunk * 3));
  const start = file.header.length + 16;
  const path = changed(lab, file, (bytes) => {
    const piece = (i: number): Buffer => bytes.subarray(start + i * sealedChunk, start + (i + 1) * sealedChunk);
    return Buffer.concat([bytes.subarray(0, start), piece(1), piece(0), piece(2)]);
  });
  await assert.rejects(readAll(lab, file, { path }), failsWith('sealed-damaged'));
});

test('a wrong key, a missing file and a link are refused, and nothing stays open', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(100));
  const other = await lab.seal(pattern(100));
  await assert.rejects(lab.read({ ...file, header: other.header }), failsWith('sealed-damaged'));
  await assert.rejects(lab.read(file, { path: lab.newPath() }), failsWith('internal'));
  const link = lab.newPath();
  symlinkSync(file.path, link);
  await assert.rejects(lab.read(file, { path: link }), failsWith('internal'));
  assert.equal(lab.openDescriptors(), 0);
});

test('the key stays the caller’s', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(100));
  const fileKey = openHeader(file.header, lab.keys.identity);
  const before = Buffer.from(fileKey);
  const reader = await lab.workers.openReader([{ path: file.path, fileKey, plainBytes: 100 }]);
  await reader.close();
  assert.deepEqual(fileKey, before);
});

test('a file that is unlinked or cut while it is read', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(4_000_000);
  const file = await lab.seal(content);
  const gone = lab.newPath();
  copyFileSync(file.path, gone);
  const reader = await lab.read(file, { path: gone });
  await reader.read(0, 10);
  rmSync(gone);
  assert.ok((await reader.read(3_000_000, 1_000_000)).equals(content.subarray(3_000_000)), 'an unlinked file is read to its end');
  await reader.close();

  const cut = await lab.read(file);
  await cut.read(0, 10);
  truncateSync(file.path, 100_000);
  await assert.rejects(cut.read(3_500_000, 10), failsWith('sealed-damaged'));
  await cut.close();
});

test('a closed reader refuses reads and holds nothing', async (t) => {
  const lab = await SealLab.start(t);
  const reader = await lab.read(await lab.seal(pattern(1000)));
  await reader.close();
  await reader.close();
  await assert.rejects(reader.read(0, 1), failsWith('internal'));
  assert.equal(lab.openDescriptors(), 0);
});
