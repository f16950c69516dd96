/**
 * Seals one new file inside a worker thread: hashes the plaintext, encrypts chunk by chunk, appends to the file. The file
 * key exists only between `begin` and the derivation of the payload key.
 */
import { createHash, randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { freeNow } from '../memory.ts';
import { Chunker } from './chunker.ts';
import { fileKeyBytes, headerSha256, sealHeader } from './header.ts';
import type { KeyRing } from './key-ring.ts';
import { type FolderFlusher, OutputFile } from './output-file.ts';
import { chunkBytes, PayloadCipher, payloadNonceBytes } from './payload.ts';
import type { SealedSegment } from './seal-workers.ts';

export class SealingJob {
  readonly file: OutputFile;
  readonly #recipients: readonly string[];
  readonly #folders: FolderFlusher;
  readonly #keys: KeyRing;
  readonly #hash = createHash('sha256');
  readonly #chunker = new Chunker(chunkBytes);
  #cipher: PayloadCipher | undefined;
  #header: Buffer = Buffer.alloc(0);
  #plainBytes = 0;
  #index = 0;
  /** Sealed pieces on the way to the next write. */
  #out: Buffer[] = [];

  constructor(
    deps: { readonly folders: FolderFlusher; readonly keys: KeyRing },
    args: { readonly path: string; readonly recipients: readonly string[] },
  ) {
    this.file = new OutputFile(args.path);
    this.#recipients = args.recipients;
    this.#folders = deps.folders;
    this.#keys = deps.keys;
  }

  /** @throws SallyportError `key-file`, `no-space`, `store-suspect`, `internal` */
  begin(): void {
    const fileKey = randomBytes(fileKeyBytes);
    try {
      const nonce = randomBytes(payloadNonceBytes);
      this.#header = sealHeader(fileKey, this.#recipients, this.#keys);
      this.#cipher = new PayloadCipher(fileKey, nonce);
      this.#out.push(this.#header, nonce);
    } finally {
      fileKey.fill(0);
    }
    this.file.create();
  }

  /** @throws SallyportError `no-space`, `store-suspect`, `internal` */
  push(bytes: Buffer): void {
    this.#count(bytes);
    this.#chunker.push(bytes, (chunk) => this.#seal(chunk, false));
    this.#write();
  }

  /** @returns After the file and its entry in the folder are durable. @throws as `push` */
  async finish(bytes: Buffer): Promise<SealedSegment> {
    this.#count(bytes);
    this.#seal(
      this.#chunker.end(bytes, (chunk) => this.#seal(chunk, false)),
      true,
    );
    this.#cipher = undefined;
    this.#write();
    const entry = this.#folders.flush(dirname(this.file.path));
    entry.catch(() => {}); // when the file fails, that is the error
    await this.file.flush();
    await entry;
    return {
      header: this.#header,
      headerSha256: headerSha256(this.#header),
      plainBytes: this.#plainBytes,
      sealedBytes: this.file.length,
      sha256: this.#hash.digest('hex'),
    };
  }

  close(remove: boolean): void {
    this.#cipher = undefined;
    this.file.close(remove);
  }

  #count(bytes: Buffer): void {
    this.#hash.update(bytes);
    this.#plainBytes += bytes.length;
  }

  #seal(chunk: Buffer, last: boolean): void {
    if (!this.#cipher) throw new Error('the file is not begun or already complete');
    this.#out.push(...this.#cipher.seal(chunk, this.#index++, last));
  }

  #write(): void {
    const out = this.#out;
    this.#out = [];
    this.file.append(out);
    for (const piece of out) if (piece !== this.#header) freeNow(piece);
  }
}
