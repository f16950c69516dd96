/**
 * Three hosts (partner, dmz, inside) as network namespaces. The firewall drops and counts every packet that opens a
 * connection from the DMZ to the inside; the whole walk must pass with the counter at zero, and the counter must work.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pair } from '../fixtures/pair.ts';
import { addresses, ThreeHosts } from '../fixtures/three-hosts.ts';
import {
  contentOf,
  exchangePdf,
  inboundStations,
  journeySizes,
  offerAndFetch,
  putAndSeeInside,
  traceIsComplete,
} from './journey.ts';

/** The inside's own firewall: nothing that the DMZ begins gets in. */
const guard = `table inet guard {
  counter opened { }
  chain in {
    type filter hook input priority 0; policy accept;
    ip saddr ${addresses.dmzInner} ct state new counter name opened drop
  }
}
`;

async function dropped(hosts: ThreeHosts): Promise<number> {
  const { stdout } = await hosts.on('inside', 'nft', '-j', 'list', 'counter', 'inet', 'guard', 'opened');
  const { nftables } = JSON.parse(stdout) as { nftables: { counter?: { packets: number } }[] };
  return nftables.find((entry) => entry.counter)?.counter?.packets ?? -1;
}

describe('three hosts with a firewall that lets nothing in', () => {
  let pair: Pair;
  let hosts: ThreeHosts;
  before(async () => {
    hosts = await ThreeHosts.make();
    await hosts.firewall('inside', guard);
    pair = await hosts.startPair();
  });
  after(async () => {
    await pair?.[Symbol.asyncDispose]();
    await hosts[Symbol.asyncDispose]();
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
    assert.equal(await dropped(hosts), 0);
    const connect = `exec 3<>/dev/tcp/${addresses.inside}/22 & sleep 0.3; kill $!; wait $!`;
    await assert.rejects(hosts.on('dmz', 'bash', '-c', connect));
    assert.ok((await dropped(hosts)) > 0, 'a packet that opens a connection is counted');
  });
});
