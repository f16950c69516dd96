/** The tunnel breaks in the middle of a pull, in every way a network can break: each file arrives once, and identical. */
import assert from 'node:assert/strict';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, sftp } from '../../scripts/site/walk.ts';
import { limits } from '../../shared/tunnel/messages.ts';
import type { Pair } from '../fixtures/pair.ts';
import { addresses, ThreeHosts } from '../fixtures/three-hosts.ts';
import { hurry } from './crashstep.ts';
import { Consumer, residue } from './oracle.ts';

/** Longer than both sides need to notice. */
const brokenMs = limits.deadAfterMs + 2 * limits.heartbeatMs;
const size = 15_000_000;
const peer = addresses.dmzInner;

const faults: readonly { readonly name: string; readonly rules: string; readonly ms: number }[] = [
  {
    name: 'connections are reset',
    rules: `chain in { type filter hook input priority 0; ip saddr ${peer} reject with tcp reset; }
      chain out { type filter hook output priority 0; ip daddr ${peer} meta l4proto tcp reject with tcp reset; }`,
    ms: 1000,
  },
  {
    name: 'the inside hears nothing any more',
    rules: `chain in { type filter hook input priority 0; ip saddr ${peer} drop; }`,
    ms: brokenMs,
  },
];

describe('a tunnel that breaks', () => {
  let hosts: ThreeHosts;
  let pair: Pair;
  let consumer: Consumer;
  before(async () => {
    hosts = await ThreeHosts.make();
    // Slow enough that a pull takes seconds.
    await hosts.on('dmz', ...'tc qdisc add dev inside root tbf rate 80mbit burst 64kb latency 400ms'.split(' '));
    pair = await hosts.startPair(hurry);
    consumer = new Consumer(join(pair.site.inside.delivered, 'acme'));
    consumer.start();
  });
  after(async () => {
    await consumer.stop();
    await pair[Symbol.asyncDispose]();
    await hosts[Symbol.asyncDispose]();
  });

  async function put(name: string): Promise<void> {
    const { site, acme } = pair;
    const content = Buffer.alloc(size, `${name}; `);
    await writeFile(join(site.folder, 'upload'), content);
    consumer.sent(name, content);
    const { code, output } = await sftp(site, acme, [`put ${join(site.folder, 'upload')} "/Inbox/${name}"`]);
    assert.equal(code, 0, output);
  }

  /** In the middle of a pull. */
  async function pulling(): Promise<void> {
    const staging = join(pair.site.inside.delivered, '.sallyport-staging');
    await eventually('a draft grows', async () => {
      for (const name of await readdir(staging)) if ((await stat(join(staging, name))).size > size / 10) return true;
      return undefined;
    });
  }

  const arrives = (name: string): Promise<true> =>
    eventually(`${name} is delivered`, async () => consumer.has(name) || undefined);

  for (const [index, { name, rules, ms }] of faults.entries()) {
    it(`because ${name}: the file arrives once`, async () => {
      await put(`file-${index}`);
      await pulling();
      await hosts.firewall('inside', `table inet broken {\n${rules}\n}\n`);
      await sleep(ms);
      assert.equal(consumer.has(`file-${index}`), false);
      await hosts.firewall('inside', 'delete table inet broken\n');
      await arrives(`file-${index}`);
    });
  }

  it('because the DMZ node is killed in the middle of a pull: the file arrives once', async () => {
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    await put('killed');
    await pulling();
    process.kill(pair.supervisor.pid('dmz'), 'SIGKILL');
    await arrives('killed');
  });

  it('because the DMZ node stands still for too long: the file arrives once', async () => {
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    await put('still');
    await pulling();
    const pid = pair.supervisor.pid('dmz');
    process.kill(pid, 'SIGSTOP');
    await sleep(brokenMs);
    process.kill(pid, 'SIGCONT');
    await arrives('still');
  });

  it('left nothing behind, and every file came once', async () => {
    await sleep(1000); // a late duplicate would show now
    await pair.supervisor.stop();
    assert.deepEqual([...consumer.faults, ...(await residue(pair.site))], []);
  });
});
