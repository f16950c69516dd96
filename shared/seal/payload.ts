/**
 * The payload of an age v1 file (C2SP age.md, "Payload"): 64 KiB chunks under ChaCha20-Poly1305, the nonce being an 11-byte
 * counter and a flag that is 1 in the last chunk only. The last chunk may be full; it is empty only in an empty file.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

export const chunkBytes = 64 * 1024;
export const tagBytes = 16;
export const sealedChunkBytes = chunkBytes + tagBytes;
/** Random bytes between header and first chunk, from which with the file key the payload key comes. */
export const payloadNonceBytes = 16;

export class PayloadCipher {
  readonly #key: KeyObject;
  readonly #nonce = Buffer.alloc(12);

  /** @param fileKey 16 bytes; stays the caller's to fill with zeros. */
  constructor(fileKey: Buffer, payloadNonce: Buffer) {
    const raw = Buffer.from(hkdfSync('sha256', createSecretKey(fileKey), payloadNonce, 'payload', 32));
    this.#key = createSecretKey(raw);
    raw.fill(0);
  }

  /** @returns Ciphertext and tag, to be written one after the other. */
  seal(chunk: Buffer, index: number, last: boolean): [Buffer, Buffer] {
    const options = { authTagLength: tagBytes };
    const cipher = createCipheriv('chacha20-poly1305', this.#key, this.#nonceOf(index, last), options);
    const text = cipher.update(chunk);
    cipher.final();
    return [text, cipher.getAuthTag()];
  }

  /** @returns The plaintext, or undefined when it is not authentic as chunk `index` with this flag. */
  open(sealed: Buffer, index: number, last: boolean): Buffer | undefined {
    if (sealed.length < tagBytes) return undefined;
    const options = { authTagLength: tagBytes };
    const decipher = createDecipheriv('chacha20-poly1305', this.#key, this.#nonceOf(index, last), options);
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    const plain = decipher.update(sealed.subarray(0, sealed.length - tagBytes));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  }

  /**
   * Opens the chunk at the end of what is stored. A full one without the last flag is what a crash leaves of a file whose
   * later chunks never reached the disk; `allowCut` says whether the caller counts such a file.
   */
  openAtEnd(sealed: Buffer, index: number, allowCut: boolean): Buffer | undefined {
    if (index > 0 && sealed.length === tagBytes) return undefined;
    const plain = this.open(sealed, index, true);
    return plain ?? (allowCut && sealed.length === sealedChunkBytes ? this.open(sealed, index, false) : undefined);
  }

  #nonceOf(index: number, last: boolean): Buffer {
    this.#nonce.writeUInt32BE(Math.floor(index / 2 ** 32), 3);
    this.#nonce.writeUInt32BE(index % 2 ** 32, 7);
    this.#nonce[11] = last ? 1 : 0;
    return this.#nonce;
  }
}
