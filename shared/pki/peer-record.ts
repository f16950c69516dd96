/**
 * What is recorded of the other node, in one file of the state folder: under which keys it may appear, and the authority of each.
 * Replaced whole and flushed before it counts. It belongs to the fingerprint that a person typed (`anchor`): once another one is
 * typed, the old record says nothing any more.
 */
import { X509Certificate } from 'node:crypto';
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { SallyportError } from '../errors.ts';
import { newItemId } from '../ids.ts';

const fingerprint = z.string().regex(/^SP[DI](-[A-Z2-7]{4}){9}$/, 'a fingerprint');

/** A key of a node, and the authority that vouches for it. */
export const identitySchema = z.strictObject({
  fingerprint,
  authority: z.string().max(4096).refine(isCertificate, 'a certificate'),
});
export type PeerIdentity = z.infer<typeof identitySchema>;

export const identitiesSchema = z.array(identitySchema).min(1).max(2);

const recordSchema = z.strictObject({
  /** The fingerprint in the configuration when this was recorded; null when the node was enrolled with an invitation. */
  anchor: fingerprint.nullable(),
  /** Number of the newest statement that was taken from the other node; 0 before the first. */
  number: z.int().min(0),
  identities: identitiesSchema,
});
export type PeerRecord = z.infer<typeof recordSchema>;

/** @returns undefined when nothing is recorded. @throws SallyportError `key-file`. */
export function readPeerRecord(path: string): PeerRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    const why = cause instanceof z.ZodError ? (cause.issues[0]?.message ?? 'wrong contents') : (cause as Error).message;
    throw new SallyportError(
      'key-file',
      `what is recorded of the other node, ${path}, cannot be used: ${why}`,
      { file: path },
      { cause },
    );
  }
}

/** Happens a few times in the life of a pair of nodes, so it may block: what it says counts only when it is on disk. */
export function writePeerRecord(path: string, record: PeerRecord): void {
  const draft = `${path}.${newItemId()}`;
  try {
    const file = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      writeSync(file, `${JSON.stringify(record, null, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}
