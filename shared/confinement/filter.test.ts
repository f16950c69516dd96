import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answers, type Confinement, filterProgram, neverNeeded } from './filter.ts';
import { processors, type SystemCall } from './system-calls.ts';

const edge: Confinement = { denied: ['connect'], sockets: 'tcp', noFastOpen: true, programs: 'once' };
const agent: Confinement = {
  denied: ['listen', 'bind', 'accept', 'accept4'],
  sockets: 'network',
  noFastOpen: false,
  programs: 'any',
};

interface Call {
  readonly number: number;
  readonly audit: number;
  readonly args?: readonly number[];
}

/** What the kernel does with a program (Documentation/networking/filter.rst), for the instructions that we use. */
function run(program: Buffer, { number, audit, args = [] }: Call): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number, 0);
  data.writeUInt32LE(audit, 4);
  for (const [index, value] of args.entries()) data.writeUInt32LE(value, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < program.length; at += 8) {
    const [code, jt, jf] = [program.readUInt16LE(at), program.readUInt8(at + 2), program.readUInt8(at + 3)];
    const k = program.readUInt32LE(at + 4);
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x15) at += 8 * (accumulator === k ? jt : jf);
    else if (code === 0x45) at += 8 * ((accumulator & k) !== 0 ? jt : jf);
    else if (code === 0x05) at += 8 * k;
    else if (code === 0x06) return k;
    else assert.fail(`instruction ${code}`);
  }
  assert.fail('the program ran off its end');
}

for (const { name, audit, number } of processors) {
  const asked = (confinement: Confinement, call: SystemCall, ...args: readonly number[]): number =>
    run(filterProgram(confinement), { number: number(call), audit, args });

  test(`${name}: what is denied gets EPERM, and what is not goes through`, () => {
    assert.equal(asked(edge, 'connect', 5), answers.refuse);
    for (const call of ['listen', 'bind', 'accept4'] as const) assert.equal(asked(edge, call, 5), answers.allow);
    for (const call of agent.denied) assert.equal(asked(agent, call, 5), answers.refuse);
    assert.equal(asked(agent, 'connect', 5), answers.allow);
    for (const call of neverNeeded) for (const who of [edge, agent]) assert.equal(asked(who, call), answers.refuse, call);
    for (const call of ['execve', 'execveat'] as const) {
      assert.deepEqual([asked(edge, call), asked(agent, call)], [answers.ask, answers.allow]);
    }
  });

  test(`${name}: sockets are made only of the kinds that the process needs`, () => {
    const [unix, inet, inet6, netlink, packet] = [1, 2, 10, 16, 17];
    const [stream, datagram, raw] = [1, 2, 3];
    const closeOnExecNonBlocking = 0o2004000;
    const made = (who: Confinement, family: number, type: number, protocol = 0): boolean => {
      const verdict = asked(who, 'socket', family, type | closeOnExecNonBlocking, protocol);
      assert.ok(verdict === answers.allow || verdict === answers.refuse);
      return verdict === answers.allow;
    };
    for (const who of [edge, agent, { ...edge, sockets: 'unix' } as const]) {
      assert.ok(made(who, unix, stream));
      assert.ok(!made(who, netlink, raw) && !made(who, packet, raw));
    }
    for (const family of [inet, inet6]) {
      assert.ok(made(edge, family, stream) && made(edge, family, stream, 6));
      assert.ok(!made(edge, family, datagram) && !made(edge, family, raw) && !made(edge, family, stream, 262));
      assert.ok(made(agent, family, stream) && made(agent, family, datagram));
      assert.ok(!made({ ...edge, sockets: 'unix' }, family, stream));
    }
  });

  test(`${name}: no TCP connection is opened by sending`, () => {
    const fastOpen = 0x20000000 | 0x4000;
    assert.equal(asked(edge, 'sendto', 5, 0, 0, fastOpen), answers.refuse);
    assert.equal(asked(edge, 'sendmsg', 5, 0, fastOpen), answers.refuse);
    assert.equal(asked(edge, 'sendmmsg', 5, 0, 1, fastOpen), answers.refuse);
    for (const call of ['sendto', 'sendmsg', 'sendmmsg'] as const) {
      assert.equal(asked(edge, call, 5, 0, 0x4000, 0x4000), answers.allow);
      assert.equal(asked(agent, call, 5, 0, fastOpen, fastOpen), answers.allow);
    }
  });
}

test('calls by the table of another processor end the process', () => {
  const program = filterProgram(edge);
  assert.equal(run(program, { number: 102, audit: 0x40000003 }), answers.kill, 'i386, where socketcall hides all of them');
  assert.equal(run(program, { number: 42 | 0x40000000, audit: 0xc000003e }), answers.kill, 'x32');
  assert.equal(run(program, { number: 0, audit: 0xc000003e }), answers.allow);
});

test('a program fits into what the kernel takes', () => {
  for (const who of [edge, agent]) assert.ok(filterProgram(who).length / 8 <= 4096);
});
