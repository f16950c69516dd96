/**
 * Sends wrong handshakes to a door: in the clear from `handshake-mutations.ts`, and every eighth time by an honest client whose
 * packets are changed after the keys are agreed, so that they pass as its own. A connection that is left alone with what it
 * sent is given up by the stranger; what must hold afterwards is the caller's to see.
 */
import { connect } from 'node:net';
import ssh2 from 'ssh2';
import { Choices } from '../fixtures/seeded-random.ts';
import { handshakeAt } from './handshake-mutations.ts';

export interface HandshakeFuzzOptions {
  readonly seed: number;
  /** The first handshake and how many. */
  readonly from: number;
  readonly count: number;
  /** Connections at the same time. */
  readonly lanes: number;
  /** A stranger leaves when he has heard nothing for so long, milliseconds. */
  readonly silenceMs: number;
  readonly port: number;
  readonly localAddress: string;
  /** After every hundred, with the handshakes so far. */
  readonly onProgress: (sent: number) => Promise<void>;
}

export interface HandshakeFuzzResult {
  readonly handshakes: number;
  /** How they ended. */
  readonly cut: number;
  readonly givenUp: number;
  readonly faults: readonly string[];
}

type End = 'cut' | 'givenUp' | 'refused' | 'logged in';

export class HandshakeFuzz {
  readonly #options: HandshakeFuzzOptions;
  readonly #faults: string[] = [];
  readonly #counts = { cut: 0, givenUp: 0 };
  #next: number;
  #done = 0;

  constructor(options: HandshakeFuzzOptions) {
    this.#options = options;
    this.#next = options.from;
  }

  async run(): Promise<HandshakeFuzzResult> {
    await Promise.all(Array.from({ length: this.#options.lanes }, () => this.#lane()));
    return { handshakes: this.#done, ...this.#counts, faults: this.#faults };
  }

  async #lane(): Promise<void> {
    const end = this.#options.from + this.#options.count;
    while (this.#next < end && this.#faults.length < 20) {
      const number = this.#next++;
      const how = await (number % 8 === 7 ? this.#behindKeys(number) : this.#inTheClear(number));
      if (how === 'cut' || how === 'givenUp') this.#counts[how]++;
      else this.#faults.push(`seed ${this.#options.seed}, handshake ${number}: ${how}`);
      this.#done++;
      if (this.#done % 100 === 0) await this.#options.onProgress(this.#done);
    }
  }

  #inTheClear(number: number): Promise<End> {
    const { segments, end } = handshakeAt(this.#options.seed, number);
    const { promise, resolve } = Promise.withResolvers<End>();
    const { port, localAddress, silenceMs } = this.#options;
    const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true });
    let connected = false;
    socket.setTimeout(silenceMs, () => {
      resolve('givenUp');
      socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(connected ? 'cut' : 'refused'));
    socket.resume();
    socket.on('connect', () => {
      connected = true;
      void (async () => {
        for (const segment of segments) {
          socket.write(segment);
          // So that each is a segment of its own.
          await new Promise((next) => setImmediate(next));
        }
        if (end === 'half-close') socket.end();
        if (end === 'reset') socket.resetAndDestroy();
      })();
    });
    return promise;
  }

  #behindKeys(number: number): Promise<End> {
    const random = new Choices(this.#options.seed ^ Math.imul(number + 1, 0x9e3779b1));
    const { promise, resolve } = Promise.withResolvers<End>();
    const { port, localAddress, silenceMs } = this.#options;
    const client = new ssh2.Client();
    const giveUp = setTimeout(() => {
      resolve('givenUp');
      client.destroy();
    }, 4 * silenceMs);
    client.on('error', () => client.destroy());
    client.on('close', () => {
      clearTimeout(giveUp);
      resolve('cut');
    });
    client.on('ready', () => resolve('logged in'));
    client.once('handshake', () => spoil(client, random));
    client.connect({ host: '127.0.0.1', port, localAddress, username: 'nobody', password: 'wrong', readyTimeout: 0 });
    return promise;
  }
}

interface Sending {
  readonly _protocol: { readonly _cipher: { encrypt(packet: Buffer): void } };
}

/** Changes packets before they are encrypted: 4 bytes of length, 1 of padding, then what they say. */
function spoil(client: ssh2.Client, random: Choices): void {
  const cipher = (client as unknown as Sending)._protocol._cipher;
  const encrypt = cipher.encrypt.bind(cipher);
  cipher.encrypt = (packet) => {
    const end = packet.length - (packet[4] ?? 0);
    if (random.chance(0.7)) {
      const at = 5 + random.below(Math.max(1, end - 5));
      if (random.chance(0.3)) packet[5] = random.below(256);
      else if (random.chance(0.4) && at + 4 <= packet.length)
        packet.writeUInt32BE(random.of([0, 1, 0x7fff_ffff, 0xffff_ffff]), at);
      else packet[at] = random.below(256);
    }
    const again = random.chance(0.2) ? Buffer.from(packet) : undefined;
    encrypt(packet);
    for (let copies = random.below(30); again && copies > 0; copies--) encrypt(Buffer.from(again));
  };
}
