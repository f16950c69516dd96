/**
 * Numbers of the system calls that our filters speak of, for the processors that they support (Linux: arch/x86/entry/syscalls/
 * syscall_64.tbl, include/uapi/asm-generic/unistd.h).
 */

/** x86_64, then arm64. */
const numbers = {
  accept: [43, 202],
  accept4: [288, 242],
  add_key: [248, 217],
  bind: [49, 200],
  bpf: [321, 280],
  chroot: [161, 51],
  connect: [42, 203],
  delete_module: [176, 106],
  execve: [59, 221],
  execveat: [322, 281],
  finit_module: [313, 273],
  fsmount: [432, 432],
  fsopen: [430, 430],
  init_module: [175, 105],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  listen: [50, 201],
  mount: [165, 40],
  move_mount: [429, 429],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  perf_event_open: [298, 241],
  pidfd_getfd: [438, 438],
  pivot_root: [155, 41],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  reboot: [169, 142],
  request_key: [249, 218],
  sendmmsg: [307, 269],
  sendmsg: [46, 211],
  sendto: [44, 206],
  setns: [308, 268],
  socket: [41, 198],
  swapon: [167, 224],
  umount2: [166, 39],
  unshare: [272, 97],
  userfaultfd: [323, 282],
} as const satisfies Record<string, readonly [number, number]>;

export type SystemCall = keyof typeof numbers;

export interface Processor {
  readonly name: 'x86_64' | 'arm64';
  /** `AUDIT_ARCH_…` of linux/audit.h, as the kernel hands it to a filter. */
  readonly audit: number;
  /** Calls with this bit are of another table (x32) that would slip past the numbers. */
  readonly foreignBit?: number;
  readonly number: (call: SystemCall) => number;
}

export const processors: readonly Processor[] = [
  { name: 'x86_64', audit: 0xc000003e, foreignBit: 0x40000000, number: (call) => numbers[call][0] },
  { name: 'arm64', audit: 0xc00000b7, number: (call) => numbers[call][1] },
];
