/**
 * What start-up does with the traces of an earlier run: attempts that were cut begin anew, staged items are asked for their
 * fate at their destination, and drafts that no record knows are removed.
 */
import type { Records } from '../../shared/durable/database.ts';
import type { Logger } from '../../shared/log.ts';
import type { Destination } from '../destination.ts';
import type { LedgerItem } from './ledger-item.ts';
import type { LedgerOperations } from './ledger-operations.ts';

export interface RecoveryDeps {
  readonly ledger: Records<LedgerOperations>;
  readonly destinations: ReadonlyMap<string, Destination>;
  readonly delivery: { settle(item: LedgerItem): Promise<'draft' | 'published' | 'missing'> };
  readonly log: Logger;
}

/** Never fails because of a destination: what cannot be told now is told when the item is worked on. */
export async function recover(deps: RecoveryDeps): Promise<void> {
  const { ledger, destinations, delivery, log } = deps;
  const staged = await ledger.call('ledger.recover', null);
  for (const item of staged) {
    try {
      await delivery.settle(item);
    } catch (cause) {
      log.warn({ item: item.id, err: cause }, 'the fate of a staged item is not known yet');
    }
  }
  const kept = new Set(staged.map(({ id }) => id));
  for (const destination of destinations.values()) {
    try {
      for (const id of await destination.drafts()) if (!kept.has(id)) await destination.discard(id);
    } catch (cause) {
      log.warn({ destination: destination.name, err: cause }, 'the drafts of a destination could not be looked through');
    }
  }
}
