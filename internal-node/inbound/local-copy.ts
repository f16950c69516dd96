/**
 * For the second and further destinations of an item: its bytes from where an earlier one has them, so that they need not
 * come through the tunnel again. What lies there may have been taken or changed meanwhile; only the digest counts.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Records } from '../../shared/durable/database.ts';
import type { Destination } from '../destination.ts';
import { unavailable } from '../folder-walk.ts';
import type { LedgerItem } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';

export interface LocalCopyDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly destinations: ReadonlyMap<string, Destination>;
}

const blockBytes = 256 * 1024;

/**
 * @param path Of a new file; it is flushed when this resolves to true, and not there otherwise.
 * @returns whether the bytes were found.
 * @throws SallyportError `destination-unavailable` when the new file cannot be written.
 */
export async function copyLocally(item: LedgerItem, path: string, deps: LocalCopyDeps, signal: AbortSignal): Promise<boolean> {
  if (item.step === 0 || item.contentSha256 === null) return false;
  for (const { destination, file, outcome } of await deps.ledger.call('ledger.deliveries', { id: item.id })) {
    if (outcome !== 'delivered') continue;
    const source = await deps.destinations
      .get(destination)
      ?.open(file)
      .catch(() => undefined);
    if (!source) continue;
    await using _source = source;
    if ((await copy(source, path, item.size, signal)) === item.contentSha256) return true;
    await rm(path, { force: true });
  }
  return false;
}

/** @param size What is longer is not the item: no more than that is read. @returns SHA-256 (hex) of what was copied. */
async function copy(source: FileHandle, path: string, size: number, signal: AbortSignal): Promise<string> {
  try {
    await using target = await open(path, 'wx', 0o600);
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(blockBytes);
    for (let position = 0; position <= size; ) {
      signal.throwIfAborted();
      const { bytesRead } = await source.read(block, 0, blockBytes, position);
      if (bytesRead === 0) break;
      const bytes = block.subarray(0, bytesRead);
      hash.update(bytes);
      await target.writeFile(bytes);
      position += bytesRead;
    }
    await target.datasync();
    return hash.digest('hex');
  } catch (cause) {
    await rm(path, { force: true });
    signal.throwIfAborted();
    throw unavailable('the draft cannot be written', cause);
  }
}
