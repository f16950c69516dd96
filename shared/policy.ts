/**
 * What the inside tells the DMZ: the signed bundle for the node as a whole, and the grant for one session.
 * Every number a stranger can press against is here or in the DMZ host's own hard limits, with its unit in its name.
 */
import { z } from 'zod';
import type { InsideActionName, OnExisting } from './matching/actions.ts';
import { permissionsSchema } from './permissions/words.ts';
import { uploadOverridesSchema, uploadSettingsSchema } from './uploads.ts';

export const partnerName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, dot, underscore and hyphen, at most 63');
const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const millis = z
  .int()
  .min(0)
  .max(10 * 365 * 86_400_000);

/** Milliseconds since 1970. */
const instant = z.int().min(0).max(8.64e15);

/** Where a rule sends an item. `destination` is a name whose meaning only the inside knows. */
export const routeSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('deliver'), destination: z.string().min(1).max(64) }),
  z.strictObject({ action: z.literal('outbox'), partner: partnerName }),
  z.strictObject({ action: z.literal('hold') }),
  z.strictObject({ action: z.literal('delete') }),
  z.strictObject({ action: z.literal('ignore') }),
]);
export type Route = z.infer<typeof routeSchema>;

/** A matching expression as it is written (docs/matching.md). */
export const expressionText = z.string().min(1).max(520);

export const ruleSchema = z.strictObject({
  name: z.string().min(1).max(64),
  /** `rules.yaml:8`, for people. */
  source: z.string().max(256),
  partner: expressionText.optional(),
  /** Matched against the path below `/Inbox/`, without a leading slash. */
  path: expressionText.optional(),
  minBytes: bytes.optional(),
  maxBytes: bytes.optional(),
  route: routeSchema,
  /** How an upload that the rule is for is completed, instead of as its partner completes his. */
  completion: uploadOverridesSchema.pick({ complete: true, quietMs: true }).optional(),
});
/** A rule as the inside has it. */
export interface Rule extends z.infer<typeof ruleSchema> {
  /** What the inside does with the opened file; the DMZ is not told. */
  readonly plan?: PlanOfRule;
  /** Paths below the Inbox that this rule must be the one to decide; not told either. */
  readonly expect?: readonly string[];
}

/** When an item of a rule is tried again. */
export interface RetryOfRule {
  /** Failures after which it waits for staff; absent: never. */
  readonly limit?: number;
  /** Wait before the second attempt, which doubles from there. */
  readonly waitMs?: number;
}

interface PlanSettings {
  readonly action: InsideActionName;
  /** Instead of what the destinations say. */
  readonly onExisting?: OnExisting;
  readonly retry?: RetryOfRule;
}

/** What a rule does inside, as it is written. */
export interface PlanOfRule extends PlanSettings {
  /** In their order, at least one. `as`: the path below the destination (docs/rules.md). */
  readonly targets: readonly { readonly destination: string; readonly as?: string }[];
}

/** What the inside does with one item: each destination gets it once, in their order. */
export interface Plan extends PlanSettings {
  readonly targets: readonly PlannedTarget[];
}

export interface PlannedTarget {
  readonly destination: string;
  /** Below the destination: harmless components with `/` between them, before a number that may be added. */
  readonly file: string;
}

/** What the DMZ is told of a rule: neither what happens inside nor its examples. */
export const ruleForDmz = ({ plan: _inside, expect: _examples, ...rule }: Rule): z.infer<typeof ruleSchema> => rule;

/** A decision: the route and the rule that made it, or that no rule matched. */
export const decisionSchema = z.strictObject({
  route: z.union([routeSchema, z.strictObject({ action: z.literal('unrouted') })]),
  rule: z.string().max(330),
});
export type Decision = z.infer<typeof decisionSchema>;
/** A decision as the inside keeps it. */
export interface InsideDecision extends Decision {
  /** The path that its rule makes inside cannot be: it waits for staff, whatever the route of the rule is. */
  readonly unplaced?: true;
  /** What is done inside, when anything is. */
  readonly plan?: Plan;
}
/** What the DMZ is told: names inside are none of its business. */
export const decisionForDmz = ({ route, rule }: InsideDecision): Decision => ({ route, rule });

export const policyBundleSchema = z.strictObject({
  format: z.literal(1),
  /** Rises by at least one with each bundle; the DMZ refuses one that is not above the last it held. */
  number: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  issuedAtMs: instant,
  expiresAtMs: instant,
  listeners: z.array(z.enum(['sftp', 'ftps'])).max(2),
  /** Shown before login. */
  banner: z.string().max(2048),
  /** SFTP asks for a one-time code beside the password. */
  askForCode: z.boolean(),
  /** age recipients (`age1…`) every upload is sealed to. */
  recipients: z
    .array(z.string().regex(/^age1[a-z0-9]{58}$/))
    .min(1)
    .max(4),
  rules: z.array(ruleSchema).max(20_000),
  /** Of dates in expressions, `Europe/Berlin`. */
  timeZone: z.string().min(1).max(64),
  limits: z.strictObject({
    maxSessions: z.int().min(1).max(100_000),
    maxSessionsPerPartner: z.int().min(1).max(10_000),
    maxHandlesPerSession: z.int().min(1).max(4096),
    idleMs: millis,
    partialTtlMs: millis,
    tombstoneTtlMs: millis,
  }),
  /** Of every partner who has nothing of his own. */
  uploads: uploadSettingsSchema,
});
export type PolicyBundle = z.infer<typeof policyBundleSchema>;
export type PolicyLimits = PolicyBundle['limits'];

/** What one session may do, decided inside at login. */
/** What a partner's old client may need, or what he insists on, instead of what `ftps` of the DMZ node says. */
export const ftpsOfPartnerSchema = z.strictObject({
  requireEndOfData: z
    .boolean()
    .optional()
    .describe('false: an upload also counts as whole when its client ends the connection without close_notify.'),
  sessionBinding: z.enum(['prefer', 'require']).optional().describe('Whether data connections must resume the TLS session.'),
});

export const grantSchema = z.strictObject({
  partner: partnerName,
  /** What he may do where; docs/permissions.md. */
  permissions: permissionsSchema,
  quotaBytes: bytes,
  quotaFiles: z.int().min(0).max(10_000_000),
  maxFileBytes: bytes,
  maxPartials: z.int().min(0).max(10_000),
  /** Sessions at the same time, where it is fewer than the policy allows for one partner. */
  maxSessions: z.int().min(1).max(10_000).optional(),
  /** Bytes per second, of all his sessions together. */
  uploadBytesPerS: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  downloadBytesPerS: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  /** The folder in which his sessions begin, as he sees it; absent: `/`. */
  startIn: z.string().min(1).max(1024).optional(),
  /** Folders that are there once he is logged in, as he sees them. */
  makeFolders: z.array(z.string().min(1).max(1024)).max(256).optional(),
  /** What he sees beside `/Inbox` and `/Outbox`: other names of places in them, or of an Outbox that is shared. */
  folders: z
    .array(
      z.strictObject({
        path: z.string().min(2).max(1024),
        place: z.string().min(2).max(1024),
        owner: partnerName.optional(),
      }),
    )
    .max(64)
    .optional(),
  onExisting: z.enum(['keep-both', 'replace', 'refuse']),
  /** What differs from `uploads` of the policy. */
  uploads: uploadOverridesSchema.optional(),
  ftps: ftpsOfPartnerSchema.optional(),
});
export type Grant = z.infer<typeof grantSchema>;
