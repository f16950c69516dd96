/** The demo as a newcomer and a test machine run it: two processes, one line of JSON, signals, crashes, an odd folder. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { existingSite, readPids, type Site, type SitePartner } from '../../scripts/site/site.ts';
import { eventually, filesBelow, sftp } from '../../scripts/site/walk.ts';

const main = new URL('../../scripts/demo.ts', import.meta.url).pathname;

interface Ready {
  readonly pids: { readonly dmz: number; readonly internal: number };
  readonly sftp: { readonly port: number };
}

class Demo {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  #out = '';

  constructor(args: readonly string[]) {
    this.process = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.process.stdout?.on('data', (text) => {
      this.#out += String(text);
    });
    this.exit = new Promise((resolve) => this.process.once('exit', resolve));
  }

  get lines(): string[] {
    return this.#out.split('\n').filter((line) => line !== '');
  }

  ready = (): Promise<Ready> =>
    eventually('the line of JSON', async () => (this.lines[0] ? (JSON.parse(this.lines[0]) as Ready) : undefined));
}

const once = (...args: readonly string[]): Promise<{ code: number; error: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], (error, _out, text) => {
      resolve({ code: error ? Number(error.code) : 0, error: text });
    });
  });

const runs = (pid: number): boolean => existsSync(`/proc/${pid}`);
const allEnd = (pids: readonly number[]) => eventually(`${pids} end`, async () => !pids.some(runs) || undefined);

/** The keys of an object and of the objects in it. */
const shapeOf = (value: unknown): unknown =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]))
    : typeof value;

describe('the demo in a folder with blanks in its name, deeper than a socket address has room for', () => {
  let folder: string;
  let demo: Demo;
  let site: Site;
  let acme: SitePartner;
  before(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'sallyport-demo-')), 'a folder', 'x'.repeat(100));
    demo = new Demo(['--dir', folder, '--json']);
    await demo.ready();
    const made = await existingSite(folder);
    assert.ok(made?.partners.acme);
    [site, acme] = [made, made.partners.acme];
  });
  after(async () => {
    demo.process.kill('SIGTERM');
    await demo.exit;
    await rm(join(folder, '../..'), { recursive: true, force: true });
  });

  it('says exactly what a test machine needs, on one line', () => {
    assert.equal(demo.lines.length, 1);
    const partner = { password: 'string', keyFile: 'string' };
    assert.deepEqual(shapeOf(JSON.parse(demo.lines[0] ?? '')), {
      ready: 'boolean',
      pids: { dmz: 'number', internal: 'number' },
      sftp: { host: 'string', port: 'number', hostKey: 'string' },
      ftps: { host: 'string', explicitPort: 'number', implicitPort: 'number', caFile: 'string' },
      partners: { acme: partner, globex: partner },
      inside: { delivered: 'string', outgoing: 'string' },
      dmz: { config: 'string', state: 'string' },
      internal: { config: 'string', state: 'string' },
    });
  });

  it('refuses a second one in the same folder and disturbs the first in nothing', async () => {
    const before = await readPids(folder);
    const { code, error } = await once('--dir', folder, '--json');
    assert.equal(code, 7, error);
    assert.match(error, /another demo runs in/);
    assert.deepEqual(await readPids(folder), before);
  });

  for (const kind of ['dmz', 'internal'] as const) {
    it(`starts a killed ${kind} node again on the same ports and keeps pids.json current`, async () => {
      const before = (await readPids(folder))[kind];
      process.kill(before, 'SIGKILL');
      const next = await eventually('a new process', async () => {
        const { [kind]: pid } = await readPids(folder);
        return pid !== before ? pid : undefined;
      });
      assert.ok(runs(next));
      await eventually('a login', async () => (await sftp(site, acme, ['pwd'])).code === 0 || undefined);
    });
  }

  it('lets a transfer finish when it is told to stop, ends both nodes, and goes on with what it had', async () => {
    const local = join(folder, 'slow.bin');
    await writeFile(local, Buffer.alloc(3_000_000, 7));
    const { dmz, internal } = await readPids(folder);
    const objects = async (): Promise<number> => (await filesBelow(join(site.dmz.state, 'objects'))).length;
    const before = await objects();
    // 8000 kbit/s: three seconds.
    const upload = sftp(site, acme, [`put "${local}" /Inbox/slow.bin`], ['-l', '8000']);
    await eventually('the upload runs', async () => (await objects()) > before || undefined);
    demo.process.kill('SIGTERM');
    const { code, output } = await upload;
    assert.equal(code, 0, output);
    assert.equal(await demo.exit, 0);
    assert.deepEqual([runs(dmz), runs(internal), existsSync(join(folder, 'pids.json'))], [false, false, false]);
    assert.doesNotMatch(await readFile(join(folder, 'dmz.log'), 'utf8'), /Warning/);

    demo = new Demo(['--dir', folder, '--json']);
    assert.equal((await demo.ready()).sftp.port, site.sftp.port);
    const delivered = join(site.inside.delivered, 'acme/slow.bin');
    const there = await eventually('the file inside', () => readFile(delivered));
    assert.equal(there.length, 3_000_000);
  });

  it('takes its nodes with it when it is killed, and can be started again at once', async () => {
    const before = Object.values(await readPids(folder));
    demo.process.kill('SIGKILL');
    await demo.exit;
    demo = new Demo(['--dir', folder, '--json']);
    await demo.ready();
    await allEnd(before);
    assert.equal((await sftp(site, acme, ['pwd'])).code, 0);
  });
});

it('the demo says what is wrong with its arguments or its folder and changes nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
  for (const args of [['--bogus'], ['x'], ['--dir']]) {
    const { code, error } = await once(...args);
    assert.equal(code, 2);
    assert.match(error, /^demo failed: .*\nusage: /);
    assert.doesNotMatch(error, / at /, 'no stack');
  }
  await mkdir(join(folder, 'dmz'));
  const { code, error } = await once('--dir', folder);
  assert.equal(code, 7);
  assert.match(error, /holds dmz, but no finished demo/);
  await rm(folder, { recursive: true });
});
