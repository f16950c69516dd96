import assert from 'node:assert/strict';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { failsWith, pattern, SealLab } from '../../test/fixtures/seal-lab.ts';
import { readSealedHeader, scanSealedFile } from './scan.ts';

const chunk = 65536;
const sealedChunk = chunk + 16;

test('of a file cut anywhere the whole chunks count, and they can be read', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(3 * chunk + 1000);
  const file = await lab.seal(content);
  const bytes = readFileSync(file.path);
  const start = file.header.length + 16;
  const cuts = { [start]: 0, [start + sealedChunk - 1]: 0, [start + sealedChunk]: 1, [start + 3 * sealedChunk + 5]: 3 };
  for (const [cut, chunks] of Object.entries({ ...cuts, [file.header.length]: 0, [file.sealedBytes]: 3 })) {
    const path = lab.newPath();
    writeFileSync(path, bytes.subarray(0, Number(cut)));
    const found = await scanSealedFile(path);
    assert.deepEqual(found, {
      header: file.header,
      headerSha256: file.headerSha256,
      wholeChunkPlainBytes: chunks * chunk,
      sealedBytes: Number(cut),
    });
    const reader = await lab.read(file, { path, plainBytes: found?.wholeChunkPlainBytes ?? -1 });
    assert.ok((await reader.read(0, reader.size)).equals(content.subarray(0, chunks * chunk)));
    await reader.close();
  }
});

test('what has no whole header does not count at all', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(10));
  const path = lab.newPath();
  for (const bytes of [Buffer.alloc(0), file.header.subarray(0, -1), Buffer.alloc(50_000), Buffer.from('age-encryption')]) {
    writeFileSync(path, bytes);
    assert.equal(await scanSealedFile(path), undefined);
    await assert.rejects(readSealedHeader(path), failsWith('sealed-damaged'));
  }
  assert.equal(await scanSealedFile(lab.newPath()), undefined);
  await assert.rejects(readSealedHeader(lab.newPath()), failsWith('sealed-damaged'));
});

test('the header of a sealed file is read, but not through a link', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(10));
  assert.deepEqual(await readSealedHeader(file.path), file.header);
  const link = lab.newPath();
  symlinkSync(file.path, link);
  await assert.rejects(readSealedHeader(link), failsWith('internal'));
  assert.equal(lab.openDescriptors(), 0);
});
