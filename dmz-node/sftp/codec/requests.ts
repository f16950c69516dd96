/**
 * Reads one SFTP version 3 request. Every length is checked against the packet before it is used; a number too large for
 * exact arithmetic becomes `Infinity`, which no file reaches. Names stay bytes: what they may be is the view's business.
 */
import { type ExtendedRequest, readExtended } from './extensions.ts';
import { FieldReader } from './field-reader.ts';
import { packetType } from './protocol.ts';
import { readAttributes, type WantedAttributes } from './wanted-attributes.ts';

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
  | { readonly type: 'unsupported'; readonly id: number }
  | ExtendedRequest
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
  [packetType.extended]: (f, id) => readExtended(f, id) ?? unsupported(f, id),
};
