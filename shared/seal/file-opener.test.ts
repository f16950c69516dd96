import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { failsWith, pattern, type SealedFile, SealLab, sha256 } from '../../test/fixtures/seal-lab.ts';
import { generateIdentity } from './age-key.ts';

const chunk = 65536;
const sealedChunk = chunk + 16;

/** What the DMZ sends of a file, as it is or changed. */
const given = (file: SealedFile, change: (bytes: Buffer) => Buffer = (bytes) => bytes) => ({
  sealed: change(readFileSync(file.path)),
  headerSha256: file.headerSha256,
  plainBytes: file.plainBytes,
  sha256: file.sha256 as string | null,
});

test('segments in any splits give the content, its size and its hash', async (t) => {
  const lab = await SealLab.start(t);
  const lengths = fc.array(fc.oneof(fc.nat(300), fc.constantFrom(0, chunk - 1, chunk, chunk + 1, 200_000)), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(lengths, fc.integer({ min: 40, max: 300_000 }), async (sizes, step) => {
      const contents = sizes.map((size, i) => pattern(size, i + 1));
      const files = await Promise.all(contents.map((content) => lab.seal(content)));
      const opened = await lab.open(
        files.map((file) => given(file)),
        Math.max(step, 40),
      );
      assert.ok(opened.equals(Buffer.concat(contents)));
    }),
    { numRuns: 25 },
  );
});

test('single bytes are enough', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(500);
  assert.ok((await lab.open([given(await lab.seal(content))], 1)).equals(content));
});

test('a cut segment gives the bytes that count and no more', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(chunk * 3 + 100);
  const file = await lab.seal(content);
  const start = file.header.length + 16;
  const cut = (plainBytes: number, sealedBytes: number) =>
    lab.open([{ ...given(file, (bytes) => bytes.subarray(0, sealedBytes)), plainBytes, sha256: null }]);
  for (const tail of [0, 1, 16, 1000, sealedChunk + 5]) {
    for (const plainBytes of [0, 5, chunk, 2 * chunk - 1, 2 * chunk])
      assert.ok((await cut(plainBytes, start + 2 * sealedChunk + tail)).equals(content.subarray(0, plainBytes)));
  }
  assert.ok((await cut(chunk * 3 + 50, file.sealedBytes)).equals(content.subarray(0, chunk * 3 + 50)));
  await assert.rejects(cut(2 * chunk + 1, start + 2 * sealedChunk), failsWith('sealed-damaged'));
  await assert.rejects(cut(2 * chunk + 1, start + 2 * sealedChunk + 500), failsWith('sealed-damaged'));
});

test('a header of another hash is refused before it is unwrapped', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(10));
  // With an identity that is none, unwrapping would fail with another code.
  const opener = lab.workers.createOpener({ path: lab.newPath(), identity: 'none' });
  opener.beginSegment({ ...given(file), headerSha256: sha256(Buffer.from('another')) });
  await opener.write(readFileSync(file.path));
  await assert.rejects(opener.endSegment(), failsWith('sealed-damaged'));
  await opener.destroy();
});

test('a change in any region is refused', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(chunk * 2 + 1000));
  await fc.assert(
    fc.asyncProperty(fc.nat(file.sealedBytes - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const damaged = given(file, (bytes) => {
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        return bytes;
      });
      await assert.rejects(lab.open([damaged]), failsWith('sealed-damaged'));
    }),
    {
      numRuns: 60,
      examples: [
        [0, 1],
        [file.header.length - 2, 1],
        [file.header.length + 1, 1],
        [file.sealedBytes - 1, 128],
      ],
    },
  );
});

test('cut, extended and reordered segments are refused', async (t) => {
  const lab = await SealLab.start(t);
  for (const length of [0, 1, chunk, chunk + 1, chunk * 3]) {
    const file = await lab.seal(pattern(length));
    const start = file.header.length + 16;
    const last = start + Math.max(0, Math.ceil(length / chunk) - 1) * sealedChunk;
    const changes: Record<string, (bytes: Buffer) => Buffer> = {
      'without its last byte': (bytes) => bytes.subarray(0, -1),
      'without its last chunk': (bytes) => bytes.subarray(0, last),
      'without its tag': (bytes) => bytes.subarray(0, -16),
      'cut in the nonce': (bytes) => bytes.subarray(0, start - 3),
      'cut in the header': (bytes) => bytes.subarray(0, 40),
      empty: () => Buffer.alloc(0),
      'extended by a byte': (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]),
      'extended by an empty chunk': (bytes) => Buffer.concat([bytes, Buffer.alloc(16)]),
      'extended by its last chunk': (bytes) => Buffer.concat([bytes, bytes.subarray(last)]),
      'sent twice': (bytes) => Buffer.concat([bytes, bytes]),
    };
    for (const [name, change] of Object.entries(changes))
      await assert.rejects(lab.open([given(file, change)]), failsWith('sealed-damaged'), `${name}, ${length} bytes`);
  }
  const file = await lab.seal(pattern(chunk * 3));
  const start = file.header.length + 16;
  const swapped = given(file, (bytes) => {
    const piece = (i: number): Buffer => bytes.subarray(start + i * sealedChunk, start + (i + 1) * sealedChunk);
    return Buffer.concat([bytes.subarray(0, start), piece(0), piece(2), piece(1)]);
  });
  await assert.rejects(lab.open([swapped]), failsWith('sealed-damaged'));
});

test('a length or a hash that differs from the record is refused', async (t) => {
  const lab = await SealLab.start(t);
  const content = pattern(chunk + 500);
  const file = given(await lab.seal(content));
  for (const plainBytes of [0, 10, chunk, chunk + 499, chunk + 501, chunk * 2])
    await assert.rejects(lab.open([{ ...file, plainBytes }]), failsWith('sealed-damaged'), `${plainBytes} bytes`);
  const wrong = { ...file, sha256: sha256(Buffer.from('another')) };
  await assert.rejects(lab.open([wrong]), failsWith('content-mismatch'));
  await assert.rejects(lab.open([file, wrong]), failsWith('content-mismatch'), 'also in a later segment');
  assert.equal((await lab.open([file, file])).length, 2 * content.length);
});

test('bytes that begin like a header and never end it are refused with bounded memory', async (t) => {
  const lab = await SealLab.start(t);
  const sealed = Buffer.concat([Buffer.from('age-encryption.org/v1\n'), Buffer.alloc(5_000_000, '-> a\n\n')]);
  const endless = { sealed, headerSha256: sha256(sealed), plainBytes: 1, sha256: null };
  await assert.rejects(lab.open([endless]), failsWith('sealed-damaged'));
});

test('a file for somebody else and an identity that is none are told apart', async (t) => {
  const lab = await SealLab.start(t);
  const file = given(await lab.seal(pattern(10)));
  for (const [identity, code] of [
    [generateIdentity().identity, 'sealed-damaged'],
    ['none', 'key-file'],
  ] as const) {
    const opener = lab.workers.createOpener({ path: lab.newPath(), identity });
    opener.beginSegment(file);
    await opener.write(file.sealed);
    await assert.rejects(opener.endSegment(), failsWith(code));
    await assert.rejects(opener.finish(), failsWith(code));
    await opener.destroy();
  }
});

test('calls in the wrong order are refused', async (t) => {
  const lab = await SealLab.start(t);
  const file = given(await lab.seal(pattern(10)));
  type Opener = ReturnType<typeof lab.workers.createOpener>;
  const orders: Record<string, (opener: Opener) => Promise<unknown>> = {
    'bytes without a segment': (opener) => opener.write(file.sealed).then(() => opener.finish()),
    'an end without a segment': (opener) => opener.endSegment(),
    'a finish inside a segment': (opener) => {
      opener.beginSegment(file);
      return opener.finish();
    },
    'a segment inside a segment': (opener) => {
      opener.beginSegment(file);
      opener.beginSegment(file);
      return opener.endSegment();
    },
  };
  for (const [name, calls] of Object.entries(orders)) {
    const opener = lab.workers.createOpener({ path: lab.newPath(), identity: lab.keys.identity });
    await assert.rejects(calls(opener), failsWith('internal'), name);
    await opener.destroy();
  }
});

test('the plaintext file is new and private; nothing stays open; destroy after finish leaves it', async (t) => {
  const lab = await SealLab.start(t);
  const file = given(await lab.seal(pattern(10)));
  const taken = lab.newPath();
  writeFileSync(taken, 'mine');
  const refused = lab.workers.createOpener({ path: taken, identity: lab.keys.identity });
  refused.beginSegment(file);
  await assert.rejects(refused.endSegment(), failsWith('internal'));
  await refused.destroy();
  assert.equal(readFileSync(taken, 'utf8'), 'mine');

  const path = lab.newPath();
  const opener = lab.workers.createOpener({ path, identity: lab.keys.identity });
  opener.beginSegment(file);
  await opener.write(file.sealed);
  await opener.endSegment();
  await opener.finish();
  await opener.destroy();
  assert.ok(existsSync(path));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(lab.openDescriptors(), 0);
});
