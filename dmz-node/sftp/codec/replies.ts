/** Builds the answers of SFTP version 3, each with its length field, ready for the channel. */

import { longName } from '../../entry-line.ts';
import type { FileEntry, Space } from '../../partner-view.ts';
import { attributeBytes, writeAttributes } from '../attributes.ts';
import { announced } from './extensions.ts';
import { maxPacketBytes } from './packet-reader.ts';
import { advisedReadBytes, maxDataBytes, packetType, type StatusCode, statusCode } from './protocol.ts';

const text = (value: string): Buffer => framed(Buffer.from(value));

function framed(bytes: Buffer): Buffer {
  const field = Buffer.allocUnsafe(4 + bytes.length);
  field.writeUInt32BE(bytes.length, 0);
  bytes.copy(field, 4);
  return field;
}

function uint32(value: number): Buffer {
  const field = Buffer.allocUnsafe(4);
  field.writeUInt32BE(value, 0);
  return field;
}

function uint64(value: number): Buffer {
  const field = Buffer.allocUnsafe(8);
  field.writeBigUInt64BE(BigInt(value), 0);
  return field;
}

function reply(type: number, id: number, ...fields: readonly Buffer[]): Buffer {
  const length = fields.reduce((sum, field) => sum + field.length, 5);
  const head = Buffer.allocUnsafe(9);
  head.writeUInt32BE(length, 0);
  head[4] = type;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, ...fields], length + 4);
}

/** VERSION 3 with the extensions that are answered, and no others. */
export const versionReply: Buffer = reply(packetType.version, 3, ...announced.map(text));

const emptyLanguage = text('');
const okFields = Buffer.concat([uint32(statusCode.ok), text('OK'), emptyLanguage]);

export function okReply(id: number): Buffer {
  const packet = Buffer.allocUnsafe(9 + okFields.length);
  packet.writeUInt32BE(5 + okFields.length, 0);
  packet[4] = packetType.status;
  packet.writeUInt32BE(id, 5);
  okFields.copy(packet, 9);
  return packet;
}

export const statusReply = (id: number, code: StatusCode, message: string): Buffer =>
  reply(packetType.status, id, uint32(code), text(message), emptyLanguage);

export const handleReply = (id: number, handle: Buffer): Buffer => reply(packetType.handle, id, framed(handle));

/** What stands before the bytes of a DATA answer; the bytes follow as they are. */
export function dataReplyHead(id: number, dataBytes: number): Buffer {
  const head = Buffer.allocUnsafe(13);
  head.writeUInt32BE(9 + dataBytes, 0);
  head[4] = packetType.data;
  head.writeUInt32BE(id, 5);
  head.writeUInt32BE(dataBytes, 9);
  return head;
}

export function attributesReply(id: number, entry: FileEntry): Buffer {
  const fields = Buffer.allocUnsafe(attributeBytes);
  writeAttributes(fields, 0, entry);
  return reply(packetType.attrs, id, fields);
}

/** The one name that REALPATH answers, without attributes (§6.11). */
export const pathReply = (id: number, path: string): Buffer =>
  reply(packetType.name, id, uint32(1), text(path), text(path), uint32(0));

/**
 * One packet in one piece of memory: a long listing is thousands of these.
 * @param entries As many as `maxNamesPerReply`, so that the packet keeps its limit whatever their names.
 */
export function namesReply(id: number, entries: readonly FileEntry[], nowMs: number): Buffer {
  const lines = entries.map((entry) => longName(entry, nowMs));
  const bytes = entries.reduce((sum, entry, n) => sum + nameBytes(entry.name, lines[n] ?? ''), 13);
  const packet = Buffer.allocUnsafe(bytes);
  packet.writeUInt32BE(bytes - 4, 0);
  packet[4] = packetType.name;
  packet.writeUInt32BE(id, 5);
  packet.writeUInt32BE(entries.length, 9);
  let at = 13;
  const write = (value: string): void => {
    const length = packet.write(value, at + 4);
    packet.writeUInt32BE(length, at);
    at += 4 + length;
  };
  for (const [n, entry] of entries.entries()) {
    write(entry.name);
    write(lines[n] ?? '');
    writeAttributes(packet, at, entry);
    at += attributeBytes;
  }
  return packet;
}
const nameBytes = (name: string, line: string): number => 8 + Buffer.byteLength(name) + Buffer.byteLength(line) + attributeBytes;

/** A name has at most 1024 bytes and appears twice. */
export const maxNamesPerReply = 100;

export const limitsReply = (id: number, maxHandles: number): Buffer =>
  reply(packetType.extendedReply, id, uint64(maxPacketBytes), uint64(advisedReadBytes), uint64(maxDataBytes), uint64(maxHandles));

/** A file system that is as large as the quota (`statvfs@openssh.com` in OpenSSH's PROTOCOL file): nothing in it is a figure of this host. */
export function spaceReply(id: number, space: Space): Buffer {
  const blocks = (bytes: number): number => Math.floor(Math.min(bytes, largestSpace) / spaceBlock);
  const [all, free] = [blocks(space.totalBytes), blocks(space.freeBytes)];
  const flags = space.writable ? 2 : 3; // no set-user-id programs, and perhaps read-only
  const figures = [spaceBlock, spaceBlock, all, free, free, space.totalFiles, space.freeFiles, space.freeFiles, 0, flags, 255];
  return reply(packetType.extendedReply, id, ...figures.map(uint64));
}
const spaceBlock = 4096;
/** A quota above this is as good as none, and programs that multiply its blocks may not know numbers of such a size. */
const largestSpace = 2 ** 50;

/** Names for users and groups, an empty one for a number that means nothing. */
export function idNamesReply(id: number, users: readonly string[], groups: readonly string[]): Buffer {
  const list = (names: readonly string[]): Buffer => framed(Buffer.concat(names.map(text)));
  return reply(packetType.extendedReply, id, list(users), list(groups));
}

/** @param named The answer begins with the name of the extension. @param digest Its bytes; they have no length field. */
export const digestReply = (id: number, named: boolean, algorithm: string, digest: Buffer): Buffer =>
  reply(packetType.extendedReply, id, ...(named ? [text('check-file')] : []), text(algorithm), digest);
