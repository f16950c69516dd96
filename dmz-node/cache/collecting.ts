/**
 * The bytes of one `inbox.collect`: many small items leased and sent on one stream, so that a flood of small files does not
 * cost a stream and two requests each. An item that cannot be sent whole says so with a length of 0, and holds up no other.
 */
import { open } from 'node:fs/promises';
import { limits } from '../../shared/tunnel/messages.ts';
import type { Leases } from './leases.ts';
import type { ObjectFiles } from './object-files.ts';
import type { LeasedItem } from './records/hand-over.ts';

export interface CollectingDeps {
  readonly leases: Pick<Leases, 'checkEpoch' | 'check' | 'leaseMs'>;
  readonly files: Pick<ObjectFiles, 'path'>;
  /** Leases an item for the present link. */
  readonly lease: (id: string, epoch: number) => Promise<LeasedItem | undefined>;
}

/** Sealed bytes that are read ahead of the socket. */
const aheadBytes = 512 * 1024;

/** @throws SallyportError `stale-epoch` */
export async function* collectItems(
  { epoch, ids }: { readonly epoch: number; readonly ids: readonly string[] },
  deps: CollectingDeps,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { leases } = deps;
  leases.checkEpoch(epoch);
  const items = await Promise.all([...new Set(ids)].map((id) => deps.lease(id, epoch).catch(() => undefined)));
  const leased = new Map(items.flatMap((item) => (item && sizeOf(item) <= limits.collectItemBytes ? [[item.id, item]] : [])));
  yield number(leases.leaseMs);
  for (const group of groups(ids, (id) => sizeOf(leased.get(id)))) {
    const contents = await Promise.all(group.map((id) => contentOf(leased.get(id), deps)));
    signal.throwIfAborted();
    for (const id of group) if (leased.has(id)) leases.check(id, epoch);
    yield Buffer.concat(contents.flatMap((content) => [number(content?.length ?? 0), content ?? empty]));
  }
}

const empty = Buffer.alloc(0);
const sizeOf = (item: LeasedItem | undefined): number =>
  item?.segments.reduce((sum, { sealedBytes }) => sum + sealedBytes, 0) ?? 0;

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function* groups(ids: readonly string[], sizeOfId: (id: string) => number): Generator<string[]> {
  let group: string[] = [];
  let bytes = 0;
  for (const id of ids) {
    if (group.length > 0 && bytes + sizeOfId(id) > aheadBytes) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(id);
    bytes += sizeOfId(id);
  }
  yield group;
}

/** @returns undefined when a file is missing or is not as long as its record says: who reads it alone is told why. */
async function contentOf(item: LeasedItem | undefined, { files }: CollectingDeps): Promise<Buffer | undefined> {
  if (!item) return undefined;
  try {
    const parts = await Promise.all(
      item.segments.map(async ({ file, sealedBytes }) => {
        await using handle = await open(files.path(`${item.object}.${file}`), 'r');
        // What lies behind the recorded bytes is not part of the file.
        const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(sealedBytes), 0, sealedBytes, 0);
        return bytesRead < sealedBytes ? undefined : buffer;
      }),
    );
    return parts.includes(undefined) ? undefined : Buffer.concat(parts as Buffer[]);
  } catch {
    return undefined;
  }
}
