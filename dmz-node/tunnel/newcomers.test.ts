import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { ManualClock } from '../../test/fixtures/manual-clock.ts';
import { Newcomers } from './newcomers.ts';

class Visitor extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  destroyed = false;

  constructor(address: string, port: number) {
    super();
    this.remoteAddress = address;
    this.remotePort = port;
  }

  destroy(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

function bench() {
  const newcomers = new Newcomers(new ManualClock(), { max: 4, graceMs: 10_000 });
  let port = 1024;
  const comes = (address: string): Visitor => {
    const visitor = new Visitor(address, ++port);
    newcomers.add(visitor as unknown as Socket);
    return visitor;
  };
  return { newcomers, comes };
}

for (const [crowd, name] of [
  ['203.0.113.9', 'one address'],
  ['::ffff:203.0.113.9', 'one address, as IPv6 writes it'],
  ['2001:db8:0:1::%', 'one /64'],
] as const) {
  test(`somebody who comes without pause from ${name} takes the places of his own connections, not that of another`, () => {
    const { newcomers, comes } = bench();
    const inside = comes('192.0.2.1');
    const strangers = Array.from({ length: 100 }, (_, n) => comes(crowd.replace('%', String(n + 1))));
    assert.equal(inside.destroyed, false);
    assert.deepEqual(
      strangers.filter(({ destroyed }) => !destroyed),
      strangers.slice(-3),
    );
    assert.equal(newcomers.count, 4);
  });
}

test('when all come from different places the oldest goes', () => {
  const { comes } = bench();
  const all = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5'].map(comes);
  assert.deepEqual(
    all.map(({ destroyed }) => destroyed),
    [true, false, false, false, false],
  );
});
