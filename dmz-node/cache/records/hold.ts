/** Why an item that is whole is held back, and until when. */

/**
 * `name`: a temporary name · `rename`, `quiet`, `session-end`, `trigger`: as its partner completes uploads · `file`, `folder`: a
 * trigger whose file, or whose first file, has not come.
 */
export type HoldKind = 'name' | 'rename' | 'quiet' | 'session-end' | 'trigger' | 'file' | 'folder';

/** Held until the partner renames it: nobody was promised what has such a name. */
export const waitsForRename = (hold: HoldKind | null): boolean => hold === 'name' || hold === 'rename';

export interface Hold {
  readonly kind: HoldKind;
  /** When it is complete by itself; null: something must happen first. */
  readonly dueMs: number | null;
  /** When it has waited for so long that somebody should know. */
  readonly alarmMs: number;
  /** What it has to do with triggers. */
  readonly pairing?: Pairing;
}

/** What a name is to a partner who completes uploads by triggers. */
export type Pairing =
  /** `triggerNames`: of any of these names the trigger is. */
  | { readonly role: 'file'; readonly triggerNames: readonly string[]; readonly quietMs: number }
  /** `fileName`: the file that it completes. */
  | { readonly role: 'trigger'; readonly fileName: string }
  /** It completes all that waits in its folder. */
  | { readonly role: 'batch' };
