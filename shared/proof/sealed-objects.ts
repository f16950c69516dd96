/**
 * Whether every file of a cache is a sealed one: an age v1 header, then nothing but whole chunks (C2SP age.md, "Payload").
 * Whom a header names cannot be seen without the key: here stanzas are counted, and the headers are told to whoever has it.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { headerLength, maxHeaderBytes, stanzaTypes } from '../seal/header.ts';
import type { FileEntry } from './files.ts';

export interface SealedObject {
  /** Absolute. */
  readonly file: string;
  /** Base64; absent when the file has none, and `wrong` says why. */
  readonly header?: string;
  /** `X25519` for each recipient. */
  readonly stanzas: readonly string[];
  readonly wrong?: string;
}

const nonceBytes = 16;
const tagBytes = 16;

/** An upload that has just begun may have no byte on disk yet: an empty file holds nothing and counts as sealed. */
export async function readSealedObjects(entries: readonly FileEntry[]): Promise<SealedObject[]> {
  const objects: SealedObject[] = [];
  for (const { path, kind } of entries) {
    if (kind === 'folder') continue;
    if (kind !== 'file') objects.push({ file: path, stanzas: [], wrong: `is no file but a ${kind}` });
    else objects.push(...(await sealedObject(path)));
  }
  return objects;
}

async function sealedObject(path: string): Promise<SealedObject[]> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []; // taken inside meanwhile
    throw error;
  }
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxHeaderBytes), 0, maxHeaderBytes, 0);
    return [{ file: path, ...judgedStart(buffer.subarray(0, bytesRead), size) }];
  } finally {
    await file.close();
  }
}

function judgedStart(start: Buffer, size: number): Omit<SealedObject, 'file'> {
  if (size === 0) return { stanzas: [] };
  try {
    const length = headerLength(start);
    if (length === undefined) return { stanzas: [], wrong: 'the age header is cut short' };
    const header = start.subarray(0, length);
    const stanzas = stanzaTypes(header);
    const payload = size - length;
    const whole = payload === 0 || payload >= nonceBytes + tagBytes;
    return { header: header.toString('base64'), stanzas, ...(whole ? {} : { wrong: 'what follows the age header is no chunk' }) };
  } catch (error) {
    return { stanzas: [], wrong: `no sealed file: ${error instanceof Error ? error.message : String(error)}` };
  }
}
