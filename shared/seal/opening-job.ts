/**
 * Opens sealed segments into one new plaintext file inside a worker thread. Nothing of a chunk is written before the chunk
 * is authentic, and no header is unwrapped before its hash is the expected one. A segment with a known SHA-256 must be one
 * complete age file of exactly the bytes that count. One without may be cut behind a whole chunk or go on behind the bytes
 * that count; what lies there is neither opened nor written.
 */
import { createHash, type Hash } from 'node:crypto';
import { SallyportError } from '../errors.ts';
import { freeNow } from '../memory.ts';
import { Chunker } from './chunker.ts';
import { headerLength, headerSha256, openHeader } from './header.ts';
import type { KeyRing } from './key-ring.ts';
import { OutputFile } from './output-file.ts';
import { PayloadCipher, payloadNonceBytes, sealedChunkBytes } from './payload.ts';

export interface ExpectedSegment {
  readonly headerSha256: string;
  /** Plaintext bytes that count. */
  readonly plainBytes: number;
  /** SHA-256 of the bytes that count; null: not known, the segment may be cut behind a whole chunk. */
  readonly sha256: string | null;
}

interface OpenSegment {
  readonly expected: ExpectedSegment;
  readonly chunker: Chunker;
  /** Only where the whole-content hash cannot stand in. */
  readonly hash: Hash | undefined;
  start: Buffer;
  cipher: PayloadCipher | undefined;
  index: number;
  counted: number;
}

const empty = Buffer.alloc(0);
const damaged = (detail: string): SallyportError => new SallyportError('sealed-damaged', detail);

export class OpeningJob {
  readonly file: OutputFile;
  readonly #identity: string;
  readonly #keys: KeyRing;
  readonly #hash = createHash('sha256');
  #segment: OpenSegment | undefined;
  #out: Buffer[] = [];

  constructor(deps: { readonly keys: KeyRing }, args: { readonly path: string; readonly identity: string }) {
    this.file = new OutputFile(args.path);
    this.#identity = args.identity;
    this.#keys = deps.keys;
  }

  /** @throws SallyportError `no-space`, `store-suspect`, `internal` */
  begin(): void {
    this.file.create();
  }

  /** @throws SallyportError `internal` when the segment before was not ended */
  beginSegment(expected: ExpectedSegment): void {
    if (this.#segment) throw new SallyportError('internal', 'the segment before was not ended');
    const first = this.file.length === 0;
    this.#segment = {
      expected,
      chunker: new Chunker(sealedChunkBytes),
      hash: first || expected.sha256 === null ? undefined : createHash('sha256'),
      start: empty,
      cipher: undefined,
      index: 0,
      counted: 0,
    };
  }

  /** @throws SallyportError `sealed-damaged`, `key-file`, `content-mismatch`, `no-space`, `store-suspect`, `internal` */
  push(bytes: Buffer): void {
    const segment = this.#current();
    const payload = segment.cipher ? bytes : this.#readHeader(segment, bytes);
    segment.chunker.push(payload, (sealed) => this.#openInner(segment, sealed));
    this.#write();
  }

  /** @throws as `push` */
  endSegment(bytes: Buffer): void {
    const segment = this.#current();
    const payload = segment.cipher ? bytes : this.#readHeader(segment, bytes);
    if (!segment.cipher) throw damaged('the sealed bytes end inside the header');
    this.#openLast(
      segment,
      segment.chunker.end(payload, (sealed) => this.#openInner(segment, sealed)),
    );
    this.#write();
    this.#segment = undefined;
    const { plainBytes, sha256 } = segment.expected;
    if (segment.counted !== plainBytes)
      throw damaged(`the sealed bytes end after ${segment.counted} of ${plainBytes} plaintext bytes`);
    if (sha256 !== null && (segment.hash ?? this.#hash.copy()).digest('hex') !== sha256)
      throw new SallyportError('content-mismatch', 'the opened bytes have another SHA-256 than the record');
  }

  /** @returns After the file is durable. @throws as `push` */
  async finish(bytes: Buffer): Promise<{ size: number; sha256: string }> {
    if (this.#segment) throw new SallyportError('internal', 'the last segment was not ended');
    if (bytes.length > 0) throw new SallyportError('internal', 'bytes were given behind the last segment');
    await this.file.flush();
    return { size: this.file.length, sha256: this.#hash.digest('hex') };
  }

  close(remove: boolean): void {
    this.#segment = undefined;
    this.file.close(remove);
  }

  #current(): OpenSegment {
    if (!this.#segment) throw new SallyportError('internal', 'no segment was begun');
    return this.#segment;
  }

  /** @returns What lies behind the header and the payload nonce. */
  #readHeader(segment: OpenSegment, bytes: Buffer): Buffer {
    // A copy: the block goes back to the other thread, and the start of a segment may take several of them.
    const start = Buffer.concat([segment.start, bytes]);
    const length = headerLength(start);
    if (length === undefined || start.length < length + payloadNonceBytes) {
      segment.start = start;
      return empty;
    }
    const header = start.subarray(0, length);
    if (headerSha256(header) !== segment.expected.headerSha256) throw damaged('the header is not the one of the record');
    const fileKey = openHeader(header, this.#identity, this.#keys);
    segment.cipher = new PayloadCipher(fileKey, start.subarray(length, length + payloadNonceBytes));
    fileKey.fill(0);
    segment.start = empty;
    return start.subarray(length + payloadNonceBytes);
  }

  #openInner(segment: OpenSegment, sealed: Buffer): void {
    const { plainBytes, sha256 } = segment.expected;
    if (segment.counted === plainBytes) {
      if (sha256 !== null) throw damaged('the segment goes on behind the bytes that count');
      return;
    }
    const plain = segment.cipher?.open(sealed, segment.index, false);
    if (!plain) throw damaged(`chunk ${segment.index} is not authentic`);
    segment.index += 1;
    this.#keep(segment, plain);
  }

  #openLast(segment: OpenSegment, sealed: Buffer): void {
    const { plainBytes, sha256 } = segment.expected;
    const mayBeCut = sha256 === null;
    if (mayBeCut && segment.counted === plainBytes) return;
    const plain = segment.cipher?.openAtEnd(sealed, segment.index, mayBeCut);
    if (!plain) throw damaged(`chunk ${segment.index}, the last one, is not authentic or not the last`);
    if (!mayBeCut && segment.counted + plain.length > plainBytes)
      throw damaged('the segment goes on behind the bytes that count');
    this.#keep(segment, plain);
  }

  #keep(segment: OpenSegment, plain: Buffer): void {
    const counting = plain.subarray(0, segment.expected.plainBytes - segment.counted);
    segment.counted += counting.length;
    segment.hash?.update(counting);
    this.#hash.update(counting);
    this.#out.push(counting);
  }

  #write(): void {
    const out = this.#out;
    this.#out = [];
    this.file.append(out);
    for (const plain of out) freeNow(plain);
  }
}
