/**
 * The `uploads:` settings as people write them, for all partners (`policy.uploads`) and for one (`partners.NAME.uploads`):
 * docs/uploads.md explains each. What a partner leaves out is as for all.
 */
import { z } from 'zod';
import { duration } from '../../shared/config/units.ts';
import { SallyportError } from '../../shared/errors.ts';
import { matcherOf } from '../../shared/matching/expression.ts';
import { completionModes, defaultUploads, triggerSettingsSchema, type UploadSettings, withOwn } from '../../shared/uploads.ts';

const glob = z
  .string()
  .min(1)
  .max(64)
  .superRefine((text, context) => {
    if (text.includes('/')) context.addIssue({ code: 'custom', message: 'matched against the last component, which has no "/"' });
    try {
      matcherOf(text);
    } catch (error) {
      if (!(error instanceof SallyportError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  });

const trigger = z
  .strictObject({
    suffixes: triggerSettingsSchema.shape.suffixes
      .default(defaultUploads.trigger.suffixes)
      .describe('`x.csv` waits for `x.csv.done`, when this is `[.done]`.'),
    batch: z
      .array(glob)
      .max(16)
      .default(defaultUploads.trigger.batch)
      .describe('Globs of trigger names that complete all that waits in their folder.'),
    wait: duration({ min: '1s', max: '30d' })
      .prefault('1h')
      .describe('A trigger whose file did not come for so long is told as an alarm.'),
    deliver: z.enum(['last', 'no']).default('last').describe('Whether a trigger is delivered itself, after its files.'),
    verify: z
      .boolean()
      .default(true)
      .describe('Compare files with the digests, and their number with the count, that the trigger holds.'),
  })
  .transform(({ wait, ...rest }) => ({ ...rest, waitMs: wait }));
type Trigger = z.output<typeof trigger>;

/** What the DMZ is told, and what only the inside needs. */
export interface Uploads extends Omit<UploadSettings, 'trigger'> {
  readonly trigger: Trigger;
  readonly duplicates: 'deliver' | 'suppress' | 'quarantine';
  /** How long ago a file may have been delivered for another to be its duplicate. */
  readonly duplicateWindowMs: number;
}
export type OwnUploads = Partial<Uploads>;

const usual: Uploads = {
  ...defaultUploads,
  trigger: { ...defaultUploads.trigger, deliver: 'last', verify: true },
  duplicates: 'deliver',
  duplicateWindowMs: 24 * 3_600_000,
};

/** The part that the DMZ is told. */
export function forDmz<T extends OwnUploads>(uploads: T): Omit<T, 'duplicates' | 'duplicateWindowMs'> {
  const { duplicates: _kept, duplicateWindowMs: _inside, trigger: given, ...rest } = uploads;
  if (given === undefined) return rest as Omit<T, 'duplicates' | 'duplicateWindowMs'>;
  const { suffixes, batch, waitMs } = given;
  return { ...rest, trigger: { suffixes, batch, waitMs } } as unknown as Omit<T, 'duplicates' | 'duplicateWindowMs'>;
}

/** Sessions vouch for what they sent only a while after their end; what is quiet must be told before. */
const longestQuiet = '10m';

export const uploadsSchema = z
  .strictObject({
    complete: z.enum(completionModes).optional().describe('What completes an upload.'),
    temporaryNames: z
      .array(glob)
      .max(64)
      .optional()
      .describe('Names that are held back until the partner renames them, as globs on the last component.'),
    holdAlarm: duration({ min: '1m', max: '365d' }).optional().describe('What is held back for so long is told as an alarm.'),
    quiet: duration({ min: '1s', max: longestQuiet })
      .optional()
      .describe('With `complete: quiet`: complete when nothing touched the file for so long.'),
    trigger: trigger.optional().describe('With `complete: trigger`: which files say that others are complete.'),
    ghost: duration({ max: '30d' }).optional().describe('How long a file is still listed for its sender after it was taken.'),
    idleUpload: duration({ min: '5s', max: '7d' })
      .optional()
      .describe('An open upload that gets no byte for so long becomes a partial.'),
    takeOver: z
      .union([z.literal('never'), duration({ min: '1s', max: '1d' })])
      .optional()
      .describe('An open upload without a byte for so long gives way to another session that opens its name; or `never`.'),
    continueComplete: z
      .boolean()
      .optional()
      .describe('Whether a complete file that nobody took yet may be continued by appending to it.'),
    duplicates: z
      .enum(['deliver', 'suppress', 'quarantine'])
      .optional()
      .describe('What becomes of a file that was delivered before, with the same name and content.'),
    duplicateWindow: duration({ min: '1m', max: '30d' }).optional().describe('How long ago that may have been.'),
  })
  .superRefine((uploads, context) => {
    const modes = { quiet: ['quiet', 'trigger'], trigger: ['trigger'] } as const;
    for (const key of ['quiet', 'trigger'] as const) {
      const { complete } = uploads;
      if (uploads[key] === undefined || complete === undefined || modes[key].some((mode) => mode === complete)) continue;
      context.addIssue({ code: 'custom', path: [key], message: `has no effect with complete: ${complete}` });
    }
  })
  .transform(
    ({ holdAlarm, quiet, ghost, idleUpload, takeOver, duplicateWindow, ...rest }): OwnUploads =>
      without({
        ...rest,
        holdAlarmMs: holdAlarm,
        quietMs: quiet,
        ghostMs: ghost,
        idleUploadMs: idleUpload,
        takeOverMs: takeOver === 'never' ? null : takeOver,
        duplicateWindowMs: duplicateWindow,
      }),
  );

/** Only what is given. */
function without(settings: { readonly [K in keyof OwnUploads]: OwnUploads[K] | undefined }): OwnUploads {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** The settings of the whole node. */
export const uploadsOfAll = (given: OwnUploads): Uploads => withOwn(usual, given);
