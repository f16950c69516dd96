/**
 * Gives the memory that passes through the package `ssh2` back as soon as it is used up, instead of leaving a gigabyte of
 * garbage for every gigabyte that a partner sends or fetches. Like `ssh2-seam.ts` it knows the inside of the package.
 *
 * What is freed: a packet after the socket has taken it, and what the socket brought when every packet in it was channel data
 * that was consumed at once. Anything else may still be looked at (a key that is being checked, the messages of a key exchange)
 * and is left to the garbage collector.
 */
import type { Socket } from 'node:net';
import { freeNow } from '../../shared/memory.ts';

export interface BufferedProtocol {
  readonly _kexinit: unknown;
  /** Both are handed to every cipher and decipher that is made later. */
  _onPayload: (payload: Buffer) => unknown;
  _onWrite: (packet: Buffer) => void;
  parse(chunk: Buffer, from: number, to: number): void;
  /** Undefined before the first line is whole. `_packet`: one whose end has not come yet; it may lie in the chunk that brought its beginning. */
  readonly _decipher: { readonly _packet?: Uint8Array | null } | undefined;
}

/** Smaller ones are not worth the call. */
const worthFreeing = 16 * 1024;
/** Of a packet: its length of padding in front of the payload and the padding behind it (RFC 4253 §6). */
const mostAroundPayload = 1 + 255;

export class ReceivedMemory {
  /** The deciphers call us: not before the first key exchange is over. */
  #watching = false;
  #chunkKept = true;
  #payloadKept = true;
  #chunk: ArrayBufferLike | undefined;

  constructor(protocol: BufferedProtocol) {
    const handle = protocol._onPayload;
    protocol._onPayload = (payload) => this.#onPayload(payload, handle);
    const parse = protocol.parse;
    protocol.parse = (chunk, from, to) => {
      // Messages of a key exchange do not pass by here and are kept for its hash.
      this.#chunkKept = !this.#watching || protocol._kexinit !== undefined;
      this.#chunk = chunk.buffer;
      parse.call(protocol, chunk, from, to);
      this.#chunk = undefined;
      const unfinished = protocol._decipher?._packet?.buffer === chunk.buffer;
      if (!this.#chunkKept && !unfinished) freeNow(chunk);
    };
  }

  /** The packet at hand was channel data, and nobody looks at it any more. */
  consumed(): void {
    this.#payloadKept = false;
  }

  #onPayload(payload: Buffer, handle: (payload: Buffer) => unknown): unknown {
    this.#watching = true;
    this.#payloadKept = true;
    const answer = handle(payload);
    if (payload.buffer === this.#chunk) this.#chunkKept ||= this.#payloadKept;
    else if (!this.#payloadKept && payload.length >= worthFreeing && fillsItsMemory(payload))
      freeNow(Buffer.from(payload.buffer));
    return answer;
  }
}

/** The memory is the packet's own, not a part of the pool that Node gives smaller buffers from. */
const fillsItsMemory = ({ buffer, byteOffset, length }: Buffer): boolean =>
  byteOffset === 1 && buffer.byteLength - length <= mostAroundPayload;

/** Frees large packets when the socket has taken them. */
export function freeSentPackets(protocol: BufferedProtocol, socket: Socket): void {
  const write = protocol._onWrite;
  protocol._onWrite = (packet) => {
    if (packet.length < worthFreeing || !socket.writable) write(packet);
    else socket.write(packet, () => freeNow(packet));
  };
}
