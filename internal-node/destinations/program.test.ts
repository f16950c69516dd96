/** Programs that get files: how they are run, and what becomes of those that fail, hang, flood or leave others behind. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import { newItemId } from '../../shared/ids.ts';
import { draftConformance, filesBelow } from '../../test/conformance/destination.ts';
import { eventually } from '../../test/fixtures/eventually.ts';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { ProgramDestination, type ProgramReport, programDefaults } from './program.ts';

const allowed = () => undefined;

async function program(folder: string, script: string, reports: ProgramReport[] = [], clock: Clock = systemClock) {
  const path = join(folder, 'program.sh');
  await writeFile(path, `${script}\n`);
  return new ProgramDestination(
    { clock, report: async (run) => void reports.push(run) },
    { ...programDefaults, name: 'scan', command: ['/bin/sh', path, 'first argument'], folder: join(folder, 'state') },
  );
}

draftConformance('a program', async (folder) => ({
  destination: await program(
    folder,
    `mkdir -p "${folder}/seen/$(dirname "$SALLYPORT_FILE")" && cp -- "$SOURCE_PATH" "${folder}/seen/$SALLYPORT_FILE"`,
  ),
  visible: () => filesBelow(join(folder, 'seen')),
}));

interface Scene extends AsyncDisposable {
  readonly folder: string;
  readonly reports: readonly ProgramReport[];
  readonly destination: ProgramDestination;
  readonly item: string;
  /** Runs it on a file of this name. */
  run(name?: string): Promise<string>;
  read(name: string): Promise<string>;
}

async function scene(script: (folder: string) => string, clock?: Clock): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-program-'));
  const reports: ProgramReport[] = [];
  const destination = await program(folder, script(folder), reports, clock);
  const item = newItemId();
  const run = async (name = 'a.csv'): Promise<string> => {
    await writeFile(await destination.stage(item), 'content', { flag: 'wx', mode: 0o600 });
    const facts = await destination.keep(item);
    const file = await destination.plan({ partner: 'acme', components: [name] });
    return await destination.publish(item, facts, file, allowed);
  };
  const read = async (name: string): Promise<string> => (await readFile(join(folder, name), 'utf8')).trimEnd();
  const gone = () => rm(folder, { recursive: true, force: true });
  return { folder, reports, destination, item, run, read, [Symbol.asyncDispose]: gone };
}

test('FD-17: it gets the file behind --, a clean environment and its own folder, and no shell sees its name', async () => {
  process.env.SALLYPORT_TEST_SECRET = 'must not be inherited';
  await using s = await scene(
    (folder) =>
      `env > ${folder}/env; pwd > ${folder}/cwd; for a in "$@"; do echo "$a"; done > ${folder}/args; cat "$3" > ${folder}/got`,
  );
  const name = '-rf $(touch pwned);`id`';
  assert.equal(await s.run(name), 'published');
  delete process.env.SALLYPORT_TEST_SECRET;
  const [first, dashes, path = ''] = (await s.read('args')).split('\n');
  assert.deepEqual([first, dashes], ['first argument', '--']);
  assert.ok(path.startsWith(`${s.folder}/state/run/${s.item}/`) && path.endsWith(`/${name}`), path);
  assert.equal(await s.read('got'), 'content');
  const environment = Object.fromEntries((await s.read('env')).split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
  const { PWD: _pwd, SHLVL: _level, _: _last, OLDPWD: _old, ...own } = environment;
  assert.deepEqual(own, {
    ...{ PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', HOME: `${s.folder}/state/run/${s.item}` },
    ...{ SOURCE_PATH: path, SALLYPORT_FILE: `acme/${name}`, SALLYPORT_ITEM: s.item },
  });
  assert.ok(!existsSync(join(s.folder, 'pwned')) && !existsSync('pwned'));
  assert.deepEqual(await readdir(join(s.folder, 'state/run')), [], 'nothing of the file is left');
  assert.equal((await stat(join(s.folder, 'state'))).mode & 0o777, 0o700);
});

test('FD-17: an exit code that is not 0 is a failure, told with the end of what the program said', async () => {
  await using s = await scene(() => 'echo reading; echo "no such table" >&2; exit 3');
  await assert.rejects(s.run(), { code: 'program-failed', message: /exit 3: no such table/ });
  assert.deepEqual(
    s.reports.map(({ outcome, succeeded, output }) => ({ outcome, succeeded, output })),
    [{ outcome: 'exit 3', succeeded: false, output: 'reading\nno such table\n' }],
  );
  const facts = await s.destination.keep(s.item);
  assert.equal(await s.destination.standing(s.item, facts), 'draft', 'it can be tried again');
});

test('FD-17: a program that hangs is ended after its time, with everything that it started', async () => {
  const clock = new ManualClock();
  // Neither minds the polite signal; only the one that nobody can ignore ends them.
  const child = (folder: string) =>
    `sh -c 'trap "" TERM; echo $$ > ${folder}/draft; mv ${folder}/draft ${folder}/child; sleep 1000'`;
  await using s = await scene((folder) => `trap '' TERM; ${child(folder)} & wait; sleep 1000`, clock);
  let failure: unknown;
  const run = s.run().catch((error: unknown) => {
    failure = error;
  });
  await eventually('the child runs', () => existsSync(join(s.folder, 'child')));
  const pid = Number(await s.read('child'));
  clock.advance(programDefaults.timeoutMs - 1);
  assert.ok(existsSync(`/proc/${pid}`), 'its time is not over');
  await eventually(
    'it is ended',
    () => {
      clock.advance(programDefaults.timeoutMs);
      return failure !== undefined;
    },
    60_000,
  );
  await run;
  assert.match(asSallyportError(failure).message, /timeout/);
  await eventually('so is what it started', () => !existsSync(`/proc/${pid}`));
});

test('FD-17: what a program leaves behind at its good end is ended too', async () => {
  await using s = await scene((folder) => `sleep 1000 & echo $! > ${folder}/child; exit 0`);
  assert.equal(await s.run(), 'published');
  const pid = Number(await s.read('child'));
  await eventually('the child is gone', () => !existsSync(`/proc/${pid}`));
});

test('FD-17: of a flood of output only the beginning is kept, and the program is not held up', async () => {
  await using s = await scene(() => 'head -c 50000000 /dev/zero | tr "\\0" x; exit 1');
  await assert.rejects(s.run(), { code: 'program-failed' });
  assert.equal(s.reports[0]?.output, 'x'.repeat(programDefaults.outputBytes));
});

test('a program that is missing or may not be run is a failure like another', async () => {
  await using s = await scene(() => 'exit 0');
  const options = { ...programDefaults, name: 'none', command: [join(s.folder, 'none')], folder: join(s.folder, 'state') };
  const destination = new ProgramDestination({ clock: systemClock, report: async () => undefined }, options);
  await writeFile(await destination.stage(s.item), 'content', { flag: 'wx', mode: 0o600 });
  const facts = await destination.keep(s.item);
  await assert.rejects(destination.publish(s.item, facts, 'acme/a', allowed), { code: 'program-failed', message: /not started/ });
});

test('a run that was cut by a crash leaves nothing of the file behind once it is settled', async () => {
  await using s = await scene(() => 'exit 1');
  await assert.rejects(s.run());
  const run = join(s.folder, 'state/run', s.item);
  const facts = await s.destination.keep(s.item);
  await mkdir(run, { recursive: true });
  await writeFile(join(run, 'a.csv'), 'content');
  assert.equal(await s.destination.standing(s.item, facts), 'draft');
  assert.ok(!existsSync(run));
});

test('no more runs go on at the same time than are allowed; the others wait for their turn', async () => {
  await using s = await scene(
    (folder) =>
      `mkdir ${folder}/$SALLYPORT_ITEM.on; ls -d ${folder}/*.on | wc -l >> ${folder}/seen; while [ ! -e ${folder}/go-on ]; do sleep 0.05; done; rmdir ${folder}/$SALLYPORT_ITEM.on; echo x >> ${folder}/ran`,
  );
  const runs = Array.from({ length: 5 }, async () => {
    const item = newItemId();
    await writeFile(await s.destination.stage(item), 'content', { flag: 'wx', mode: 0o600 });
    const facts = await s.destination.keep(item);
    return await s.destination.publish(item, facts, 'acme/a', allowed);
  });
  const going = async () => (await readdir(s.folder)).filter((name) => name.endsWith('.on')).length;
  await eventually('the first begin', async () => (await going()) === programDefaults.concurrent);
  await writeFile(join(s.folder, 'go-on'), '');
  assert.deepEqual(await Promise.all(runs), Array(5).fill('published'));
  assert.deepEqual((await s.read('ran')).split('\n'), Array(5).fill('x'));
  const seen = (await s.read('seen')).split('\n').map(Number);
  assert.ok(
    seen.every((count) => count <= programDefaults.concurrent),
    seen.join(),
  );
});

test('a run that fails gives its turn on', async () => {
  await using s = await scene(() => 'exit 1');
  for (let n = 0; n < programDefaults.concurrent + 1; n += 1) await assert.rejects(s.run(), { code: 'program-failed' });
});
