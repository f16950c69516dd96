/**
 * Three hosts (partner, dmz, inside) as network namespaces. The firewall drops and counts every packet that opens a
 * connection from the DMZ to the inside; the whole walk must pass with the counter at zero, and the counter must work.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type Pair, startPair } from '../fixtures/pair.ts';
import {
  contentOf,
  exchangePdf,
  inboundStations,
  journeySizes,
  offerAndFetch,
  putAndSeeInside,
  traceIsComplete,
} from './journey.ts';

const run = promisify(execFile);
const tag = randomBytes(2).toString('hex');
const hosts = { partner: `sp-p-${tag}`, dmz: `sp-d-${tag}`, inside: `sp-i-${tag}` } as const;
const addresses = { partner: '10.77.1.2', dmzOuter: '10.77.1.1', dmzInner: '10.77.2.1', inside: '10.77.2.2' } as const;

const within = (host: string): string[] => ['ip', 'netns', 'exec', host];
const ip = (...args: string[]): Promise<unknown> => run('ip', args);
const on = (host: string, ...command: string[]): Promise<{ stdout: string }> => run('ip', ['netns', 'exec', host, ...command]);

async function cable(a: string, addressA: string, b: string, addressB: string): Promise<void> {
  const [left, right] = [`v${randomBytes(3).toString('hex')}`, `v${randomBytes(3).toString('hex')}`];
  await ip('link', 'add', left, 'netns', a, 'type', 'veth', 'peer', 'name', right, 'netns', b);
  for (const [host, device, address] of [
    [a, left, addressA],
    [b, right, addressB],
  ] as const) {
    await ip('-n', host, 'addr', 'add', `${address}/24`, 'dev', device);
    await ip('-n', host, 'link', 'set', device, 'up');
  }
}

/** The inside's own firewall: nothing that the DMZ begins gets in. */
const guard = `table inet guard {
  counter opened { }
  chain in {
    type filter hook input priority 0; policy accept;
    ip saddr ${addresses.dmzInner} ct state new counter name opened drop
  }
}
`;

async function dropped(): Promise<number> {
  const { stdout } = await on(hosts.inside, 'nft', '-j', 'list', 'counter', 'inet', 'guard', 'opened');
  const { nftables } = JSON.parse(stdout) as { nftables: { counter?: { packets: number } }[] };
  return nftables.find((entry) => entry.counter)?.counter?.packets ?? -1;
}

async function loadGuard(): Promise<void> {
  const child = execFile('ip', ['netns', 'exec', hosts.inside, 'nft', '-f', '-']);
  child.stdin?.end(guard);
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, 'the firewall loads');
}

describe('three hosts with a firewall that lets nothing in', () => {
  let pair: Pair;
  before(async () => {
    for (const host of Object.values(hosts)) {
      await ip('netns', 'add', host);
      await ip('-n', host, 'link', 'set', 'lo', 'up');
    }
    await cable(hosts.partner, addresses.partner, hosts.dmz, addresses.dmzOuter);
    await cable(hosts.dmz, addresses.dmzInner, hosts.inside, addresses.inside);
    await loadGuard();
    pair = await startPair(
      { sftpHost: addresses.dmzOuter, tunnelHost: addresses.dmzInner, client: within(hosts.partner) },
      { dmz: within(hosts.dmz), internal: within(hosts.inside) },
    );
  });
  after(async () => {
    await pair?.[Symbol.asyncDispose]();
    for (const host of Object.values(hosts)) await ip('netns', 'del', host);
  });

  it('carries every size of file inside, with its trace', async () => {
    for (const size of journeySizes) {
      await putAndSeeInside(pair, `file-${size}.bin`, contentOf(size));
      await traceIsComplete(pair, `acme/Inbox/file-${size}.bin`, inboundStations);
    }
  });

  it('carries files out and across', async () => {
    await offerAndFetch(pair, 'prices.bin', contentOf(1_000_001));
    await exchangePdf(pair, 'drawing.pdf', contentOf(200_000));
  });

  it('never had to open a connection inward, and the firewall would have counted it', async () => {
    assert.equal(await dropped(), 0);
    await assert.rejects(on(hosts.dmz, 'bash', '-c', `exec 3<>/dev/tcp/${addresses.inside}/22 & sleep 0.3; kill $!; wait $!`));
    assert.ok((await dropped()) > 0, 'a packet that opens a connection is counted');
  });
});
