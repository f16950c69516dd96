/** Rules as people write them in `conf.d`, and as the dispatcher reads them. */
import { z } from 'zod';
import type { Loaded } from '../shared/config/load.ts';
import { type ConfigProblem, pathText } from '../shared/config/problems.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { duration, size } from '../shared/config/units.ts';
import { SallyportError } from '../shared/errors.ts';
import {
  type ActionName,
  actionNames,
  actions,
  existingChoices,
  insideAction,
  insideActionNames,
} from '../shared/matching/actions.ts';
import { ZoneClock } from '../shared/matching/dates.ts';
import { DestinationPath } from '../shared/matching/destination-path.ts';
import { compileExpression } from '../shared/matching/expression.ts';
import { expressionText, type PlanOfRule, partnerName, type Route, type Rule } from '../shared/policy.ts';
import { completionModes } from '../shared/uploads.ts';

const expression = expressionText.describe('A matching expression (docs/matching.md): a glob like `*.pdf`, or m/…/, e/…/, t/…/.');
const destinationName = z.string().min(1).max(64);
const as = z
  .string()
  .min(1)
  .max(512)
  .describe('The path below the destination, `teams/{1}/{data.file_name}`; ending with / a folder. docs/rules.md.');
const target = z.union([destinationName, z.strictObject({ to: destinationName, as: as.optional() })]);
type Target = z.output<typeof target>;

const conditions = {
  partner: expression.optional(),
  path: expression.optional().describe('Matching expression, tested against the path below /Inbox/, without a leading slash.'),
  size: z.strictObject({ min: size().optional(), max: size().optional() }).optional(),
};

/** A destination, or several in their order, each with a path of its own where that is given. */
const destinationsFor = (action: ActionName) =>
  z
    .union([target, z.array(target).min(1).max(16)])
    .optional()
    .describe(`${actions[action].meaning}.`);

const what = {
  deliver: destinationsFor('deliver'),
  move: destinationsFor('move'),
  copy: destinationsFor('copy'),
  rename: destinationsFor('rename'),
  'move-with-timestamp': destinationsFor('move-with-timestamp'),
  'rename-prepend-unixtime': destinationsFor('rename-prepend-unixtime'),
  execute: destinationsFor('execute'),
  outbox: partnerName.optional().describe('Put into the Outbox of this partner, or a shared one, without leaving the DMZ.'),
  hold: z.literal(true).optional().describe('Keep it until somebody pulls it.'),
  delete: z.literal(true).optional().describe('Fetch nothing and delete it.'),
  ignore: z.literal(true).optional().describe('Leave it to its time limit.'),
} as const satisfies Record<ActionName, z.ZodType>;

const how = {
  as: as.optional(),
  onExisting: z.enum(existingChoices).optional().describe('When the name is taken there; default: as the destination says.'),
  retry: z
    .strictObject({
      limit: z.int().min(1).max(1000).optional().describe('Failures after which the file waits for staff; default: never.'),
      wait: duration({ min: '100ms', max: '12h' }).optional().describe('Wait before the second attempt; it doubles from there.'),
    })
    .optional(),
};

const rule = z
  .strictObject({
    name: z.string().min(1).max(64).optional().describe('Shown in traces and logs.'),
    ...conditions,
    ...what,
    ...how,
    complete: z
      .enum(completionModes)
      .optional()
      .describe('When an upload for this rule is complete (docs/uploads.md); default: as its partner completes his.'),
    delay: duration({ min: '1s', max: '10m' })
      .optional()
      .describe('Wait until nothing touched the file for so long: the same as complete: quiet.'),
    expect: z
      .array(z.string().min(1).max(1024))
      .max(64)
      .optional()
      .describe('Paths below /Inbox/ that this rule must be the one to decide; `config check` tries them.'),
  })
  .superRefine(checkTogether);
export const rulesSchema = z.array(rule).max(20_000);
export type RuleText = z.output<typeof rule>;

/** What becomes of files that no rule takes. It has no conditions, and so nothing that an expression found. */
export const fallbackSchema = z.strictObject({ ...what, ...how }).superRefine(checkTogether);

type Written = { readonly [K in ActionName]?: unknown } & z.output<z.ZodObject<typeof how>> & {
    readonly complete?: string | undefined;
    readonly delay?: number | undefined;
  };

function checkTogether(value: Written, context: z.RefinementCtx): void {
  const wrong = (message: string, key?: string): void =>
    context.addIssue({ code: 'custom', message, input: value, ...(key === undefined ? {} : { path: [key] }) });
  const given = actionNames.filter((action) => value[action] !== undefined);
  if (value.delay !== undefined && value.complete !== undefined && value.complete !== 'quiet') {
    wrong(`a delay is complete: quiet, and cannot be with complete: ${value.complete}`, 'delay');
  }
  const [action] = given;
  if (action === undefined || given.length > 1) {
    const fault = action === undefined ? 'the action is missing' : `${given.join(' and ')} cannot be together`;
    wrong(`${fault}: exactly one of ${actionNames.join(', ')}`);
    return;
  }
  const kind = actions[action];
  for (const key of ['as', 'onExisting', 'retry'] as const) {
    if (value[key] !== undefined && kind.by === 'dmz') wrong('is only for what is delivered inside', key);
  }
  if (kind.by !== 'inside') return;
  const { destinations, onExisting } = insideAction(action as (typeof insideActionNames)[number]);
  if (destinations === 'one' && targetsOf(value[action]).length > 1) wrong('takes exactly one destination', action);
  if (onExisting !== undefined && value.onExisting !== undefined) wrong(`${action} always means ${onExisting}`, 'onExisting');
}

const targetsOf = (given: unknown): readonly Target[] => (Array.isArray(given) ? given : [given as Target]);

function planOf(given: Partial<RuleText>): PlanOfRule | undefined {
  const action = insideActionNames.find((name) => given[name] !== undefined);
  if (action === undefined) return undefined;
  const { onExisting, retry } = given;
  const targets = targetsOf(given[action]).map((one) => {
    const { to, as: own } = typeof one === 'string' ? { to: one, as: undefined } : one;
    const path = own ?? given.as;
    return { destination: to, ...(path === undefined ? {} : { as: path }) };
  });
  return {
    ...{ action, targets },
    ...(onExisting === undefined ? {} : { onExisting }),
    ...(retry === undefined ? {} : { retry: withoutNothing({ limit: retry.limit, waitMs: retry.wait }) }),
  };
}

/** What the DMZ does, or what becomes of its copy. */
function routeOf({ outbox, hold, delete: remove }: Partial<RuleText>, plan: PlanOfRule | undefined): Route {
  if (plan && insideAction(plan.action).source === 'kept') return { action: 'hold' };
  if (plan) return { action: 'deliver', destination: plan.targets[0]?.destination ?? '' };
  if (outbox !== undefined) return { action: 'outbox', partner: outbox };
  if (hold) return { action: 'hold' };
  return { action: remove ? 'delete' : 'ignore' };
}

export function toRule(given: RuleText, source: string, fallbackName: string): Rule {
  const plan = planOf(given);
  const complete = given.delay === undefined ? given.complete : 'quiet';
  return {
    name: given.name ?? fallbackName,
    source,
    ...withoutNothing({ partner: given.partner, path: given.path, minBytes: given.size?.min, maxBytes: given.size?.max }),
    route: routeOf(given, plan),
    ...(complete === undefined ? {} : { completion: withoutNothing({ complete, quietMs: given.delay }) }),
    ...withoutNothing({ plan, expect: given.expect }),
  };
}

/** The last rule of all: it takes what no other one takes. */
export const toFallback = (given: z.output<typeof fallbackSchema>, source: string): Rule => toRule(given, source, 'fallback');

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const withoutNothing = <T extends object>(all: T): Given<T> =>
  Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Given<T>;

export interface Known {
  readonly partners: readonly string[];
  /** Partners, and the Outboxes that are shared. */
  readonly outboxes: readonly string[];
  readonly destinations: readonly string[];
  /** Of the destinations those that are programs. */
  readonly programs: readonly string[];
}

/** References to other parts of the configuration, and expressions that do not compile. */
export function checkRules(part: Loaded<unknown>, rules: readonly RuleText[], known: Known, problems: ConfigProblem[]): void {
  for (const [index, given] of rules.entries()) checkRule(part, ['rules', index], given, known, problems);
}

/** The same for one rule, or the fallback. @param at Its place in the file. */
export function checkRule(
  part: Loaded<unknown>,
  at: readonly (string | number)[],
  given: Partial<RuleText>,
  known: Known,
  problems: ConfigProblem[],
): void {
  const wrong = (key: string, message: string): void => {
    const path = [...at, key];
    problems.push({ file: part.label, ...part.at(path), path: pathText(path), message });
  };
  const reference = (key: string, what: string, name: string, names: readonly string[]): void => {
    if (!names.includes(name)) wrong(key, `there is no ${what} "${name}"${didYouMean(name, names)}`);
  };
  const plan = planOf(given);
  for (const { destination } of plan?.targets ?? []) {
    const isProgram = insideAction(plan?.action ?? 'deliver').into === 'program';
    const names = isProgram ? known.programs : known.destinations;
    reference(plan?.action ?? '', isProgram ? 'program among the destinations' : 'destination', destination, names);
  }
  if (
    new Set(plan?.targets.map(({ destination, as: own }) => `${destination}/${own ?? ''}`)).size < (plan?.targets.length ?? 0)
  ) {
    wrong(plan?.action ?? '', 'a destination is named twice');
  }
  if (given.outbox !== undefined) reference('outbox', 'partner', given.outbox, known.outboxes);
  if (given.partner !== undefined && partnerName.safeParse(given.partner).success) {
    reference('partner', 'partner', given.partner, known.partners);
  }
  if (given.size?.min !== undefined && given.size.max !== undefined && given.size.min > given.size.max) {
    wrong('size', 'min is larger than max');
  }
  for (const key of ['partner', 'path'] as const) {
    const fault = given[key] === undefined ? undefined : expressionProblem(given[key]);
    if (fault !== undefined) wrong(key, fault);
  }
  for (const { as: own } of plan?.targets ?? []) {
    const fault = own === undefined ? undefined : problemOf(() => checkAs(own, given.path));
    if (fault !== undefined) wrong(own === given.as ? 'as' : (plan?.action ?? 'as'), fault);
    if (fault !== undefined && own === given.as) return;
  }
}

/** Why an expression does not compile, with its column; undefined when it does. */
const expressionProblem = (text: string): string | undefined => problemOf(() => compileExpression(text));

function checkAs(text: string, path: string | undefined): void {
  const groups = path === undefined || expressionProblem(path) !== undefined ? 0 : (compileExpression(path).groupCount ?? 0);
  new DestinationPath(text, groups, new ZoneClock('UTC'));
}

function problemOf(make: () => unknown): string | undefined {
  try {
    make();
    return undefined;
  } catch (error) {
    if (error instanceof SallyportError) return error.message;
    throw error;
  }
}
