/** How the package `ssh2` reads the first line of a client, which it answers with its KEXINIT at once. Part of `ssh2-seam.ts`. */
import type { Socket } from 'node:net';

export type Parse = (chunk: Buffer, from: number, to: number) => number | undefined;

/** 16 bytes; undefined when none is to be had: then it is any random number. */
export type Cookie = Buffer | undefined;

export interface FirstLineProtocol {
  _parse: Parse;
  /** What the cookie of the first KEXINIT of ours will be. By `patches/`. */
  _firstCookie: Cookie;
}

export interface FirstLineArgs {
  readonly socket: Socket;
  /** For the cookie of the first KEXINIT. */
  readonly cookie: () => Cookie | Promise<Cookie>;
}

/** RFC 4253 §4.2: 255 characters with the line end. */
const maxIdentBytes = 255;

/** A client that speaks on before the answer to its first line may say so much. */
const maxHeldBytes = 64 * 1024 + maxIdentBytes;

/**
 * The package loses the middle part of a first line that comes in three pieces, and would keep up to 8 KiB of it. It answers the
 * line with its KEXINIT at once; so the line waits while there is no cookie for that yet.
 */
export function readFirstLine(protocol: FirstLineProtocol, { socket, cookie }: FirstLineArgs): void {
  const parseLine = protocol._parse;
  let held = Buffer.alloc(0);
  let state: 'reading' | 'waiting' | { readonly given: Cookie } = 'reading';
  const hold = (bytes: Buffer, most: number): void => {
    if (held.length + bytes.length > most) throw new Error('the first line is too long');
    held = Buffer.concat([held, bytes]);
  };
  const goOn = (given: Cookie): void => {
    const bytes = held;
    held = Buffer.alloc(0);
    state = { given };
    if (socket.destroyed) return;
    socket.resume();
    // As if it came now: whoever reads the socket reads it again from there.
    socket.emit('data', bytes);
  };
  protocol._parse = (chunk, from, to) => {
    if (state === 'waiting') {
      hold(chunk.subarray(from, to), maxHeldBytes);
      return to;
    }
    const end = chunk.subarray(from, to).indexOf(0x0a);
    const length = end === -1 ? to - from : end + 1;
    hold(chunk.subarray(from, from + length), maxIdentBytes);
    if (end === -1) return from + length;
    const given = state === 'reading' ? cookie() : state.given;
    if (given instanceof Promise) {
      state = 'waiting';
      hold(chunk.subarray(from + length, to), maxHeldBytes);
      socket.pause();
      void given.then(goOn);
      return to;
    }
    protocol._firstCookie = given;
    parseLine.call(protocol, held, 0, held.length);
    return from + length;
  };
}
