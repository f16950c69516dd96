/**
 * Builds the system call filter of a process, as the bytes that the kernel takes (seccomp(2), classic BPF: `struct sock_filter`
 * of linux/filter.h, little-endian). A filter can only take away; what it took away cannot be had back by whoever takes the
 * process over.
 *
 * It looks at the number of a call and at arguments that are numbers. It cannot follow a pointer: which address a `connect` names
 * is hidden from it, so `connect` is denied for all addresses or for none, and what leads around it is denied by kind of socket.
 */
import { processors, type SystemCall } from './system-calls.ts';

/** Which kinds of socket a process may make. Unix sockets always; `tcp`: also TCP; `network`: also UDP, which DNS needs. */
export type SocketKinds = 'unix' | 'tcp' | 'network';

export interface Confinement {
  /** Calls that are answered with EPERM, besides those that no process of ours needs. */
  readonly denied: readonly SystemCall[];
  readonly sockets: SocketKinds;
  /** Also deny the way to open a TCP connection without `connect`: TCP Fast Open, a flag of the calls that send. */
  readonly noFastOpen: boolean;
  /** `once`: the launcher may become the program, after that no program is started any more. */
  readonly programs: 'once' | 'any';
}

/** Denied to all: ways around the filter (io_uring, foreign processes), and what only an administrator's tool needs. */
export const neverNeeded: readonly SystemCall[] = [
  'io_uring_setup',
  'io_uring_enter',
  'io_uring_register',
  'ptrace',
  'process_vm_readv',
  'process_vm_writev',
  'pidfd_getfd',
  'userfaultfd',
  'perf_event_open',
  'bpf',
  'open_by_handle_at',
  'unshare',
  'setns',
  'chroot',
  'pivot_root',
  'mount',
  'umount2',
  'move_mount',
  'open_tree',
  'fsopen',
  'fsmount',
  'init_module',
  'finit_module',
  'delete_module',
  'kexec_load',
  'kexec_file_load',
  'reboot',
  'swapon',
  'add_key',
  'request_key',
  'keyctl',
];

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** Instructions to skip when the condition holds, and when not. */
  readonly jt?: number;
  readonly jf?: number;
}

// seccomp(2), struct seccomp_data: nr, arch, instruction_pointer, args[6].
const offsetOfNumber = 0;
const offsetOfProcessor = 4;
const offsetOfArgument = (index: number): number => 16 + 8 * index; // the low half: all that a flag or a kind has

const load = (offset: number): Instruction => ({ code: 0x20, k: offset });
const and = (mask: number): Instruction => ({ code: 0x54, k: mask });
const ifEqual = (k: number, jt: number, jf: number): Instruction => ({ code: 0x15, k, jt, jf });
const ifAnyBit = (k: number, jt: number, jf: number): Instruction => ({ code: 0x45, k, jt, jf });
const skip = (count: number): Instruction => ({ code: 0x05, k: count });
const answer = (k: number): Instruction => ({ code: 0x06, k });

export const answers = {
  allow: 0x7fff0000,
  /** `SECCOMP_RET_ERRNO` with EPERM. */
  refuse: 0x00050001,
  /** The launcher is asked; when it is gone the call fails with ENOSYS. */
  ask: 0x7fc00000,
  /** Whoever calls by the table of another processor means to slip past the filter. */
  kill: 0x80000000,
} as const;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const typeMask = 0xf;
const IPPROTO_TCP = 6;
const MSG_FASTOPEN = 0x20000000;

/** @returns the bytes of the program, eight for each instruction. */
export function filterProgram(confinement: Confinement): Buffer {
  const program: Instruction[] = [load(offsetOfProcessor)];
  for (const { audit, foreignBit, number } of processors) {
    const body: Instruction[] = [load(offsetOfNumber)];
    if (foreignBit !== undefined) body.push(ifAnyBit(foreignBit, 0, 1), answer(answers.kill));
    const when = (call: SystemCall, then: readonly Instruction[]): void => {
      body.push(ifEqual(number(call), 0, then.length), ...then);
    };
    for (const call of new Set([...confinement.denied, ...neverNeeded])) when(call, [answer(answers.refuse)]);
    when('socket', socketRule(confinement.sockets));
    if (confinement.noFastOpen) {
      for (const [call, flags] of [
        ['sendto', 3],
        ['sendmsg', 2],
        ['sendmmsg', 3],
      ] as const)
        when(call, fastOpenRule(flags));
    }
    if (confinement.programs === 'once') for (const call of ['execve', 'execveat'] as const) when(call, [answer(answers.ask)]);
    body.push(answer(answers.allow));
    program.push(ifEqual(audit, 1, 0), skip(body.length), ...body);
  }
  program.push(answer(answers.kill));
  return encode(program);
}

function socketRule(kinds: SocketKinds): readonly Instruction[] {
  const family = load(offsetOfArgument(0));
  const [yes, no] = [answer(answers.allow), answer(answers.refuse)];
  if (kinds === 'unix') return [family, ifEqual(AF_UNIX, 0, 1), yes, no];
  if (kinds === 'network') return [family, ifEqual(AF_UNIX, 2, 0), ifEqual(AF_INET, 1, 0), ifEqual(AF_INET6, 0, 1), yes, no];
  return [
    family,
    ifEqual(AF_UNIX, 9, 0),
    ifEqual(AF_INET, 1, 0),
    ifEqual(AF_INET6, 0, 6),
    load(offsetOfArgument(1)),
    and(typeMask),
    ifEqual(SOCK_STREAM, 0, 3),
    load(offsetOfArgument(2)),
    ifEqual(0, 2, 0),
    ifEqual(IPPROTO_TCP, 1, 0),
    no,
    yes,
  ];
}

const fastOpenRule = (flags: number): readonly Instruction[] => [
  load(offsetOfArgument(flags)),
  ifAnyBit(MSG_FASTOPEN, 0, 1),
  answer(answers.refuse),
  answer(answers.allow),
];

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(({ code, k, jt = 0, jf = 0 }, index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  });
  return bytes;
}

/** What `serve --print-filter` prints and the launcher reads. */
export const filterLine = (confinement: Confinement): string =>
  `sallyport-filter ${confinement.programs} ${filterProgram(confinement).toString('hex')}`;
