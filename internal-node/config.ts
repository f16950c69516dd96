/**
 * The configuration of the internal node: `sallyport.yaml` and the files it includes, which hold partners and rules.
 * Loading checks everything that the files alone can tell, across all of them, and names the place of each problem.
 *
 * In `InternalConfig` sizes are bytes, durations milliseconds and paths absolute. Keys and folders are not opened here.
 */
import { dirname, join, resolve } from 'node:path';
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
import { didYouMean } from '../shared/config/suggest.ts';
import { address, duration, writeDuration } from '../shared/config/units.ts';
import { hostTimeZone, isTimeZone } from '../shared/matching/dates.ts';
import type { PolicyLimits, Rule } from '../shared/policy.ts';
import { withOwn } from '../shared/uploads.ts';
import { checkRules, rulesSchema, toRule } from './config-rules.ts';
import { refusePrivateKeys } from './config-secrets.ts';
import type { AccountSettings } from './policy/accounts.ts';
import { type Groups, groupsSchema, type Partners, partnersSchema } from './policy/partners.ts';
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

const destination = z.strictObject({
  folder: path().describe('Folder into which files are delivered, below a folder for each partner.'),
  onExisting: z
    .enum(['number', 'replace', 'fail'])
    .default('number')
    .describe('When the name is taken: deliver beside it with a number, replace it, or fail and try again.'),
  fileMode: z
    .string()
    .regex(/^0[0-7]{3}$/, 'expected four octal digits in quotes, like "0640"')
    .transform((digits) => Number.parseInt(digits, 8))
    .prefault('0640')
    .describe('Mode of delivered files, in quotes.'),
});

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

const authentication = z
  .strictObject({
    failuresPerAccount: whole(1, 100_000)
      .default(10)
      .describe('Password failures of one account per minute before it has to wait.'),
    passwordChecksPerMinute: whole(1, 1_000_000)
      .default(600)
      .describe('Password checks of all accounts together; each costs a hash.'),
    keyChecksPerMinute: whole(1, 1_000_000).default(6000).describe('Key checks of all accounts together.'),
    concurrentHashes: whole(1, 64)
      .default(2)
      .describe('Passwords that are hashed at the same time; each takes a core and memory.'),
  })
  .prefault({})
  .describe('Budgets for login attempts, counted without trusting the addresses that the DMZ node reports.');

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
  destinations: z
    .record(
      z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dot, underscore and hyphen, at most 64'),
      destination,
    )
    .default({})
    .describe('Where rules deliver to, by name.'),
  outgoing: outgoing.optional(),
  policy,
  sessions,
  authentication,
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
  rules: rulesSchema.optional().describe('Rules in the order in which they are tried; files in the order of their names.'),
});
export const partSchema = z.unknown().superRefine(refusePrivateKeys).pipe(partContents);

/** What a file of `conf.d` may hold, for the generated documentation. */
export const partContentsSchema = partContents;

type Settings = z.output<typeof internalConfigSchema>;
type Part = z.output<typeof partSchema>;

export interface Destination {
  readonly name: string;
  readonly folder: string;
  readonly onExisting: 'number' | 'replace' | 'fail';
  readonly fileMode: number;
}

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
  readonly partners: Partners;
  readonly groups: Groups;
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
  const loaded = await loadConfig(file, internalConfigSchema, {
    include: { key: 'include', fallback: ['conf.d/**/*.yaml'], schema: partSchema },
    check: (config, problems) => {
      checkTogether(config, problems);
      if (references === 'checked') checkReferences(config, problems);
    },
  });
  return resolved(loaded);
}

export type MainSettings = Pick<InternalSettings, 'file' | 'name' | 'state' | 'keys' | 'dmz' | 'admin'>;

/** Only the main file: what a command needs to reach a running node, also when a file of `conf.d` is wrong. */
export async function loadMainSettings(file: string): Promise<MainSettings> {
  const { main } = await loadConfig(file, internalConfigSchema);
  return resolved({ main, parts: [] });
}

function resolved({ main, parts }: LoadedConfig<Settings, Part>): InternalSettings {
  const { value, file } = main;
  const folder = dirname(file);
  const state = resolve(folder, value.state);
  const { idle, partialTtl, tombstoneTtl, ...counts } = value.policy.limits;
  return {
    ...value,
    file,
    files: [file, ...parts.map((part) => part.file)],
    state,
    keys: value.keys === undefined ? join(state, 'keys') : resolve(folder, value.keys),
    admin: { socket: socketOf(main) },
    policy: {
      expires: value.policy.expires,
      banner: value.policy.banner,
      timeZone: value.policy.timeZone,
      limits: { ...counts, idleMs: idle, partialTtlMs: partialTtl, tombstoneTtlMs: tombstoneTtl },
      uploads: uploadsOfAll(value.policy.uploads),
    },
    destinations: Object.entries(value.destinations).map(([name, { folder: target, ...rest }]) => ({
      name,
      folder: resolve(folder, target),
      ...rest,
    })),
    outgoing: value.outgoing && { ...value.outgoing, folder: resolve(folder, value.outgoing.folder) },
    partners: Object.assign({}, ...parts.map((part) => part.value.partners ?? {})) as Partners,
    groups: Object.assign({}, ...parts.map((part) => part.value.groups ?? {})) as Groups,
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

const allRules = (parts: readonly Loaded<Part>[]): Rule[] =>
  parts
    .flatMap((part) => (part.value.rules ?? []).map((rule, index) => ({ rule, source: sourceOf(part, ['rules', index]) })))
    .map(({ rule, source }, index) => toRule(rule, source, `rule ${index + 1}`));

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

function socketOf({ value, file }: Loaded<Settings>): string {
  const folder = dirname(file);
  if (value.admin.socket !== undefined) return resolve(folder, value.admin.socket);
  return join(resolve(folder, value.state), 'admin', 'socket');
}

function checkTogether({ main, parts }: LoadedConfig<Settings, Part>, problems: ConfigProblem[]): void {
  checkSocketPath(socketOf(main), (message) =>
    problems.push({ file: main.label, ...main.at(['admin', 'socket']), path: 'admin.socket', message }),
  );
  const all = uploadsOfAll(main.value.policy.uploads);
  checkQuiet(main, ['policy', 'uploads'], all, main, problems);
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

/** A session vouches for its uploads only for its grace: what is quiet for longer would not be believed. */
function checkQuiet(
  part: Loaded<unknown>,
  path: readonly string[],
  { complete, quietMs }: Uploads,
  { value: { sessions } }: Loaded<Settings>,
  problems: ConfigProblem[],
): void {
  if ((complete !== 'quiet' && complete !== 'trigger') || quietMs < sessions.grace) return;
  const message = `quiet, ${writeDuration(quietMs)}, must be less than sessions.grace, ${writeDuration(sessions.grace)}`;
  problems.push({ file: part.label, ...part.at(path), path: path.join('.'), message });
}

function checkReferences({ main, parts }: LoadedConfig<Settings, Part>, problems: ConfigProblem[]): void {
  const partners = parts.flatMap((part) => Object.keys(part.value.partners ?? {}));
  const destinations = Object.keys(main.value.destinations);
  const groups = parts.flatMap((part) => Object.keys(part.value.groups ?? {}));
  for (const part of parts) checkGroupNames(part, groups, problems);
  for (const part of parts) checkRules(part, part.value.rules ?? [], { partners, destinations }, problems);
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
