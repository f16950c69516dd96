/** Rules as people write them in `conf.d`, and as the dispatcher reads them. */
import { z } from 'zod';
import type { Loaded } from '../shared/config/load.ts';
import { type ConfigProblem, pathText } from '../shared/config/problems.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { size } from '../shared/config/units.ts';
import { SallyportError } from '../shared/errors.ts';
import { DestinationPath } from '../shared/matching/destination-path.ts';
import { compileExpression } from '../shared/matching/expression.ts';
import { expressionText, partnerName, type Route, type Rule } from '../shared/policy.ts';

const expression = expressionText.describe('A matching expression (docs/matching.md): a glob like `*.pdf`, or m/…/, e/…/, t/…/.');

const actions = ['deliver', 'outbox', 'hold', 'delete', 'ignore'] as const;

const rule = z
  .strictObject({
    name: z.string().min(1).max(64).optional().describe('Shown in traces and logs.'),
    partner: expression.optional(),
    path: expression.optional().describe('Matching expression, tested against the path below /Inbox/, without a leading slash.'),
    size: z.strictObject({ min: size().optional(), max: size().optional() }).optional(),
    deliver: z.string().min(1).max(64).optional().describe('Deliver to this destination.'),
    as: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .describe(
        'With deliver: the path below the destination, `teams/{1}/{data.file_name}`; ending with / a folder. docs/rules.md.',
      ),
    expect: z
      .array(z.string().min(1).max(1024))
      .max(64)
      .optional()
      .describe('Paths below /Inbox/ that this rule must be the one to decide; `config check` tries them.'),
    outbox: partnerName.optional().describe('Put into the Outbox of this partner, or a shared one, without leaving the DMZ.'),
    hold: z.literal(true).optional().describe('Keep it until somebody pulls it.'),
    delete: z.literal(true).optional().describe('Fetch nothing and delete it.'),
    ignore: z.literal(true).optional().describe('Leave it to its time limit.'),
  })
  .superRefine((value, context) => {
    const given = actions.filter((action) => value[action] !== undefined);
    if (value.as !== undefined && value.deliver === undefined) {
      context.addIssue({ code: 'custom', path: ['as'], message: 'only what is delivered has a path inside', input: value.as });
    }
    if (given.length === 1) return;
    const what = given.length === 0 ? 'the action is missing' : `${given.join(' and ')} cannot be together`;
    context.addIssue({ code: 'custom', message: `${what}: exactly one of ${actions.join(', ')}`, input: value });
  });
export const rulesSchema = z.array(rule).max(20_000);
export type RuleText = z.output<typeof rule>;

function toRoute({ deliver, outbox, hold, delete: remove }: RuleText): Route {
  if (deliver !== undefined) return { action: 'deliver', destination: deliver };
  if (outbox !== undefined) return { action: 'outbox', partner: outbox };
  if (hold) return { action: 'hold' };
  return { action: remove ? 'delete' : 'ignore' };
}

export function toRule(given: RuleText, source: string, fallbackName: string): Rule {
  return {
    name: given.name ?? fallbackName,
    source,
    ...(given.partner === undefined ? {} : { partner: given.partner }),
    ...(given.path === undefined ? {} : { path: given.path }),
    ...(given.size?.min === undefined ? {} : { minBytes: given.size.min }),
    ...(given.size?.max === undefined ? {} : { maxBytes: given.size.max }),
    route: toRoute(given),
    ...(given.as === undefined ? {} : { as: given.as }),
    ...(given.expect === undefined ? {} : { expect: given.expect }),
  };
}

interface Known {
  readonly partners: readonly string[];
  /** Partners, and the Outboxes that are shared. */
  readonly outboxes: readonly string[];
  readonly destinations: readonly string[];
}

/** References to other parts of the configuration, and expressions that do not compile. */
export function checkRules(part: Loaded<unknown>, rules: readonly RuleText[], known: Known, problems: ConfigProblem[]): void {
  for (const [index, given] of rules.entries()) {
    const wrong = (key: string, message: string): void => {
      const path = ['rules', index, key];
      problems.push({ file: part.label, ...part.at(path), path: pathText(path), message });
    };
    const reference = (key: 'deliver' | 'outbox' | 'partner', what: string, name: string, names: readonly string[]): void => {
      if (!names.includes(name)) wrong(key, `there is no ${what} "${name}"${didYouMean(name, names)}`);
    };
    if (given.deliver !== undefined) reference('deliver', 'destination', given.deliver, known.destinations);
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
    const asFault = given.as === undefined ? undefined : problemOf(() => checkAs(given.as ?? '', given.path));
    if (asFault !== undefined) wrong('as', asFault);
  }
}

/** Why an expression does not compile, with its column; undefined when it does. */
const expressionProblem = (text: string): string | undefined => problemOf(() => compileExpression(text));

function checkAs(as: string, path: string | undefined): void {
  const groups = path === undefined || expressionProblem(path) !== undefined ? 0 : (compileExpression(path).groupCount ?? 0);
  new DestinationPath(as, groups, 'UTC');
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
