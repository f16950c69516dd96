/** Reads the fields of one packet in order. Every length is checked against the packet before it is used. */

export class FieldReader {
  readonly #packet: Buffer;
  #at = 0;

  constructor(packet: Buffer) {
    this.#packet = packet;
  }

  byte(): number {
    return this.#packet.readUInt8(this.skip(1));
  }

  uint32(): number {
    return this.#packet.readUInt32BE(this.skip(4));
  }

  uint64(): number {
    const at = this.skip(8);
    const value = this.#packet.readUInt32BE(at) * 0x1_0000_0000 + this.#packet.readUInt32BE(at + 4);
    return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
  }

  string(): Buffer {
    const length = this.uint32();
    const at = this.skip(length);
    return this.#packet.subarray(at, at + length);
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.#packet.length - this.#at;
  }

  /** @returns where the skipped bytes begin. */
  skip(length: number): number {
    const at = this.#at;
    if (length > this.#packet.length - at) throw new Error('a request that ends too early');
    this.#at = at + length;
    return at;
  }
}
