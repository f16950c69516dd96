/** Reads the data types of RFC 4251 §5 from bytes of a stranger: exact lengths, nothing beyond the end, no second spelling. */
import { SallyportError } from '../shared/errors.ts';

export class WireReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** @throws SallyportError `protocol-violation` when fewer bytes are left; so do all methods below. */
  take(count: number): Buffer {
    if (count > this.left) throw new SallyportError('protocol-violation', 'an SSH structure ends too early');
    const part = this.#bytes.subarray(this.#offset, this.#offset + count);
    this.#offset += count;
    return part;
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  string(): Buffer {
    return this.take(this.uint32());
  }

  /** Strings up to the end of a string. @throws also when there are more than `most`. */
  strings(most: number): Buffer[] {
    const inner = new WireReader(this.string());
    const found: Buffer[] = [];
    while (inner.left > 0) {
      if (found.length === most) throw new SallyportError('protocol-violation', 'a list in an SSH structure is too long');
      found.push(inner.string());
    }
    return found;
  }

  /** A string of printable ASCII, as all names of algorithms and methods are. */
  text(): string {
    const text = this.string().toString('latin1');
    if (!/^[\x21-\x7e]{1,64}$/.test(text))
      throw new SallyportError('protocol-violation', 'a name in an SSH structure is no name');
    return text;
  }

  /** An mpint above zero in its shortest form, without the sign byte. */
  positiveInteger(): Buffer {
    const bytes = this.string();
    const [first = 0, second = 0] = bytes;
    const padded = first === 0 && bytes.length > 1 && second >= 0x80;
    if (bytes.length === 0 || first >= 0x80 || (first === 0 && !padded)) {
      throw new SallyportError('protocol-violation', 'a number in an SSH structure is not in its shortest form');
    }
    return padded ? bytes.subarray(1) : bytes;
  }

  /** Bytes that were not taken yet. */
  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.left !== 0) throw new SallyportError('protocol-violation', 'an SSH structure has bytes behind its end');
  }
}

/** A string of RFC 4251 §5. */
export function sshBytes(data: Buffer | string): Buffer {
  const bytes = Buffer.from(data as string);
  const framed = Buffer.alloc(4 + bytes.length);
  framed.writeUInt32BE(bytes.length);
  bytes.copy(framed, 4);
  return framed;
}
