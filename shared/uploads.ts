/**
 * When an upload of a partner is complete, and what his names may do meanwhile (reliability.md §2.8, §2.9). The values of
 * the whole node travel in the signed policy; what one partner has of his own comes with the grant of his session, because
 * the DMZ keeps no list of partners.
 */
import { z } from 'zod';

const millis = z
  .int()
  .min(0)
  .max(10 * 365 * 86_400_000);
const glob = z.string().min(1).max(64);

/**
 * `close`: by closing it · `rename`: by a rename to its final name · `trigger`: when a trigger file says so · `quiet`: when
 * nothing touched it for a while · `session-end`: when the session that sent it is over.
 */
export const completionModes = ['close', 'rename', 'trigger', 'quiet', 'session-end'] as const;
export type CompletionMode = (typeof completionModes)[number];

export const triggerSettingsSchema = z.strictObject({
  /** `x.csv` waits for `x.csv` with one of these behind it. */
  suffixes: z.array(z.string().regex(/^[.~_-][^/]{1,31}$/)).max(16),
  /** Globs of names that complete everything that waits in their folder. */
  batch: z.array(glob).max(16),
  /** A trigger whose file did not come for so long is told as an alarm, once. */
  waitMs: millis,
});
export type TriggerSettings = z.infer<typeof triggerSettingsSchema>;

export const uploadSettingsSchema = z.strictObject({
  complete: z.enum(completionModes),
  /** Globs on the last component: held back until they are renamed, whatever `complete` says. */
  temporaryNames: z.array(glob).max(64),
  /** What is held back for longer is told as an alarm, once; it is never removed for that. */
  holdAlarmMs: millis,
  /** With `quiet`: for how long nothing must touch the name. */
  quietMs: millis,
  trigger: triggerSettingsSchema,
  /** How long after its session a file that was taken is still shown to its sender. */
  ghostMs: millis,
  /** An open upload that gets no byte for so long becomes a partial. */
  idleUploadMs: millis,
  /** An open upload that got no byte for so long may be taken over by another session; null: never. */
  takeOverMs: millis.nullable(),
  /** Whether a complete file that nobody took yet may be continued. */
  continueComplete: z.boolean(),
});
export type UploadSettings = z.infer<typeof uploadSettingsSchema>;

/** The suffix by which a name is the trigger of one file; `name` in NFC. */
export const triggerSuffix = (name: string, suffixes: readonly string[]): string | undefined =>
  suffixes.find((suffix) => name.length > suffix.length && name.endsWith(suffix));

/** What one partner has of his own. */
export const uploadOverridesSchema = uploadSettingsSchema.partial();
export type UploadOverrides = z.infer<typeof uploadOverridesSchema>;

/** What holds for somebody: his own, where he has something of his own. */
export function withOwn<T extends object>(all: T, own: { readonly [K in keyof T]?: T[K] | undefined } | undefined): T {
  const given = Object.entries(own ?? {}).filter(([, value]) => value !== undefined);
  return { ...all, ...(Object.fromEntries(given) as Partial<T>) };
}

/** Names that programs write under before they rename: WinSCP, rclone, browsers, editors, rsync. */
export const usualTemporaryNames = [
  '*.part',
  '*.filepart',
  '*.partial',
  '*.tmp',
  '*.temp',
  '*.upload',
  '*.uploading',
  '*.crdownload',
  '*.!*',
  '.*',
  '~*',
  '*~',
] as const;

/** What holds when nothing is written, and on the DMZ while no policy is in force. */
export const defaultUploads: UploadSettings = {
  complete: 'close',
  temporaryNames: [...usualTemporaryNames],
  holdAlarmMs: 24 * 3_600_000,
  quietMs: 30_000,
  trigger: { suffixes: ['.done', '.ok', '.md5', '.sha256'], batch: ['ALL.done'], waitMs: 3_600_000 },
  ghostMs: 10 * 60_000,
  idleUploadMs: 10 * 60_000,
  takeOverMs: 60_000,
  continueComplete: false,
};
