/** What the files of the configuration must say together: names that exist, nothing twice, settings that fit each other. */
import { resolve } from 'node:path';
import { checkSocketPath } from '../shared/config/fields.ts';
import { type Loaded, type LoadedConfig, sourceOf } from '../shared/config/load.ts';
import { type ConfigProblem, pathText } from '../shared/config/problems.ts';
import { didYouMean } from '../shared/config/suggest.ts';
import { writeDuration } from '../shared/config/units.ts';
import { SallyportError } from '../shared/errors.ts';
import { Layout } from '../shared/paths/layout.ts';
import { areaOf } from '../shared/permissions/acts.ts';
import { withOwn } from '../shared/uploads.ts';
import { checkAuthentication, sourcesOf } from './config-authentication.ts';
import { programsOf } from './config-destinations.ts';
import { checkRule, checkRules } from './config-rules.ts';
import { type Part, type Settings, sharedOf, socketOf } from './config-schema.ts';
import { foldersOf } from './policy/accounts.ts';
import { defaultGroup, folderGrant, type Groups } from './policy/partners.ts';
import { type Uploads, uploadsOfAll } from './policy/uploads.ts';

/** All that does not need the names of the other files. @param place Where the main file will be. */
export function checkTogether({ main, parts }: LoadedConfig<Settings, Part>, place: string, problems: ConfigProblem[]): void {
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

/** That every name which is used is there. */
export function checkReferences({ main, parts }: LoadedConfig<Settings, Part>, problems: ConfigProblem[]): void {
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
