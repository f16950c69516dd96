/**
 * The configuration of the internal node: `sallyport.yaml` and the files it includes, which hold partners and rules.
 * Loading checks everything that the files alone can tell, across all of them, and names the place of each problem.
 *
 * In `InternalConfig` sizes are bytes, durations milliseconds and paths absolute. Keys and folders are not opened here.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  checkSocketPath,
  fingerprint,
  freeSpace,
  logSettings,
  nodeName,
  path,
  threads,
  version,
  whole,
} from '../shared/config/fields.ts';
import { type Loaded, type LoadedConfig, loadConfig, sourceOf } from '../shared/config/load.ts';
import { ConfigError, type ConfigProblem, pathText } from '../shared/config/problems.ts';
import { checkFile } from '../shared/config/schema-check.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { address, duration, writeDuration } from '../shared/config/units.ts';
import { readYamlFile } from '../shared/config/yaml-file.ts';
import { SallyportError } from '../shared/errors.ts';
import { hostTimeZone, isTimeZone } from '../shared/matching/dates.ts';
import { Layout } from '../shared/paths/layout.ts';
import { areaOf } from '../shared/permissions/acts.ts';
import type { PolicyLimits, Rule } from '../shared/policy.ts';
import { withOwn } from '../shared/uploads.ts';
import { authenticationSchema, checkAuthentication, resolvedAuthentication, sourcesOf } from './config-authentication.ts';
import {
  type Destination,
  destinationName,
  destinationSchema,
  destinationsOf,
  type ProgramSettings,
  programsOf,
} from './config-destinations.ts';
import { checkRule, checkRules, fallbackSchema, rulesSchema, toFallback, toRule } from './config-rules.ts';
import { refusePrivateKeys } from './config-secrets.ts';
import { type AccountSettings, foldersOf } from './policy/accounts.ts';
import {
  defaultGroup,
  folderGrant,
  type Groups,
  groupsSchema,
  type Partners,
  partnersSchema,
  sharedOutboxesSchema,
} from './policy/partners.ts';
import { type PermissionSettings, withSources } from './policy/permission-settings.ts';
import { type Uploads, uploadsOfAll, uploadsSchema } from './policy/uploads.ts';

const tunnel = z
  .strictObject({
    classicalKeyExchange: z
      .boolean()
      .default(false)
      .describe('Admit a TLS key exchange that is not post-quantum. Only for an old DMZ node; status warns of it.'),
    dataSockets: whole(1, 64).default(32).describe('Streams of contents at the same time, each on a socket of its own.'),
  })
  .prefault({});

const outgoing = z
  .strictObject({
    folder: path().describe('Files below FOLDER/PARTNER/ are offered to that partner.'),
    settle: duration({ min: '100ms', max: '1h' }).prefault('2s').describe('A file that did not change for so long is finished.'),
    rescan: duration({ min: '1s', max: '1d' }).prefault('10s').describe('How often the whole folder is looked through.'),
    expires: duration({ min: '1m' }).prefault('30d').describe('Offered files that nobody fetched are removed after this time.'),
    after: z.enum(['delete', 'archive']).default('archive').describe('What becomes of the file once it is offered.'),
    ignore: z
      .array(z.string().min(1).max(256))
      .max(100)
      .default(['.*', '*.tmp', '*.part', '*.partial', '*.filepart', '~*'])
      .describe('Globs on the file name that are never offered.'),
  })
  .describe('Folder that staff drop files into; leave it out to offer files only with `sallyport push`.');

const limits = z
  .strictObject({
    maxSessions: whole(1, 100_000).default(1000).describe('Partner sessions of the DMZ node at the same time.'),
    maxSessionsPerPartner: whole(1, 10_000).default(64).describe('Of these, of one partner.'),
    maxHandlesPerSession: whole(1, 4096).default(256).describe('Open files and folders of one session.'),
    idle: duration({ min: '1s' }).prefault('15m').describe('A session without a request or a moving byte ends.'),
    partialTtl: duration({ min: '1m' }).prefault('7d').describe('How long an interrupted upload can be resumed.'),
    tombstoneTtl: duration({ min: '1h' }).prefault('30d').describe('How long the DMZ node remembers that a file was taken.'),
  })
  .prefault({});

const policy = z
  .strictObject({
    expires: duration({ min: '1m', max: '365d' })
      .prefault('24h')
      .describe('How long the DMZ node works by the last policy when the tunnel is down.'),
    banner: z.string().max(2048).default('').describe('Shown to partners before login.'),
    timeZone: z
      .string()
      .refine(isTimeZone, 'is no time zone; write one like Europe/Berlin or UTC')
      .default(hostTimeZone)
      .describe('Time zone of dates in expressions (t/…/); default: of this host.'),
    limits,
    uploads: uploadsSchema.prefault({}).describe('When uploads of all partners are complete, and more about them.'),
  })
  .prefault({});

const sessions = z
  .strictObject({
    maxLife: duration({ min: '1m' })
      .prefault('24h')
      .describe('A session ends at the latest after this time; an upload under way is kept as a partial.'),
    grace: duration().prefault('15m').describe('How long after its end a session still vouches for uploads it had finished.'),
  })
  .prefault({});

const pull = z
  .strictObject({
    concurrency: whole(1, 64)
      .default(4)
      .describe('Items that are fetched at the same time; of small ones, up to 1 MiB, four times as many.'),
    poll: duration({ min: '100ms', max: '1h' }).prefault('15s').describe('How often the DMZ node is asked, besides its hints.'),
    retryFirst: duration({ min: '100ms' }).prefault('1s').describe('Wait before the second attempt; it doubles from there.'),
    retryMost: duration({ min: '1s', max: '12h' }).prefault('5m').describe('Longest wait between two attempts.'),
  })
  .prefault({});

export const internalConfigSchema = z.strictObject({
  version,
  name: nodeName,
  state: path().default('state').describe('Folder of the records, keys and staging, mode 0700.'),
  keys: path().optional().describe('Folder of the keys, mode 0700; default: keys in the state folder.'),
  dmz: z
    .strictObject({
      address: address().describe('Host and port of the tunnel listener of the DMZ node.'),
      fingerprint: fingerprint('dmz').describe('SPD-…: the only DMZ node that is talked to.'),
    })
    .optional()
    .describe('Written by `sallyport connect`.'),
  tunnel,
  include: z
    .array(z.string().min(1).max(256))
    .max(32)
    .default(['conf.d/**/*.yaml'])
    .describe('Globs of files with partners and rules, relative to this file.'),
  destinations: z.record(destinationName, destinationSchema).default({}).describe('Where rules deliver to, by name.'),
  outgoing: outgoing.optional(),
  policy,
  sessions,
  authentication: authenticationSchema,
  pull,
  staging: z
    .strictObject({ minimumFree: freeSpace().prefault('1GiB').describe('Nothing is fetched when less is free: 5% or 2GiB.') })
    .prefault({}),
  drainTimeout: duration({ max: '1d' })
    .prefault('30s')
    .describe('How long deliveries may go on after the node was told to stop.'),
  admin: z
    .strictObject({
      socket: path().optional().describe('Unix socket of the admin commands; default: admin/socket in the state folder.'),
    })
    .prefault({}),
  workers: z.strictObject({ seal: threads }).prefault({}),
  log: logSettings,
});

const partContents = z.strictObject({
  partners: partnersSchema.optional().describe('Partners by name.'),
  groups: groupsSchema.optional().describe('Groups by name: what their members have unless they have it of their own.'),
  sharedOutboxes: sharedOutboxesSchema
    .optional()
    .describe(
      'Names of Outboxes that several partners see as a folder (`folders`); files go into them as into that of a partner.',
    ),
  rules: rulesSchema.optional().describe('Rules in the order in which they are tried; files in the order of their names.'),
  fallback: fallbackSchema.optional().describe('What becomes of files that no rule takes; one of all files may say so.'),
});
export const partSchema = z.unknown().superRefine(refusePrivateKeys).pipe(partContents);

/** What a file of `conf.d` may hold, for the generated documentation. */
export const partContentsSchema = partContents;

type Settings = z.output<typeof internalConfigSchema>;
type Part = z.output<typeof partSchema>;

/** All but the DMZ node, which is known only after `sallyport connect`. */
export interface InternalSettings extends Omit<Settings, 'keys' | 'admin' | 'policy' | 'destinations' | 'include'> {
  /** The main file, absolute. */
  readonly file: string;
  /** All files that were read, absolute. */
  readonly files: readonly string[];
  readonly keys: string;
  readonly admin: { readonly socket: string };
  readonly policy: {
    readonly expires: number;
    readonly banner: string;
    readonly timeZone: string;
    readonly limits: PolicyLimits;
    readonly uploads: Uploads;
  };
  readonly destinations: readonly Destination[];
  readonly programs: readonly ProgramSettings[];
  readonly partners: Partners;
  readonly groups: Groups;
  readonly sharedOutboxes: readonly string[];
  /** With the place of each line. */
  readonly permissions: AccountSettings['permissions'];
  /** `conf.d/partners.yaml:3` of a partner or a group, or of a key of it. */
  readonly place: AccountSettings['place'];
  /** `conf.d/partners.yaml:3` for each partner. */
  readonly partnerSources: ReadonlyMap<string, string>;
  readonly rules: readonly Rule[];
}

export interface InternalConfig extends InternalSettings {
  readonly dmz: NonNullable<Settings['dmz']>;
}

/** What serving needs. @throws ConfigError as `loadInternalSettings` does, and when the DMZ node is not known yet. */
export async function loadInternalConfig(file: string): Promise<InternalConfig> {
  const settings = await loadInternalSettings(file);
  const { dmz } = settings;
  if (dmz) return { ...settings, dmz };
  const message = 'the DMZ node is not known yet; run: sallyport connect HOST:PORT --dmz SPD-…';
  throw new ConfigError([{ file, line: 1, column: 1, path: 'dmz', message }]);
}

/**
 * @param references `unchecked`: rules may name partners and destinations that are not there (yet). For commands that are
 *   to mend exactly that.
 * @throws ConfigError with every problem of all files. Opens nothing but the files.
 */
export async function loadInternalSettings(
  file: string,
  references: 'checked' | 'unchecked' = 'checked',
): Promise<InternalSettings> {
  return resolved(await loadWith(file, { references }));
}

/**
 * A configuration that is not in its place yet: a folder with the files that would stand beside the main file, and with a main
 * file of its own if that is to change, too. Relative paths in it mean what they will mean in their place.
 * @param file The main file that is in use.
 */
export async function loadPlannedSettings(folder: string, file: string): Promise<InternalSettings> {
  const own = join(resolve(folder), basename(file));
  const loaded = await loadWith(existsSync(own) ? own : file, { references: 'checked', folder: resolve(folder), place: file });
  return resolved(loaded, resolve(file));
}

/** The same settings with the rules of another file in place of all rules. @throws ConfigError */
export async function withRulesOf(settings: InternalSettings, file: string): Promise<InternalSettings> {
  const yaml = await readYamlFile(file);
  const problems: ConfigProblem[] = [...yaml.problems];
  const value = problems.length === 0 ? checkFile(yaml, rulesFileSchema, problems) : undefined;
  if (value) {
    const part = { value, label: yaml.label, file: resolve(file), at: yaml.at, keyAt: yaml.keyAt };
    const partners = Object.keys(settings.partners);
    const known = {
      ...{ partners, outboxes: [...partners, ...settings.sharedOutboxes] },
      destinations: [...settings.destinations, ...settings.programs].map(({ name }) => name),
      programs: settings.programs.map(({ name }) => name),
    };
    checkRules(part, value.rules, known, problems);
    if (value.fallback) checkRule(part, ['fallback'], value.fallback, known, problems);
    if (problems.length === 0) return { ...settings, rules: allRules([part]) };
  }
  throw new ConfigError(problems);
}

const rulesFileSchema = z.strictObject({ rules: rulesSchema, fallback: fallbackSchema.optional() });

interface LoadOptions {
  readonly references: 'checked' | 'unchecked';
  readonly folder?: string;
  /** Where the main file will be. */
  readonly place?: string;
}

const loadWith = (file: string, { references, folder, place = file }: LoadOptions) =>
  loadConfig(file, internalConfigSchema, {
    include: { key: 'include', fallback: ['conf.d/**/*.yaml'], folder, schema: partSchema },
    check: (config, problems) => {
      checkTogether(config, place, problems);
      if (references === 'checked') checkReferences(config, problems);
    },
  });

export type MainSettings = Pick<InternalSettings, 'file' | 'name' | 'state' | 'keys' | 'dmz' | 'admin'>;

/** Only the main file: what a command needs to reach a running node, also when a file of `conf.d` is wrong. */
export async function loadMainSettings(file: string): Promise<MainSettings> {
  const { main } = await loadConfig(file, internalConfigSchema);
  return resolved({ main, parts: [] });
}

function resolved({ main, parts }: LoadedConfig<Settings, Part>, file: string = main.file): InternalSettings {
  const { value } = main;
  const folder = dirname(file);
  const state = resolve(folder, value.state);
  const { idle, partialTtl, tombstoneTtl, ...counts } = value.policy.limits;
  return {
    ...value,
    file,
    files: [main.file, ...parts.map((part) => part.file)],
    state,
    keys: value.keys === undefined ? join(state, 'keys') : resolve(folder, value.keys),
    admin: { socket: socketOf(value, file) },
    policy: {
      expires: value.policy.expires,
      banner: value.policy.banner,
      timeZone: value.policy.timeZone,
      limits: { ...counts, idleMs: idle, partialTtlMs: partialTtl, tombstoneTtlMs: tombstoneTtl },
      uploads: uploadsOfAll(value.policy.uploads),
    },
    destinations: destinationsOf(value.destinations, folder),
    programs: programsOf(value.destinations),
    authentication: resolvedAuthentication(value.authentication, folder),
    outgoing: value.outgoing && { ...value.outgoing, folder: resolve(folder, value.outgoing.folder) },
    partners: Object.assign({}, ...parts.map((part) => part.value.partners ?? {})) as Partners,
    groups: Object.assign({}, ...parts.map((part) => part.value.groups ?? {})) as Groups,
    sharedOutboxes: sharedOf(parts),
    permissions: { partners: permissionsOf(parts, 'partners'), groups: permissionsOf(parts, 'groups') },
    place: (kind, name, key) => {
      const part = parts.find(({ value: found }) => Object.hasOwn(found[kind] ?? {}, name));
      return part ? sourceOf(part, [kind, name, ...(key === undefined ? [] : [key])]) : '';
    },
    partnerSources: new Map(
      parts.flatMap((part) => Object.keys(part.value.partners ?? {}).map((name) => [name, sourceOf(part, ['partners', name])])),
    ),
    rules: allRules(parts),
  };
}

const sharedOf = (parts: readonly Loaded<Part>[]): readonly string[] => [
  ...new Set(parts.flatMap((part) => part.value.sharedOutboxes ?? [])),
];

const allRules = (parts: readonly Loaded<Part>[]): Rule[] => [
  ...parts
    .flatMap((part) => (part.value.rules ?? []).map((rule, index) => ({ rule, source: sourceOf(part, ['rules', index]) })))
    .map(({ rule, source }, index) => toRule(rule, source, `rule ${index + 1}`)),
  ...parts.flatMap((part) => (part.value.fallback ? [toFallback(part.value.fallback, sourceOf(part, ['fallback']))] : [])),
];

function permissionsOf(parts: readonly Loaded<Part>[], kind: 'partners' | 'groups'): ReadonlyMap<string, PermissionSettings> {
  return new Map(
    parts.flatMap((part) =>
      Object.entries(part.value[kind] ?? {}).flatMap(([name, { permissions }]) =>
        permissions === undefined
          ? []
          : [[name, withSources(permissions, (path) => sourceOf(part, [kind, name, 'permissions', ...path]))] as const],
      ),
    ),
  );
}

function socketOf(value: Settings, file: string): string {
  const folder = dirname(file);
  if (value.admin.socket !== undefined) return resolve(folder, value.admin.socket);
  return join(resolve(folder, value.state), 'admin', 'socket');
}

function checkTogether({ main, parts }: LoadedConfig<Settings, Part>, place: string, problems: ConfigProblem[]): void {
  checkSocketPath(socketOf(main.value, resolve(place)), (message) =>
    problems.push({ file: main.label, ...main.at(['admin', 'socket']), path: 'admin.socket', message }),
  );
  const all = uploadsOfAll(main.value.policy.uploads);
  checkQuiet(main, ['policy', 'uploads'], all, main, problems);
  checkFallbacks(parts, problems);
  for (const part of parts) {
    for (const [index, { complete, delay }] of (part.value.rules ?? []).entries()) {
      if (complete !== 'quiet' && delay === undefined) continue;
      checkQuiet(part, ['rules', index], withOwn(all, { complete: 'quiet', quietMs: delay }), main, problems);
    }
  }
  for (const kind of ['partners', 'groups'] as const) {
    const seen = new Map<string, string>();
    for (const part of parts) {
      for (const [name, { uploads }] of Object.entries(part.value[kind] ?? {})) {
        if (uploads) checkQuiet(part, [kind, name, 'uploads'], withOwn(all, uploads), main, problems);
        const first = seen.get(name);
        if (first === undefined) seen.set(name, sourceOf(part, [kind, name]));
        else {
          const message = `this ${kind === 'partners' ? 'partner' : 'group'} is in ${first} already`;
          problems.push({ file: part.label, ...part.keyAt([kind, name]), path: `${kind}.${name}`, message });
        }
      }
    }
  }
}

function checkFallbacks(parts: readonly Loaded<Part>[], problems: ConfigProblem[]): void {
  const [first, ...others] = parts.filter((part) => part.value.fallback !== undefined);
  for (const part of others) {
    const message = `there is a fallback in ${first ? sourceOf(first, ['fallback']) : ''} already`;
    problems.push({ file: part.label, ...part.keyAt(['fallback']), path: 'fallback', message });
  }
}

/** A session vouches for its uploads only for its grace: what is quiet for longer would not be believed. */
function checkQuiet(
  part: Loaded<unknown>,
  path: readonly (string | number)[],
  { complete, quietMs }: Uploads,
  { value: { sessions } }: Loaded<Settings>,
  problems: ConfigProblem[],
): void {
  if ((complete !== 'quiet' && complete !== 'trigger') || quietMs < sessions.grace) return;
  const message = `quiet, ${writeDuration(quietMs)}, must be less than sessions.grace, ${writeDuration(sessions.grace)}`;
  problems.push({ file: part.label, ...part.at(path), path: pathText(path), message });
}

function checkReferences({ main, parts }: LoadedConfig<Settings, Part>, problems: ConfigProblem[]): void {
  const partners = parts.flatMap((part) => Object.keys(part.value.partners ?? {}));
  const destinations = Object.keys(main.value.destinations);
  const programs = programsOf(main.value.destinations).map(({ name }) => name);
  const shared = sharedOf(parts);
  const known = { partners, outboxes: [...partners, ...shared], destinations, programs };
  const groups = parts.flatMap((part) => Object.keys(part.value.groups ?? {}));
  checkAuthentication(main, { partners, groups }, problems);
  for (const part of parts) {
    checkGroupNames(part, groups, problems);
    checkDirectoryNames(part, Object.keys(sourcesOf(main.value.authentication)), problems);
    for (const [index, name] of (part.value.sharedOutboxes ?? []).entries()) {
      if (!partners.includes(name)) continue;
      const path = ['sharedOutboxes', index];
      problems.push({ file: part.label, ...part.at(path), path: pathText(path), message: `there is a partner "${name}"` });
    }
    checkAccounts(part, parts, shared, problems);
    checkRules(part, part.value.rules ?? [], known, problems);
    if (part.value.fallback) checkRule(part, ['fallback'], part.value.fallback, known, problems);
  }
}

/** Shared Outboxes that folders name, and that what a partner has of his own and of his groups fits together. */
function checkAccounts(
  part: Loaded<Part>,
  parts: readonly Loaded<Part>[],
  shared: readonly string[],
  problems: ConfigProblem[],
): void {
  for (const kind of ['partners', 'groups'] as const) {
    for (const [name, { folders = {} }] of Object.entries(part.value[kind] ?? {})) {
      for (const [folder, place] of Object.entries(folders)) {
        const { owner } = folderGrant(folder, place);
        if (owner === undefined || shared.includes(owner)) continue;
        const path = [kind, name, 'folders', folder];
        const message = `there is no shared Outbox "${owner}"${didYouMean(owner, shared)}`;
        problems.push({ file: part.label, ...part.at(path), path: pathText(path), message });
      }
    }
  }
  const groups = Object.assign({}, ...parts.map(({ value }) => value.groups ?? {})) as Groups;
  for (const [name, partner] of Object.entries(part.value.partners ?? {})) {
    try {
      const all = [partner, ...(partner.groups ?? [defaultGroup]).flatMap((group) => groups[group] ?? [])];
      const layout = new Layout(foldersOf(all));
      refuseTooMany('folders', layout.folders.length, 64);
      refuseTooMany('makeFolders', all.flatMap(({ makeFolders }) => makeFolders ?? []).length, 256);
      const lines = (partner.permissions ? [partner] : all).flatMap(({ permissions }) => permissions?.paths ?? []);
      refuseTooMany('lines of permissions', lines.length, 255);
      const outside = all.flatMap(({ startIn }) => startIn ?? []).find((start) => areaOf(start, layout) === 'nowhere');
      if (outside !== undefined) throw new SallyportError('config-invalid', `startIn: there is no folder ${outside}`);
    } catch (error) {
      if (!(error instanceof SallyportError)) throw error;
      const path = ['partners', name];
      problems.push({ file: part.label, ...part.keyAt(path), path: pathText(path), message: error.message });
    }
  }
}

/** More does not fit into a grant. */
function refuseTooMany(what: string, count: number, most: number): void {
  if (count <= most) return;
  throw new SallyportError('config-invalid', `${count} ${what} with those of his groups; the most is ${most}`);
}

function checkGroupNames(part: Loaded<Part>, known: readonly string[], problems: ConfigProblem[]): void {
  for (const [partner, { groups = [] }] of Object.entries(part.value.partners ?? {})) {
    for (const [index, group] of groups.entries()) {
      if (known.includes(group)) continue;
      const path = ['partners', partner, 'groups', index];
      const message = `there is no group "${group}"${didYouMean(group, known)}`;
      problems.push({ file: part.label, ...part.at(path), path: pathText(path), message });
    }
  }
}

function checkDirectoryNames(part: Loaded<Part>, known: readonly string[], problems: ConfigProblem[]): void {
  for (const [partner, { directory }] of Object.entries(part.value.partners ?? {})) {
    if (directory === undefined || known.includes(directory)) continue;
    const path = ['partners', partner, 'directory'];
    const message = `there is no directory "${directory}"${didYouMean(directory, known)}`;
    problems.push({ file: part.label, ...part.at(path), path: pathText(path), message });
  }
}
