/**
 * The actions of rules, one row each: who carries an action out, where its files go, what becomes of the DMZ's copy. The
 * configuration, the decision (routing.ts), both nodes and the dry run read this table; there is no other list of actions.
 */

/** What becomes of a file whose name is taken at a destination. */
export const existingChoices = ['number', 'replace', 'fail', 'skip'] as const;
export type OnExisting = (typeof existingChoices)[number];

interface DmzAction {
  /** Needs no opened file: the DMZ does it by the signed policy. */
  readonly by: 'dmz';
  readonly meaning: string;
}

interface InsideAction {
  /** Needs the opened file: the DMZ only hears what becomes of its own copy. */
  readonly by: 'inside';
  readonly meaning: string;
  readonly destinations: 'one' | 'several';
  /** Whether destinations are folders or programs, or both. */
  readonly into: 'any' | 'program';
  /** Once every destination has the file, the DMZ's copy is removed, or stays and is held. */
  readonly source: 'taken' | 'kept';
  /** Where a file lies when its rule does not say: below a folder of its partner with the path he gave, or by its own name. */
  readonly place: 'partner' | 'name';
  /** What is put into its name, so that no two are alike. */
  readonly naming: 'plain' | 'timestamp' | 'unixtime';
  /** Whatever the destination says. */
  readonly onExisting?: OnExisting;
}

const taken = { by: 'inside', source: 'taken', naming: 'plain', place: 'name', into: 'any' } as const;

export const actions = {
  deliver: {
    ...taken,
    destinations: 'several',
    place: 'partner',
    meaning: 'below FOLDER/PARTNER/, with the folders of its path',
  },
  move: { ...taken, destinations: 'several', meaning: 'into FOLDER under its own name' },
  copy: { ...taken, destinations: 'several', source: 'kept', meaning: 'as move, and the DMZ keeps the file' },
  rename: { ...taken, destinations: 'one', onExisting: 'fail', meaning: 'as move, and never beside or over another' },
  'move-with-timestamp': {
    ...taken,
    destinations: 'several',
    naming: 'timestamp',
    meaning: 'as move, with the moment before the ending of the name',
  },
  'rename-prepend-unixtime': {
    ...taken,
    destinations: 'one',
    onExisting: 'fail',
    naming: 'unixtime',
    meaning: 'as rename, with the seconds since 1970 before the name',
  },
  execute: { ...taken, destinations: 'one', into: 'program', meaning: 'a program inside gets the file' },
  outbox: { by: 'dmz', meaning: "into that partner's Outbox, still sealed" },
  hold: { by: 'dmz', meaning: 'it waits until staff pull it' },
  delete: { by: 'dmz', meaning: 'it is removed, unread' },
  ignore: { by: 'dmz', meaning: 'it is left to its time limit' },
} as const satisfies Record<string, DmzAction | InsideAction>;

export type ActionName = keyof typeof actions;
export const actionNames = Object.keys(actions) as readonly ActionName[];

/** Actions that need the opened file. */
export type InsideActionName = { [N in ActionName]: (typeof actions)[N]['by'] extends 'inside' ? N : never }[ActionName];
export const insideActionNames = actionNames.filter((name): name is InsideActionName => actions[name].by === 'inside');

export const insideAction = (name: InsideActionName): InsideAction => actions[name];
