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
    if (count > this.#bytes.length - this.#offset)
      throw new SallyportError('protocol-violation', 'an SSH structure ends too early');
    const part = this.#bytes.subarray(this.#offset, this.#offset + count);
    this.#offset += count;
    return part;
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  string(): Buffer {
    return this.take(this.take(4).readUInt32BE());
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

  /** Nothing may be left. */
  end(): void {
    if (this.#offset !== this.#bytes.length)
      throw new SallyportError('protocol-violation', 'an SSH structure has bytes behind its end');
  }
}
