/**
 * Past items decided again, by the functions that decide about new ones: what a change of the configuration would have done to
 * the files of the last weeks. Pure; nothing is touched, and the names of both deciding lines are told.
 */
import { SallyportError } from '../shared/errors.ts';
import { moved } from '../shared/paths/layout.ts';
import { isWithin, parseVirtualPath, root, type VirtualPath } from '../shared/paths/virtual-path.ts';
import type { InsideDecision } from '../shared/policy.ts';
import type { Explainer } from './explain.ts';

export interface PastItem {
  readonly item: string;
  readonly partner: string;
  /** As the partner named it. */
  readonly path: string;
  readonly size: number;
  /** When it was complete, milliseconds since 1970. */
  readonly atMs: number;
  /** What was decided then. */
  readonly decision: InsideDecision;
}

export interface Outcome {
  /** `deliver inside acme/a.csv`, `unrouted`, or why it would be refused. Equal texts are equal outcomes. */
  readonly what: string;
  readonly kind: 'routed' | 'unrouted' | 'refused';
  /** Name and line of what decided; empty when nothing did. */
  readonly by: string;
}

export interface Difference extends Omit<PastItem, 'decision'> {
  readonly before: Outcome;
  readonly after: Outcome;
}

export interface Replay {
  readonly items: number;
  readonly same: number;
  /** Those that differ, at most `limit`. */
  readonly differences: readonly Difference[];
  readonly differ: number;
  /** Afterwards. */
  readonly unrouted: number;
  readonly refused: number;
  /** The slowest decision, milliseconds. */
  readonly slowestMs: number;
}

/** What becomes of a file under some configuration. */
export type Decider = (past: PastItem) => Outcome;

/** As it was decided then: nobody refused it. */
export const asRecorded: Decider = ({ decision }) => outcomeOf(decision);

/**
 * As this configuration decides. A file whose partner may not send it (any more) is refused.
 * @param directories Whether users of directories can be partners: which of them are is not known here, so they are not refused.
 */
export function asConfigured(explainer: Explainer, directories = false): Decider {
  const limits = new Map<string, Limits>();
  return (past) => {
    const { partner, path, size, atMs, item } = past;
    const decided = (): Outcome => outcomeOf(explainer.decide({ partner, path: belowOf(path), size, atMs, item }));
    if (!explainer.has(partner)) {
      return directories ? decided() : { what: 'refused: there is no such partner', kind: 'refused', by: '' };
    }
    const own = limits.get(partner) ?? limitsOf(explainer, partner);
    limits.set(partner, own);
    const sent = parsed(path);
    const refusal = refused(explainer, past, sent, own);
    return refusal ?? decided();
  };
}

/** What of a partner does not depend on the item. */
interface Limits {
  readonly largest: { readonly bytes: number; readonly by: string };
  /** His folders that are other names of places in the Inbox. */
  readonly folders: readonly { readonly place: VirtualPath; readonly path: VirtualPath }[];
}

function limitsOf(explainer: Explainer, partner: string): Limits {
  const folders = explainer
    .folders({ partner, from: undefined, atMs: 0 })
    .filter(({ owner }) => owner === undefined)
    .map(({ place, path }) => ({ place: parseVirtualPath(place), path: parseVirtualPath(path) }));
  return { largest: explainer.largestFile(partner), folders };
}

function refused(
  explainer: Explainer,
  { partner, size, atMs }: PastItem,
  sent: VirtualPath,
  limits: Limits,
): Outcome | undefined {
  const who = { partner, from: undefined, atMs };
  const answer = explainer.may(who, 'write', sent);
  // He may have sent it into a folder that is another name of the place.
  const otherNames = limits.folders
    .filter(({ place }) => isWithin(sent, place))
    .map(({ place, path }) => moved(sent, place, path));
  const allowed = answer.allowed || otherNames.some((name) => explainer.may(who, 'write', name).allowed);
  if (!allowed) return { what: `refused: ${answer.why ?? 'no permission to write'}`, kind: 'refused', by: answer.by ?? '' };
  const { largest } = limits;
  if (size > largest.bytes) return { what: 'refused: larger than maxFileSize', kind: 'refused', by: largest.by };
  return undefined;
}

/** @param limit Differences that are kept. */
export function replay(items: readonly PastItem[], before: Decider, after: Decider, limit: number): Replay {
  const differences: Difference[] = [];
  let [differ, unrouted, refusals, slowestMs] = [0, 0, 0, 0];
  for (const past of items) {
    const startedMs = performance.now();
    const now = after(past);
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    if (now.kind === 'unrouted') unrouted += 1;
    if (now.kind === 'refused') refusals += 1;
    const then = before(past);
    if (then.what === now.what) continue;
    differ += 1;
    if (differences.length >= limit) continue;
    const { item, partner, path, size, atMs } = past;
    differences.push({ item, partner, path, size, atMs, before: then, after: now });
  }
  return { items: items.length, same: items.length - differ, differences, differ, unrouted, refused: refusals, slowestMs };
}

function outcomeOf({ route, rule, plan }: InsideDecision): Outcome {
  if (plan) {
    const targets = plan.targets.map(({ destination, file }) => `${destination} ${file}`).join(', ');
    return { what: `${plan.action} ${targets}`, kind: 'routed', by: rule };
  }
  switch (route.action) {
    case 'outbox':
      return { what: `outbox ${route.partner}`, kind: 'routed', by: rule };
    case 'unrouted':
      return { what: 'unrouted', kind: 'unrouted', by: '' };
    default:
      return { what: route.action, kind: 'routed', by: rule };
  }
}

const belowOf = (path: string): string => path.replace(/^\/Inbox\//, '');

/** A past path may be one that a name policy of today refuses; then nobody may write it. */
function parsed(path: string): VirtualPath {
  try {
    return parseVirtualPath(path);
  } catch (error) {
    if (error instanceof SallyportError) return root;
    throw error;
  }
}
