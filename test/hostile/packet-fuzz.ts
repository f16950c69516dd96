/**
 * Sends mutated SFTP packets to a door and holds it to what each deserves: one answer, or the end of the session. Packets
 * come in blocks of a hundred, each block in sessions of its own, so that one block can be sent again alone.
 */
import { op, type RawSftp, request } from '../fixtures/raw-sftp.ts';
import { type Mutant, mutantAt, probeId } from './packet-mutations.ts';

export interface PacketFuzzOptions {
  readonly seed: number;
  /** The first packet and how many. */
  readonly from: number;
  readonly count: number;
  /** Blocks that are sent at the same time. */
  readonly lanes: number;
  /** How long the door may take for one burst of packets, milliseconds. */
  readonly patienceMs: number;
  readonly connect: () => Promise<RawSftp>;
  /** After each block, with the packets sent so far. */
  readonly onBlock: (sent: number) => Promise<void>;
}

export interface PacketFuzzResult {
  readonly packets: number;
  readonly sessions: number;
  readonly answered: number;
  readonly fatal: number;
  readonly derailed: number;
  readonly faults: readonly string[];
}

const blockLength = 100;
/** Packets that are on their way at once. */
const burst = 20;

export class PacketFuzz {
  readonly #options: PacketFuzzOptions;
  readonly #faults: string[] = [];
  #next: number;
  #packets = 0;
  #sessions = 0;
  readonly #counts = { answered: 0, fatal: 0, derailed: 0 };

  constructor(options: PacketFuzzOptions) {
    this.#options = options;
    this.#next = options.from;
  }

  async run(): Promise<PacketFuzzResult> {
    await Promise.all(Array.from({ length: this.#options.lanes }, () => this.#lane()));
    return { packets: this.#packets, sessions: this.#sessions, ...this.#counts, faults: this.#faults };
  }

  async #lane(): Promise<void> {
    const end = this.#options.from + this.#options.count;
    while (this.#next < end && this.#faults.length < 20) {
      const from = this.#next;
      this.#next = Math.min(end, from + blockLength);
      await this.#block(from, this.#next);
      await this.#options.onBlock(this.#packets);
    }
  }

  async #block(from: number, end: number): Promise<void> {
    let client: RawSftp | undefined;
    for (let n = from; n < end; ) {
      if (!client) {
        client = await this.#options.connect();
        this.#sessions += 1;
      }
      const sent = this.#mutants(n, Math.min(end, n + burst));
      for (const { bytes } of sent) client.channel.write(bytes);
      const goesOn = await this.#judge(client, sent, n);
      n += sent.length;
      this.#packets += sent.length;
      if (goesOn) continue;
      await client[Symbol.asyncDispose]();
      client = undefined;
    }
    await client?.[Symbol.asyncDispose]();
  }

  /** A burst ends behind the first packet that ends the session. */
  #mutants(from: number, end: number): Mutant[] {
    const mutants: Mutant[] = [];
    for (let n = from; n < end; n += 1) {
      const mutant = mutantAt(this.#options.seed, n);
      mutants.push(mutant);
      this.#counts[mutant.expected.kind] += 1;
      if (mutant.expected.kind !== 'answered') break;
    }
    return mutants;
  }

  /** @returns whether the session goes on. */
  async #judge(client: RawSftp, sent: readonly Mutant[], first: number): Promise<boolean> {
    const last = sent.at(-1)?.expected.kind;
    if (last === 'derailed') return false;
    if (last === 'answered') client.channel.write(request(op.realpath, probeId, '.'));
    const wanted = sent.flatMap(({ expected }) => (expected.kind === 'answered' ? [expected.id] : []));
    const answers = await this.#answers(client, wanted.length + (last === 'answered' ? 1 : 0));
    const where = `seed ${this.#options.seed}, packets ${first}–${first + sent.length - 1}`;
    if (answers === 'late') this.#faults.push(`${where}: no answer and no end`);
    // What ends a session may overtake the answers to what came before it.
    else if (last === 'fatal') return false;
    else if (answers.toSorted().join() !== [...wanted, probeId].toSorted().join()) {
      this.#faults.push(`${where}: expected answers to ${wanted.join()}, got ${answers.join()}`);
    } else return true;
    return false;
  }

  /** The ids of the next `count` answers, or of fewer when the session ends. Behind a fatal packet only the end counts. */
  async #answers(client: RawSftp, count: number): Promise<number[] | 'late'> {
    const ids: number[] = [];
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => late.resolve('late'), this.#options.patienceMs);
    try {
      for (;;) {
        if (count > 0 && ids.length === count && ids.includes(probeId)) return ids;
        const answer = await Promise.race([client.next(), late.promise]);
        if (answer === 'late') return 'late';
        if (answer === undefined) return ids;
        ids.push(answer.id);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}
