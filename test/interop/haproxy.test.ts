/** HAProxy in front of a running DMZ node, with both versions of its PROXY header: both nodes know the partner's own address. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort, type Site } from '../../scripts/site/site.ts';
import { eventually } from '../fixtures/eventually.ts';
import { type Pair, startPair } from '../fixtures/pair.ts';
import { op, RawSftp } from '../fixtures/raw-sftp.ts';
import { knock } from '../fixtures/raw-ssh.ts';

let pair: Pair;
before(async () => {
  pair = await startPair({}, undefined, async ({ dmz }) => {
    const text = await readFile(dmz.config, 'utf8');
    await writeFile(dmz.config, text.replace(/^sftp:\n/m, 'sftp:\n  proxyFrom: ["127.0.0.8"]\n'));
  });
});
after(() => pair[Symbol.asyncDispose]());

/** HAProxy on a free port, connecting to the node from 127.0.0.8. */
async function haproxy(site: Site, sends: 'send-proxy' | 'send-proxy-v2'): Promise<AsyncDisposable & { port: number }> {
  const port = await freePort('127.0.0.1');
  const file = join(site.folder, `${sends}.cfg`);
  await writeFile(
    file,
    [
      'defaults',
      '  mode tcp',
      '  timeout connect 5s',
      '  timeout client 60s',
      '  timeout server 60s',
      'listen sftp',
      `  bind 127.0.0.1:${port}`,
      `  server edge1 127.0.0.1:${site.sftp.port} source 127.0.0.8 ${sends}`,
      '',
    ].join('\n'),
  );
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  await eventually('haproxy listens', async () => {
    const probe = knock(port);
    const up = await new Promise<boolean>((done) => {
      probe.socket.once('connect', () => done(true));
      probe.socket.once('error', () => done(false));
    });
    probe.socket.destroy();
    return up;
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await gone;
  };
  return { port, [Symbol.asyncDispose]: stop };
}

async function audit(folder: string): Promise<{ name: string; peer?: string }[]> {
  const files = await readdir(join(folder, 'audit'));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, 'audit', file), 'utf8')));
  const lines = texts.flatMap((text) => text.trim().split('\n'));
  return lines.map((line) => JSON.parse(line) as { name: string; peer?: string });
}

describe('HAProxy in front of the DMZ node', () => {
  for (const [sends, address] of [
    ['send-proxy', '127.0.0.21'],
    ['send-proxy-v2', '127.0.0.22'],
  ] as const) {
    it(`BA-10: tells the partner's address with ${sends}`, async () => {
      const { site, acme } = pair;
      await using balancer = await haproxy(site, sends);
      const login = { username: acme.name, password: acme.password, localAddress: address };
      {
        await using sftp = await RawSftp.connect(balancer.port, login);
        assert.equal((await sftp.ask(op.stat, '/Inbox')).type, 105);
      }
      for (const [state, name] of [
        [site.dmz.state, 'session.connected'],
        [site.dmz.state, 'session.opened'],
        [site.internal.state, 'auth.accepted'],
      ] as const) {
        await eventually(`${name} with the address`, async () =>
          (await audit(state)).some((record) => record.name === name && record.peer === address),
        );
      }
    });
  }

  it('serves partners that come past it as before, but refuses it without a header', async () => {
    const { site, acme } = pair;
    const direct = { username: acme.name, password: acme.password };
    const bare = knock(site.sftp.port, 'SSH-2.0-x\r\n', '127.0.0.8');
    await eventually('the cut', () => bare.closed);
    assert.equal(bare.received, '');
    await using sftp = await RawSftp.connect(site.sftp.port, direct);
    assert.equal((await sftp.ask(op.stat, '/Inbox')).type, 105);
  });
});
