/** Tells the DMZ that the inside has an item for good (or wants it gone), and takes the answer down. Idempotent. */
import type { Clock } from '../../shared/clock.ts';
import type { Records } from '../../shared/durable/database.ts';
import { asSallyportError, SallyportError } from '../../shared/errors.ts';
import { type InboxLink, Lease } from './lease.ts';
import type { LedgerItem } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';

/** For an item that was dropped unread and whose digest nobody knows. */
const noDigest = '0'.repeat(64);

export interface ConfirmDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly link: InboxLink;
  readonly clock: Clock;
}

/** @throws SallyportError link errors, or what the DMZ answers; the item then stays to be confirmed. */
export async function confirmItem(item: LedgerItem, deps: ConfirmDeps, signal: AbortSignal): Promise<void> {
  const { ledger, link, clock } = deps;
  const { id, outcome } = item;
  const epoch = link.epoch();
  if (epoch === undefined) throw new SallyportError('tunnel-down', 'no link to confirm on');
  if (outcome === null) throw new SallyportError('internal', 'an item without an outcome is not to be confirmed', { item: id });
  const ask = () =>
    link.request('inbox.confirm', { id, epoch, sha256: item.contentSha256 ?? item.sha256 ?? noDigest, outcome }, signal);
  try {
    await ask();
  } catch (error) {
    const { code } = asSallyportError(error);
    if (code === 'lease-lost') {
      await Lease.take(id, link, clock, signal);
      await ask();
    } else if (code !== 'item-unknown' && code !== 'already-collected') throw error;
  }
  await ledger.call('ledger.confirmed', { id, nowMs: clock.nowMs() });
}
