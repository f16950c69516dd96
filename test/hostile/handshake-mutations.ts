/**
 * Handshakes that are wrong somewhere, each repeatable by a seed and a number: first line, algorithm lists, keys, packet framing,
 * order, additions, how the bytes are cut into segments and how the connection ends. None of them can lead to a login.
 */
import { ident, kexDhInit, kexInit, plainPacket } from '../fixtures/raw-ssh.ts';
import { Choices } from '../fixtures/seeded-random.ts';

export interface Handshake {
  /** Sent one after the other. */
  readonly segments: readonly Buffer[];
  readonly end: 'wait' | 'half-close' | 'reset';
}

/** The expensive one seldom: it would spend the time of the other cases. */
const exchanges = [
  ...Array<'mlkem768x25519-sha256'>(6).fill('mlkem768x25519-sha256'),
  ...Array<'curve25519-sha256'>(6).fill('curve25519-sha256'),
  'diffie-hellman-group16-sha512',
  'none-such',
] as const;
const lengths = [0, 1, 4, 5, 12, 35_000, 35_001, 0x7fff_ffff, 0xffff_ffff] as const;
const idents = [
  'SSH-2.0-',
  'SSH-1.99-old',
  'SSH-2.0-x\0y',
  'SSH-2.0',
  '\u00ff\u00fe',
  'SSH-2.0-x x x',
  `SSH-2.0-${'y'.repeat(300)}`,
] as const;

export function handshakeAt(seed: number, number: number): Handshake {
  const random = new Choices(seed ^ Math.imul(number + 1, 0x9e3779b1));
  const parts = honestParts(random);
  for (let faults = 1 + random.below(4); faults > 0; faults--) random.of(mutations)(parts, random);
  return { segments: cut(Buffer.concat(parts), random), end: random.of(['wait', 'wait', 'half-close', 'reset']) };
}

function honestParts(random: Choices): Buffer[] {
  const exchange = exchanges[random.below(exchanges.length)] ?? 'none-such';
  const names = random.chance(0.5) ? `${exchange},ext-info-c,kex-strict-c-v00@openssh.com` : exchange;
  return [ident, kexInit(names), kexDhInit(publicKey(exchange, random)), plainPacket(Buffer.from([21])), random.bytes(64)];
}

/** What the exchange takes for a public key. */
function publicKey(exchange: string, random: Choices): Buffer {
  if (exchange.startsWith('curve')) return random.bytes(32);
  if (exchange.startsWith('diffie')) return Buffer.concat([Buffer.from([0x7f]), random.bytes(511)]);
  // FIPS 203 §7.2: 768 numbers of 12 bits below 3329, two in three bytes, then 32 bytes.
  const pairs = Array.from({ length: 384 }, () => {
    const [a, b] = [random.below(3329), random.below(3329)];
    return [a & 0xff, (a >> 8) | ((b & 0x0f) << 4), b >> 4];
  });
  return Buffer.concat([Buffer.from(pairs.flat()), random.bytes(32 + 32)]);
}

type Mutation = (parts: Buffer[], random: Choices) => void;

/** Replaces one part by what `change` makes of it. */
const onePart =
  (change: (part: Buffer, random: Choices) => Buffer): Mutation =>
  (parts, random) => {
    const at = random.below(parts.length);
    parts[at] = change(Buffer.from(parts[at] ?? ''), random);
  };

const anyPacket = (random: Choices): Buffer =>
  plainPacket(
    Buffer.concat([
      Buffer.from([random.of([1, 2, 3, 4, 5, 7, 20, 21, 30, 31, 50, 80, 90, 94, random.below(256)])]),
      random.bytes(random.below(300)),
    ]),
  );

const mutations: readonly [Mutation, ...Mutation[]] = [
  onePart((part, random) => {
    for (let flips = 1 + random.below(8); flips > 0; flips--) part[random.below(part.length)] = random.below(256);
    return part;
  }),
  onePart((part, random) => part.subarray(0, random.below(part.length + 1))),
  onePart((part, random) => Buffer.concat([part, part, ...(random.chance(0.1) ? Array<Buffer>(200).fill(part) : [])])),
  onePart((part, random) =>
    Buffer.concat([part.subarray(0, part.length >> 1), random.bytes(random.below(64)), part.subarray(part.length >> 1)]),
  ),
  // The length of a packet, the length of its padding, or the length of what is in it.
  onePart((part, random) => {
    if (part.length < 12) return part;
    if (random.chance(0.2)) part[4] = random.below(256);
    else part.writeUInt32BE(random.of(lengths), random.chance(0.5) ? 0 : random.below(part.length - 4));
    return part;
  }),
  (parts, random) => void parts.splice(random.below(parts.length), 1),
  (parts, random) => void parts.splice(random.below(parts.length + 1), 0, anyPacket(random)),
  (parts, random) =>
    void parts.splice(random.below(parts.length + 1), 0, ...Array.from({ length: random.below(30) }, () => anyPacket(random))),
  (parts, random) => void parts.unshift(...parts.splice(random.below(parts.length), 1)),
  (parts, random) => void parts.splice(0, 1, Buffer.from(`${random.of(idents)}${random.of(['\r\n', '\n', '\r', ''])}`, 'latin1')),
  (parts, random) => void parts.splice(1, 1, kexInit(random.of([',', ',,,,', 'x'.repeat(30_000), 'a,'.repeat(15_000), '']))),
  (parts, random) => void parts.splice(2, 1, kexDhInit(random.bytes(random.of([0, 1, 31, 33, 1215, 1217, 20_000])))),
];

function cut(bytes: Buffer, random: Choices): Buffer[] {
  const segments: Buffer[] = [];
  let at = 0;
  for (let left = random.below(5); left > 0 && at < bytes.length; left--) {
    const next = at + 1 + random.below(Math.min(bytes.length - at, random.chance(0.3) ? 8 : bytes.length));
    segments.push(bytes.subarray(at, next));
    at = next;
  }
  return [...segments, bytes.subarray(at)];
}
