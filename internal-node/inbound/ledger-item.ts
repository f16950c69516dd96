/** One item as the ledger of the inside holds it, and what follows from its state. Pure data: no storage here. */
import type { InsideDecision, PlannedTarget } from '../../shared/policy.ts';
import type { ItemDescription, Segment } from '../../shared/tunnel/messages.ts';
import type { Expected } from './trigger-content.ts';

/**
 * `registered`: known, bytes are in the DMZ · `pulling` · `staged`: whole and checked inside, the final name is decided ·
 * `delivered` · `pulled`: taken by staff · `dropped`: a rule deletes or ignores it · `moved`: lies in a partner's outbox
 * (in the DMZ) · `quarantined` · `gone`: the DMZ does not have it any more, it was never taken.
 */
export type LedgerState =
  | 'registered'
  | 'pulling'
  | 'staged'
  | 'delivered'
  | 'pulled'
  | 'dropped'
  | 'moved'
  | 'quarantined'
  | 'gone';

/** What the puller has to do next for an item, if anything. */
export type Todo = '' | 'fetch' | 'publish' | 'confirm';

export type Outcome = 'delivered' | 'pulled' | 'quarantined' | 'deleted' | 'ignored';

/** Of items that cannot be genuine: no rule decided about them. */
export const setAsideRule = 'set aside by the inside';

export interface LedgerItem {
  readonly id: string;
  /** Order of arrival inside; the DMZ's `seq` is a claim. */
  readonly number: number;
  readonly seq: number;
  readonly partner: string;
  readonly path: string;
  readonly size: number;
  readonly sha256: string | null;
  readonly segments: readonly Segment[];
  readonly session: string;
  readonly sessionProof: string;
  readonly trace: string;
  readonly decision: InsideDecision;
  /** The partner who may read it from the DMZ. */
  readonly reader: string | null;
  readonly dmzState: ItemDescription['state'];
  readonly state: LedgerState;
  readonly todo: Todo;
  /** Destinations of its plan that are done with: it goes to this one next. */
  readonly step: number;
  readonly attempts: number;
  /** Failures at its destination since the last one was done with; what is not the item's or destination's does not count. */
  readonly failures: number;
  readonly mismatches: number;
  readonly nextAttemptMs: number;
  readonly place: string | null;
  readonly inode: string | null;
  /** SHA-256 of the bytes that were opened and checked inside. */
  readonly contentSha256: string | null;
  /** The final file, below the destination. */
  readonly file: string | null;
  readonly outcome: Outcome | null;
  /** Why it was set aside; of one that waits: why nothing more is tried with it. */
  readonly reason: string | null;
  readonly registeredAtMs: number;
  readonly settledAtMs: number | null;
  readonly confirmedAtMs: number | null;
  /** The trigger that completed it, as the DMZ claims. */
  readonly trigger: string | null;
  /** It is a trigger, of so many items as the DMZ claims. */
  readonly releases: number;
  /** What was read in it as a trigger. */
  readonly expected: Expected | null;
  /** The earlier item that had the same partner, name and content. */
  readonly duplicateOf: string | null;
}

/** Whether two descriptions of one id are of the same bytes of the same partner. Path, session and state may change. */
export function sameContent(item: LedgerItem, claim: ItemDescription): boolean {
  return (
    item.partner === claim.partner &&
    item.size === claim.size &&
    agree(item.sha256, claim.sha256) &&
    item.segments.length === claim.segments.length &&
    item.segments.every((segment, index) => {
      const other = claim.segments[index];
      return (
        other !== undefined &&
        segment.headerSha256 === other.headerSha256 &&
        segment.plainBytes === other.plainBytes &&
        segment.sealedBytes === other.sealedBytes &&
        agree(segment.sha256, other.sha256)
      );
    })
  );
}

const agree = (a: string | null, b: string | null): boolean => a === null || b === null || a === b;

/** What becomes of a registered item by its decision and by what the DMZ says of it. */
export interface Course {
  readonly state: LedgerState;
  readonly todo: Todo;
  readonly outcome: Outcome | null;
  readonly reader: string | null;
}

/**
 * The decision of the inside counts, whatever the DMZ has done with the item so far. Only what it has put into an outbox
 * cannot be fetched until it has adopted that decision.
 */
export function courseOf(
  { route, plan }: InsideDecision,
  dmzState: ItemDescription['state'],
  { step, reason }: Pick<LedgerItem, 'step' | 'reason'> = { step: 0, reason: null },
): Course {
  const waiting: Course = { state: 'registered', todo: '', outcome: null, reader: null };
  if (plan && reason === null && step < plan.targets.length) {
    return dmzState === 'offered' ? waiting : { ...waiting, todo: 'fetch' };
  }
  switch (route.action) {
    case 'deliver':
      return waiting;
    case 'outbox':
      return { ...waiting, state: 'moved', reader: route.partner };
    case 'delete':
      return { ...waiting, state: 'dropped', todo: 'confirm', outcome: 'deleted' };
    case 'ignore':
      return { ...waiting, state: 'dropped', todo: 'confirm', outcome: 'ignored' };
    case 'hold':
    case 'unrouted':
      return waiting;
  }
}

/** Where it goes next; undefined when every destination is done with. */
export const targetOf = ({ decision, step }: Pick<LedgerItem, 'decision' | 'step'>): PlannedTarget | undefined =>
  decision.plan?.targets[step];

/** Whether the inside is still to give it to a destination. */
export const isUnderWay = (item: LedgerItem): boolean =>
  ['registered', 'pulling', 'staged'].includes(item.state) && item.reason === null && targetOf(item) !== undefined;
