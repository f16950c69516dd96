/**
 * Copies one leased item from the DMZ into a draft and proves the bytes are the ones that were announced: header, size and
 * digest of each segment, size and digest of the whole. What lies in the draft is nowhere visible.
 *
 * Nothing is confirmed here. Until `inbox.confirm` the copy in the DMZ is the one that counts, so any failure may simply
 * throw: the draft goes away and the lease runs out.
 */
import type { Clock } from '../../shared/clock.ts';
import { SallyportError } from '../../shared/errors.ts';
import { giveBack } from '../../shared/memory.ts';
import { Pace, type PaceOptions } from '../pace.ts';
import type { InboxLink, Lease } from './lease.ts';
import type { LedgerItem } from './ledger-item.ts';

/** Opens sealed bytes into a file; the part of `FileOpener` (shared/seal) that this room needs. */
export interface Opener {
  beginSegment(args: { headerSha256: string; plainBytes: number; sha256: string | null }): void;
  write(sealed: Buffer): Promise<void>;
  /** @throws SallyportError `content-mismatch`, `sealed-damaged` */
  endSegment(): Promise<void>;
  /** Flushed file data. */
  finish(): Promise<{ size: number; sha256: string }>;
  /** Closes and removes the file. */
  destroy(): Promise<void>;
}

export interface FetchDeps {
  readonly link: InboxLink;
  readonly clock: Clock;
  /** Makes a new file at `path`; the key that opens is known there. */
  readonly createOpener: (path: string) => Opener;
}

/** Opens an item whose sealed bytes are all here into a new file, which is flushed then, or gone when this rejects. */
export type OpenWhole = (
  path: string,
  segments: readonly { headerSha256: string; plainBytes: number; sha256: string | null; sealedBytes: number }[],
  sealed: Buffer,
) => Promise<{ size: number; sha256: string }>;

/**
 * The same as `fetchItem` for an item that was collected.
 * @throws SallyportError `content-mismatch`, `sealed-damaged`
 */
export async function openCollected(item: LedgerItem, path: string, sealed: Buffer, openWhole: OpenWhole): Promise<string> {
  return announced(item, await openWhole(path, item.segments, sealed));
}

/** @returns the digest. @throws SallyportError `content-mismatch` */
function announced(item: LedgerItem, { size, sha256 }: { readonly size: number; readonly sha256: string }): string {
  if (size === item.size && (item.sha256 === null || sha256 === item.sha256)) return sha256;
  const fields = { size, announced: item.size };
  throw new SallyportError('content-mismatch', 'the content is not the one that was announced', fields);
}

/**
 * @param signal Ends the transfer early; the draft is removed before this rejects.
 * @returns Digest (hex) of the flushed file at `path`, whose size is that of `item`.
 * @throws SallyportError `content-mismatch`, `sealed-damaged`, `request-timeout` when the pace is too slow, link errors.
 */
export async function fetchItem(
  item: LedgerItem,
  path: string,
  lease: Lease,
  deps: FetchDeps,
  options: PaceOptions,
  signal: AbortSignal,
): Promise<string> {
  const sealedBytes = item.segments.reduce((sum, segment) => sum + segment.sealedBytes, 0);
  using pace = new Pace(deps.clock, sealedBytes, options);
  const opener = deps.createOpener(path);
  try {
    await copySegments(item, lease, opener, deps.link, pace, AbortSignal.any([signal, pace.signal]));
    return announced(item, await opener.finish());
  } catch (error) {
    await opener.destroy();
    signal.throwIfAborted();
    throw pace.signal.aborted ? pace.signal.reason : error;
  }
}

async function copySegments(item: LedgerItem, lease: Lease, opener: Opener, link: InboxLink, pace: Pace, signal: AbortSignal) {
  for (const [index, segment] of item.segments.entries()) {
    const { headerSha256, plainBytes, sha256, sealedBytes } = segment;
    opener.beginSegment({ headerSha256, plainBytes, sha256 });
    const params = { id: item.id, epoch: lease.epoch, segment: index, offset: 0 };
    let received = 0;
    for await (const bytes of await link.openStream('inbox.read', params, signal)) {
      received += bytes.length;
      if (received > sealedBytes) throw new SallyportError('content-mismatch', 'more bytes came than were announced', { index });
      pace.moved();
      await lease.keep(signal);
      await opener.write(bytes);
      giveBack(bytes);
      signal.throwIfAborted();
    }
    if (received < sealedBytes)
      throw new SallyportError('content-mismatch', 'fewer bytes came than were announced', { index, received });
    await opener.endSegment();
  }
}
