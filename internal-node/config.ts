/**
 * The configuration of the internal node: `sallyport.yaml` and the files it includes, which hold partners and rules.
 * Loading checks everything that the files alone can tell, across all of them, and names the place of each problem.
 *
 * In `InternalConfig` sizes are bytes, durations milliseconds and paths absolute. Keys and folders are not opened here.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { digestOf, type FileDigest, type Loaded, type LoadedConfig, loadConfig, sourceOf } from '../shared/config/load.ts';
import { ConfigError, type ConfigProblem } from '../shared/config/problems.ts';
import { checkFile } from '../shared/config/schema-check.ts';
import { readYamlFile } from '../shared/config/yaml-file.ts';
import type { PolicyLimits, Rule } from '../shared/policy.ts';
import { resolvedAuthentication } from './config-authentication.ts';
import { checkReferences, checkTogether } from './config-checks.ts';
import { type Destination, destinationsOf, type ProgramSettings, programsOf } from './config-destinations.ts';
import { checkRule, checkRules, fallbackSchema, rulesSchema, toFallback, toRule } from './config-rules.ts';
import { internalConfigSchema, type Part, partSchema, type Settings, sharedOf, socketOf } from './config-schema.ts';
import type { AccountSettings } from './policy/accounts.ts';
import type { Groups, Partners } from './policy/partners.ts';
import { type PermissionSettings, withSources } from './policy/permission-settings.ts';
import { type Uploads, uploadsOfAll } from './policy/uploads.ts';

/** All but the DMZ node, which is known only after `sallyport connect`. */
export interface InternalSettings extends Omit<Settings, 'keys' | 'admin' | 'policy' | 'destinations' | 'include'> {
  /** The main file, absolute. */
  readonly file: string;
  /** All files that were read, absolute. */
  readonly files: readonly string[];
  /** Of these files as they were read. */
  readonly digests: readonly FileDigest[];
  readonly keys: string;
  /** Where staff connect, and where the staff door waits for the agent. */
  readonly admin: { readonly socket: string; readonly agentSocket: string };
  readonly policy: {
    readonly expires: number;
    /** Under which partners reach the DMZ node, as far as staff wrote it down. */
    readonly host: string | undefined;
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
    const part = { value, label: yaml.label, file: resolve(file), sha256: yaml.sha256, at: yaml.at, keyAt: yaml.keyAt };
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

export type MainSettings = Pick<InternalSettings, 'file' | 'name' | 'state' | 'keys' | 'dmz' | 'admin' | 'log' | 'tunnel'>;

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
    digests: [main, ...parts].map(digestOf),
    state,
    keys: value.keys === undefined ? join(state, 'keys') : resolve(folder, value.keys),
    admin: { socket: socketOf(value, file), agentSocket: `${socketOf(value, file)}.agent` },
    policy: {
      expires: value.policy.expires,
      host: value.policy.host,
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
