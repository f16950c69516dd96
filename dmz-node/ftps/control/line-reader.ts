/**
 * Cuts the bytes of a control connection into lines (RFC 959 §5.3, RFC 1123 §4.1.2.12).
 *
 * A line ends with LF, with or without a CR before it; a CR or NUL anywhere else stays in the line, where the name policy
 * refuses it. Telnet commands are taken out (RFC 854): some programs send them before ABOR. A line has a greatest length, and
 * nothing is kept beyond it.
 */

const telnet = { subEnd: 240, subBegin: 250, will: 251, dont: 254, iac: 255 } as const;

type TelnetState = 'none' | 'command' | 'option' | 'sub' | 'sub-command';

/** A line longer than the limit: nothing behind it can be understood. */
export class LineTooLong extends Error {}

export class LineReader {
  readonly #line: Buffer;
  #length = 0;
  #telnet: TelnetState = 'none';
  #subBytes = 0;

  /** @param maxBytes Of one line, without its end. */
  constructor(maxBytes: number) {
    this.#line = Buffer.allocUnsafeSlow(maxBytes);
  }

  /** Whether part of a line has come. */
  get within(): boolean {
    return this.#length > 0 || this.#telnet !== 'none';
  }

  /** @returns the lines that end in `chunk`; empty ones are left out. @throws LineTooLong */
  feed(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    for (const byte of chunk) {
      if (!this.#isText(byte)) continue;
      if (byte === 0x0a) {
        const line = this.#take();
        if (line.length > 0) lines.push(line);
      } else {
        this.#keep(byte);
      }
    }
    return lines;
  }

  #take(): Buffer {
    const end = this.#length > 0 && this.#line[this.#length - 1] === 0x0d ? this.#length - 1 : this.#length;
    this.#length = 0;
    return Buffer.from(this.#line.subarray(0, end));
  }

  #keep(byte: number): void {
    if (this.#length === this.#line.length) throw new LineTooLong(`a line longer than ${this.#line.length} bytes`);
    this.#line[this.#length++] = byte;
  }

  /** Follows Telnet's commands. @returns whether the byte belongs to the line. */
  #isText(byte: number): boolean {
    switch (this.#telnet) {
      case 'none':
        if (byte !== telnet.iac) return true;
        this.#telnet = 'command';
        return false;
      case 'command':
        this.#telnet = afterIac(byte);
        this.#subBytes = 0;
        // The command itself was sent as urgent data and is not in the stream: this byte is text again.
        return byte === telnet.iac || byte < telnet.subEnd;
      case 'option':
        this.#telnet = 'none';
        return false;
      case 'sub':
        if (++this.#subBytes > this.#line.length) throw new LineTooLong('a Telnet option that does not end');
        if (byte === telnet.iac) this.#telnet = 'sub-command';
        return false;
      case 'sub-command':
        this.#telnet = byte === telnet.subEnd ? 'none' : 'sub';
        return false;
    }
  }
}

function afterIac(byte: number): TelnetState {
  if (byte === telnet.subBegin) return 'sub';
  return byte >= telnet.will && byte <= telnet.dont ? 'option' : 'none';
}
