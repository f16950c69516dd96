/** What is our own fault, or nobody's, is never held against a partner: no refusal, no penalty, no ban. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SitePartner } from '../../scripts/site/site.ts';
import { ask, eventually, type SftpResult, sftp } from '../../scripts/site/walk.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { op, openFlags, RawSftp } from '../fixtures/raw-sftp.ts';

let pair: Pair;
const pwd = (partner: SitePartner): Promise<SftpResult> => sftp(pair.site, partner, ['pwd'], ['-o', 'ConnectTimeout=10']);
const bannedSources = async (): Promise<number> =>
  (JSON.parse(await ask(pair.site, 'dmz', 'status', '--json')) as { bannedSources: number }).bannedSources;
const tunnelIs = (up: boolean): Promise<unknown> =>
  eventually(`the tunnel is ${up ? 'up' : 'down'}`, async () => {
    const status = JSON.parse(await ask(pair.site, 'dmz', 'status', '--json')) as { tunnel: { up: boolean } };
    return status.tunnel.up === up || undefined;
  });

/** Runs `count` logins, `atOnce` at the same time, as `xargs -P` does. */
async function logins(count: number, atOnce: number, one: () => Promise<SftpResult>): Promise<SftpResult[]> {
  const results: SftpResult[] = [];
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) results.push(await one());
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

before(async () => {
  pair = await startPair();
});
after(async () => {
  await pair?.[Symbol.asyncDispose]();
});

describe('a partner', () => {
  it('may start 20 transfers at once from one address, again and again', async () => {
    const results = await logins(100, 20, () => pwd(pair.acme));
    assert.deepEqual(
      results.filter(({ code }) => code !== 0).map(({ output }) => output),
      [],
    );
    assert.equal(results.length, 100);
  });

  it('logs in at once when the internal node is back, whoever tried 60 times meanwhile', async () => {
    await pair.supervisor.takeDown('internal');
    await tunnelIs(false);
    const results = await logins(60, 6, () => pwd(pair.acme));
    assert.equal(results.length, 60);
    assert.ok(results.every(({ code }) => code === 255));
    const heard = await RawSftp.connect(pair.site.sftp.port, { username: 'acme', password: 'wrong' }).catch(String);
    assert.match(String(heard), /temporarily unavailable/);
    assert.equal(await bannedSources(), 0);
    pair.supervisor.bringUp('internal');
    await tunnelIs(true);
    const startedAt = performance.now();
    const { code, output } = await pwd(pair.acme);
    assert.equal(code, 0, output);
    assert.ok(performance.now() - startedAt < 3000, 'no delay is left');
  });

  it('is not charged when the inside does not answer, however impatient he is', async () => {
    process.kill(pair.supervisor.pid('internal'), 'SIGSTOP');
    try {
      const results = await logins(40, 20, () => sftp(pair.site, pair.acme, ['pwd'], ['-o', 'ConnectTimeout=2']));
      assert.ok(results.every(({ code }) => code === 255));
    } finally {
      process.kill(pair.supervisor.pid('internal'), 'SIGCONT');
    }
    assert.equal(await bannedSources(), 0);
    await eventually('the login works again', async () => (await pwd(pair.acme)).code === 0 || undefined);
  });

  it('comes back at once after the DMZ node was killed under 20 sessions', async () => {
    const open = await Promise.all(
      Array.from({ length: 20 }, () => RawSftp.connect(pair.site.sftp.port, { username: 'acme', password: pair.acme.password })),
    );
    for (const [n, client] of open.entries()) {
      client.client.on('error', () => undefined);
      const handle = await client.open(`/Inbox/cut-${n}.bin`, openFlags.write | openFlags.create | openFlags.truncate);
      await client.ask(op.write, handle, 0n, Buffer.alloc(1000));
    }
    await pair.supervisor.takeDown('dmz', 0);
    const whileDown = logins(60, 10, () => pwd(pair.acme));
    await sleep(500);
    pair.supervisor.bringUp('dmz');
    await whileDown;
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    await tunnelIs(true);
    const { code, output } = await pwd(pair.acme);
    assert.equal(code, 0, output);
    assert.equal(await bannedSources(), 0);
  });

  it('comes back at once after the DMZ node was restarted politely during his logins', async () => {
    const going = logins(60, 10, () => pwd(pair.acme));
    await sleep(300);
    await pair.supervisor.takeDown('dmz');
    pair.supervisor.bringUp('dmz');
    await going;
    await pair.supervisor.ready(AbortSignal.timeout(120_000));
    await tunnelIs(true);
    const { code, output } = await pwd(pair.acme);
    assert.equal(code, 0, output);
    assert.equal(await bannedSources(), 0);
  });
});
