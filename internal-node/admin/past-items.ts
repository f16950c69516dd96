/** The past items of the running node, page by page. */
import type { AdminClient } from '../../shared/admin/client.ts';
import { parseDuration, UnitError } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import type { PastItem } from '../replay.ts';
import type { History } from './api.ts';

/** @throws SallyportError `not-running` when no node answers. */
export async function pastItems(node: AdminClient, sinceMs: number): Promise<readonly PastItem[]> {
  const items: PastItem[] = [];
  for (let after = 0; ; ) {
    const page = await node.get<History>(['v1', 'history'], { since: String(Math.floor(sinceMs)), after: String(after) });
    items.push(...page.items);
    after = page.items.at(-1)?.number ?? after;
    if (!page.more) return items;
  }
}

/** `30d` as milliseconds. @throws SallyportError `usage` */
export function historyLength(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof UnitError) throw new SallyportError('usage', `--from-history ${text}: ${error.message}`);
    throw error;
  }
}
