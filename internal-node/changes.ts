/**
 * What one configuration changes about another, in words for people: partners, groups, rules, settings, and whose sessions end.
 * Nothing that is secret is told: of a password only that it is another one, of keys their fingerprints.
 */
import { isDeepStrictEqual } from 'node:util';
import { writeDuration, writeSize } from '../shared/config/units.ts';
import type { Rule } from '../shared/policy.ts';
import type { InternalSettings } from './config.ts';
import { defaultGroup, type GroupConfig, type PartnerConfig } from './policy/partners.ts';
import type { PermissionSettings } from './policy/permission-settings.ts';

export interface Change {
  readonly kind: 'partner' | 'group' | 'shared outbox' | 'rule' | 'setting';
  readonly name: string;
  readonly sign: '+' | '-' | '~';
  /** What is different, one part each. */
  readonly parts: readonly string[];
  /** Where it stands: afterwards, or before when it goes. */
  readonly by: string;
}

export interface Changes {
  readonly changes: readonly Change[];
  /** Whose live sessions end, because they could not log in any more as they did. */
  readonly ended: readonly string[];
  /** Settings that only a restart brings into force. */
  readonly afterRestart: readonly string[];
}

export type Compared = Omit<InternalSettings, 'dmz'> & Partial<Pick<InternalSettings, 'dmz'>>;

export function changesBetween(before: Compared, after: Compared): Changes {
  const [policy, others] = settingsBetween(before, after);
  const changes = [
    ...ofKind('partner', before, after),
    ...ofKind('group', before, after),
    ...sharedBetween(before, after),
    ...rulesBetween(before.rules, after.rules),
    ...[...policy, ...others].map((parts): Change => ({ kind: 'setting', name: parts, sign: '~', parts: [], by: '' })),
  ];
  return { changes, ended: sessionsEnded(before, after), afterRestart: others };
}

type Kept = Pick<InternalSettings, 'partners' | 'groups'>;

/** The partners of `before` whose sessions a change to `after` ends: gone, disabled, or with other means to log in. */
export const sessionsEnded = (before: Kept, after: Kept): readonly string[] =>
  Object.keys(before.partners).filter((name) => loginOf(before, name) !== loginOf(after, name));

/** What decides whether a partner can log in. What he may do is settled at his login: a change of that is for the next one. */
function loginOf({ partners, groups }: Kept, name: string): string {
  const partner = partners[name];
  if (!partner) return '';
  const login: Partial<PartnerConfig> = { ...partner };
  for (const key of settledAtLogin) delete login[key];
  const named = partner.groups ?? [defaultGroup];
  return JSON.stringify([login, named.map((group) => [groups[group]?.disabled ?? false, groups[group]?.from])]);
}

const settledAtLogin = [
  ...(['permissions', 'uploads', 'onExisting', 'quota', 'quotaFiles', 'maxFileSize', 'maxPartials'] as const),
  ...([
    'maxSessions',
    'uploadRate',
    'downloadRate',
    'home',
    'amendName',
    'startIn',
    'makeFolders',
    'folders',
    'ftps',
    'formerPasswords',
  ] as const),
] as const;

type Has = Readonly<Record<string, unknown>>;

function ofKind(kind: 'partner' | 'group', before: Compared, after: Compared): readonly Change[] {
  const key = kind === 'partner' ? 'partners' : 'groups';
  const [old, now] = [before[key], after[key]] as readonly [Record<string, Has>, Record<string, Has>];
  const permissions = { old: before.permissions[key], now: after.permissions[key] };
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].sort().flatMap((name): Change[] => {
    const [had, has] = [old[name], now[name]];
    if (!has) return [{ kind, name, sign: '-', parts: [], by: before.place(key, name) }];
    const by = after.place(key, name);
    if (!had) return [{ kind, name, sign: '+', parts: partsBetween({}, has), by }];
    const parts = [...partsBetween(had, has), ...linesBetween(permissions.old.get(name), permissions.now.get(name))];
    return parts.length === 0 ? [] : [{ kind, name, sign: '~', parts, by }];
  });
}

/** Permissions are told line by line; former passwords are nobody's business. */
const toldElsewhere = new Set(['permissions', 'formerPasswords']);
/** Of what is called so, only that it is another one. */
const secret = /password|secret|seed|token/i;
const sizes = new Set(['quota', 'maxFileSize', 'uploadRate', 'downloadRate']);

function partsBetween(had: Has, has: Has): string[] {
  const names = [...new Set([...Object.keys(had), ...Object.keys(has)])].filter((name) => !toldElsewhere.has(name));
  return names.flatMap((name): string[] => {
    const [old, now] = [had[name], has[name]];
    if (isDeepStrictEqual(old, now)) return [];
    if (secret.test(name)) return [`${name} ${old === undefined ? 'set' : now === undefined ? 'removed' : 'changed'}`];
    if (name === 'keys') return keysBetween('key', old, now);
    if (name === 'authorities') return keysBetween('authority', old, now);
    if (old === undefined && isUnset(now)) return [];
    return [`${name}: ${shown(name, old)} → ${shown(name, now)}`];
  });
}

/** A value that schemas give where nothing is written. */
const isUnset = (value: unknown): boolean => value === false || value === 'any' || (Array.isArray(value) && value.length === 0);

function keysBetween(word: 'key' | 'authority', old: unknown, now: unknown): string[] {
  const prints = (keys: unknown) => (Array.isArray(keys) ? (keys as PartnerConfig['keys']).map((key) => key.fingerprint) : []);
  const [had, has] = [prints(old), prints(now)];
  return [
    ...has.filter((print) => !had.includes(print)).map((print) => `+ ${word} ${print}`),
    ...had.filter((print) => !has.includes(print)).map((print) => `- ${word} ${print}`),
  ];
}

function shown(name: string, value: unknown): string {
  if (value === undefined) return 'none';
  if (typeof value === 'number') {
    if (sizes.has(name)) return writeSize(value);
    return name === 'expires' ? new Date(value).toISOString().slice(0, 16) : String(value);
  }
  if (name === 'from') return (value as NonNullable<GroupConfig['from']>).map(rangeText).join(', ');
  if (typeof value === 'string' || typeof value === 'boolean') return String(value);
  return JSON.stringify(value, (key, part) => (/Ms$/.test(key) && typeof part === 'number' ? writeDuration(part) : part));
}

const rangeText = ({ allow, address, prefix }: NonNullable<GroupConfig['from']>[number]): string =>
  `${allow ? '' : 'deny '}${address}/${prefix}`;

function linesBetween(old: PermissionSettings | undefined, now: PermissionSettings | undefined): string[] {
  const lines = (settings: PermissionSettings | undefined): string[] =>
    settings
      ? [...settings.paths, settings.global].map(({ on, set }) => `${on ?? 'all others'}: ${set.join(', ') || 'nothing'}`)
      : [];
  const [had, has] = [lines(old), lines(now)];
  if (isDeepStrictEqual(had, has)) return [];
  const parts = [
    ...has.filter((line) => !had.includes(line)).map((line) => `+ permissions ${line}`),
    ...had.filter((line) => !has.includes(line)).map((line) => `- permissions ${line}`),
  ];
  return parts.length > 0 ? parts : ['permissions: the order of the lines'];
}

function sharedBetween({ sharedOutboxes: old }: Compared, { sharedOutboxes: now }: Compared): readonly Change[] {
  const of = (names: readonly string[], sign: '+' | '-') =>
    names.map((name): Change => ({ kind: 'shared outbox', name, sign, parts: [], by: '' }));
  return [
    ...of(
      now.filter((name) => !old.includes(name)),
      '+',
    ),
    ...of(
      old.filter((name) => !now.includes(name)),
      '-',
    ),
  ];
}

/** What a rule says, without its place and its name. */
const contentsOf = ({ source: _place, name: _name, ...contents }: Rule): string => JSON.stringify(contents);

function rulesBetween(before: readonly Rule[], after: readonly Rule[]): readonly Change[] {
  const byName = (rules: readonly Rule[]) => new Map(rules.map((rule) => [rule.name, rule]));
  const [old, now] = [byName(before), byName(after)];
  const changed = (rule: Rule, sign: Change['sign'], parts: string[] = []): Change => ({
    ...{ kind: 'rule', name: rule.name, sign, parts, by: rule.source },
  });
  const common = after.filter(({ name }) => old.has(name));
  const order = before.filter(({ name }) => now.has(name));
  const moved = new Set(common.filter((rule, index) => order[index]?.name !== rule.name).map(({ name }) => name));
  return [
    ...after.flatMap((rule): Change[] => {
      const was = old.get(rule.name);
      if (!was) return [changed(rule, '+', [contentsOf(rule)])];
      const parts = [
        ...(contentsOf(was) === contentsOf(rule) ? [] : [`${contentsOf(was)} → ${contentsOf(rule)}`]),
        ...(moved.has(rule.name) ? ['another place in the order'] : []),
      ];
      return parts.length === 0 ? [] : [changed(rule, '~', parts)];
    }),
    ...before.filter(({ name }) => !now.has(name)).map((rule) => changed(rule, '-')),
  ];
}

/** Told in other ways, or no settings. */
const notSettings = new Set([
  ...[
    'version',
    'file',
    'files',
    'digests',
    'partners',
    'groups',
    'sharedOutboxes',
    'permissions',
    'place',
    'partnerSources',
    'rules',
  ],
]);
/** Told key by key: these are in force with the next bundle or the next login, but for those that are read when the node starts. */
const inForceAtOnce = ['policy', 'authentication'];
const readAtStart = new Set([
  'policy.expires',
  ...['concurrentHashes', 'failuresPerAccount', 'passwordChecksPerMinute', 'keyChecksPerMinute'].map(
    (key) => `authentication.${key}`,
  ),
]);

/** @returns what is in force at once, and what is after a restart. */
function settingsBetween(before: Compared, after: Compared): readonly [readonly string[], readonly string[]] {
  const changed = differing(before, after).filter((key) => !notSettings.has(key));
  const names = changed.flatMap((key) =>
    inForceAtOnce.includes(key) ? differing(part(before, key), part(after, key)).map((name) => `${key}.${name}`) : [key],
  );
  const atOnce = names.filter((name) => inForceAtOnce.includes(name.split('.')[0] ?? '') && !readAtStart.has(name));
  return [atOnce, names.filter((name) => !atOnce.includes(name))];
}

const differing = (before: object, after: object): readonly string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => !isDeepStrictEqual((before as Has)[key], (after as Has)[key]),
  );

const part = (of: object, key: string): object => ((of as Has)[key] ?? {}) as object;
