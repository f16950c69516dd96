import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { failsWith, pattern, SealLab, sha256 } from '../../test/fixtures/seal-lab.ts';
import type { SallyportError } from '../errors.ts';
import { SealWorkers } from './seal-workers.ts';

/** Workers whose threads the test can end. */
function mortal(threads: number): { workers: SealWorkers; alive: Worker[]; lost: SallyportError[] } {
  const alive: Worker[] = [];
  const lost: SallyportError[] = [];
  const workers = new SealWorkers({ threads, onWorkerLost: (error) => lost.push(error) }, () => {
    const worker = new Worker(new URL('./seal-worker.ts', import.meta.url));
    alive.push(worker);
    return worker;
  });
  return { workers, alive, lost };
}

test('a worker that crashes fails its users, is reported and replaced; users of the others go on', async (t) => {
  const lab = await SealLab.start(t);
  const { workers, alive, lost } = mortal(2);
  await workers.start();
  t.after(() => workers.stop());
  const recipients = [lab.keys.recipient];
  const [doomed, safe] = [lab.newPath(), lab.newPath()].map((path) => workers.createWriter({ path, recipients }));
  assert.ok(doomed && safe);
  for (const writer of [doomed, safe]) for (let i = 0; i < 8; i += 1) await writer.write(pattern(1_000_000));
  assert.equal(lab.files().length, 2);

  // More than it can have done by then.
  const late = Array.from({ length: 40 }, () => doomed.write(pattern(1_000_000)).catch(() => undefined));
  const finishing = doomed.finish();
  await alive[0]?.terminate();
  await assert.rejects(finishing, failsWith('internal'));
  await Promise.all(late);
  await assert.rejects(doomed.write(pattern(1)), failsWith('internal'));
  assert.equal(lost.length, 1);
  await doomed.destroy();
  assert.equal(lab.files().length, 1, 'the file of the crashed worker is removed by destroy');

  assert.equal((await safe.finish()).plainBytes, 8_000_000);
  for (let i = 0; i < 2; i += 1) {
    const writer = workers.createWriter({ path: lab.newPath(), recipients });
    await writer.write(pattern(10));
    assert.equal((await writer.finish()).sha256, sha256(pattern(10)));
  }
  assert.equal(alive.length, 3);
  assert.equal(lab.openDescriptors(), 0);
});

test('a reader and an opener of a crashed worker fail too', async (t) => {
  const lab = await SealLab.start(t);
  const file = await lab.seal(pattern(1_000_000));
  const { workers, alive } = mortal(1);
  await workers.start();
  t.after(() => workers.stop());
  const opener = workers.createOpener({ path: lab.newPath(), identity: lab.keys.identity });
  opener.beginSegment(file);
  const failed = assert.rejects(opener.endSegment(), failsWith('sealed-damaged'));
  await failed;
  const second = workers.createOpener({ path: lab.newPath(), identity: lab.keys.identity });
  second.beginSegment(file);
  await alive[0]?.terminate();
  await assert.rejects(second.endSegment(), failsWith('internal'));
  await Promise.all([opener.destroy(), second.destroy()]);
  assert.equal(lab.openDescriptors(), 0);
});

test('users are spread over the workers', async (t) => {
  const lab = await SealLab.start(t);
  const { workers, alive } = mortal(3);
  await workers.start();
  t.after(() => workers.stop());
  const writers = Array.from({ length: 3 }, () =>
    workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] }),
  );
  await alive[1]?.terminate();
  const ends = await Promise.allSettled(writers.map((writer) => writer.finish()));
  assert.deepEqual(ends.map(({ status }) => status).sort(), ['fulfilled', 'fulfilled', 'rejected']);
});

test('stop lets a finish under way end, fails the others and leaves nothing open', async (t) => {
  const lab = await SealLab.start(t, { threads: 2 });
  const open = (): ReturnType<typeof lab.workers.createWriter> =>
    lab.workers.createWriter({ path: lab.newPath(), recipients: [lab.keys.recipient] });
  const [finished, idle] = [open(), open()];
  const ended = finished.finish();
  await idle.write(pattern(300_000));
  await lab.workers.stop();
  assert.equal((await ended).plainBytes, 0);
  await assert.rejects(idle.finish(), failsWith('internal'));
  await idle.destroy();
  assert.throws(open, failsWith('internal'));
  await lab.workers.stop();
  assert.equal(lab.openDescriptors(), 0);
});

test('a worker that cannot start fails the start', async () => {
  const workers = new SealWorkers({ threads: 1 }, () => new Worker('throw new Error("of a test")', { eval: true }));
  await assert.rejects(workers.start(), failsWith('internal'));
  await workers.stop();
});
