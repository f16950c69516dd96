/** Rules as people write them in `conf.d`, and as the dispatcher reads them. */
import { z } from 'zod';
import type { Loaded } from '../shared/config/load.ts';
import { type ConfigProblem, pathText } from '../shared/config/problems.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { size } from '../shared/config/units.ts';
import { SallyportError } from '../shared/errors.ts';
import { compilePattern } from '../shared/matching/pattern.ts';
import { type Pattern, partnerName, type Route, type Rule } from '../shared/policy.ts';

const text = z.string().min(1).max(512);
const pattern = z
  .union([text, z.strictObject({ regex: text, ignoreCase: z.boolean().default(false) })])
  .describe('A glob over the whole text (`*.pdf`), or {regex: …, ignoreCase: …} in RE2 syntax, found anywhere.');

const actions = ['deliver', 'outbox', 'hold', 'delete', 'ignore'] as const;

const rule = z
  .strictObject({
    name: z.string().min(1).max(64).optional().describe('Shown in traces and logs.'),
    partner: pattern.optional(),
    path: pattern.optional().describe('Matched against the path below /Inbox/, without a leading slash.'),
    size: z.strictObject({ min: size().optional(), max: size().optional() }).optional(),
    deliver: z.string().min(1).max(64).optional().describe('Deliver to this destination.'),
    outbox: partnerName.optional().describe('Put into the Outbox of this partner, without leaving the DMZ.'),
    hold: z.literal(true).optional().describe('Keep it until somebody pulls it.'),
    delete: z.literal(true).optional().describe('Fetch nothing and delete it.'),
    ignore: z.literal(true).optional().describe('Leave it to its time limit.'),
  })
  .superRefine((value, context) => {
    const given = actions.filter((action) => value[action] !== undefined);
    if (given.length === 1) return;
    const what = given.length === 0 ? 'the action is missing' : `${given.join(' and ')} cannot be together`;
    context.addIssue({ code: 'custom', message: `${what}: exactly one of ${actions.join(', ')}`, input: value });
  });
export const rulesSchema = z.array(rule).max(20_000);
export type RuleText = z.output<typeof rule>;

const toPattern = (given: z.output<typeof pattern>): Pattern =>
  typeof given === 'string' ? { kind: 'glob', text: given } : { kind: 'regex', text: given.regex, ignoreCase: given.ignoreCase };

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
    ...(given.partner === undefined ? {} : { partner: toPattern(given.partner) }),
    ...(given.path === undefined ? {} : { path: toPattern(given.path) }),
    ...(given.size?.min === undefined ? {} : { minBytes: given.size.min }),
    ...(given.size?.max === undefined ? {} : { maxBytes: given.size.max }),
    route: toRoute(given),
  };
}

interface Known {
  readonly partners: readonly string[];
  readonly destinations: readonly string[];
}

/** References to other parts of the configuration, and patterns that do not compile. */
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
    if (given.outbox !== undefined) reference('outbox', 'partner', given.outbox, known.partners);
    if (typeof given.partner === 'string' && partnerName.safeParse(given.partner).success) {
      reference('partner', 'partner', given.partner, known.partners);
    }
    if (given.size?.min !== undefined && given.size.max !== undefined && given.size.min > given.size.max) {
      wrong('size', 'min is larger than max');
    }
    for (const key of ['partner', 'path'] as const) {
      const fault = given[key] === undefined ? undefined : patternFault(toPattern(given[key]));
      if (fault !== undefined) wrong(key, fault);
    }
  }
}

function patternFault(given: Pattern): string | undefined {
  try {
    compilePattern(given);
    return undefined;
  } catch (error) {
    if (error instanceof SallyportError) return error.message;
    throw error;
  }
}
