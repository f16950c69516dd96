/**
 * What the kernel enforces, on real nodes that do their work meanwhile: under the launcher, and under the system calls that their
 * systemd units admit, each process is denied what it is not to do, tried from inside it. That the DMZ node does not even try is
 * shown by `walk.test.ts`.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DmzNodeStatus } from '../../dmz-node/admin/api.ts';
import type { InternalStatus } from '../../internal-node/admin/api.ts';
import { closureOf, projectRoot } from '../../scripts/closure/import-graph.ts';
import { commands } from '../../scripts/site/site.ts';
import { ask, curlFtps, delivered, eventually, sha256 } from '../../scripts/site/walk.ts';
import type { Probed } from '../fixtures/confinement-probe.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { underUnitFilter, writeUnitFilter } from '../fixtures/unit-filter.ts';
import { contentOf, exchangePdf, offerAndFetch, putAndSeeInside } from './journey.ts';

const run = promisify(execFile);
const launcher = join(projectRoot, 'scripts/confined');
const probe = fileURLToPath(new URL('../fixtures/confinement-probe.ts', import.meta.url));

/** Files in both directions over SFTP, between partners, and over FTPS with a password. */
async function everyWay(pair: Pair): Promise<void> {
  await putAndSeeInside(pair, 'large.bin', contentOf(5_000_000));
  await offerAndFetch(pair, 'prices.bin', contentOf(1_000_001));
  await exchangePdf(pair, 'drawing.pdf', contentOf(200_000));
  const content = contentOf(700_000);
  const local = join(pair.site.folder, 'invoice.bin');
  await writeFile(local, content);
  const { code, output } = await curlFtps(pair.site, pair.acme, ['-T', local], '/Inbox/');
  assert.equal(code, 0, output);
  assert.equal(sha256(await delivered(pair.site, 'acme/invoice.bin')), sha256(content));
}

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'sallyport-hardening-'));
});
after(async () => {
  await rm(scratch, { recursive: true });
});

describe('under the launcher and the system calls of its unit', () => {
  let pair: Pair;
  const filterOf = (kind: string): string => join(scratch, `${kind}.filter`);
  before(async () => {
    const file = join(scratch, 'probe');
    const options = `${process.env.NODE_OPTIONS ?? ''} --disallow-code-generation-from-strings --import ${probe}`;
    const prefix = (kind: string): string[] => [
      'env',
      `NODE_OPTIONS=${options}`,
      `SALLYPORT_PROBE=${file}`,
      ...underUnitFilter(filterOf(kind)),
      launcher,
    ];
    pair = await startPair({}, { dmz: prefix('dmz'), internal: prefix('agent'), door: prefix('door') }, async (site) => {
      const admitted = {
        dmz: await writeUnitFilter(await ask(site, 'dmz', 'unit'), filterOf('dmz')),
        agent: await writeUnitFilter(await ask(site, 'internal', 'unit', 'agent'), filterOf('agent')),
        door: await writeUnitFilter(await ask(site, 'internal', 'unit', 'door'), filterOf('door')),
      };
      assert.deepEqual([admitted.dmz.has('connect'), admitted.dmz.has('accept4')], [false, true]);
      assert.deepEqual([admitted.agent.has('connect'), admitted.agent.has('accept4')], [true, false]);
      for (const calls of Object.values(admitted)) assert.deepEqual([calls.has('ptrace'), calls.has('mount')], [false, false]);
    });
    probed = async (kind) => {
      const pid = pair.supervisor.pid(kind);
      process.kill(pid, 'SIGUSR2');
      const text = await eventually(`what ${kind} may do`, () => readFile(`${file}.${pid}`, 'utf8'));
      return JSON.parse(text) as Probed;
    };
  });
  after(async () => {
    await pair?.[Symbol.asyncDispose]();
  });
  let probed: (kind: 'dmz' | 'internal' | 'door') => Promise<Probed>;

  it('files go every way, with native ciphers, worker threads and the record store', async () => {
    await everyWay(pair);
    assert.deepEqual(pair.supervisor.deaths, { dmz: 0, internal: 0, door: 0 });
  });

  const denied = 'EPERM';
  /** Nobody is left who would answer for a start of a program. */
  const noProgram = 'ENOSYS';

  it('the DMZ node can neither connect nor send datagrams nor start a program', async () => {
    const { loaded: _, ...found } = await probed('dmz');
    assert.deepEqual(found, {
      connectTcp: denied,
      connectUnix: denied,
      listenTcp: 'ok',
      listenUnix: 'ok',
      udp: denied,
      spawn: noProgram,
      seccomp: '2',
      noNewPrivileges: '1',
    });
  });

  it('the agent cannot listen anywhere and cannot start a program, since the configuration names none', async () => {
    const { loaded: _, connectTcp, ...found } = await probed('internal');
    assert.notEqual(connectTcp, denied);
    assert.deepEqual(found, {
      connectUnix: 'ENOENT',
      listenTcp: denied,
      listenUnix: denied,
      udp: denied,
      spawn: noProgram,
      seccomp: '2',
      noNewPrivileges: '1',
    });
  });

  it('the staff door cannot reach the network in either direction', async () => {
    const { loaded: _, ...found } = await probed('door');
    assert.deepEqual(found, {
      connectTcp: denied,
      connectUnix: 'ENOENT',
      listenTcp: denied,
      listenUnix: 'ok',
      udp: denied,
      spawn: noProgram,
      seccomp: '2',
      noNewPrivileges: '1',
    });
  });

  it('the DMZ node has loaded nothing that its list of packages and files does not have', async () => {
    const { files, packages } = closureOf(['dmz-node/main.ts']);
    const known = new Set([...files, ...[...packages.values()].flatMap((pack) => [...pack.files])]);
    const root = new URL(`file://${projectRoot}`).href;
    const own = (await probed('dmz')).loaded.filter((url) => url.startsWith(root)).map((url) => url.slice(root.length));
    assert.ok(own.length > 300 && own.includes('dmz-node/node.ts'), `${own.length} files`);
    assert.deepEqual(
      own.filter((path) => !known.has(path) && !path.endsWith('.json') && !path.startsWith('test/fixtures/')),
      [],
    );
  });

  it('status says what was tried', async () => {
    const edge = JSON.parse(await ask(pair.site, 'dmz', 'status', '--json')) as DmzNodeStatus;
    assert.deepEqual(edge.confinement, {
      filtered: true,
      noNewPrivileges: true,
      connect: 'denied',
      listen: 'admitted',
      whyConnects: null,
    });
    assert.match(await ask(pair.site, 'dmz', 'status'), /confined +the kernel denies it to connect \(tried just now\)\n/);
    const inside = JSON.parse(await ask(pair.site, 'internal', 'status', '--json')) as InternalStatus;
    assert.deepEqual(inside.confinement, { filtered: true, noNewPrivileges: true, connect: 'admitted', listen: 'denied' });
    assert.match(
      await ask(pair.site, 'internal', 'status'),
      /confined +the kernel denies the agent to listen \(tried just now\)\n/,
    );
  });

  it('a node that may connect for active FTP says why, and keeps the rest', async () => {
    const config = pair.site.dmz.config;
    const text = await readFile(config, 'utf8');
    await pair.supervisor.takeDown('dmz');
    await writeFile(config, text.replace(/^ftps:\n/m, 'ftps:\n  active: {}\n'), { mode: 0o600 });
    try {
      const unit = await ask(pair.site, 'dmz', 'unit');
      assert.doesNotMatch(unit, /~connect/);
      await writeUnitFilter(unit, filterOf('dmz'));
      pair.supervisor.bringUp('dmz');
      await pair.supervisor.ready(AbortSignal.timeout(120_000));
      const { connectTcp, spawn: started, udp } = await probed('dmz');
      assert.deepEqual([connectTcp === denied, started, udp], [false, noProgram, denied]);
      assert.match(await ask(pair.site, 'dmz', 'status'), /confined +it may connect: ftps\.active admits PORT and EPRT/);
    } finally {
      await writeFile(config, text, { mode: 0o600 });
    }
  });

  it('nothing is started when there is no filter for it', async () => {
    const fails = (...command: readonly string[]): Promise<{ code: number; error: string }> =>
      new Promise((resolve) => {
        execFile(launcher, [...command], (failure, _out, error) => resolve({ code: Number(failure?.code ?? 0), error }));
      });
    const [node, main] = commands.dmz;
    assert.match((await fails('/bin/echo', 'sallyport-filter once 00')).error, /^confined: \/bin\/echo gave no filter\n$/);
    const wrong = await fails(node, main, 'serve', '--config', '/nowhere/dmz.yaml');
    assert.deepEqual([wrong.code, /nowhere\/dmz\.yaml/.test(wrong.error)], [2, true]);
    assert.equal((await fails('no-such-program', 'serve')).code, 2);
  });

  it('sallyport-launch gives each part of the inside its own filter', async () => {
    for (const kind of ['door', 'internal'] as const) await pair.supervisor.takeDown(kind);
    const keeper = spawn(join(projectRoot, 'scripts/sallyport-launch'), ['inside', '--config', pair.site.internal.config], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      let log = '';
      keeper.stdout.on('data', (bytes) => {
        log += String(bytes);
      });
      const ready = await eventually('both parts are ready', async () => {
        const lines = log.split('\n').filter((line) => line.includes('"ready":true'));
        return lines.length === 2 ? lines : undefined;
      });
      for (const line of ready) {
        const { pid } = JSON.parse(line) as { pid: number };
        assert.match(await readFile(`/proc/${pid}/status`, 'utf8'), /^Seccomp:\s+2$/m);
      }
    } finally {
      const gone = new Promise((resolve) => keeper.once('exit', resolve));
      keeper.kill('SIGTERM');
      await gone;
    }
  });

  it('the systemd units expose next to nothing and are well formed', async () => {
    const units = {
      'sallyport-dmz.service': await ask(pair.site, 'dmz', 'unit'),
      'sallyport-agent.service': await ask(pair.site, 'internal', 'unit', 'agent'),
      'sallyport-door.service': await ask(pair.site, 'internal', 'unit', 'door'),
    };
    for (const [name, text] of Object.entries(units)) await writeFile(join(pair.site.folder, name), text);
    for (const name of Object.keys(units)) {
      const file = join(pair.site.folder, name);
      // Fails when the exposure is more than 1.5 of 10.
      await run('systemd-analyze', ['security', '--offline=true', '--threshold=15', '--no-pager', file]);
      const { stderr } = await run('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', file]);
      assert.equal(stderr, '', name);
    }
    const { sftp, ftps } = pair.site;
    for (const port of [sftp.port, ftps.explicitPort, ftps.implicitPort]) {
      assert.match(units['sallyport-dmz.service'], new RegExp(`^SocketBindAllow=tcp:${port}$`, 'm'));
    }
    assert.match(units['sallyport-dmz.service'], /^SystemCallFilter=~connect$/m);
    assert.match(units['sallyport-agent.service'], /^SystemCallFilter=~listen accept accept4$/m);
    assert.doesNotMatch(units['sallyport-agent.service'], /SocketBindAllow/);
  });
});
