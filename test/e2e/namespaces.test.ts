/**
 * Three hosts (partner, dmz, inside) as network namespaces under exactly the rules that `sallyport firewall` prints: default drop
 * in every direction on both hosts, IPv4 and IPv6. The whole walk passes, over SFTP and FTPS and both ways; each accepting rule
 * is needed; and a capture on the inside link counts who opened what.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { commands } from '../../scripts/site/site.ts';
import { ask, curlFtps, delivered, eventually, offer, sha256 } from '../../scripts/site/walk.ts';
import { acceptingRules, Checks, type GuardedHost, generatedRules, listenEverywhere } from '../fixtures/generated-firewall.ts';
import { LinkWatch } from '../fixtures/link-watch.ts';
import type { Pair } from '../fixtures/pair.ts';
import { addresses, addresses6, ThreeHosts } from '../fixtures/three-hosts.ts';
import {
  contentOf,
  exchangePdf,
  inboundStations,
  journeySizes,
  offerAndFetch,
  putAndSeeInside,
  traceIsComplete,
} from './journey.ts';

const guarded = ['dmz', 'inside'] as const satisfies GuardedHost[];
const ofDmz = [addresses.dmzInner, addresses.dmzOuter, addresses6.dmzInner, addresses6.dmzOuter];
const ofInside = [addresses.inside, addresses6.inside];
const patienceSeconds = 60;
/** A dropped packet is not answered; how long we wait to believe it, beside twice what an answer took. */
const leastDropSeconds = 0.3;

async function counted(hosts: ThreeHosts, host: GuardedHost, name: string): Promise<number> {
  const { stdout } = await hosts.on(host, 'nft', '-j', 'list', 'counter', 'inet', 'sallyport', name);
  const { nftables } = JSON.parse(stdout) as { nftables: { counter?: { packets: number } }[] };
  return nftables.find((entry) => entry.counter)?.counter?.packets ?? -1;
}

describe('three hosts under the firewall rules that the pair prints for itself', () => {
  let pair: Pair;
  let hosts: ThreeHosts;
  let rules: Readonly<Record<GuardedHost, string>>;
  let checks: Checks;
  let watch: LinkWatch;
  before(async () => {
    hosts = await ThreeHosts.make();
    watch = await LinkWatch.start(hosts.within('inside'), 'dmz');
    pair = await hosts.startPair(async (site) => {
      await listenEverywhere(site);
      rules = await generatedRules(site);
      for (const host of guarded) await hosts.firewall(host, rules[host]);
    });
    const told = JSON.parse(await ask(pair.site, 'dmz', 'firewall', 'tell')) as { listeners: { use: string; first: number }[] };
    checks = new Checks(hosts, pair, told.listeners.find(({ use }) => use === 'tunnel')?.first ?? 0);
  });
  after(async () => {
    await pair?.[Symbol.asyncDispose]();
    await watch?.[Symbol.asyncDispose]();
    await hosts[Symbol.asyncDispose]();
  });

  it('carries every size of file inside over SFTP, with its trace', async () => {
    for (const size of journeySizes) {
      await putAndSeeInside(pair, `file-${size}.bin`, contentOf(size));
      await traceIsComplete(pair, `acme/Inbox/file-${size}.bin`, inboundStations);
    }
  });

  it('carries files out and across over SFTP', async () => {
    await offerAndFetch(pair, 'prices.bin', contentOf(1_000_001));
    await exchangePdf(pair, 'drawing.pdf', contentOf(200_000));
  });

  for (const door of ['explicit', 'implicit'] as const) {
    it(`carries files in and out over ${door} FTPS, through the ports for data`, async () => {
      const { site, acme } = pair;
      const content = contentOf(1_000_003);
      const local = join(site.folder, 'scratch', `${door}.bin`);
      await mkdir(join(site.folder, 'scratch'), { recursive: true });
      await writeFile(local, content);
      const sent = await curlFtps(site, acme, ['-T', local], '/Inbox/', door);
      assert.equal(sent.code, 0, sent.output);
      assert.equal(sha256(await delivered(site, `acme/${door}.bin`)), sha256(content));
      await offer(site, 'acme', `for-${door}.bin`, content);
      const fetched = join(site.folder, `fetched-${door}.bin`);
      await eventually('the partner fetches what was offered', async () => {
        return (await curlFtps(site, acme, ['-o', fetched], `/Outbox/for-${door}.bin`, door)).code === 0 || undefined;
      });
      assert.equal(sha256(await readFile(fetched)), sha256(content));
    });
  }

  it('serves partners over IPv6 as over IPv4', async () => {
    for (const family of ['ipv4', 'ipv6'] as const) assert.ok(await checks.sftpLists(family), family);
  });

  it('the DMZ opened 0 connections to the inside; its own firewall drops and counts an attempt', async (context) => {
    const inward = watch.openedBy(ofDmz);
    context.diagnostic(`connections on the inside link that the DMZ opened: ${inward} of ${watch.all}`);
    assert.equal(inward, 0);
    assert.ok(watch.openedBy(ofInside) > 0, 'the capture sees the connections that the inside opened');
    assert.equal(await counted(hosts, 'dmz', 'dmz_to_inside'), 0);
    for (const target of ofInside) {
      await assert.rejects(hosts.on('dmz', 'timeout', '0.3', 'bash', '-c', `exec 3<>/dev/tcp/${target}/22`));
    }
    assert.ok((await counted(hosts, 'dmz', 'dmz_to_inside')) >= 2, 'IPv4 and IPv6 are counted');
    assert.equal(watch.openedBy(ofDmz), 0, 'nothing of it reached the link');
  });

  it('diff of the live rules finds no difference, and names a rule that opens more', async () => {
    const { site } = pair;
    const given = ['--inside-address', ofInside.join(','), '--dmz-address', ofDmz.join(',')];
    const diff = (): Promise<{ stdout: string }> =>
      hosts.on('inside', ...commands.internal, 'firewall', 'diff', '--live', ...given, '--config', site.internal.config);
    assert.match((await diff()).stdout, /the rules of the internal node inner1 are those that it needs \(nft\)/);
    await hosts.on('inside', 'nft', 'insert', 'rule', 'inet', 'sallyport', 'input', 'tcp', 'dport', '445', 'accept');
    await assert.rejects(diff(), (failure: { code: number; stdout: string }) => {
      assert.equal(failure.code, 5);
      assert.match(failure.stdout, /input: lets through too much: inet sallyport input: tcp dport 445 accept/);
      return true;
    });
    await hosts.firewall('inside', rules.inside);
  });

  it('without one accepting rule, and any of them, its purpose fails', async () => {
    const answerSeconds = new Map<string, number>();
    for (const host of guarded) {
      const accepting = acceptingRules(rules[host]);
      const { stdout } = await hosts.on(host, 'nft', 'list', 'table', 'inet', 'sallyport');
      assert.equal(accepting.length, stdout.match(/ accept comment /g)?.length, 'these are all that the kernel has');
      for (const rule of accepting) {
        const purpose = checks.of(host, rule);
        assert.ok(purpose, `there is a check for: ${rule.comment}`);
        if (!answerSeconds.has(purpose.name)) {
          await hosts.firewall(host, rules[host]);
          const begun = performance.now();
          assert.ok(await purpose.check(patienceSeconds), `${purpose.name} under all rules`);
          answerSeconds.set(purpose.name, (performance.now() - begun) / 1000);
        }
        const dropSeconds = leastDropSeconds + 2 * (answerSeconds.get(purpose.name) ?? 0);
        await hosts.firewall(host, rule.without);
        assert.ok(!(await purpose.check(dropSeconds)), `${purpose.name}, without: ${rule.comment}`);
      }
      await hosts.firewall(host, rules[host]);
    }
  });

  it('the inside drops and counts what a DMZ host without its firewall sends, and the capture sees it', async () => {
    await hosts.on('dmz', 'nft', 'delete', 'table', 'inet', 'sallyport');
    for (const target of ofInside) {
      await assert.rejects(hosts.on('dmz', 'timeout', '0.3', 'bash', '-c', `exec 3<>/dev/tcp/${target}/22`));
    }
    assert.ok((await counted(hosts, 'inside', 'dmz_to_inside')) >= 2, 'IPv4 and IPv6 are counted');
    await eventually('the capture shows it', async () => watch.openedBy(ofDmz) >= 2 || undefined);
    assert.equal((await watch.stop()).dropped, 0, 'the capture is whole');
  });
});
