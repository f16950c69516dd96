/**
 * The inside as two processes: the agent, which never listens, and the staff door, which does. Each outlives the other, and
 * `sallyport serve` keeps both where no service manager does.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { commands } from '../../scripts/site/site.ts';
import { ask, eventually } from '../../scripts/site/walk.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { contentOf, putAndSeeInside } from './journey.ts';

let pair: Pair;
before(async () => {
  pair = await startPair();
});
after(async () => {
  await pair[Symbol.asyncDispose]();
});

const status = (): Promise<string> => ask(pair.site, 'internal', 'status');

/** Exit code and error text of a command of the inside. */
function failureOf(...args: readonly string[]): Promise<{ readonly code: number; readonly error: string }> {
  const [node, ...main] = commands.internal;
  return new Promise((resolve) => {
    execFile(node, [...main, ...args, '--config', pair.site.internal.config], (failure, _out, error) => {
      resolve({ code: failure ? Number(failure.code) : 0, error });
    });
  });
}

/** The sockets of a process on which it listens, as the kernel lists them (proc(5)). */
async function listening(pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const links = await Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => '')));
  const own = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]));
  const lines = async (kind: string): Promise<string[][]> =>
    (await readFile(`/proc/${pid}/net/${kind}`, 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  const tcp = [...(await lines('tcp')), ...(await lines('tcp6'))].filter((f) => f[3] === '0A' && own.has(f[9]));
  // Bit 16 of the flags: it accepts connections.
  const unix = (await lines('unix')).filter((f) => (Number.parseInt(f[3] ?? '', 16) & 0x10000) !== 0 && own.has(f[6]));
  return [...tcp.map((f) => `tcp ${f[1]}`), ...unix.map((f) => `unix ${f[7]}`)];
}

describe('the agent and the staff door', () => {
  it('only the door listens, and only on its two Unix sockets', async () => {
    const { supervisor, site } = pair;
    assert.deepEqual(await listening(supervisor.pid('internal')), []);
    const socket = join(site.internal.state, 'admin/socket');
    assert.deepEqual((await listening(supervisor.pid('door'))).sort(), [`unix ${socket}`, `unix ${socket}.agent`]);
  });

  it('partners do not notice that the door died, and staff are served by the next one', async () => {
    const agent = pair.supervisor.pid('internal');
    await pair.supervisor.takeDown('door', 0);
    await putAndSeeInside(pair, 'without-door.bin', contentOf(200_000));
    assert.deepEqual(await failureOf('status').then(({ code, error }) => [code, /no node answers on/.test(error)]), [3, true]);
    pair.supervisor.bringUp('door');
    await eventually('staff are served', async () => (await failureOf('ls')).code === 0 || undefined);
    assert.match(await status(), /^node/);
    assert.equal(pair.supervisor.pid('internal'), agent, 'the same agent');
    await eventually('the agent has recorded it', async () => {
      const folder = join(pair.site.internal.state, 'audit');
      const days = await Promise.all((await readdir(folder)).map((day) => readFile(join(folder, day), 'utf8')));
      return ['door.lost', 'door.back'].every((name) => days.join('').includes(`"name":"${name}"`)) || undefined;
    });
  });

  it('while the agent is down the door says so, and it serves the next one', async () => {
    const door = pair.supervisor.pid('door');
    await pair.supervisor.takeDown('internal', 0);
    const { code, error } = await failureOf('status');
    assert.equal(code, 3);
    assert.match(error, /the agent of this node does not answer; its staff door does/);
    pair.supervisor.bringUp('internal');
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    await putAndSeeInside(pair, 'with-next-agent.bin', contentOf(1000));
    assert.equal(pair.supervisor.pid('door'), door, 'the same door');
  });
});

describe('serve, where no service manager runs', () => {
  /** Lines of the log of the keeper and its parts. */
  let log = '';
  let keeper: ChildProcess;
  const pids = { agent: 0, door: 0 };

  before(async () => {
    for (const kind of ['door', 'internal'] as const) await pair.supervisor.takeDown(kind);
    await startKeeper();
  });
  after(async () => {
    if (keeper.exitCode === null) keeper.kill('SIGKILL');
    for (const kind of ['door', 'internal'] as const) pair.supervisor.bringUp(kind);
  });

  async function startKeeper(): Promise<void> {
    const [node, main] = commands.internal;
    log = '';
    Object.assign(pids, { agent: 0, door: 0 });
    keeper = spawn(node, [main, 'serve', '--config', pair.site.internal.config], { stdio: ['ignore', 'pipe', 'inherit'] });
    keeper.stdout?.on('data', (text) => {
      log += String(text);
    });
    await partsReady();
  }

  /** Waits until both parts have said so, and notes their numbers. */
  async function partsReady(): Promise<void> {
    await eventually('both parts are ready', async () => {
      for (const line of log.split('\n').filter((text) => text.includes('"ready":true'))) {
        const { part, pid } = JSON.parse(line) as { part: 'agent' | 'door'; pid: number };
        pids[part] = pid;
      }
      return (pids.agent > 0 && pids.door > 0) || undefined;
    });
  }
  const runs = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  it('starts a part again that died', async () => {
    await eventually('the tunnel is up', async () => /tunnel +up/.test(await status()) || undefined);
    for (const part of ['agent', 'door'] as const) {
      const dead = pids[part];
      process.kill(dead, 'SIGKILL');
      await eventually(`another ${part}`, async () => {
        await partsReady();
        return pids[part] !== dead || undefined;
      });
    }
    await putAndSeeInside(pair, 'kept.bin', contentOf(1000));
    assert.match(log, /a part of the node died; it is started again/);
  });

  it('hands SIGHUP to the agent', async () => {
    keeper.kill('SIGHUP');
    await eventually('the configuration is read anew', async () => log.includes('configuration read anew') || undefined);
  });

  it('ends both parts when it is told to stop, and when it is killed', async () => {
    const before = { ...pids };
    const gone = new Promise((resolve) => keeper.once('exit', resolve));
    keeper.kill('SIGTERM');
    assert.equal(await gone, 0);
    assert.deepEqual([runs(before.agent), runs(before.door)], [false, false]);

    await startKeeper();
    keeper.kill('SIGKILL');
    await eventually('both parts end', async () => (!runs(pids.agent) && !runs(pids.door)) || undefined);
  });

  it('says what is wrong and ends when a part cannot start', async () => {
    const file = join(pair.site.folder, 'internal/conf.d/wrong.yaml');
    await writeFile(file, 'rules: nonsense\n', { mode: 0o600 });
    try {
      const { code, error } = await failureOf('serve');
      assert.equal(code, 2);
      assert.match(error, /wrong\.yaml:1/);
    } finally {
      await rm(file);
    }
  });

  it('there is no other part', async () => {
    const { code, error } = await failureOf('serve', 'web');
    assert.equal(code, 2);
    assert.match(error, /there is no part "web"; the parts are agent and door/);
  });
});
