/** Files in place and back: at every crash the old ones or the new ones, never a mix that stays. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { silentLogger } from '../shared/log.ts';
import { eventually } from '../test/fixtures/eventually.ts';
import { ManualClock } from '../test/fixtures/manual-clock.ts';
import { RecordedEvents } from '../test/fixtures/recorded-events.ts';
import { makeKey } from '../test/fixtures/ssh-login.ts';
import { ApplyDesk } from './apply-desk.ts';
import { type InternalSettings, loadInternalSettings, loadPlannedSettings } from './config.ts';
import { ConfigSwap } from './config-swap.ts';

const root = await mkdtemp(join(tmpdir(), 'sallyport-apply-'));
after(() => rm(root, { recursive: true }));
let count = 0;
const key = makeKey('ed25519').publicLine;
const main = 'version: 1\nname: inner1\ndestinations:\n  inside: {folder: delivered}\n';
const partner = (name: string) => `partners:\n  ${name}: {keys: ["${key}"]}\n`;

async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

async function bench() {
  count += 1;
  const [home, planned] = [join(root, `${count}`), join(root, `${count}-new`)];
  await write(home, { 'sallyport.yaml': main, 'conf.d/a.yaml': partner('acme'), 'conf.d/old.yaml': partner('old') });
  await mkdir(join(home, 'state'));
  await write(planned, { 'conf.d/a.yaml': partner('initech'), 'conf.d/sub/b.yaml': partner('globex') });
  const configFile = join(home, 'sallyport.yaml');
  const swap = new ConfigSwap({ configFile, stateFolder: join(home, 'state') });
  const [clock, events] = [new ManualClock(), new RecordedEvents()];
  let present: InternalSettings = await loadInternalSettings(configFile);
  let reloads = 0;
  const trouble: { reload?: Error } = {};
  const makeDesk = () =>
    new ApplyDesk({
      swap,
      present: () => present,
      load: (folder) => loadPlannedSettings(folder, configFile),
      filesInUse: async () => (await loadInternalSettings(configFile)).files,
      check: () => {},
      reload: async () => {
        const { reload } = trouble;
        delete trouble.reload;
        if (reload) throw reload;
        present = await loadInternalSettings(configFile);
        reloads += 1;
      },
      held: () => 7,
      events,
      clock,
      log: silentLogger,
    });
  const inPlace = async (): Promise<string[]> => {
    const settings = await loadInternalSettings(configFile);
    return Object.keys(settings.partners).sort();
  };
  return {
    home,
    planned,
    swap,
    clock,
    events,
    makeDesk,
    desk: makeDesk(),
    inPlace,
    reloads: () => reloads,
    trouble,
    state: join(home, 'state/apply'),
  };
}
const old = ['acme', 'old'];
const fresh = ['globex', 'initech'];

test('a configuration is put in place as a whole, and stays when no time is set', async () => {
  const { desk, planned, inPlace, reloads, home, state, events } = await bench();
  assert.deepEqual(await desk.apply(planned, null), { policy: 7, confirmUntilMs: null });
  assert.deepEqual(await inPlace(), fresh);
  assert.deepEqual((await readdir(join(home, 'conf.d'))).sort(), ['a.yaml', 'sub']);
  assert.equal(reloads(), 1);
  assert.deepEqual(await readdir(state), []);
  assert.equal(events.of('config.applied').length, 1);
  assert.equal(await desk.confirm(), false);
  assert.equal(await desk.rollBack('late'), false);
});

test('what is not confirmed in time goes back, byte for byte; what is confirmed stays', async () => {
  const { desk, planned, inPlace, clock, events, home, reloads } = await bench();
  await desk.apply(planned, 300_000);
  await assert.rejects(desk.apply(planned, null), { code: 'already-exists' });
  clock.advance(299_999);
  assert.deepEqual(await inPlace(), fresh);
  clock.advance(1);
  await eventually('the old files', async () => reloads() === 2);
  assert.deepEqual(await inPlace(), old);
  assert.equal(await readFile(join(home, 'conf.d/a.yaml'), 'utf8'), partner('acme'));
  assert.equal(events.of('config.rolled-back').length, 1);
  await desk.apply(planned, 300_000);
  assert.equal(await desk.confirm(), true);
  clock.advance(10 * 300_000);
  assert.deepEqual(await inPlace(), fresh);
});

test('after a kill the time goes on: within it the new one is in force, behind it the old one is back before anything is read', async () => {
  const { desk, planned, inPlace, clock, swap, makeDesk, reloads } = await bench();
  await desk.apply(planned, 300_000);
  await desk.stop();
  clock.advance(100_000);
  assert.equal(await swap.recover(clock.nowMs()), undefined);
  const second = makeDesk();
  await second.start();
  assert.ok(second.deadlineMs);
  assert.deepEqual(await inPlace(), fresh);
  clock.advance(200_000);
  await eventually('the old files', () => reloads() === 2);
  assert.deepEqual(await inPlace(), old);
  await second.apply(planned, 1000);
  await second.stop();
  clock.advance(60_000);
  assert.equal(await swap.recover(clock.nowMs()), 'it was not confirmed in time');
  assert.deepEqual(await inPlace(), old);
});

test('a kill while files are copied is undone at the next start', async () => {
  const { planned, inPlace, clock, swap, state } = await bench();
  const files = ['conf.d/a.yaml', 'conf.d/sub/b.yaml'];
  for (const deadlineMs of [1e15, null]) {
    await swap.gather(planned, files);
    await swap.put(files, ['conf.d/a.yaml', 'conf.d/old.yaml'], 1, deadlineMs);
    assert.deepEqual(await inPlace(), fresh);
    const note = JSON.parse(await readFile(join(state, 'note.json'), 'utf8'));
    // Without a deadline the files count once they are in force: also a kill between the two is undone.
    if (deadlineMs !== null) await writeFile(join(state, 'note.json'), JSON.stringify({ ...note, phase: 'copying' }));
    assert.equal(await swap.recover(clock.nowMs()), 'the node stopped while it was put in place');
    assert.deepEqual(await inPlace(), old);
    assert.equal(await swap.recover(clock.nowMs()), undefined);
  }
});

test('files that cannot all be written leave those of before in place, also for the next apply', async () => {
  const { desk, planned, inPlace, home, state, swap, clock, reloads } = await bench();
  // Its place is taken by a folder, which nobody may remove.
  await mkdir(join(home, 'conf.d/sub/b.yaml/x'), { recursive: true });
  for (const confirmMs of [null, 60_000]) {
    await assert.rejects(desk.apply(planned, confirmMs));
    assert.equal(await readFile(join(home, 'conf.d/a.yaml'), 'utf8'), partner('acme'));
    assert.equal(await readFile(join(home, 'conf.d/old.yaml'), 'utf8'), partner('old'));
  }
  assert.equal(reloads(), 0);
  await rm(join(home, 'conf.d/sub'), { recursive: true });
  await desk.apply(planned, 60_000);
  assert.deepEqual(await inPlace(), fresh);
  await desk.rollBack('staff');
  assert.deepEqual(await inPlace(), old);
  assert.equal(await swap.recover(clock.nowMs()), undefined);
  assert.deepEqual(await readdir(state), []);
});

test('what cannot be put in force goes back, also when it was not to be confirmed', async () => {
  const { desk, planned, inPlace, trouble, state, reloads } = await bench();
  for (const confirmMs of [null, 60_000]) {
    trouble.reload = new Error('not now');
    await assert.rejects(desk.apply(planned, confirmMs), { message: 'not now' });
    assert.deepEqual(await inPlace(), old);
    assert.deepEqual(await readdir(state), []);
  }
  assert.equal(reloads(), 2);
  assert.equal(desk.deadlineMs, undefined);
});

test('a configuration that cannot be taken back at its time is taken back as soon as it can be', async () => {
  const { desk, planned, inPlace, clock, home, reloads } = await bench();
  await desk.apply(planned, 1000);
  // Its place is taken by a folder; the one before it goes back.
  await mkdir(join(home, 'conf.d/old.yaml'));
  clock.advance(1000);
  await eventually('the first try', async () => (await readFile(join(home, 'conf.d/a.yaml'), 'utf8')) === partner('acme'));
  assert.equal(reloads(), 1);
  await rm(join(home, 'conf.d/old.yaml'), { recursive: true });
  await eventually('the old files', () => {
    clock.advance(10_000);
    return reloads() === 2;
  });
  assert.deepEqual(await inPlace(), old);
  assert.equal(desk.deadlineMs, undefined);
});

test('a wrong configuration, and one that would move the node, change nothing', async () => {
  const { desk, planned, inPlace, reloads, state } = await bench();
  await write(planned, { 'conf.d/sub/b.yaml': 'partners:\n  globex: {}\n' });
  await assert.rejects(desk.apply(planned, null), { code: 'config-invalid' });
  await write(planned, { 'conf.d/sub/b.yaml': partner('globex'), 'sallyport.yaml': main.replace('inner1', 'inner2') });
  await assert.rejects(desk.apply(planned, null), { code: 'usage', message: /^name cannot be changed/ });
  assert.deepEqual(await inPlace(), old);
  assert.equal(reloads(), 0);
  assert.deepEqual(await readdir(state), []);
});
