/**
 * Cuts a byte stream of arbitrary splits into pieces of one size, holding the newest piece back until more bytes prove
 * that it is not the last one. Pieces inside one block are views of it; only what straddles two blocks is copied.
 */
export class Chunker {
  readonly #size: number;
  #held: Buffer | undefined;
  #heldLength = 0;

  /** @param size Bytes of a piece. */
  constructor(size: number) {
    this.#size = size;
  }

  /** @param each Gets every whole piece that is not the last; its bytes are valid only during the call. */
  push(bytes: Buffer, each: (piece: Buffer) => void): void {
    let rest = bytes;
    if (this.#heldLength > 0) {
      const taken = Math.min(this.#size - this.#heldLength, rest.length);
      this.#hold(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (rest.length === 0) return;
      this.#heldLength = 0;
      if (this.#held) each(this.#held);
    }
    while (rest.length > this.#size) {
      each(rest.subarray(0, this.#size));
      rest = rest.subarray(this.#size);
    }
    this.#hold(rest);
  }

  /** Takes the last bytes of the stream. @returns The last piece, 0 to `size` bytes, valid until the next call. */
  end(bytes: Buffer, each: (piece: Buffer) => void): Buffer {
    if (this.#heldLength === 0 && bytes.length <= this.#size) return bytes;
    this.push(bytes, each);
    const last = this.#held?.subarray(0, this.#heldLength) ?? Buffer.alloc(0);
    this.#heldLength = 0;
    return last;
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held ??= Buffer.allocUnsafeSlow(this.#size);
    this.#heldLength += bytes.copy(this.#held, this.#heldLength);
  }
}
