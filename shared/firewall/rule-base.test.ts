import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exampleBase, exampleInside, exampleSurroundings, listener } from '../../test/fixtures/firewall/example.ts';
import { dmzNetworkSchema } from './dmz-network.ts';
import type { RuleBase } from './flows.ts';
import { hostPolicy, type TrafficRule } from './host-policy.ts';
import { overlap } from './networks.ts';
import { ruleBase } from './rule-base.ts';
import type { DeclaredFlow } from './rule-base-input.ts';

const flow = (base: RuleBase, id: string) => {
  const found = base.flows.find((one) => one.id === id);
  assert.ok(found, `there is a row ${id}`);
  return found;
};
const traffic = (base: RuleBase, place: 'dmz' | 'internal' | 'perimeter'): TrafficRule[] =>
  hostPolicy(base, place).rules.filter((rule) => rule.kind === 'traffic');

const declared = (over: Partial<DeclaredFlow>): DeclaredFlow => ({
  ...{ name: 'ssh', from: ['10.9.0.0/24'], to: 'inside', protocol: 'tcp', ports: { first: 22, last: 22 } },
  ...{ purpose: 'SSH of administrators', owner: null, reviewedOn: null, source: 'sallyport.yaml:40' },
  ...over,
});

test('every row says who opens it, why, by which line, and who answers for it', () => {
  const base = exampleBase();
  assert.deepEqual(base.findings, []);
  for (const one of base.flows) {
    assert.ok(one.purpose !== '' && one.source !== '' && one.owner === 'Network team' && one.reviewBy === '2027-05-02', one.id);
  }
  assert.deepEqual(flow(base, 'partners-ftps-data').ports, { first: 50_000, last: 50_099 });
  assert.equal(flow(base, 'tunnel').source, 'sallyport.yaml:73; dmz.yaml:73');
  assert.ok(flow(base, 'partners-sftp').told && !flow(base, 'tunnel').told);
});

test('IPv4 and IPv6 stand side by side in the rules of every place', () => {
  for (const place of ['dmz', 'internal', 'perimeter'] as const) {
    const rules = traffic(exampleBase(), place);
    for (const { id, hook } of rules) {
      assert.deepEqual(
        rules
          .filter((rule) => rule.id === id && rule.hook === hook)
          .map(({ family }) => family)
          .sort(),
        ['ipv4', 'ipv6'],
        `${place} ${id}`,
      );
    }
  }
});

test('a listener of one family opens no rule in the other, and that is said', () => {
  const base = exampleBase({ dmz: { listeners: [listener('sftp', 2222, { host: '0.0.0.0' }), listener('tunnel', 8443)] } });
  assert.deepEqual(flow(base, 'partners-sftp').families, ['ipv4']);
  assert.match(base.findings.join('\n'), /no IPv6 at sftp \(dmz.yaml:62\): partners with IPv6 only cannot connect/);
});

test('no rule of any place lets the DMZ open something towards the inside, whatever the DMZ node tells', () => {
  const everything = dmzNetworkSchema.parse({
    node: 'evil',
    listeners: [
      listener('sftp', 1, { last: 65_535, host: '10.1.2.3' }),
      listener('tunnel', 8443, { host: '10.1.2.3' }),
      listener('ftps', 21, { balancers: ['10.0.0.0/8'] }),
    ],
    active: { sourcePort: 0, source: 'dmz.yaml:1' },
    plainFtp: null,
  });
  const base = exampleBase({ dmz: everything });
  for (const place of ['dmz', 'internal', 'perimeter'] as const) {
    const rules = traffic(base, place);
    for (const [index, rule] of rules.entries()) {
      if (rule.action !== 'accept' || rule.flow.from.zone !== 'dmz') continue;
      const before = rules
        .slice(0, index)
        .find((one) => one.id === 'dmz-to-inside' && one.family === rule.family && one.hook === rule.hook);
      assert.ok(before, `${place}: ${rule.id} stands behind the row that shuts the inside`);
    }
  }
  assert.deepEqual(
    traffic(base, 'internal').filter(({ hook, action }) => hook === 'input' && action === 'accept'),
    [],
  );
});

test('a declared row from the DMZ to the inside is refused by its line; one to elsewhere is shown as an exception', () => {
  const inward = declared({ name: 'log server', from: 'dmz', to: ['10.7.7.7'] });
  assert.throws(
    () => exampleBase({ surroundings: { declared: [inward] } }),
    /sallyport.yaml:40: "log server" would let the DMZ node reach the inside/,
  );
  assert.throws(() => exampleBase({ surroundings: { declared: [declared({ from: 'dmz', to: 'inside' })] } }), RangeError);
  const outward = exampleBase({ surroundings: { declared: [declared({ name: 'ntp', from: 'dmz', to: ['198.51.100.1'] })] } });
  assert.equal(flow(outward, 'ntp').exception, 'the DMZ node opens a connection');
  assert.equal(flow(outward, 'dmz-to-anywhere').purpose, 'the DMZ node opens no other connection');
  const ssh = traffic(exampleBase({ surroundings: { declared: [declared({})] } }), 'internal');
  assert.ok(ssh.some(({ id, hook, action }) => id === 'ssh' && hook === 'input' && action === 'accept'));
});

test('behind load balancers only these reach the DMZ node', () => {
  const balanced = listener('sftp', 2222, { balancers: ['203.0.113.7'] });
  const rules = traffic(exampleBase({ dmz: { listeners: [balanced, listener('tunnel', 8443)] } }), 'dmz');
  const open = rules.filter(({ hook, action, ports }) => hook === 'input' && action === 'accept' && ports?.first === 2222);
  assert.deepEqual(
    open.map(({ from, family }) => [from, family]),
    [[['203.0.113.7'], 'ipv4']],
  );
});

test('active FTP and FTP without TLS are looked at twice', () => {
  const base = exampleBase({
    dmz: {
      active: { sourcePort: 20, source: 'dmz.yaml:30' },
      plainFtp: { reason: 'an old machine tool', source: 'dmz.yaml:31' },
    },
  });
  const { ports, sourcePort } = flow(base, 'dmz-ftps-active');
  assert.deepEqual({ ports, sourcePort }, { ports: { first: 1024, last: 65_535 }, sourcePort: 20 });
  assert.match(flow(base, 'partners-ftps').exception ?? '', /without TLS is admitted \(dmz.yaml:31\): an old machine tool/);
});

test('an address that a rule needs and nobody knows stops the making of rules; a table is made all the same', () => {
  const base = ruleBase({ inside: exampleInside, surroundings: { ...exampleSurroundings, dmz: [], inside: [] } });
  assert.ok(flow(base, 'tunnel'));
  assert.throws(() => hostPolicy(base, 'perimeter'), {
    code: 'usage',
    message: /the address of internal node inner1 is not known/,
  });
  assert.ok(hostPolicy(base, 'internal').rules.length > 0, 'the inside need not name its own address');
});

test('what the two nodes say about the tunnel port is held against each other', () => {
  const base = exampleBase({ dmz: { listeners: [listener('tunnel', 9443)] } });
  assert.match(base.findings.join('\n'), /dials port 8443 .* listens at 9443/);
});

test('rules of the firewall between name both ends; partners of one network get no rule for everybody', () => {
  const rules = traffic(exampleBase({ surroundings: { partners: ['198.51.100.0/24'] } }), 'perimeter');
  for (const { id, from, to, action } of rules) if (action === 'accept') assert.ok(from.length > 0 && to.length > 0, id);
  assert.ok(
    rules.every(
      ({ from, to, action, flow: { from: source } }) =>
        action === 'drop' || source.zone !== 'dmz' || !to.some((one) => from.some((own) => overlap(one, own))),
    ),
  );
});
