/**
 * Cuts the byte stream of an SFTP channel into packets (draft-ietf-secsh-filexfer-02 §3), one contiguous buffer each.
 *
 * Every packet is put together with a single copy in a block that is used again after `release`; no chunk is looked at again
 * when `feed` has returned. Nothing is kept beyond one packet, and a length that no request can have is refused before anything
 * is allocated.
 */
import type { Block, BlockPool } from './block-pool.ts';

/** Longest packet, without its length field: what `limits@openssh.com` names. */
export const maxPacketBytes = 256 * 1024;

/** One request as it came. `release` gives the memory back; the bytes must not be touched afterwards. */
export interface RawPacket {
  readonly bytes: Buffer;
  release(): void;
}

export class PacketReader {
  readonly #pool: BlockPool;
  readonly #onPacket: (packet: RawPacket) => void;
  /** The first bytes of a length field that came in pieces. */
  readonly #length = Buffer.alloc(4);
  #lengthBytes = 0;
  #block: Block | undefined;
  #wanted = 0;
  #filled = 0;

  constructor(pool: BlockPool, onPacket: (packet: RawPacket) => void) {
    this.#pool = pool;
    this.#onPacket = onPacket;
  }

  /** @throws Error when the stream cannot be SFTP; nothing after that can be understood. */
  feed(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#block) at = this.#fill(this.#block, chunk, at);
      else if (this.#lengthBytes > 0 || chunk.length - at < 4) at = this.#lengthPiece(chunk, at);
      else at = this.#begin(checkedLength(chunk.readUInt32BE(at)), chunk, at + 4);
    }
  }

  /** Forgets a packet that was not complete. */
  destroy(): void {
    this.#block?.release();
    this.#block = undefined;
  }

  #lengthPiece(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length && this.#lengthBytes < 4) this.#length[this.#lengthBytes++] = chunk[at++] ?? 0;
    if (this.#lengthBytes < 4) return at;
    this.#lengthBytes = 0;
    return this.#begin(checkedLength(this.#length.readUInt32BE()), chunk, at);
  }

  #begin(length: number, chunk: Buffer, at: number): number {
    this.#block = this.#pool.take(length);
    this.#wanted = length;
    this.#filled = 0;
    return this.#fill(this.#block, chunk, at);
  }

  #fill(block: Block, chunk: Buffer, at: number): number {
    const copied = chunk.copy(block.bytes, this.#filled, at, Math.min(chunk.length, at + this.#wanted - this.#filled));
    this.#filled += copied;
    if (this.#filled === this.#wanted) {
      this.#block = undefined;
      this.#onPacket({ bytes: block.bytes.subarray(0, this.#wanted), release: () => block.release() });
    }
    return at + copied;
  }
}

function checkedLength(length: number): number {
  if (length < 1 || length > maxPacketBytes) throw new Error(`a packet of ${length} bytes`);
  return length;
}
