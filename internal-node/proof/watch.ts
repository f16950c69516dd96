/** Repeats a check and tells the node when what fails has changed: an alarm in the audit trail when something no longer holds. */
import type { AdminClient } from '../../shared/admin/client.ts';
import type { Clock } from '../../shared/clock.ts';
import { asSallyportError } from '../../shared/errors.ts';
import type { Claim } from '../../shared/proof/claim.ts';

export interface WatchDeps {
  readonly check: () => Promise<readonly Claim[]>;
  readonly node: Pick<AdminClient, 'post'>;
  readonly clock: Pick<Clock, 'sleep'>;
  /** One line for whoever looks at the terminal or the journal. */
  readonly say: (line: string) => void;
}

/** Runs until `signal` fires. @param everyMs Between the end of a check and the next. */
export async function watch({ check, node, clock, say }: WatchDeps, everyMs: number, signal: AbortSignal): Promise<void> {
  let before: string | undefined;
  while (!signal.aborted) {
    const claims = await check();
    const failing = claims.filter(({ holds }) => holds !== 'yes');
    const now = failing.map(({ id }) => id).join(' ');
    if (now !== before && (await told({ node, say }, claims.length, failing))) before = now;
    await clock.sleep(everyMs, signal).catch(() => undefined);
  }
}

/** @returns whether the node has recorded it; if not, it is told again next time. */
async function told({ node, say }: Pick<WatchDeps, 'node' | 'say'>, claims: number, failing: readonly Claim[]): Promise<boolean> {
  say(failing.length === 0 ? `all ${claims} claims hold` : `${failing.length} of ${claims} claims do not hold:`);
  for (const { id, offending } of failing) say(`  ${id}: ${offending[0] ?? ''}`);
  const body = {
    claims,
    failing: failing.map(({ id }) => id).slice(0, 100),
    offending: failing
      .flatMap(({ offending }) => offending.slice(0, 1))
      .join('; ')
      .slice(0, 1000),
  };
  try {
    await node.post(['v1', 'proof'], body);
    return true;
  } catch (error) {
    say(`the node could not record it: ${asSallyportError(error).message}`);
    return false;
  }
}
