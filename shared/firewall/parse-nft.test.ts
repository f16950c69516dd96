import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packetText } from './compare.ts';
import { readRuleset } from './read-ruleset.ts';
import { everything } from './region.ts';
import { accepted } from './ruleset.ts';

type Statement = Readonly<Record<string, unknown>>;
const chain = (name: string, over: object = {}) => ({ chain: { family: 'inet', table: 't', name, handle: 1, ...over } });
const base = (name: string, over: object = {}) =>
  chain(name, { type: 'filter', hook: 'input', prio: 0, policy: 'drop', ...over });
const rule = (where: string, ...expr: Statement[]) => ({ rule: { family: 'inet', table: 't', chain: where, handle: 7, expr } });
const match = (left: object, right: unknown, op = '=='): Statement => ({ match: { op, left, right } });
const dport = { payload: { protocol: 'tcp', field: 'dport' } };
const saddr = { payload: { protocol: 'ip', field: 'saddr' } };
const accept: Statement = { accept: null };
const drop: Statement = { drop: null };
const jump = (target: string): Statement => ({ jump: { target } });

/** What comes in as a new connection over IPv4, in words. */
function open(...entries: readonly object[]): string[] {
  const live = readRuleset(JSON.stringify({ nftables: [{ metainfo: { version: '1' } }, ...entries] }));
  const packets = [everything('ipv4', live.interfaces.length + 1)];
  return accepted(live, { hook: 'input', family: 'ipv4', state: 'new', packets, doubt: 'open' }).map(({ box }) =>
    packetText(box, 'ipv4'),
  );
}

test('without a chain everything comes in; with a policy of drop nothing', () => {
  assert.deepEqual(open(), ['everything from anywhere to anywhere']);
  assert.deepEqual(open(base('in')), []);
  assert.deepEqual(open(base('in', { policy: 'accept' })), ['everything from anywhere to anywhere']);
});

test('ports, ranges, sets, prefixes and named sets are read as what they mean', () => {
  const set = {
    set: {
      family: 'inet',
      table: 't',
      name: 'ours',
      type: 'ipv4_addr',
      elem: [{ prefix: { addr: '198.51.100.0', len: 24 } }, { elem: { val: '203.0.113.9', comment: 'x' } }],
    },
  };
  assert.deepEqual(open(base('in'), rule('in', match(dport, { set: [22, { range: [100, 200] }] }), accept)), [
    'tcp 22, 100-200 from anywhere to anywhere',
  ]);
  assert.deepEqual(open(base('in'), rule('in', match(dport, 1024, '<'), accept)), ['tcp 0-1023 from anywhere to anywhere']);
  assert.deepEqual(open(base('in'), set, rule('in', match(saddr, '@ours'), accept)), [
    'everything from 198.51.100.0/24, 203.0.113.9 to anywhere',
  ]);
  assert.deepEqual(
    open(base('in'), rule('in', match(saddr, { prefix: { addr: '10.0.0.0', len: 8 } }, '!='), match(dport, 22), accept)),
    ['tcp 22 from 0.0.0.0-9.255.255.255, 11.0.0.0-255.255.255.255 to anywhere'],
  );
});

test('jumps come back, gotos and returns do not, and an earlier drop counts', () => {
  assert.deepEqual(
    open(base('in'), chain('x'), rule('in', jump('x')), rule('x', match(dport, 1), accept), rule('in', match(dport, 2), accept)),
    ['tcp 1 from anywhere to anywhere', 'tcp 2 from anywhere to anywhere'],
  );
  const early = [rule('in', match(dport, 22), jump('x')), rule('x', { return: null }), rule('x', accept)];
  const both = rule('in', match(dport, { range: [22, 23] }), accept);
  assert.deepEqual(open(base('in'), chain('x'), ...early, both).sort(), [
    'tcp 22 from anywhere to anywhere',
    'tcp 23 from anywhere to anywhere',
  ]);
  assert.deepEqual(open(base('in'), rule('in', match(dport, 22), drop), rule('in', match(dport, { range: [22, 23] }), accept)), [
    'tcp 23 from anywhere to anywhere',
  ]);
});

test('a verdict map is a rule for each of its entries', () => {
  const vmap = {
    vmap: {
      key: dport,
      data: {
        set: [
          [22, { accept: null }],
          [23, { drop: null }],
          [24, { jump: { target: 'x' } }],
        ],
      },
    },
  };
  assert.deepEqual(open(base('in'), chain('x'), rule('in', vmap), rule('x', accept)), [
    'tcp 22 from anywhere to anywhere',
    'tcp 24 from anywhere to anywhere',
  ]);
});

test('a rule for replies lets no new connection in', () => {
  assert.deepEqual(
    open(base('in'), rule('in', match({ ct: { key: 'state' } }, { set: ['established', 'related'] }, 'in'), accept)),
    [],
  );
  assert.deepEqual(open(base('in'), rule('in', match({ ct: { key: 'state' } }, 'new'), match(dport, 5), accept)), [
    'tcp 5 from anywhere to anywhere',
  ]);
});

test('what is not understood is taken for open', () => {
  const mark = match({ meta: { key: 'mark' } }, 7);
  assert.deepEqual(open(base('in'), rule('in', mark, match(dport, 22), accept)), ['tcp 22 from anywhere to anywhere']);
  assert.deepEqual(open(base('in'), rule('in', mark, drop), rule('in', match(dport, 22), accept)), [
    'tcp 22 from anywhere to anywhere',
  ]);
  assert.deepEqual(open(base('in'), rule('in', match(dport, 22), { limit: { rate: 1, per: 'second' } }, accept)), [
    'tcp 22 from anywhere to anywhere',
  ]);
});

test('packets must pass every chain of the hook; chains that jump in a circle are refused', () => {
  const second = base('late', { prio: 10 });
  assert.deepEqual(open(base('in'), second, rule('in', accept), rule('late', match(dport, 22), accept)), [
    'tcp 22 from anywhere to anywhere',
  ]);
  assert.throws(() => open(base('in'), chain('x'), rule('in', jump('x')), rule('x', jump('x'))), { code: 'limit-reached' });
});

test('a text that no packet filter prints is refused', () => {
  for (const text of ['', 'hello', '{', '[]', '{"nftables": 7}', '{"a": 1}', '*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n']) {
    assert.throws(() => readRuleset(text), { code: 'usage' }, text);
  }
});
