/** Sealing onto a file system that runs full, and onto one whose flush fails. Mounts a small tmpfs, which needs root; uses strace. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { failsWith, pattern, SealLab } from '../../test/fixtures/seal-lab.ts';

function smallDisk(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'small-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'sallyport-test', folder]);
  t.after(() => {
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  });
  return folder;
}

test('a full disk fails the writer with no-space; destroy gives the space back', async (t) => {
  const disk = smallDisk(t);
  const lab = await SealLab.start(t);
  const recipients = [lab.keys.recipient];
  const writer = lab.workers.createWriter({ path: join(disk, 'large'), recipients });
  await assert.rejects(async () => {
    for (let i = 0; i < 20; i += 1) await writer.write(pattern(1_000_000));
  }, failsWith('no-space'));
  await assert.rejects(writer.write(pattern(1)), failsWith('no-space'));
  await assert.rejects(writer.finish(), failsWith('no-space'));
  await writer.destroy();
  assert.deepEqual(readdirSync(disk), []);

  const next = lab.workers.createWriter({ path: join(disk, 'small'), recipients });
  await next.write(pattern(1_000_000));
  assert.equal((await next.finish()).plainBytes, 1_000_000);
});

test('a full disk fails the opener with no-space', async (t) => {
  const disk = smallDisk(t);
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(3_000_000));
  const opener = lab.workers.createOpener({ path: join(disk, 'plain'), identity: lab.keys.identity });
  opener.beginSegment(file);
  await assert.rejects(async () => {
    await opener.write(readFileSync(file.path));
    await opener.endSegment();
  }, failsWith('no-space'));
  await opener.destroy();
  assert.deepEqual(readdirSync(disk), []);
});

const finishOne = (folder: string): string => `
  const { SealWorkers } = await import(${JSON.stringify(new URL('./seal-workers.ts', import.meta.url).href)});
  const { generateIdentity } = await import(${JSON.stringify(new URL('./age-key.ts', import.meta.url).href)});
  const workers = new SealWorkers({ threads: 1 });
  await workers.start();
  const writer = workers.createWriter({ path: ${JSON.stringify(join(folder, 'f'))}, recipients: [generateIdentity().recipient] });
  await writer.write(Buffer.alloc(100));
  for (let i = 0; i < 2; i += 1) console.log(await writer.finish().then(() => 'finished', (error) => error.code));
  await writer.destroy();
  await workers.stop();
`;

for (const call of ['fdatasync', 'fsync']) {
  test(`a failed ${call} makes the store suspect and is not tried again`, async (t) => {
    const lab = await SealLab.start(t);
    const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=${call}:error=EIO:when=1`];
    const program = lab.newPath();
    writeFileSync(`${program}.mjs`, finishOne(lab.folder));
    const output = execFileSync('strace', [...inject, process.execPath, `${program}.mjs`]);
    rmSync(`${program}.mjs`);
    assert.equal(output.toString(), 'store-suspect\nstore-suspect\n');
    assert.deepEqual(lab.files(), []);
  });
}
