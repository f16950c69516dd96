/**
 * Reads one SFTP version 3 request. Every length is checked against the packet before it is used; a number too large for
 * exact arithmetic becomes `Infinity`, which no file reaches. Names stay bytes: what they may be is the view's business.
 */
import { attributeFlag, packetType } from './protocol.ts';

/** What a client wants to set (§5). Owner, group and mode are read over: a relay keeps none of them. */
export interface WantedAttributes {
  readonly size?: number;
  readonly modifiedAtMs?: number;
}

type PathOperation = 'lstat' | 'opendir' | 'remove' | 'mkdir' | 'rmdir' | 'realpath' | 'stat';
type HandleOperation = 'close' | 'fstat' | 'readdir';

export type Request =
  | { readonly type: 'init'; readonly version: number }
  | { readonly type: 'open'; readonly id: number; readonly path: Buffer; readonly flags: number }
  | { readonly type: 'read'; readonly id: number; readonly handle: Buffer; readonly offset: number; readonly length: number }
  | { readonly type: 'write'; readonly id: number; readonly handle: Buffer; readonly offset: number; readonly data: Buffer }
  | { readonly type: 'setstat'; readonly id: number; readonly path: Buffer; readonly attributes: WantedAttributes }
  | { readonly type: 'fsetstat'; readonly id: number; readonly handle: Buffer; readonly attributes: WantedAttributes }
  | { readonly type: 'rename'; readonly id: number; readonly from: Buffer; readonly to: Buffer; readonly overwrite: boolean }
  | { readonly type: 'limits'; readonly id: number }
  | { readonly type: 'unsupported'; readonly id: number }
  | { [T in PathOperation]: { readonly type: T; readonly id: number; readonly path: Buffer } }[PathOperation]
  | { [T in HandleOperation]: { readonly type: T; readonly id: number; readonly handle: Buffer } }[HandleOperation];

export type RequestOf<T extends Request['type']> = Extract<Request, { readonly type: T }>;

/** @throws Error for a packet that ends too early, is longer than its fields, or is of no known type. */
export function readRequest(packet: Buffer): Request {
  const fields = new FieldReader(packet);
  const type = fields.byte();
  if (type === packetType.init) return { type: 'init', version: fields.uint32() };
  const read = readers[type];
  if (!read) throw new Error(`a request of the unknown type ${type}`);
  return read(fields, fields.uint32());
}

const path =
  (type: PathOperation) =>
  (fields: FieldReader, id: number): Request => ({ type, id, path: fields.string() });
const handle =
  (type: HandleOperation) =>
  (fields: FieldReader, id: number): Request => ({ type, id, handle: fields.string() });
const unsupported = (_fields: FieldReader, id: number): Request => ({ type: 'unsupported', id });

const readers: Readonly<Record<number, (fields: FieldReader, id: number) => Request>> = {
  [packetType.open]: (f, id) => ({ type: 'open', id, path: f.string(), flags: f.uint32() }),
  [packetType.close]: handle('close'),
  [packetType.read]: (f, id) => ({ type: 'read', id, handle: f.string(), offset: f.uint64(), length: f.uint32() }),
  [packetType.write]: (f, id) => ({ type: 'write', id, handle: f.string(), offset: f.uint64(), data: f.string() }),
  [packetType.lstat]: path('lstat'),
  [packetType.fstat]: handle('fstat'),
  [packetType.setstat]: (f, id) => ({ type: 'setstat', id, path: f.string(), attributes: readAttributes(f) }),
  [packetType.fsetstat]: (f, id) => ({ type: 'fsetstat', id, handle: f.string(), attributes: readAttributes(f) }),
  [packetType.opendir]: path('opendir'),
  [packetType.readdir]: handle('readdir'),
  [packetType.remove]: path('remove'),
  [packetType.mkdir]: path('mkdir'),
  [packetType.rmdir]: path('rmdir'),
  [packetType.realpath]: path('realpath'),
  [packetType.stat]: path('stat'),
  [packetType.rename]: (f, id) => ({ type: 'rename', id, from: f.string(), to: f.string(), overwrite: false }),
  [packetType.readlink]: unsupported,
  [packetType.symlink]: unsupported,
  [packetType.extended]: (f, id) => readExtended(f, id),
};

function readExtended(fields: FieldReader, id: number): Request {
  const name = fields.string().toString('latin1');
  if (name === 'limits@openssh.com') return { type: 'limits', id };
  if (name === 'posix-rename@openssh.com') {
    return { type: 'rename', id, from: fields.string(), to: fields.string(), overwrite: true };
  }
  return { type: 'unsupported', id };
}

function readAttributes(fields: FieldReader): WantedAttributes {
  const flags = fields.uint32();
  const wanted: { size?: number; modifiedAtMs?: number } = {};
  if (flags & attributeFlag.size) wanted.size = fields.uint64();
  if (flags & attributeFlag.owner) fields.skip(8);
  if (flags & attributeFlag.permissions) fields.skip(4);
  if (flags & attributeFlag.times) {
    fields.skip(4);
    wanted.modifiedAtMs = fields.uint32() * 1000;
  }
  return wanted;
}

class FieldReader {
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

  /** @returns where the skipped bytes begin. */
  skip(length: number): number {
    const at = this.#at;
    if (length > this.#packet.length - at) throw new Error('a request that ends too early');
    this.#at = at + length;
    return at;
  }
}
