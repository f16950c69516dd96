/**
 * A set-up of which every claim holds, and what breaks it, one thing at a time: each must be noticed, and the rule, file or socket
 * be named. One running pair on three hosts; most rows call the claims on facts that are gathered anew, the others run the commands.
 */
import assert from 'node:assert/strict';
import { chown, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadDmzConfig } from '../../dmz-node/config.ts';
import { declaredClaims } from '../../dmz-node/proof/claims-declared.ts';
import { gatherDmzFacts } from '../../dmz-node/proof/facts.ts';
import type { InsideFacts } from '../../internal-node/proof/facts.ts';
import type { Report } from '../../internal-node/proof/report/document.ts';
import { readRuleset } from '../../shared/firewall/read-ruleset.ts';
import { readAuditChain } from '../../shared/proof/audit-chain.ts';
import { type Claim, type Fact, known } from '../../shared/proof/claim.ts';
import type { ProcessFacts } from '../../shared/proof/processes.ts';
import type { SocketLine, Sockets } from '../../shared/proof/sockets.ts';
import type { Attempt, Probe } from '../../shared/proof/statement.ts';
import { generateIdentity } from '../../shared/seal/age-key.ts';
import { sealHeader } from '../../shared/seal/header.ts';
import { mustProbe, ProofStage, withFile, withMode } from '../fixtures/proof-stage.ts';
import { addresses } from '../fixtures/three-hosts.ts';

/** What does not hold, by its id, with what it names. */
const failing = (claims: readonly Claim[]): Record<string, string> =>
  Object.fromEntries(claims.filter(({ holds }) => holds !== 'yes').map(({ id, offending }) => [id, offending.join('\n')]));

/** One claim fails, others do not, and it names the culprit. */
function assertOnly(claims: readonly Claim[], id: string, names: RegExp): void {
  const found = failing(claims);
  assert.deepEqual(Object.keys(found), [id], JSON.stringify(found, null, 1));
  assert.match(found[id] ?? '', names);
}

const seen = <T>(fact: Fact<T>): T => {
  if ('missing' in fact) throw new Error(fact.missing);
  return fact.value;
};

const day = 86_400_000;

/** An age file of 100 bytes. */
const sealedFor = (...recipients: readonly string[]): Buffer =>
  Buffer.concat([sealHeader(Buffer.alloc(16, 7), recipients), Buffer.alloc(16 + 100 + 16)]);

describe('prove', () => {
  let stage: ProofStage;
  before(async () => {
    stage = await ProofStage.make();
    recipient = seen((await stage.gatherDmz()).policy).recipients[0] ?? '';
  });
  after(() => stage?.[Symbol.asyncDispose]());

  const object = (): string => join(stage.dmz.state, 'objects/aa/aaaaaaaaaaaaaaaaaaaaaaaaaa.1');
  let recipient = '';
  const ours = (): string => recipient;
  const socket = (change: Partial<SocketLine>): SocketLine => ({
    ...{ protocol: 'tcp', family: 4, host: '0.0.0.0', port: 1, remoteHost: '0.0.0.0', remotePort: 0, state: 10, inode: '1' },
    ...change,
  });
  const withSocket = (sockets: Fact<Sockets>, own: SocketLine): Fact<Sockets> =>
    known({ own: [...seen(sockets).own, own], all: [...seen(sockets).all, own] });
  const withThread = (processes: Fact<readonly ProcessFacts[]>, change: Partial<ProcessFacts['threads'][number]>) =>
    known(
      seen(processes).map((one) => ({
        ...one,
        threads: one.threads.map((thread, index) => (index === 1 ? { ...thread, ...change } : thread)),
      })),
    );

  it('holds for the untouched set-up, on both nodes', async () => {
    assert.deepEqual(failing(await stage.dmzClaims()), {});
    assert.deepEqual(failing(await stage.insideClaims()), {});
  });

  // What lies in the DMZ

  it('fails for a file in clear in the cache', () =>
    withFile(object(), 'partner;amount\nacme;17\n', async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.sealed', /objects\/aa\/a+\.1: no sealed file/),
    ));

  it('fails for a stored file whose header is cut', () =>
    withFile(object(), sealedFor(ours()).subarray(0, 60), async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.sealed', /a+\.1: the age header is cut short/),
    ));

  it('fails for a stored file that a second key opens', () =>
    withFile(object(), sealedFor(ours(), generateIdentity().recipient), async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.recipients', /a+\.1: sealed to 2 keys/),
    ));

  it('fails inside for a stored file that is sealed to another key than ours', () =>
    withFile(object(), sealedFor(generateIdentity().recipient), async () => {
      assert.deepEqual(failing(await stage.dmzClaims()), {}, 'the DMZ cannot tell');
      await stage.bring({}, { facts: await stage.gatherDmz() });
      assertOnly(await stage.insideClaims(), 'inside.opens-all', /a+\.1: sealed to a key that is not ours/);
    }));

  it('fails for a file in the state folder that the node does not write', async () => {
    await stage.bring();
    await withFile(join(stage.dmz.state, 'upload.tmp'), 'in clear', async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.nothing-else', /state\/upload\.tmp: a file that the node does not write/),
    );
  });

  for (const [what, key] of [
    ['the key that opens stored files', 'sealing.key'],
    ['the key that signs policy', 'policy.key'],
    ['the tunnel key', 'tunnel.key'],
    ['the authority', 'ca.key'],
  ] as const) {
    it(`fails for ${what} of the inside on the DMZ host`, async () => {
      const stolen = await readFile(join(stage.inside.keys, key));
      const place = join(stage.dmz.keys, `from-inside-${key}`);
      await withFile(place, stolen, async () =>
        assertOnly(await stage.dmzClaims(), 'dmz.no-inside-keys', /keys\/from-inside-.*: .* of the inside/),
      );
    });
  }

  it('finds a key of the inside in a file of another form beside the configuration', async () => {
    const stolen = JSON.stringify({ backup: await readFile(join(stage.inside.keys, 'policy.key'), 'utf8') });
    const place = join(stage.dmz.file, '../backup.json');
    await withFile(place, stolen, async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.no-inside-keys', /backup\.json: private key of the inside/),
    );
  });

  it('fails for the hash of a password on the DMZ host', () =>
    withFile(join(stage.dmz.keys, 'users'), `acme:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$${'A'.repeat(43)}\n`, async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.no-accounts', /keys\/users: holds the hash of a password/),
    ));

  it('fails for a key file that others can read', () => {
    const file = join(stage.dmz.keys, 'ssh_host_ed25519');
    return withMode(file, 0o644, async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.modes', /ssh_host_ed25519: mode 0644; run: chmod 600/),
    );
  });

  it('fails for a state folder that others can enter', () =>
    withMode(stage.dmz.state, 0o755, async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.modes', /dmz\/state: mode 0755; run: chmod 700/),
    ));

  it('fails for a file of another owner', async () => {
    const file = join(stage.dmz.keys, 'tunnel.crt');
    await chown(file, 4321, 4321);
    try {
      assertOnly(await stage.dmzClaims(), 'dmz.modes', /tunnel\.crt: belongs to user 4321/);
    } finally {
      await chown(file, 0, 0);
    }
  });

  for (const [what, change] of [
    ['an edited line', (lines: string[]) => lines.with(2, (lines[2] ?? '').replace(/"time":"\d{4}/, '"time":"1999'))],
    ['a removed line', (lines: string[]) => lines.toSpliced(2, 1)],
  ] as const) {
    it(`fails for ${what} of the audit trail`, async () => {
      const folder = join(stage.dmz.state, 'audit');
      const [name = ''] = await readdir(folder);
      const copy = join(stage.pair.site.folder, 'audit-copy');
      await mkdir(copy, { recursive: true });
      const lines = (await readFile(join(folder, name), 'utf8')).split('\n');
      await writeFile(join(copy, name), change(lines).join('\n'));
      const audit = known(await readAuditChain(copy));
      assertOnly(
        stage.dmzClaimsWith(() => ({ audit })),
        'dmz.audit',
        new RegExp(`${name}:[34]: does not follow`),
      );
      await rm(copy, { recursive: true });
    });
  }

  it('fails for a configuration that was changed and not loaded', async () => {
    const text = await readFile(stage.dmz.file, 'utf8');
    await withFile(stage.dmz.file, text.replace('minimumFree: 5%', 'minimumFree: 6%'), async () =>
      assertOnly(await stage.dmzClaims(), 'dmz.configuration', /dmz\.yaml: changed since the node read it; restart the node/),
    );
  });

  it('fails for certificates that have expired', async () => {
    const claims = await stage.dmzClaims(Date.now() + 400 * day);
    assertOnly(claims, 'dmz.certificates', /tunnel\.crt: expired on \d{4}-/);
  });

  // What the DMZ node does

  it('fails for a listener of the node that no line declares', async () => {
    const claims = stage.dmzClaimsWith(({ sockets }) => ({ sockets: withSocket(sockets, socket({ port: 9229 })) }));
    assertOnly(claims, 'dmz.listeners', /tcp 0\.0\.0\.0:9229: the node listens there, no line/);
  });

  it('fails for a listener of the node over UDP', async () => {
    const claims = stage.dmzClaimsWith(({ sockets }) => ({
      sockets: withSocket(sockets, socket({ protocol: 'udp', state: 7, port: 53 })),
    }));
    assertOnly(claims, 'dmz.listeners', /udp 0\.0\.0\.0:53/);
  });

  it('fails for a door that is declared and not open', async () => {
    const claims = stage.dmzClaimsWith(({ sockets }) => {
      const own = seen(sockets).own.filter(({ state, port }) => !(state === 10 && port === stage.dmz.sftp.listen.port));
      return { sockets: known({ ...seen(sockets), own }) };
    });
    assert.match(failing(claims)['dmz.listeners'] ?? '', /dmz\.yaml:\d+: sftp .* is not open/);
  });

  it('fails for another program that listens on the DMZ host, unless the configuration names it', async () => {
    await using program = await stage.listenOn('dmz', 3389);
    const claims = await stage.dmzClaims();
    assertOnly(claims, 'dmz.other-listeners', /tcp 0\.0\.0\.0:3389: another program listens there/);
    const { sockets } = await stage.gatherDmz();
    const declared = stage.dmzClaimsWith(({ config }) => ({
      sockets,
      config: {
        ...config,
        proof: {
          ...config.proof,
          otherListeners: [{ address: { host: '0.0.0.0', port: program.port }, from: ['10.0.0.0/8'], reason: 'for this test' }],
        },
      },
    }));
    assert.deepEqual(failing(declared), {});
  });

  it('fails for a connection that the DMZ node opened', async () => {
    const dialled = socket({ state: 1, host: addresses.dmzInner, port: 40_000, remoteHost: addresses.inside, remotePort: 445 });
    const claims = stage.dmzClaimsWith(({ sockets }) => ({ sockets: withSocket(sockets, dialled) }));
    assertOnly(claims, 'dmz.no-outgoing', /10\.77\.2\.1:40000 → 10\.77\.2\.2:445: opened by the node/);
  });

  it('fails for a connection that the DMZ node tries to open', async () => {
    const dialling = socket({
      state: 2,
      host: addresses.dmzInner,
      port: stage.dmz.sftp.listen.port,
      remoteHost: '192.0.2.1',
      remotePort: 443,
    });
    const claims = stage.dmzClaimsWith(({ sockets }) => ({ sockets: withSocket(sockets, dialling) }));
    assertOnly(claims, 'dmz.no-outgoing', /→ 192\.0\.2\.1:443/);
  });

  it('fails for a thread without a system call filter', async () => {
    const claims = stage.dmzClaimsWith(({ processes }) => ({ processes: withThread(processes, { seccomp: 0 }) }));
    assertOnly(claims, 'dmz.seccomp', /process \d+ \(node\): 1 of \d+ threads without a seccomp filter/);
  });

  it('fails for a process that may gain privileges', async () => {
    const claims = stage.dmzClaimsWith(({ processes }) => ({ processes: withThread(processes, { noNewPrivileges: false }) }));
    assertOnly(claims, 'dmz.seccomp', /1 of \d+ threads may gain privileges/);
  });

  it('fails when the node does not run: what cannot be seen does not hold', async () => {
    const missing = { missing: 'the node does not answer on its socket' };
    const claims = stage.dmzClaimsWith(() => ({ running: missing, sockets: missing, processes: missing }));
    assert.deepEqual(Object.keys(failing(claims)), [
      'dmz.listeners',
      'dmz.other-listeners',
      'dmz.no-outgoing',
      'dmz.configuration',
      'dmz.seccomp',
    ]);
  });

  // What the kernels enforce

  /** The rules with a line more in a chain. */
  const withLine = (text: string, chain: string, line: string): string =>
    text.replace(new RegExp(`(chain ${chain} \\{\\n.*\\n)`), `$1    ${line}\n`);
  /** And nothing that drops by itself: our rules do not rest on the policy alone. */
  const withPolicy = (text: string, chain: string): string =>
    text
      .replace(new RegExp(`(chain ${chain} \\{\\n.*)policy drop`), '$1policy accept')
      .split('\n')
      .filter((line) => !/ drop comment | log prefix /.test(line))
      .join('\n');
  const withoutIpv6 = (text: string): string =>
    text
      .replaceAll('table inet', 'table ip')
      .replaceAll('meta nfproto ipv4 ', '')
      .split('\n')
      .filter((line) => !/icmpv6|ip6 |nfproto ipv6/.test(line))
      .join('\n');

  const dmzRules: readonly (readonly [string, (text: string) => string, readonly string[], RegExp])[] = [
    [
      'a way from the DMZ to the inside',
      (text) => withLine(text, 'output', `ip daddr ${addresses.inside} tcp dport 445 accept comment "backup"`),
      ['out'],
      /output: .*10\.77\.2\.2.*445.*accept.*backup/,
    ],
    [
      'a way from the DMZ to the Internet',
      (text) => withLine(text, 'output', 'tcp dport { 80, 443 } accept'),
      ['out'],
      /output: .*443.*accept/,
    ],
    ['a chain for output that lets everything through', (text) => withPolicy(text, 'output'), ['out'], /output: policy accept/],
    [
      'a tunnel that partners reach',
      (text) => withLine(text, 'input', `tcp dport ${stage.dmz.tunnel.listen.port} accept`),
      ['in', 'tunnel'],
      /input: .*tcp dport \d+ accept/,
    ],
    ['another port that is open', (text) => withLine(text, 'input', 'tcp dport 3389 accept'), ['in'], /input: .*3389.*accept/],
    [
      'ports over UDP that are open',
      (text) => withLine(text, 'input', 'udp dport 161 accept'),
      ['in'],
      /input: .*udp.*161.*accept/,
    ],
    ['more ports for data than declared', (text) => text.replaceAll('50000-50999', '50000-60999'), ['in'], /50000-60999/],
    [
      'a rule whose meaning cannot be told',
      (text) => withLine(text, 'input', 'meta mark 7 accept'),
      ['in', 'tunnel'],
      /input: .*mark/,
    ],
    ['a host that passes packets on', (text) => withPolicy(text, 'forward'), ['forward'], /forward: policy accept/],
    ['rules that forget IPv6', withoutIpv6, ['tunnel', 'ipv6'], /no chain filters input of ipv6/],
    ['no rules at all', () => '', ['in', 'out', 'tunnel', 'forward', 'ipv6'], /no chain filters input/],
  ];
  for (const [what, edited, ids, names] of dmzRules) {
    it(`fails on the DMZ host for ${what}`, async () => {
      const text = edited(stage.rules.dmz.text);
      assert.notEqual(text, stage.rules.dmz.text);
      const ruleset = known(readRuleset(await stage.printed(text)));
      const found = failing(stage.dmzClaimsWith(() => ({ ruleset })));
      assert.deepEqual(
        Object.keys(found),
        ids.map((id) => `dmz.firewall-${id}`),
        JSON.stringify(found, null, 1),
      );
      assert.match(Object.values(found).join('\n'), names);
    });
  }

  it('fails on the DMZ host when nobody handed in the rules', async () => {
    const { ruleset } = await gatherDmzFacts(stage.dmz, undefined, Date.now(), AbortSignal.timeout(120_000));
    const found = failing(stage.dmzClaimsWith(() => ({ ruleset })));
    assert.deepEqual(
      Object.keys(found),
      ['in', 'out', 'tunnel', 'forward', 'ipv6'].map((id) => `dmz.firewall-${id}`),
    );
    assert.match(found['dmz.firewall-in'] ?? '', /nft -j list ruleset \| sallyport-dmz prove --ruleset -/);
  });

  const insideRules: readonly (readonly [string, (text: string) => string, string, RegExp])[] = [
    [
      'a rule for the DMZ host',
      (text) => withLine(text, 'input', `ip saddr ${addresses.dmzInner} accept comment "monitoring"`),
      'in',
      /input: .*10\.77\.2\.1 accept.*monitoring/,
    ],
    ['a chain for input that lets everything in', (text) => withPolicy(text, 'input'), 'in', /input: policy accept/],
    ['rules that forget IPv6', withoutIpv6, 'ipv6', /no chain filters input of ipv6/],
  ];
  for (const [what, edited, id, names] of insideRules) {
    it(`fails inside for ${what}`, async () => {
      const ruleset = known(readRuleset(await stage.printed(edited(stage.rules.inside.text))));
      assertOnly(await stage.insideClaims(() => ({ ruleset })), `inside.firewall-${id}`, names);
    });
  }

  // What the configuration of the DMZ node says

  for (const [what, id, from, to, names] of [
    ['active FTPS', 'dmz.no-dialling', '  passive:', '  active: {}\n  passive:', /dmz\.yaml:\d+: active FTPS/],
    [
      'FTP without TLS',
      'dmz.no-clear-text',
      '  passive:',
      '  plainFtp: { reason: "an old machine tool" }\n  passive:',
      /dmz\.yaml:\d+: .*an old machine tool/,
    ],
    [
      'a classical key exchange',
      'dmz.post-quantum',
      '  allowFrom:',
      '  classicalKeyExchange: true\n  allowFrom:',
      /dmz\.yaml:\d+: a classical/,
    ],
    [
      'a tunnel listener for everybody',
      'dmz.tunnel-source',
      `[${addresses.inside}]`,
      '[]',
      /dmz\.yaml:\d+: tunnel\.allowFrom is empty/,
    ],
    [
      'a tunnel listener for every address',
      'dmz.tunnel-source',
      `[${addresses.inside}]`,
      '["0.0.0.0/0"]',
      /dmz\.yaml:\d+: 0\.0\.0\.0\/0 is every address/,
    ],
    [
      'a range of ports for data that is too wide',
      'dmz.passive-range',
      '50000-50999',
      '40000-60000',
      /dmz\.yaml:\d+: 20001 ports .* 1000 connections/,
    ],
  ] as const) {
    it(`fails for ${what}`, async () => {
      const text = await readFile(stage.dmz.file, 'utf8');
      assert.ok(text.includes(from));
      const other = join(stage.pair.site.folder, 'dmz.yaml');
      await withFile(other, text.replace(from, to), async () => {
        assertOnly(declaredClaims(await loadDmzConfig(other)), id, names);
      });
    });
  }

  // What was brought inside

  it('fails for a statement that was changed on its way', async () => {
    const text = await readFile(stage.statementFile, 'utf8');
    await withFile(stage.statementFile, text.replace('"version"', '"Version"'), async () => {
      const found = failing(await stage.insideClaims());
      assert.match(found['dmz.statement'] ?? '', /changed after it was signed/);
    });
  });

  it('fails for a statement of another key than the pinned one', async () => {
    await stage.bring({}, { keysFolder: stage.otherKeys });
    const found = failing(await stage.insideClaims());
    assert.match(found['dmz.statement'] ?? '', /signed by SPD-.*, the pinned DMZ node is SPD-/);
    await stage.bring();
  });

  it('fails for a statement that is too old, one from the future, and none', async () => {
    const { statementAge } = stage.inside.proof;
    await stage.bring({ statement: { atMs: Date.now() - statementAge - 60_000 } });
    assertOnly(await stage.insideClaims(), 'dmz.statement', /statement\.json: 1 h 1 m old, at most 1 h counts/);
    await stage.bring({ statement: { atMs: Date.now() + day } });
    assertOnly(await stage.insideClaims(), 'dmz.statement', /in the future: the clock of/);
    await rm(stage.statementFile);
    assert.match(failing(await stage.insideClaims())['dmz.statement'] ?? '', /statement\.json/);
    await stage.bring();
  });

  it('fails for a statement in which a claim does not hold', () =>
    withFile(object(), 'in clear', async () => {
      await stage.bring({}, { facts: await stage.gatherDmz() });
      const found = failing(await stage.insideClaims());
      // A file without a header is one that our key does not open.
      assert.deepEqual(Object.keys(found), ['inside.opens-all', 'dmz.sealed']);
      assert.match(found['dmz.sealed'] ?? '', /a+\.1/);
    }));

  it('fails for a policy of the DMZ node that names another key, or an older one', async () => {
    await stage.bring();
    await stage.bring({ statement: { recipients: [generateIdentity().recipient] } });
    assertOnly(await stage.insideClaims(), 'inside.opens-all', /policy of the DMZ node: age1.* is not our key/);
    await stage.bring({ statement: { recipients: [] } });
    assertOnly(await stage.insideClaims(), 'inside.opens-all', /policy of the DMZ node: it names no key/);
    await stage.bring({ statement: { headers: [], objects: 3 } });
    assertOnly(await stage.insideClaims(), 'inside.opens-all', /the headers of 3 stored files were not brought/);
    await stage.bring({ statement: { policyNumber: 0 } });
    assertOnly(await stage.insideClaims(), 'inside.opens-all', /works by policy 0, ours is \d+/);
    await stage.bring();
  });

  it('fails for a probe that was forged', async () => {
    const text = await readFile(stage.probeFile, 'utf8');
    await withFile(stage.probeFile, text.replace('"tookMs": 1500', '"tookMs": 1501'), async () =>
      assert.match(failing(await stage.insideClaims())['probe.authentic'] ?? '', /changed after it was signed/),
    );
  });

  it('fails for a probe of another host', async () => {
    await stage.bring({}, { keysFolder: stage.otherKeys });
    assert.match(failing(await stage.insideClaims())['probe.authentic'] ?? '', /probe\.json: signed by SPD-/);
    await stage.bring();
  });

  it('fails for a probe that is too old', async () => {
    await stage.bring({ probe: { atMs: Date.now() - 2 * day } });
    assertOnly(await stage.insideClaims(), 'probe.authentic', /probe\.json: 2 d old, at most 1 d counts/);
    await stage.bring();
  });

  const attempt = (port: number, outcome: Attempt['outcome']): Attempt => ({ target: mustProbe.host, port, outcome, ms: 1 });
  const outside: Attempt = { target: '192.0.2.1', port: 443, outcome: 'open', ms: 9 };
  const probes: readonly (readonly [string, Partial<Probe>, string, RegExp])[] = [
    ['that reached something inside', { inside: [attempt(445, 'open')] }, 'probe.inside-closed', /10\.77\.2\.2:445 open/],
    ['to which a host inside answered', { inside: [attempt(445, 'refused')] }, 'probe.inside-closed', /10\.77\.2\.2:445 refused/],
    [
      'of which a part could not be tried',
      { inside: [attempt(445, 'untried')] },
      'probe.inside-closed',
      /445 untried: it could not/,
    ],
    ['that reached the Internet', { internet: [outside] }, 'probe.internet-closed', /192\.0\.2\.1:443 open/],
    [
      'that did not try what it must',
      { inside: [attempt(22, 'silent')] },
      'probe.covers',
      /not try 10\.77\.2\.2:445 \(sallyport\.yaml:\d+\)/,
    ],
    ['that left out the Internet', { internet: [] }, 'probe.covers', /tried nothing on the Internet/],
  ];
  for (const [what, probe, id, names] of probes) {
    it(`fails for a probe ${what}`, async () => {
      await stage.bring({ probe });
      assertOnly(await stage.insideClaims(), id, names);
      await stage.bring();
    });
  }

  // The inside

  it('fails for a listener of the internal node', async () => {
    const claims = await stage.insideClaims(({ sockets }) => ({
      sockets: withSocket(sockets, socket({ host: '::', family: 6, port: 8080 })),
    }));
    assertOnly(claims, 'inside.no-listener', /tcp \[::\]:8080: the internal node listens there/);
  });

  it('fails for a connection that came in', async () => {
    const came = [
      socket({ host: addresses.inside, port: 22 }),
      socket({ state: 1, host: addresses.inside, port: 22, remoteHost: addresses.dmzInner, remotePort: 40_000 }),
    ];
    const claims = await stage.insideClaims(({ sockets }) => ({ sockets: came.reduce<Fact<Sockets>>(withSocket, sockets) }));
    assert.match(
      failing(claims)['inside.tunnel-dialled'] ?? '',
      /10\.77\.2\.1:40000 → tcp 10\.77\.2\.2:22: came in from outside/,
    );
  });

  it('fails for a key of the inside that others can read', () =>
    withMode(join(stage.inside.keys, 'policy.key'), 0o640, async () =>
      assertOnly(await stage.insideClaims(), 'inside.modes', /policy\.key: mode 0640/),
    ));

  it('fails for a file of partners that was changed and not loaded', async () => {
    const file = stage.inside.files.find((name) => name.endsWith('rules.yaml')) ?? '';
    await withFile(file, `${await readFile(file, 'utf8')}# changed\n`, async () =>
      assertOnly(
        await stage.insideClaims(),
        'inside.configuration',
        /rules\.yaml: changed since the node read it; send the node SIGHUP/,
      ),
    );
  });

  it('fails for a process of the inside without a system call filter', async () => {
    const change = ({ processes }: InsideFacts) => ({ processes: withThread(processes, { seccomp: 0 }) });
    assertOnly(await stage.insideClaims(change), 'inside.seccomp', /1 of \d+ threads without a seccomp filter/);
  });

  it('fails for certificates of the inside that have expired', async () => {
    const later = Date.now() + 400 * day;
    await stage.bring({ statement: { atMs: later }, probe: { atMs: later } });
    assertOnly(await stage.insideClaims(undefined, later), 'inside.certificates', /policy\.crt: expired on/);
    await stage.bring();
  });

  // The commands

  it('the commands hold for the untouched set-up, write what the next one reads, and a report that verifies', async () => {
    const { folder } = stage.pair.site;
    const [statement, probe, report] = ['told.json', 'tried.json', 'report'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const told = await stage.run(
      'dmz',
      'dmz',
      'prove',
      '-c',
      stage.dmz.file,
      '--ruleset',
      stage.rulesFile('dmz'),
      '--out',
      statement,
    );
    assert.equal(told.code, 0, told.out);
    const target = ['--inside', mustProbe.host, '--ports', '22,445', '--internet', `${addresses.partner}:443`];
    const tried = await stage.run('dmz', 'dmz', 'probe', '-c', stage.dmz.file, ...target, '--timeout', '200', '--out', probe);
    assert.equal(tried.code, 0, tried.out);
    const inside = ['-c', stage.inside.file];
    const proven = await stage.run(
      'internal',
      'inside',
      'prove',
      ...inside,
      '--dmz',
      statement,
      '--probe',
      probe,
      '--report',
      report,
    );
    assert.equal(proven.code, 0, proven.out);
    assert.match(proven.out, /inside\.firewall-in\tenforced\tyes/);
    const written = JSON.parse(await readFile(join(report, 'report.json'), 'utf8')) as Report;
    assert.deepEqual(
      written.transfers.map(({ steps }) => steps.length > 4),
      [true, true, true],
    );
    assert.ok(written.flows.some(({ verdict, ports }) => verdict === 'accept' && ports === String(stage.dmz.tunnel.listen.port)));
    const good = await stage.run('internal', 'inside', 'prove', 'verify', report, ...inside);
    assert.equal(good.code, 0, good.out);
    await writeFile(
      join(report, 'report.html'),
      (await readFile(join(report, 'report.html'), 'utf8')).replace('claims hold', 'claims  hold'),
    );
    const edited = await stage.run('internal', 'inside', 'prove', 'verify', report, ...inside);
    assert.equal(edited.code, 5);
    assert.match(edited.out, /report\.html: changed after it was signed/);
    const alone = await stage.run('internal', 'inside', 'prove', ...inside, '--json');
    assert.equal(alone.code, 5, 'without a statement nothing is known of the DMZ');
    assert.equal((JSON.parse(alone.out) as { holds: boolean }).holds, false);
  });

  it('the command of the DMZ host exits 5 and names the file', () =>
    withFile(object(), 'in clear', async () => {
      const { code, out } = await stage.run('dmz', 'dmz', 'prove', '-c', stage.dmz.file, '--ruleset', stage.rulesFile('dmz'));
      assert.equal(code, 5);
      assert.match(out, /dmz\.sealed\tobserved\tno\t.*a+\.1: no sealed file/);
    }));

  it('a probe exits 5 where packets get inside', async () => {
    await stage.hosts.firewall('dmz', 'flush ruleset\n');
    await stage.hosts.firewall('inside', 'flush ruleset\n');
    try {
      const target = ['--inside', mustProbe.host, '--ports', '445', '--internet', '192.0.2.1:443'];
      const { code, out } = await stage.run('dmz', 'dmz', 'probe', '-c', stage.dmz.file, ...target, '--timeout', '200');
      assert.equal(code, 5, out);
      assert.match(out, /10\.77\.2\.2:445 refused: packets get there/);
    } finally {
      await stage.hosts.firewall('dmz', stage.rules.dmz.text);
      await stage.hosts.firewall('inside', stage.rules.inside.text);
    }
  });

  it('from a neutral host the doors of partners answer and the tunnel does not', async () => {
    const { sftp, ftps } = stage.pair.site;
    const tunnel = String(stage.dmz.tunnel.listen.port);
    const look = (open: string, closed: string) =>
      stage.run('internal', 'partner', 'prove', '--as-outsider', addresses.dmzOuter, '--open', open, '--closed', closed);
    const right = await look(`${sftp.port},${ftps.explicitPort}`, tunnel);
    assert.equal(right.code, 0, right.out);
    const wrong = await look(tunnel, String(sftp.port));
    assert.equal(wrong.code, 5);
    assert.match(wrong.out, /outside\.closed\tprobed\tno\t.*10\.77\.1\.1:\d+ open: packets get there/);
  });

  it('the page about it names every claim', async () => {
    const page = await readFile(new URL('../../docs/proof.md', import.meta.url), 'utf8');
    const claims = [...(await stage.dmzClaims()), ...(await stage.insideClaims())];
    assert.deepEqual(
      [...new Set(claims.map(({ id }) => id))].filter((id) => !page.includes(`\`${id}\``)),
      [],
    );
  });
});
