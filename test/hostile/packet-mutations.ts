/**
 * SFTP packets that are nearly right. Packet `n` of a seed is always the same, so that whatever one of them does can be seen
 * again. What a session must do with a packet is known beforehand from the door's own parser.
 */
import { maxPacketBytes } from '../../dmz-node/sftp/codec/packet-reader.ts';
import { readRequest } from '../../dmz-node/sftp/codec/requests.ts';
import { op, request } from '../fixtures/raw-sftp.ts';
import { Choices } from '../fixtures/seeded-random.ts';

/**
 * `answered`: exactly one answer with this id. `fatal`: the session ends. `derailed`: the length was a lie, so nobody knows
 * where the next packet begins; the session may do what it likes but harm anybody else.
 */
export type Expected = { readonly kind: 'answered'; readonly id: number } | { readonly kind: 'fatal' | 'derailed' };

export interface Mutant {
  readonly bytes: Buffer;
  readonly expected: Expected;
}

/** Never the id of a mutant. */
export const probeId = 0xffff_fff0;

export function mutantAt(seed: number, n: number): Mutant {
  const choices = new Choices(Math.imul(seed, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca6b));
  const packet = anyRequest(choices, n + 1).subarray(4);
  if (choices.chance(0.3)) return whole(packet);
  return choices.of(choices.chance(0.85) ? mild : severe)(packet, choices);
}

type Fields = Parameters<typeof request>[2][];

const names = [
  '/Inbox/a',
  '/Inbox/b.part',
  '/Inbox/c/d',
  '/Inbox/c',
  '/Inbox',
  '/Outbox',
  '/',
  '.',
  '..',
  '/etc/passwd',
] as const;
const oddNames = [
  '',
  '/Inbox/a\nb',
  '/Inbox/\u202e',
  `/Inbox/${'n'.repeat(300)}`,
  `/Inbox${'/d'.repeat(50)}`,
  '~',
  '~acme',
] as const;
const numbers = [0n, 1n, 4n, 65_536n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n] as const;
const extensions = [
  'posix-rename@openssh.com',
  'statvfs@openssh.com',
  'fstatvfs@openssh.com',
  'fsync@openssh.com',
  'lsetstat@openssh.com',
  'limits@openssh.com',
  'expand-path@openssh.com',
  'home-directory',
  'users-groups-by-id@openssh.com',
  'check-file',
  'check-file-name',
  'check-file-handle',
  'hardlink@openssh.com',
  'copy-data',
  '__proto__',
] as const;

/** A request as a client could send it, of any kind and about anything; complete with its length. */
function anyRequest(choices: Choices, id: number): Buffer {
  const path = (): string => (choices.chance(0.9) ? choices.of(names) : choices.of(oddNames));
  const handle = (): Buffer => Buffer.from([0, 0, 0, choices.chance(0.9) ? 1 + choices.below(6) : choices.below(256)]);
  const data = (): Buffer => Buffer.alloc(choices.chance(0.02) ? 200_000 : choices.below(2000), id);
  const attributes = (): Fields =>
    choices.of<Fields>([[0], [1, choices.of(numbers)], [4, 0o644], [8, 1, 1_600_000_000], [2, 0, 0]]);
  const requests: readonly [() => Buffer, ...(() => Buffer)[]] = [
    () => request(op.open, id, path(), choices.of([1, 2, 0x0a, 0x1a, 0x1a, 0x2a, 0x0e, choices.below(64)]), ...attributes()),
    () => request(op.open, id, '/Inbox/a', 0x1a, 0),
    () => request(op.close, id, handle()),
    () => request(op.read, id, handle(), choices.of(numbers), choices.of([0, 1, 32_768, 2 ** 31, 2 ** 32 - 1])),
    () => request(op.write, id, handle(), choices.chance(0.5) ? 0n : choices.of(numbers), data()),
    () => request(choices.of([op.lstat, op.stat, op.realpath, op.opendir, op.remove, op.rmdir]), id, path()),
    () => request(op.mkdir, id, path(), ...attributes()),
    () => request(choices.of([op.fstat, op.readdir]), id, handle()),
    () => request(op.setstat, id, path(), ...attributes()),
    () => request(op.fsetstat, id, handle(), ...attributes()),
    () => request(op.rename, id, path(), path()),
    () => request(choices.of([op.readlink, op.symlink]), id, path(), path()),
    () => request(op.extended, id, choices.of(extensions), choices.chance(0.5) ? handle() : path(), path(), ...attributes()),
    () => request(op.extended, id, 'check-file-name', path(), 'md5,sha256', choices.of(numbers), choices.of(numbers), 0),
  ];
  return choices.of(requests)();
}

type Mutate = (packet: Buffer, choices: Choices) => Mutant;

const interesting = [0, 1, 4, 255, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] as const;

/** Damage that most often leaves a request that can be read. */
const mild: readonly [Mutate, ...Mutate[]] = [
  (packet, choices) => whole(Buffer.concat([packet, choices.bytes(1 + choices.below(300))])),
  // The content of a first string, so that it stays whole.
  (packet, choices) => {
    const copy = Buffer.from(packet);
    const end = copy.length < 9 ? 0 : Math.min(copy.length, 9 + copy.readUInt32BE(5));
    for (let at = 9; at < end; at += 1) if (choices.chance(0.3)) copy[at] = choices.below(256);
    return whole(copy);
  },
  // A number at the end of the request.
  (packet, choices) => {
    const copy = Buffer.from(packet);
    if (copy.length >= 13) copy.writeUInt32BE(choices.of(interesting), copy.length - 4);
    return whole(copy);
  },
  // One bit behind the id.
  (packet, choices) => {
    const copy = Buffer.from(packet);
    const at = 5 + choices.below(Math.max(1, copy.length - 5));
    if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << choices.below(8));
    return whole(copy);
  },
];

/** Damage that most often ends the session. */
const severe: readonly [Mutate, ...Mutate[]] = [
  // A field of another value: a number, or the length of a string.
  (packet, choices) => {
    const copy = Buffer.from(packet);
    const at = 5 + 4 * choices.below(6);
    if (at + 4 <= copy.length) copy.writeUInt32BE(choices.of(interesting), at);
    return whole(copy);
  },
  (packet, choices) => whole(packet.subarray(0, 1 + choices.below(packet.length))),
  (packet, choices) => {
    const copy = Buffer.from(packet);
    copy[0] = choices.below(256);
    return whole(copy);
  },
  (_packet, choices) => whole(choices.bytes(1 + choices.below(60))),
  (packet, choices) => {
    const length = choices.of([0, maxPacketBytes + 1, 0xffff_ffff]);
    return { bytes: framed(packet, length), expected: { kind: 'fatal' } };
  },
  (packet, choices) => {
    const length = choices.of([Math.max(1, packet.length - 1 - choices.below(20)), packet.length + 1 + choices.below(5000)]);
    return { bytes: framed(packet, length), expected: { kind: 'derailed' } };
  },
];

function framed(packet: Buffer, length: number): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(length);
  return Buffer.concat([head, packet]);
}

function whole(packet: Buffer): Mutant {
  return { bytes: framed(packet, packet.length), expected: expectedOf(packet) };
}

function expectedOf(packet: Buffer): Expected {
  try {
    const read = readRequest(packet);
    // A second INIT.
    return read.type === 'init' ? { kind: 'fatal' } : { kind: 'answered', id: read.id };
  } catch {
    return { kind: 'fatal' };
  }
}
